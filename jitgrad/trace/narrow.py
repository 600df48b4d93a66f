"""Arrays of integers that Tensors don't have, such as unsigned ones: indices of sparse matrices.

They are taken along as int64. What stands for one keeps the dtype that NumPy knows; where NumPy
would give such a dtype again, the function is not compiled.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from jitgrad.core.dtypes import int64
from jitgrad.trace.stand_ins import ArrayStandIn, ScalarStandIn, asked_by_jitgrad

_NARROW = frozenset(np.dtype(name) for name in ("u1", "u2", "u4", "u8", "i1", "i2"))


class Widened(np.ndarray[Any, Any]):
    """Such an array as int64; a class of its own for each dtype."""

    narrow: np.dtype[Any]


@functools.cache
def _class_of(dtype: np.dtype[Any]) -> type[Widened]:
    return type(f"Widened_{dtype}", (Widened,), {"narrow": dtype})


def is_narrow(leaf: Any) -> bool:
    """Return whether an argument is such an array, with numbers that int64 has."""
    if type(leaf) is not np.ndarray or leaf.dtype not in _NARROW:
        return False
    return leaf.dtype != np.uint64 or not leaf.size or bool(leaf.max() <= np.iinfo(int64).max)


def widened(leaves: list[Any]) -> list[Any]:
    """Return leaves of arguments with such arrays as int64."""
    made: dict[int, Any] = {}
    for leaf in leaves:
        if is_narrow(leaf) and id(leaf) not in made:
            made[id(leaf)] = leaf.astype(int64).view(_class_of(leaf.dtype))
    return [made.get(id(leaf), leaf) for leaf in leaves] if made else leaves


@functools.cache
def kind_of(dtype: np.dtype[Any]) -> type[ArrayStandIn]:
    """Return the class of what stands for an array of this dtype."""
    known: dict[str, Any] = {"narrow": dtype, "dtype": property(_dtype_for_user)}
    element = type(f"{dtype}Scalar", (ScalarStandIn,), known)
    return type(f"{dtype}Array", (ArrayStandIn,), {**known, "element": element})


def _dtype_for_user(stand_in: Any) -> Any:
    return stand_in._raw.dtype if asked_by_jitgrad() else stand_in.narrow
