"""From a call of the user's function to a graph, with everything that was assumed on the way.

Begin with `capture.py`; `segments.py` is what happens when the function asks for a value,
`guards.py` and `reads.py` what must still hold when the graph is used again.
"""
