"""Elements counted through an array, and parts of an array replaced by other values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.errors import ArgumentError, ShapeError
from jitgrad.core.public import public
from jitgrad.core.shapes import normalize_axis
from jitgrad.ops.diagonal import diagonal
from jitgrad.ops.indexing import get_item, index_put, index_tensor
from jitgrad.ops.naming import shown_as
from jitgrad.ops.rearranging import movedim
from jitgrad.ops.selection import where
from jitgrad.ops.shape import broadcast_to, reshape_to
from jitgrad.ops.taking import take as take_primitive

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


def _flat(x: Any) -> Any:
    return reshape_to(x, (x.numel(),))


@public()
def take(x: ArrayLike, index: ArrayLike) -> Tensor:
    """Return elements of `x`, counted row by row as if it had one axis.

    Parameters
    ----------
    x : array_like
        Any shape.
    index : array_like of int
        Any shape; negative ones count from the end.

    Returns
    -------
    Tensor, shape of `index`
        An element that is taken several times gets the sum of their gradients.

    Raises
    ------
    IndexingError
        If an index is out of range, or `index` does not hold integers.
    """
    return shown_as("TakeBackward0", get_item(_flat(box(x)), index_tensor("take", index)))


@public(inplace=True)
def put(x: ArrayLike, index: ArrayLike, source: ArrayLike, accumulate: bool = False) -> Tensor:
    """Return `x` with elements replaced, which are counted as if it had one axis.

    Parameters
    ----------
    x : array_like
        Any shape.
    index : array_like of int
        Any shape; negative ones count from the end.
    source : array_like
        As many elements as `index`.
    accumulate : bool
        Add instead of replacing; elements that are named several times get every value.

    Returns
    -------
    Tensor, shape and dtype of `x`
        Without `accumulate` the last write to an element stays, and has the gradient.

    Raises
    ------
    IndexingError
        If an index is out of range, or `index` does not hold integers.
    ShapeError
        If `source` has another number of elements than `index`.
    """
    value, places, new = box(x), index_tensor("put", index), box(source)
    if places.numel() != new.numel():
        raise ShapeError(f"put: {new.numel()} elements for {places.numel()} indices")
    found = index_put(_flat(value), _flat(places), _flat(new), accumulate)
    return shown_as("PutBackward0", reshape_to(found, tuple(value.shape)))


@public("unfold_copy")
def unfold(x: ArrayLike, dimension: int, size: int, step: int) -> Tensor:
    """Return all windows of one axis, in a last axis of their own.

    Parameters
    ----------
    x : array_like
        Any shape.
    dimension : int
        The axis.
    size : int
        How many elements a window has.
    step : int
        How far the next window is.

    Returns
    -------
    Tensor, dtype of `x`
        A copy. Axis `dimension` counts the windows; elements in several of them get the sum of
        their gradients.

    Raises
    ------
    ArgumentError
        If a window is longer than the axis, or `step` is not positive.
    """
    value = box(x)
    axis = normalize_axis("unfold", dimension, value.ndim)
    length = value.shape[axis]
    if not 0 <= size <= length or step <= 0:
        raise ArgumentError(
            f"unfold: windows of {size} elements at distances of {step}",
            why=f"axis {axis} has {length} elements, and distances are positive",
        )
    starts = np.arange(0, length - size + 1, step)
    taken = take_primitive(value, (starts[:, None] + np.arange(size))[None], axes=(axis,))
    return shown_as("UnfoldBackward0", movedim(taken, axis + 1, -1))


@public(inplace=True)
def masked_scatter(x: ArrayLike, mask: ArrayLike, source: ArrayLike) -> Tensor:
    """Return `x` with elements replaced, where a mask is True, by those of `source` in order.

    Parameters
    ----------
    x, mask : array_like
        `mask` broadcasts to the shape of `x`; dtype bool.
    source : array_like
        At least as many elements as are replaced.

    Returns
    -------
    Tensor, shape and dtype of `x`

    Raises
    ------
    ShapeError
        If `source` has too few elements.
    """
    value, new = box(x), _flat(box(source))
    chosen = broadcast_to(box(mask), tuple(value.shape))
    # How many are replaced before an element: that is the one it gets.
    order = _flat(chosen).to(np.int64).cumsum(0)
    count = int(order[-1]) if value.numel() else 0
    if count > new.shape[0]:
        raise ShapeError(f"masked_scatter: {new.shape[0]} elements for {count} that are replaced")
    if not count:
        return shown_as("MaskedScatterBackward0", value.clone())
    places = reshape_to((order - 1).clamp(0), tuple(value.shape))
    return shown_as("MaskedScatterBackward0", where(chosen, get_item(new, places), value))


def _written(name: str, x: Any, part: Any, source: Any) -> Any:
    """Return a copy of `x`, of which ``part(copy)`` is a view, with that view replaced."""
    result = box(x).clone()
    view, new = part(result), box(source)
    if tuple(view.shape) != tuple(new.shape):
        raise ShapeError(
            f"{name}: the new part has shape {tuple(new.shape)}",
            why=f"the one it replaces has shape {tuple(view.shape)}",
        )
    view.copy_(new)
    return result


@public()
def select_scatter(x: ArrayLike, src: ArrayLike, dim: int, index: int) -> Tensor:
    """Return a copy of `x` in which ``x.select(dim, index)`` is `src`.

    Parameters
    ----------
    x : array_like
        Any shape.
    src : array_like
        The new part, in the shape of the one it replaces.
    dim, index : int
        Axis, and place on it.

    Returns
    -------
    Tensor, shape and dtype of `x`

    Raises
    ------
    ShapeError
        If `src` has another shape.
    """
    result: Tensor = _written("select_scatter", x, lambda y: y.select(dim, index), src)
    return result


@public()
def slice_scatter(
    x: ArrayLike,
    src: ArrayLike,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Tensor:
    """Return a copy of `x` in which a slice along one axis is `src`.

    Parameters
    ----------
    x : array_like
        Any shape.
    src : array_like
        The new part, in the shape of the one it replaces.
    dim : int
        The axis.
    start, end : int, optional
        Bounds of the slice.
    step : int
        Its step.

    Returns
    -------
    Tensor, shape and dtype of `x`

    Raises
    ------
    ShapeError
        If `src` has another shape.
    """
    axis = normalize_axis("slice_scatter", dim, box(x).ndim)
    index = (*[slice(None)] * axis, slice(start, end, step))
    result: Tensor = _written("slice_scatter", x, lambda y: y[index], src)
    return result


@public()
def diagonal_scatter(
    x: ArrayLike, src: ArrayLike, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """Return a copy of `x` in which a diagonal is `src`.

    Parameters
    ----------
    x : array_like
        At least two axes.
    src : array_like
        The new diagonal, in the shape that `diagonal` returns.
    offset : int
        Which diagonal.
    dim1, dim2 : int
        The axes it runs along.

    Returns
    -------
    Tensor, shape and dtype of `x`

    Raises
    ------
    ShapeError
        If `src` has another shape.
    """
    result: Tensor = _written("diagonal_scatter", x, lambda y: diagonal(y, offset, dim1, dim2), src)
    return result
