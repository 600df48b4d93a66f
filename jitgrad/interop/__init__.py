"""Tensors to and from other libraries, and derivatives handed to them.

Begin with `dlpack.py`, memory shared without a copy; then a file for each library.
"""
