"""Special functions, under PyTorch's names: ``jitgrad.special``."""

from __future__ import annotations

from typing import Any

import jitgrad.ops.all  # noqa: F401 - fills the table
from jitgrad.core.public import functions_in

_functions = functions_in("special")
globals().update(_functions)
__all__ = sorted(_functions)


def __getattr__(name: str) -> Any:
    # Reached for what does not exist; tells type checkers that names come from the table.
    raise AttributeError(f"jitgrad.special has no function {name}")
