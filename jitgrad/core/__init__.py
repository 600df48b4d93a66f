"""What every room needs: errors, dtypes, shapes, nested arguments, the table of operations.

Begin with `primitive.py`, the record of one operation, then `bind.py`, which sends a call of it
to whoever owns the arguments.
"""
