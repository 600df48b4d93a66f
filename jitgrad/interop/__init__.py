"""Tensors to and from other libraries, and derivatives handed to them.

Begin with `dlpack.py`, memory shared without a copy; then a file for each library.
"""

from jitgrad.interop.dlpack import from_dlpack
from jitgrad.interop.scipy import FlatObjective, FlatResiduals
from jitgrad.interop.torch import from_torch, to_torch

__all__ = ["FlatObjective", "FlatResiduals", "from_dlpack", "from_torch", "to_torch"]
