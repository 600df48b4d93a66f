"""The dtypes of jitgrad and how operations promote them: PyTorch's rules."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from jitgrad.core.errors import ArgumentError, DtypeError

DType = np.dtype[Any]

float32: Final[DType] = np.dtype(np.float32)
float64: Final[DType] = np.dtype(np.float64)
int32: Final[DType] = np.dtype(np.int32)
int64: Final[DType] = np.dtype(np.int64)
bool_: Final[DType] = np.dtype(np.bool_)

SUPPORTED: Final[tuple[DType, ...]] = (float32, float64, int32, int64, bool_)
_BY_NUMPY_TYPE: Final[dict[object, DType]] = {d.type: d for d in SUPPORTED}
_BY_PYTHON_TYPE: Final[dict[object, DType]] = {bool: bool_, int: int64}

_CATEGORY: Final[dict[DType, int]] = {bool_: 0, int32: 1, int64: 1, float32: 2, float64: 2}
_FLOATING: Final[frozenset[DType]] = frozenset({float32, float64})

_default_float = float32


def set_default_dtype(dtype: npt.DTypeLike) -> None:
    """Set the dtype that Python floats get in `tensor`, `zeros` and the like.

    Parameters
    ----------
    dtype : dtype_like
        ``float32`` (the initial setting) or ``float64``.

    Raises
    ------
    ArgumentError
        If `dtype` is not floating.
    """
    global _default_float
    resolved = as_dtype(dtype)
    if resolved not in _FLOATING:
        raise ArgumentError(
            f"set_default_dtype: {resolved} is not a floating dtype",
            do="pass jitgrad.float32 or jitgrad.float64",
        )
    _default_float = resolved


def get_default_dtype() -> DType:
    """Return the dtype that Python floats get: float32 unless `set_default_dtype` changed it."""
    return _default_float


def as_dtype(dtype: npt.DTypeLike) -> DType:
    """Return `dtype` as one of the supported NumPy dtypes.

    Raises
    ------
    DtypeError
        If it is not float32, float64, int32, int64 or bool; Python's ``float`` stands for the
        default dtype.
    """
    if dtype is float:
        return _default_float
    found = _BY_PYTHON_TYPE.get(dtype)
    if found is None:
        try:
            found = _BY_NUMPY_TYPE.get(np.dtype(dtype).type)
        except TypeError:
            found = None
    if found is None:
        raise DtypeError(
            f"dtype {dtype!r} is not supported",
            why="jitgrad computes with float32, float64, int32, int64 and bool",
            do="convert the data first, for instance with array.astype(numpy.float32)",
        )
    return found


def is_supported(dtype: DType) -> bool:
    """Return whether `dtype` is one that Tensors may have."""
    return dtype in _CATEGORY


def is_floating(dtype: DType) -> bool:
    """Return whether `dtype` is float32 or float64, so that values of it may have gradients."""
    return dtype in _FLOATING


def category(dtype: DType) -> int:
    """Return 0 for bool, 1 for integers, 2 for floating dtypes."""
    return _CATEGORY[dtype]


def scalar_dtype(value: bool | int | float) -> DType:
    """Return the dtype that a Python number has where nothing else decides."""
    if isinstance(value, bool):
        return bool_
    return int64 if isinstance(value, int) else _default_float


def python_dtype(value: bool | int | float) -> DType:
    """Return the dtype in which Python itself computes with a number."""
    if isinstance(value, bool):
        return bool_
    return int64 if isinstance(value, int) else float64


def promote_dtypes(a: DType, b: DType) -> DType:
    """Return the smallest supported dtype that holds both, a float of either where one floats.

    An integer with float32 gives float32, as in PyTorch (NumPy would give float64).
    """
    if a == b:
        return a
    ca, cb = _CATEGORY[a], _CATEGORY[b]
    if ca != cb:
        return a if ca > cb else b
    return a if a.itemsize >= b.itemsize else b


def result_dtype(operands: list[tuple[DType, int, bool]]) -> DType:
    """Return the dtype in which an operation on these operands computes.

    Parameters
    ----------
    operands : list of (dtype, ndim, weak)
        `weak` marks Python numbers, whose own dtype counts only where their category is above
        that of all others.

    Returns
    -------
    dtype
        By priority: arrays with axes, then 0-d arrays, then Python numbers; an operand of lower
        priority has a say only if its category (bool, integer, floating) is higher [1]_.

    References
    ----------
    .. [1] PyTorch documentation, "Tensor Attributes", section on type promotion.
    """
    levels: list[DType | None] = [None, None, None]
    if any(not weak for _, _, weak in operands):
        # A Python float is a double among its own kind, and of the default dtype among arrays.
        operands = [
            (_default_float, n, w) if w and dtype in _FLOATING else (dtype, n, w)
            for dtype, n, w in operands
        ]
    for dtype, ndim, weak in operands:
        level = 2 if weak else (0 if ndim else 1)
        held = levels[level]
        levels[level] = dtype if held is None else promote_dtypes(held, dtype)
    result: DType | None = None
    for lower in levels:
        if lower is None:
            continue
        if result is None or _CATEGORY[lower] > _CATEGORY[result]:
            result = lower
    if result is None:
        raise DtypeError("an operation without operands has no dtype")
    return result
