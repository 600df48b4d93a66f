"""Passes: functions from graph to graph.

Begin with `adjoint.py` (reverse mode); `simplify.py` tidies up before and after,
`residuals.py` decides what the forward run keeps for the adjoint.
"""
