"""Fourier transforms, under PyTorch's names: ``jitgrad.fft``.

There are no complex dtypes: complex numbers are a `ComplexPair` of real Tensors.
"""

from __future__ import annotations

from typing import Any

import jitgrad.ops.all  # noqa: F401 - fills the table
from jitgrad.core.public import functions_in

_functions = functions_in("fft")
globals().update(_functions)
__all__ = sorted(_functions)


def __getattr__(name: str) -> Any:
    # Reached for what does not exist; tells type checkers that names come from the table.
    raise AttributeError(f"jitgrad.fft has no function {name}")
