"""Plain Python syntax becomes loops and branches of the graph; begin with `convert.py`.

`source.py` finds a function's text, `rewrite.py` rewrites its syntax tree so that calls (and what
decides where the program goes) pass through functions of `operators.py`.
"""
