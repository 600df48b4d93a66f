"""From graphs to Python source that Numba compiles.

Begin with `generate.py`, which runs the stages in order: `lower.py` (nodes to statements),
`schedule.py` (statements to a loop tree), `storage.py` (registers, buffers, arena), `emit.py`.
"""
