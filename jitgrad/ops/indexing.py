"""Indexing: ``x[...]`` with everything NumPy allows, and the functions that gather and scatter.

Basic indices (integers, slices, None, Ellipsis) become one operation of `slicing.py`. Where index
arrays or boolean masks take part, the basic part comes first and `take` reads, or `put` writes,
the elements that the arrays name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import Boxed, active_trace, box
from jitgrad.core.errors import IndexingError, ShapeError
from jitgrad.core.extents import may_be_equal
from jitgrad.core.public import public
from jitgrad.core.shapes import broadcast_shapes, normalize_axis
from jitgrad.core.spec import Shape
from jitgrad.ops.arithmetic import add, mul
from jitgrad.ops.cast import convert
from jitgrad.ops.index_forms import Split, check_mask, split_index, stack_indices
from jitgrad.ops.naming import shown_as
from jitgrad.ops.selection import select
from jitgrad.ops.shape import broadcast_to, reshape_to
from jitgrad.ops.slicing import Index, pick, slice_primitive, slice_update, whole_index
from jitgrad.ops.steps import write_part
from jitgrad.ops.taking import (
    check_gather,
    gather_primitive,
    gather_transpose,
    put,
    take,
    take_transpose,
    taken_shape,
)

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


def get_item(x: Any, index: Any) -> Any:
    """Return ``x[index]``, as NumPy defines it; a view where the index is basic."""
    split = split_index(x, index)
    if split.advanced is None and not split.steps:
        part = slice_primitive(x, index=split.basic)
        return shown_as("SelectBackward0", part) if type(index) is int else part
    part = pick(x, split.basic)
    for step in split.steps:
        part = step.read(part)
    if split.advanced is None:
        return part
    return take(part, split.advanced.indices, axes=split.advanced.axes)


def basic_item(x: Any, basic: Index) -> Any:
    """Return the view of `x` that a basic index shows."""
    return slice_primitive(x, index=basic)


def index_put(x: Any, index: Any, value: Any, accumulate: bool = False) -> Any:
    """Return `x` with ``x[index]`` replaced by `value`, or with `value` added to it.

    Where an element is named several times the last value stays, and the gradient is that one's;
    with `accumulate` all are added.
    """
    if not accumulate:
        filled = fill_masked(x, index, value)
        if filled is not None:
            return filled
    return put_split(x, split_index(x, index), value, accumulate)


def put_split(x: Any, split: Split, value: Any, accumulate: bool = False) -> Any:
    """Carry out `index_put` for an index that `split_index` has taken apart."""
    whole = pick(x, split.basic)
    part = whole
    for step in split.steps:
        part = step.read(part)
    if split.advanced is None:
        new = fit_value(value, tuple(part.shape), x.dtype)
        new = add(part, new) if accumulate else new
    else:
        indices, axes = split.advanced.indices, split.advanced.axes
        taken = taken_shape(tuple(part.shape), tuple(indices.shape), axes)
        new = fit_value(value, taken, x.dtype)
        if accumulate:
            added = take_transpose(new, indices, shape=tuple(part.shape), axes=axes)
            new = add(part, added)
        else:
            new = put(part, indices, new, axes=axes)
    new = write_part(whole, split.steps, new)
    return new if whole is x else slice_update(x, new, index=split.basic)


def fill_masked(x: Any, index: Any, value: Any) -> Any:
    """Return `x` with the same value wherever a traced mask holds; None if `index` is none such.

    How many elements a mask picks follows from its values, which need not be known for this.
    """
    items = index if isinstance(index, tuple) else (index,)
    masks = [k for k, item in enumerate(items) if _is_mask(item)]
    if len(masks) != 1 or active_trace() is None:
        return None
    number = masks[0]
    mask, before, after = items[number], items[:number], items[number + 1 :]
    if not all(i is None or i is Ellipsis or type(i) in (slice, int) for i in before + after):
        return None
    split = split_index(x, (*before, *[slice(None)] * mask.ndim, *after))
    part = pick(x, split.basic)
    for step in split.steps:
        part = step.read(part)
    if Ellipsis in before:
        behind = _axes_shown(after)
    else:
        behind = part.ndim - mask.ndim - _axes_shown(before)
    check_mask(mask, part.ndim - behind - mask.ndim, tuple(part.shape))
    rest = tuple(part.shape)[part.ndim - behind :]
    value = box(value)
    if any(type(n) is not int or n != 1 for n in value.shape[: max(value.ndim - behind, 0)]):
        return None
    chosen = reshape_to(mask, (*mask.shape, *[1] * behind))
    return put_split(x, split, select(chosen, fit_value(value, rest, x.dtype), part))


def _axes_shown(items: Sequence[Any]) -> int:
    return len([item for item in items if item is None or type(item) is slice])


def _is_mask(item: Any) -> bool:
    return isinstance(item, Boxed) and box(item).dtype.kind == "b"


def fit_value(value: Any, shape: Shape, dtype: Any) -> Any:
    """Return `value` as a Tensor of this dtype, broadcast to the `shape` it is assigned to.

    Raises
    ------
    ShapeError
        If it does not broadcast to it, leading axes of size 1 aside.
    """
    new = convert(box(value), dtype)
    have = tuple(new.shape)
    while len(have) > len(shape) and have[0] == 1:
        have = have[1:]
    fits = len(have) <= len(shape) and all(
        n == 1 or may_be_equal(n, want)
        for n, want in zip(reversed(have), reversed(shape), strict=False)
    )
    if not fits:
        raise ShapeError(
            f"x[...] = v: a value of shape {tuple(new.shape)} does not fit",
            why=f"the indexed part has shape {shape}, to which the value must broadcast",
        )
    return broadcast_to(reshape_to(new, have), shape)


# -- functions -------------------------------------------------------------------------------


def index_tensor(operation: str, index: Any) -> Any:
    """Return `index` as a Tensor of integers.

    Raises
    ------
    IndexingError
        If it holds something else.
    """
    boxed = box(index)
    if boxed.dtype.kind in "iu":
        return boxed
    if 0 in boxed.shape:
        return convert(boxed, np.dtype(np.int64))
    raise IndexingError(
        f"{operation}: the index has dtype {boxed.dtype}", why="indices must be integers"
    )


@public()
def gather(x: ArrayLike, dim: int, index: ArrayLike) -> Tensor:
    """Return for each place of `index` the element of `x` at that index along one axis.

    Parameters
    ----------
    x : array_like
        At least as long as `index` along every axis but `dim`.
    dim : int
        The axis.
    index : array_like of integers, as many axes as `x`
        In two dimensions and with ``dim=1`` the result is ``x[i, index[i, j]]``. Negative
        indices count from the end.

    Returns
    -------
    Tensor, shape of `index`, dtype of `x`
        Where an index occurs twice the gradients of both places add up.

    Raises
    ------
    ShapeError
        If `index` has another number of axes, or is longer than `x` along another axis.
    IndexingError
        If an index is out of range, or `index` does not hold integers.
    """
    value, places = box(x), index_tensor("gather", index)
    axis = normalize_axis("gather", dim, value.ndim)
    if not value.shape and not places.shape:
        one = gather_primitive(reshape_to(value, (1,)), reshape_to(places, (1,)), axis=0)
        single: Tensor = reshape_to(one, ())
        return single
    # NumPy would broadcast where PyTorch refuses.
    check_gather("gather", tuple(value.shape), tuple(places.shape), axis)
    result: Tensor = gather_primitive(value, places, axis=axis)
    return result


@public()
def take_along_dim(x: ArrayLike, indices: ArrayLike, dim: int | None = None) -> Tensor:
    """Return the elements of `x` at `indices` along one axis; the other axes broadcast.

    Parameters
    ----------
    x : array_like
        Any shape.
    indices : array_like of integers
        As many axes as `x`; for instance what ``argsort`` gives.
    dim : int, optional
        The axis; `x` is flattened where it is not given.

    Returns
    -------
    Tensor
        In the dtype of `x`.

    Raises
    ------
    ShapeError
        If the shapes do not broadcast along the other axes.
    """
    value, places = box(x), index_tensor("take_along_dim", indices)
    if dim is None:
        return gather(reshape_to(value, (value.numel(),)), 0, reshape_to(places, (-1,)))
    axis = normalize_axis("take_along_dim", dim, value.ndim)
    if places.ndim != value.ndim:
        raise ShapeError(
            f"take_along_dim: {places.ndim} axes of indices for an input with {value.ndim}",
            why="they must have the same number of axes",
        )
    a, b = list(value.shape), list(places.shape)
    a[axis] = b[axis] = 1
    common = list(broadcast_shapes("take_along_dim", tuple(a), tuple(b)))
    a, b = list(common), list(common)
    a[axis], b[axis] = value.shape[axis], places.shape[axis]
    return gather(broadcast_to(value, tuple(a)), axis, broadcast_to(places, tuple(b)))


@public()
def index_select(x: ArrayLike, dim: int, index: ArrayLike) -> Tensor:
    """Return the slices of `x` along one axis that `index` names, in its order.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int
        The axis.
    index : array_like of integers, one axis
        Positions along `dim`.

    Returns
    -------
    Tensor
        As `x`, with the length of `index` along `dim`.

    Raises
    ------
    IndexingError
        If an index is out of range, or `index` is no vector of integers.
    """
    value = box(x)
    axis = normalize_axis("index_select", dim, value.ndim)
    taken = take(value, _index_vector("index_select", index), axes=(axis,))
    return shown_as("IndexSelectBackward0", taken)


def _index_vector(operation: str, index: Any) -> Any:
    places = index_tensor(operation, index)
    if places.ndim > 1:
        raise IndexingError(
            f"{operation}: the index has shape {tuple(places.shape)}", why="it must be a vector"
        )
    return reshape_to(places, (1, places.numel()))


@public(inplace=True)
def index_add(
    x: ArrayLike, dim: int, index: ArrayLike, source: ArrayLike, *, alpha: float = 1
) -> Tensor:
    """Return `x` with slices of `source` added to those that `index` names along an axis.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int
        The axis.
    index : array_like of integers, one axis
        Where along `dim` each slice of `source` goes; equal indices add up.
    source : array_like
        As `x`, with the length of `index` along `dim`.
    alpha : number
        Factor of `source`.

    Returns
    -------
    Tensor
        Shape and dtype of `x`.
    """
    value = box(x)
    axis = normalize_axis("index_add", dim, value.ndim)
    places = _index_vector("index_add", index)
    shape = tuple(value.shape)
    part = fit_value(source, taken_shape(shape, tuple(places.shape), (axis,)), value.dtype)
    part = part if alpha == 1 else mul(part, alpha)
    added = take_transpose(part, places, shape=shape, axes=(axis,))
    return shown_as("IndexAddBackward0", add(value, added))


@public(inplace=True)
def index_copy(x: ArrayLike, dim: int, index: ArrayLike, source: ArrayLike) -> Tensor:
    """Return `x` with the slices that `index` names along an axis replaced by those of `source`.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int
        The axis.
    index : array_like of integers, one axis
        Where along `dim` each slice of `source` goes; the last of equal indices stays.
    source : array_like
        As `x`, with the length of `index` along `dim`; or what broadcasts to that.

    Returns
    -------
    Tensor
        Shape and dtype of `x`.
    """
    value = box(x)
    axis = normalize_axis("index_copy", dim, value.ndim)
    places = _index_vector("index_copy", index)
    part = fit_value(
        source, taken_shape(tuple(value.shape), tuple(places.shape), (axis,)), value.dtype
    )
    result: Tensor = put(value, places, part, axes=(axis,))
    return result


@public(inplace=True)
def index_fill(x: ArrayLike, dim: int, index: ArrayLike, value: ArrayLike) -> Tensor:
    """Return `x` with the slices that `index` names along an axis filled with one value.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int
        The axis.
    index : array_like of integers, one axis
        Positions along `dim`.
    value : number or 0-d array_like
        The value.

    Returns
    -------
    Tensor
        Shape and dtype of `x`.
    """
    return index_copy(x, dim, index, value)


def _source_part(operation: str, source: Any, shape: Shape, like: Any) -> Any:
    """Return the part of `source` that lies under an index of this shape."""
    part = convert(box(source), like.dtype)
    if not part.shape:
        return broadcast_to(part, shape)
    check_gather(operation, tuple(part.shape), shape, -1)
    return pick(part, whole_index(shape)) if tuple(part.shape) != shape else part


@public(inplace=True)
def scatter(x: ArrayLike, dim: int, index: ArrayLike, src: ArrayLike) -> Tensor:
    """Return `x` with elements of `src` written where `index` says along an axis.

    Parameters
    ----------
    x : array_like
        At least as long as `index` along every axis but `dim`.
    dim : int
        The axis.
    index : array_like of integers, as many axes as `x`
        In two dimensions and with ``dim=1``: ``x[i, index[i, j]] = src[i, j]``.
    src : array_like or number
        At least as long as `index` along every axis.

    Returns
    -------
    Tensor, shape and dtype of `x`
        Where an index occurs twice the last write stays, and has the gradient.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    IndexingError
        If an index is out of range, or `index` does not hold integers.
    """
    value, places = box(x), index_tensor("scatter", index)
    axis = normalize_axis("scatter", dim, value.ndim)
    shape = tuple(places.shape)
    check_gather("scatter", tuple(value.shape), shape, axis)
    if not shape:
        one = scatter(reshape_to(value, (1,)), 0, reshape_to(places, (1,)), src)
        single: Tensor = reshape_to(one, ())
        return single
    part = _source_part("scatter", src, shape, value)
    grid: list[Any] = list(np.ogrid[tuple(slice(0, n) for n in shape)])
    grid[axis] = places
    written = put(value, stack_indices(grid), part, axes=tuple(range(len(shape))))
    return shown_as("ScatterBackward0", written)


@public(inplace=True)
def scatter_add(x: ArrayLike, dim: int, index: ArrayLike, src: ArrayLike) -> Tensor:
    """Return `x` with elements of `src` added where `index` says along an axis.

    Parameters
    ----------
    x : array_like
        At least as long as `index` along every axis but `dim`.
    dim : int
        The axis.
    index : array_like of integers, as many axes as `x`
        In two dimensions and with ``dim=1``: ``x[i, index[i, j]] += src[i, j]``.
    src : array_like or number
        At least as long as `index` along every axis.

    Returns
    -------
    Tensor, shape and dtype of `x`
        Equal indices add up.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    IndexingError
        If an index is out of range, or `index` does not hold integers.
    """
    value, places = box(x), index_tensor("scatter_add", index)
    axis = normalize_axis("scatter_add", dim, value.ndim)
    check_gather("scatter_add", tuple(value.shape), tuple(places.shape), axis)
    part = _source_part("scatter_add", src, tuple(places.shape), value)
    if not value.shape:
        part = reshape_to(part, (1,))
        one = scatter_add(reshape_to(value, (1,)), 0, reshape_to(places, (1,)), part)
        single: Tensor = reshape_to(one, ())
        return single
    added = gather_transpose(part, places, shape=tuple(value.shape), axis=axis)
    return shown_as("ScatterAddBackward0", add(value, added))


@public(inplace=True)
def index_put_(x: ArrayLike, indices: Any, values: ArrayLike, accumulate: bool = False) -> Tensor:
    """Return `x` with ``x[indices]`` replaced by `values`, or with `values` added to it.

    Parameters
    ----------
    x : array_like
        Any shape.
    indices : index
        What may stand in ``x[...]``, a tuple for several axes.
    values : array_like
        Broadcasts to the indexed part.
    accumulate : bool
        Add instead of replacing; elements that are named several times get every value.

    Returns
    -------
    Tensor, shape and dtype of `x`
        Without `accumulate` the last write to an element stays, and has the gradient.
    """
    # PyTorch takes a list of index arrays for a tuple of them.
    several = isinstance(indices, list) and any(not isinstance(i, int) for i in indices)
    index = tuple(indices) if several else indices
    result: Tensor = index_put(box(x), index, values, accumulate)
    return result


@public()
def masked_select(x: ArrayLike, mask: ArrayLike) -> Tensor:
    """Return the elements of `x` where `mask` is True, as a vector.

    Parameters
    ----------
    x, mask : array_like
        Shapes that broadcast; `mask` of dtype bool.

    Returns
    -------
    Tensor, one axis
        In the order of the elements.
    """
    value, chosen = box(x), box(mask)
    if chosen.dtype.kind != "b":
        raise IndexingError(
            f"masked_select: the mask has dtype {chosen.dtype}", why="it must be bool"
        )
    shape = broadcast_shapes("masked_select", tuple(value.shape), tuple(chosen.shape))
    taken = get_item(broadcast_to(value, shape), broadcast_to(chosen, shape))
    return shown_as("MaskedSelectBackward0", taken)


@public()
def nonzero(x: ArrayLike, *, as_tuple: bool = False) -> Any:
    """Return the indices of the elements that are not zero.

    Parameters
    ----------
    x : array_like
        Any shape. In a compiled function its values are asked for.
    as_tuple : bool
        Return one vector for each axis instead of a matrix.

    Returns
    -------
    Tensor of int64, shape (count, axes of `x`), or tuple of Tensor
        Row by row, in the order of the elements.
    """
    array = box(x).detach().numpy()
    if as_tuple:
        return tuple([box(part) for part in np.nonzero(array)])
    return box(np.argwhere(array))
