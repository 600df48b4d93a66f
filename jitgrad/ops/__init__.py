"""The table of operations: each is one entry with its derivative, compiled form and tests.

Begin with `arithmetic.py` for entries, `families.py` for what a family shares, and
`derivatives.py` for what the engine does around every rule.
"""
