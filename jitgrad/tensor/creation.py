"""Tensors made from Python data and NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from jitgrad.core.dtypes import as_dtype
from jitgrad.core.errors import DtypeError
from jitgrad.core.public import public
from jitgrad.ops.cast import convert, stop_gradient
from jitgrad.ops.creation import clone, finish
from jitgrad.tensor.conversion import array_of
from jitgrad.tensor.tensor import ArrayLike, Tensor, make_tensor


@public(method=False)
def tensor(
    data: ArrayLike, *, dtype: npt.DTypeLike | None = None, requires_grad: bool = False
) -> Tensor:
    """Return a new Tensor with a copy of `data`.

    Parameters
    ----------
    data : number, nested list, array or Tensor
        The values; no gradient passes to a Tensor given here.
    dtype : dtype_like, optional
        Where not given: that of an array or Tensor, bool, int64, or the default dtype for floats.
    requires_grad : bool
        Whether operations on it are recorded.

    Returns
    -------
    Tensor
        A leaf.

    Raises
    ------
    ShapeError
        If nested lists have rows of different lengths.
    DtypeError
        If the data is not numeric, or its dtype is not supported.
    """
    if isinstance(data, Tensor):
        copied: Tensor = stop_gradient(clone(data))
        return finish(_converted(copied, dtype), requires_grad)
    array = array_of(data, None if dtype is None else as_dtype(dtype))
    return finish(make_tensor(np.array(array, order="C")), requires_grad)


@public(method=False)
def as_tensor(data: ArrayLike, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Return `data` as a Tensor, sharing its memory where the dtype allows.

    Parameters
    ----------
    data : number, nested list, array or Tensor
        The values; a Tensor of the right dtype is returned itself.
    dtype : dtype_like, optional
        As for `tensor`.

    Returns
    -------
    Tensor
        With the memory of `data`, if it is an array of that dtype.
    """
    if isinstance(data, Tensor):
        return _converted(data.detach() if data._is_numpy else data, dtype)
    return make_tensor(array_of(data, None if dtype is None else as_dtype(dtype)))


@public(method=False)
def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """Return a Tensor with the memory of a NumPy array: changing one changes the other.

    Parameters
    ----------
    array : numpy array
        Of a supported dtype.

    Returns
    -------
    Tensor
        With the array's memory.

    Raises
    ------
    DtypeError
        If it is no array, or its dtype is not supported.
    """
    if isinstance(array, Tensor) and array._is_numpy:
        return array.detach()
    if not isinstance(array, np.ndarray):
        raise DtypeError(
            f"from_numpy: {type(array).__name__} is no NumPy array",
            do="use jitgrad.tensor for numbers and lists",
        )
    return make_tensor(array_of(array))


def _converted(x: Tensor, dtype: npt.DTypeLike | None) -> Tensor:
    result: Tensor = x if dtype is None else convert(x, as_dtype(dtype))
    return result
