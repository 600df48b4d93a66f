"""Measures jitgrad against other libraries: ``python -m bench``.

Begin reading in `workload.py`: what a workload is. Each is defined once, in a file of `workloads`,
for all libraries; only programs with loops have a form for each library, in a file of `loops`. How
a library makes a call of a workload is in a file of `peers`, and what is written by hand in C is in
`hand`.
"""
