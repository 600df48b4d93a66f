"""Passes from graph to graph: derivatives, batching, simplification.

Begin with `replay.py`, which sends a graph through the operations once more: `adjoint.py`
(reverse mode), `tangent.py` (forward mode) and `batch.py` (vmap) are built on it.
"""
