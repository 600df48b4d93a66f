"""Large arrays that are used again once nobody has them any more.

Fresh memory of some megabytes costs as much as a kernel that fills it: the system maps and clears
it page by page at the first touch.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# From this size on the C library takes memory from the system and gives it back.
LARGE = 1 << 17
# Of each kind at least so many are kept: one call's result, and that of the call before.
_KEPT = 2
# More of those that are not so large: a program works with several at a time.
_MANY_KEPT = 8
_BYTES_KEPT = 1 << 25
# Larger ones are given back to the system, where nobody says that they are needed again.
_MOST_KEPT = 1 << 26


def recycled(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Callable[[], Array]:
    """Return a function that gives an array whose elements are to be overwritten.

    It is one that the function has given before if nothing refers to that any more, neither
    directly nor through a view; else a new one. The function is safe to call from many threads.

    Parameters
    ----------
    shape : tuple of int
        Of the arrays.
    dtype : dtype
        Of the arrays.
    """
    given: list[Array] = []
    size = max(math.prod(shape) * dtype.itemsize, 1)
    most = max(_KEPT, min(_MANY_KEPT, _BYTES_KEPT // size))
    alone = _references([np.empty(0)])[1]

    def take() -> Array:
        for _ in range(len(given)):
            try:
                array, references = _references(given)
            except IndexError:  # another thread was faster
                break
            if references == alone:
                return array
        array = np.empty(shape, dtype)
        if len(given) < most:
            given.append(array)
        return array

    return take


def _references(given: list[Array]) -> tuple[Array, int]:
    """Move the first array to the end; return it, and how many refer to it meanwhile."""
    array = given.pop(0)
    # Counted while it is in no list: who gets it from there later counts this reference as well.
    references = sys.getrefcount(array)
    given.append(array)
    return array, references


def is_recycled(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Return whether arrays of this kind are large enough to be used again."""
    # Without the interpreter's lock a count of references says nothing.
    counts_references = getattr(sys, "_is_gil_enabled", lambda: True)()
    return bool(counts_references and math.prod(shape) * dtype.itemsize >= LARGE)


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an array whose elements are to be overwritten; a large one may have been used before.

    Parameters
    ----------
    shape : tuple of int
        Of the array.
    dtype : dtype
        Of the array.
    """
    if not LARGE <= math.prod(shape) * dtype.itemsize <= _MOST_KEPT:
        return np.empty(shape, dtype)
    return _maker(shape, dtype)()


def zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an array of zeros; a large one may have been used before.

    Parameters
    ----------
    shape : tuple of int
        Of the array.
    dtype : dtype
        Of the array.
    """
    array = empty(shape, dtype)
    array.fill(0)
    return array


def copy(array: Array) -> Array:
    """Return a contiguous copy of an array; a large one may have been used before.

    Parameters
    ----------
    array : ndarray
        What to copy.
    """
    made = empty(array.shape, array.dtype)
    np.copyto(made, array)
    return made


@functools.lru_cache(maxsize=16)
def _maker(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Callable[[], Array]:
    if not is_recycled(shape, dtype):
        return lambda: np.empty(shape, dtype)
    return recycled(shape, dtype)
