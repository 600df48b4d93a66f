"""From Python data and NumPy arrays to arrays that Tensors can hold."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.core.dtypes import DType, get_default_dtype, int64, is_supported
from jitgrad.core.errors import DtypeError, ShapeError

Array = np.ndarray[Any, Any]


def array_of(data: Any, dtype: DType | None = None) -> Array:
    """Return `data` as an array of a supported dtype; shares memory with an array where it can.

    Parameters
    ----------
    data : array, number, or nested list of numbers
        Python floats get the default dtype, arrays keep theirs.
    dtype : dtype, optional
        Convert to this.

    Raises
    ------
    ShapeError
        If nested lists have rows of different lengths.
    DtypeError
        If the data is not numeric, or of a dtype that is not supported.
    """
    if isinstance(data, np.ndarray) or (
        isinstance(data, np.generic) and not isinstance(data, float)
    ):
        array = np.asarray(data)
    else:
        array = _array_of_python(data, dtype)
    if dtype is not None and array.dtype != dtype and array.dtype.kind in "biuf":
        return array.astype(dtype)
    if not is_supported(array.dtype):
        raise _unsupported(array)
    # A dtype of the other byte order equals none of ours; equal ones may still be other objects.
    return array


def _array_of_python(data: Any, dtype: DType | None) -> Array:
    try:
        array = np.asarray(data)
    except ValueError as error:
        if "inhomogeneous" in str(error):
            raise ShapeError(
                "tensor: the nested lists are ragged",
                why="every list of a level must have the same length",
                do="pad the short rows, or keep a list of Tensors",
            ) from None
        raise DtypeError(f"tensor: the data can't be made an array: {error}") from None
    except TypeError as error:
        raise DtypeError(f"tensor: the data can't be made an array: {error}") from None
    # In another dtype they are not rounded to the default one before.
    if dtype is None and array.dtype.kind == "f" and not _holds_numpy(data):
        return array.astype(get_default_dtype())
    if array.size == 0 and array.dtype.kind == "f":
        return array.astype(get_default_dtype())
    if array.dtype.kind in "iu" and not _holds_numpy(data):
        return array.astype(int64, copy=False)
    return array


def _holds_numpy(data: Any) -> bool:
    """Return whether the first element of nested lists is a NumPy value, which keeps its dtype."""
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    if isinstance(data, float):  # numpy.float64 is one too and counts as a Python float
        return False
    # A Python number that is traced has a dtype, too.
    return hasattr(data, "dtype") and not getattr(getattr(data, "spec", None), "weak", False)


def _unsupported(array: Array) -> DtypeError:
    if array.dtype == np.object_:
        return DtypeError(
            "tensor: an array of Python objects can't become a Tensor",
            why="a Tensor holds numbers of one dtype",
            do="make the data a nested list of numbers of equal lengths",
        )
    return DtypeError(
        f"tensor: dtype {array.dtype} is not supported",
        why="jitgrad computes with float32, float64, int32, int64 and bool",
        do="convert the data first, for instance with array.astype(numpy.float32)",
    )
