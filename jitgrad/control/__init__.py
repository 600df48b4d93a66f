"""Operations that hold graphs: loops, branches, calls, rules written by users.

Begin with `loop.py`; `syntax.py` turns `for`, `while` and `if` of the user's source into these
operations, `reroll.py` finds a loop in a trace that was unrolled.
"""
