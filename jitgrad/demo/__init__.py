"""The demonstration, written as a user writes; begin with `__main__.py`."""
