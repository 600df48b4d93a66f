"""What networks are made of, as functions: activations, losses, affine maps.

They are those of the table of public functions that belong here; the operations live in `ops`.
"""

from __future__ import annotations

from typing import Any

import jitgrad.ops.all  # noqa: F401 - fills the table
from jitgrad.core.public import FUNCTIONS

_HERE = {
    entry.name: entry.function
    for entry in FUNCTIONS.values()
    if entry.namespace == "nn.functional"
}
globals().update(_HERE)

__all__ = sorted(_HERE)  # noqa: PLE0605 - as long as the table


def __getattr__(name: str) -> Any:
    # Reached for what the table lacks; also tells type checkers that names come from elsewhere.
    raise AttributeError(f"jitgrad.nn.functional has no function {name}")
