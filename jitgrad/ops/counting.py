"""How often values occur: results whose size depends on values.

In a compiled function they ask for the values, on which the trace then depends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.dtypes import bool_, int64, is_floating
from jitgrad.core.errors import ArgumentError, DtypeError
from jitgrad.core.public import public
from jitgrad.core.shapes import normalize_axis
from jitgrad.ops.cast import convert
from jitgrad.ops.creation import full_primitive
from jitgrad.ops.families import integers_to_int64
from jitgrad.ops.naming import shown_as
from jitgrad.ops.rearranging import movedim
from jitgrad.ops.shape import reshape_to
from jitgrad.ops.taking import take, take_transpose

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


@public()
def bincount(x: ArrayLike, weights: ArrayLike | None = None, minlength: int = 0) -> Tensor:
    """Return how often each integer from 0 on occurs, or the sum of its weights.

    Parameters
    ----------
    x : array_like of int, one axis
        Not negative. In a compiled function its largest element is asked for, unless `minlength`
        is larger.
    weights : array_like, shape of `x`, optional
        Added up instead of ones.
    minlength : int
        The least size of the result.

    Returns
    -------
    Tensor, one axis
        Of int64, or in the dtype of `weights`.

    Raises
    ------
    DtypeError
        If `x` does not hold integers.
    ArgumentError
        If an element is negative, or the shapes do not fit.
    """
    places = box(x)
    if places.dtype.kind != "i":
        raise DtypeError(f"bincount: elements of dtype {places.dtype}", do="convert them: x.long()")
    if places.ndim != 1 or (
        weights is not None and tuple(box(weights).shape) != tuple(places.shape)
    ):
        raise ArgumentError(
            f"bincount: elements of shape {tuple(places.shape)}",
            why="one axis is needed, and weights of the same shape",
        )
    size = minlength
    if places.numel():
        if bool((places < 0).any()):
            raise ArgumentError("bincount: an element is negative")
        if not minlength or bool((places >= minlength).any()):
            size = int(places.max()) + 1
    if weights is None:
        ones = full_primitive(shape=tuple(places.shape), value=1, dtype=int64)
    else:
        ones = convert(box(weights), integers_to_int64(box(weights).dtype))
    rows = reshape_to(places, (1, places.numel()))
    return shown_as("BincountBackward0", take_transpose(ones, rows, shape=(size,), axes=(0,)))


def _found(x: Any, dim: int | None, operation: str) -> tuple[Any, Any, int]:
    """Return the elements, or the slices along an axis, as the first axis; values apart."""
    value = box(x)
    if dim is None:
        rows = reshape_to(value, (value.numel(),))
        axis = 0
    else:
        axis = normalize_axis(operation, dim, value.ndim)
        rows = movedim(value, axis, 0)
    return rows, rows.detach().numpy(), axis


def _outcome(
    x: Any,
    dim: int | None,
    rows: Any,
    axis: int,
    first: Any,
    inverse: Any,
    counts: Any,
    wanted: tuple[bool, bool],
) -> Any:
    picked: Any = take(rows, np.asarray(first, np.int64)[None], axes=(0,))
    if dim is not None:
        picked = movedim(picked, 0, axis)
    shape = tuple(box(x).shape) if dim is None else (-1,)
    results = [picked]
    if wanted[0]:
        results.append(box(np.asarray(inverse, np.int64).reshape(shape)))
    if wanted[1]:
        results.append(box(np.asarray(counts, np.int64)))
    return results[0] if len(results) == 1 else tuple(results)


@public()
def unique(
    x: ArrayLike,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """Return the elements without repetitions, in order.

    Parameters
    ----------
    x : array_like
        Any shape. In a compiled function its values are asked for.
    sorted : bool
        Accepted as in PyTorch; the result is always in order.
    return_inverse : bool
        Whether the place of each element in the result is returned as well.
    return_counts : bool
        Whether the number of times that each occurs is returned as well.
    dim : int, optional
        Compare slices along this axis, rather than elements.

    Returns
    -------
    Tensor or tuple of Tensor
        The elements; the first of equal ones gets the gradient.
    """
    rows, values, axis = _found(x, dim, "unique")
    _, first, inverse, counts = np.unique(
        values,
        return_index=True,
        return_inverse=True,
        return_counts=True,
        axis=None if dim is None else 0,
    )
    return _outcome(x, dim, rows, axis, first, inverse, counts, (return_inverse, return_counts))


@public()
def unique_consecutive(
    x: ArrayLike, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """Return the elements without those that equal the one before.

    Parameters
    ----------
    x : array_like
        Any shape. In a compiled function its values are asked for.
    return_inverse : bool
        Whether the place of each element in the result is returned as well.
    return_counts : bool
        Whether the length of each run of equal elements is returned as well.
    dim : int, optional
        Compare slices along this axis, rather than elements.

    Returns
    -------
    Tensor or tuple of Tensor
        The elements; the first of a run gets the gradient.
    """
    rows, values, axis = _found(x, dim, "unique_consecutive")
    begins = np.ones(len(values), np.bool_)
    changes = values[1:] != values[:-1]
    begins[1:] = changes.reshape(len(changes), -1).any(axis=1)
    first = np.flatnonzero(begins)
    inverse = np.cumsum(begins) - 1
    counts = np.diff(np.append(first, len(values)))
    return _outcome(x, dim, rows, axis, first, inverse, counts, (return_inverse, return_counts))


@public(method=False)
def isin(elements: ArrayLike, test_elements: ArrayLike, *, invert: bool = False) -> Tensor:
    """Return whether each element is one of others.

    Parameters
    ----------
    elements : array_like
        Any shape. In a compiled function the values of both are asked for.
    test_elements : array_like
        What they are compared with.
    invert : bool
        Whether an element is none of the others.

    Returns
    -------
    Tensor of bool, shape of `elements`
    """
    found = np.isin(
        box(elements).detach().numpy(), box(test_elements).detach().numpy(), invert=invert
    )
    result: Tensor = box(np.asarray(found, bool_))
    return result


@public()
def histc(x: ArrayLike, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """Return how many elements lie in each of several intervals of equal size.

    Parameters
    ----------
    x : array_like, floating
        Any shape. In a compiled function its values are asked for.
    bins : int
        Number of intervals.
    min, max : float
        Where the first begins and the last ends; the range of the elements where they are equal.

    Returns
    -------
    Tensor, shape (bins,), dtype of `x`
        Elements outside are not counted; there is no gradient.

    Raises
    ------
    DtypeError
        If `x` is not floating.
    """
    value = box(x)
    if not is_floating(value.dtype):
        raise DtypeError(f"histc: elements of dtype {value.dtype}", do="convert them: x.float()")
    array = value.detach().numpy()
    ends = (array.min(), array.max()) if min == max and array.size else (min, max)
    counts = np.histogram(array, bins, ends)[0]
    result: Tensor = box(counts.astype(value.dtype))
    return result
