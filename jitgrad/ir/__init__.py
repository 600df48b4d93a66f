"""The graph that a trace becomes and that passes transform.

Begin with `graph.py`; `printer.py` shows a graph as text, `interpret.py` runs it.
"""
