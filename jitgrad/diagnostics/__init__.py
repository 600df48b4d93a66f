"""Answers to "what did it do": why it traced again, what it fused, where a nan came from.

Begin with `explain.py`; `source.py` shows generated code, `profile.py` times it, `nonfinite.py`
finds the first operation that made a nan or an infinity.
"""
