"""The libraries: for each a file with its operations under common names, and how it is called.

A file ``with_NAME.py`` holds functions that workloads use (`exp`, `matmul`, `cross_entropy`, ...),
each the library's own where it has one, and ``STYLES``: for each task of a workload and each way
to call the library a function that takes a function, the positions to differentiate by and NumPy
arrays, and returns what is timed.
"""
