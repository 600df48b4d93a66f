"""Reshaping and reordering axes: the functions on top of the operations of `shape.py`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.errors import DtypeError, ShapeError
from jitgrad.core.extents import as_size
from jitgrad.core.public import public, tensor_property
from jitgrad.core.shapes import (
    AxisLike,
    broadcast_shapes,
    normalize_axes,
    normalize_axis,
    resolve_reshape,
)
from jitgrad.ops.creation import clone_primitive
from jitgrad.ops.naming import shown_as
from jitgrad.ops.shape import (
    broadcast_primitive,
    broadcast_target,
    permute_primitive,
    reshape_primitive,
)

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


def _sizes(operation: str, sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """Return the integers of ``f(2, 3)`` or ``f((2, 3))``."""
    given = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes
    try:
        return tuple([as_size(n) for n in given])
    except TypeError:
        raise DtypeError(
            f"{operation}: sizes and axes are integers", why=f"got {given!r}"
        ) from None


def _reshaped(operation: str, x: Any, wanted: tuple[int, ...]) -> Any:
    value = box(x)
    return reshape_primitive(value, shape=resolve_reshape(operation, tuple(value.shape), wanted))


@public()
def reshape(x: ArrayLike, *shape: Any) -> Tensor:
    """Return the same elements in the same order, in another shape.

    Parameters
    ----------
    x : array_like
        Any shape.
    *shape : int, or one tuple of int
        As many elements as `x` has; one size may be -1 and is found from the others.

    Returns
    -------
    Tensor
        A view of `x` where its memory allows that, else a copy.

    Raises
    ------
    ShapeError
        If the numbers of elements differ.
    """
    result: Tensor = _reshaped("reshape", x, _sizes("reshape", shape))
    return result


@public()
def view(x: Tensor, *shape: Any) -> Tensor:
    """Return the same elements in another shape, as a view: both show the same memory.

    Parameters
    ----------
    x : Tensor
        Any shape.
    *shape : int, or one tuple of int
        As many elements as `x` has; one size may be -1 and is found from the others.

    Returns
    -------
    Tensor
        A view of `x`.

    Raises
    ------
    ShapeError
        If the numbers of elements differ, or the elements do not lie in memory in a way that
        the shape could show.
    """
    result: Tensor = _reshaped("view", x, _sizes("view", shape))
    before, after = box(x)._raw, result._raw
    eager = isinstance(before, np.ndarray) and isinstance(after, np.ndarray)
    if eager and after.size and not np.may_share_memory(before, after):
        raise ShapeError(
            f"view: shape {tuple(after.shape)} can't show the memory of this Tensor",
            why="its elements do not lie one after the other: it was transposed or sliced",
            do="use reshape, which copies where it must",
        )
    return result


@public()
def reshape_as(x: ArrayLike, other: ArrayLike) -> Tensor:
    """Return the elements of `x` in the shape of `other`.

    Parameters
    ----------
    x, other : array_like
        With equally many elements.

    Returns
    -------
    Tensor
        In the shape of `other`.
    """
    return reshape(x, tuple(box(other).shape))


@public()
def ravel(x: ArrayLike) -> Tensor:
    """Return the elements of `x` as a vector.

    Parameters
    ----------
    x : array_like
        Any shape.

    Returns
    -------
    Tensor, one axis
        A view of `x` where its memory allows that.
    """
    return reshape(x, -1) if 0 not in box(x).shape else reshape(x, 0)


@public()
def flatten(x: ArrayLike, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Return `x` with neighbouring axes made one.

    Parameters
    ----------
    x : array_like
        Any shape.
    start_dim, end_dim : int
        First and last of these axes; all of them where not given.

    Returns
    -------
    Tensor
        A view of `x` where its memory allows that.

    Raises
    ------
    ShapeError
        If the last axis comes before the first.
    """
    value = box(x)
    shape = tuple(value.shape)
    first = normalize_axis("flatten", start_dim, len(shape))
    last = normalize_axis("flatten", end_dim, len(shape))
    if first > last:
        raise ShapeError(f"flatten: axis {first} comes after axis {last}")
    if first == last and shape:
        unchanged: Tensor = value
        return unchanged
    merged = math.prod(shape[first : last + 1])
    return reshape(value, (*shape[:first], merged, *shape[last + 1 :]))


@public()
def unflatten(x: ArrayLike, dim: int, sizes: Any) -> Tensor:
    """Return `x` with one axis made several.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int
        The axis.
    sizes : tuple of int
        Sizes of the new axes; one of them may be -1.

    Returns
    -------
    Tensor
        A view of `x` where its memory allows that.
    """
    value = box(x)
    shape = tuple(value.shape)
    axis = normalize_axis("unflatten", dim, len(shape))
    split = resolve_reshape("unflatten", (shape[axis],), _sizes("unflatten", (sizes,)))
    return reshape(value, (*shape[:axis], *split, *shape[axis + 1 :]))


@public()
def squeeze(x: ArrayLike, dim: AxisLike = None) -> Tensor:
    """Return `x` without axes of size 1.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int or tuple of int, optional
        The axes to leave out if their size is 1; all such axes where not given.

    Returns
    -------
    Tensor
        A view of `x`.
    """
    value = box(x)
    shape = tuple(value.shape)
    axes = normalize_axes("squeeze", dim, len(shape)) if dim != () else ()
    kept = tuple([n for axis, n in enumerate(shape) if n != 1 or axis not in axes])
    return shown_as("SqueezeBackward0", reshape_primitive(value, shape=kept))


@public()
def unsqueeze(x: ArrayLike, dim: int) -> Tensor:
    """Return `x` with one more axis, of size 1.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int
        Which axis of the result it is.

    Returns
    -------
    Tensor
        A view of `x`.
    """
    value = box(x)
    shape = tuple(value.shape)
    axis = normalize_axis("unsqueeze", dim, len(shape) + 1)
    wanted = (*shape[:axis], 1, *shape[axis:])
    return shown_as("UnsqueezeBackward0", reshape_primitive(value, shape=wanted))


@public()
def permute(x: ArrayLike, *dims: Any) -> Tensor:
    """Return `x` with its axes in another order.

    Parameters
    ----------
    x : array_like
        Any shape.
    *dims : int, or one tuple of int
        Every axis of `x` once, in the order of the result.

    Returns
    -------
    Tensor
        A view of `x`.

    Raises
    ------
    ShapeError
        If an axis is missing, or named twice.
    """
    value = box(x)
    given = _sizes("permute", dims)
    axes = tuple([normalize_axis("permute", a, value.ndim) for a in given])
    if sorted(axes) != list(range(value.ndim)):
        raise ShapeError(
            f"permute: the axes {given} are not an order of the {value.ndim} axes",
            why="each axis must be named once",
        )
    result: Tensor = permute_primitive(value, axes=axes)
    return result


@public("swapaxes", "swapdims")
def transpose(x: ArrayLike, dim0: int, dim1: int) -> Tensor:
    """Return `x` with two axes exchanged.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim0, dim1 : int
        The axes.

    Returns
    -------
    Tensor
        A view of `x`.
    """
    value = box(x)
    a, b = (normalize_axis("transpose", d, value.ndim) for d in (dim0, dim1))
    axes = list(range(value.ndim))
    if axes:
        axes[a], axes[b] = axes[b], axes[a]
    return shown_as("TransposeBackward0", permute_primitive(value, axes=tuple(axes)))


@public()
def t(x: ArrayLike) -> Tensor:
    """Return the transpose of a matrix; a vector or 0-d value as it is.

    Parameters
    ----------
    x : array_like
        At most two axes.

    Returns
    -------
    Tensor
        A view of `x`.

    Raises
    ------
    ShapeError
        If `x` has more than two axes.
    """
    value = box(x)
    if value.ndim > 2:
        raise ShapeError(
            f"t: the input has {value.ndim} axes",
            why="the transpose of a matrix is meant",
            do="use x.mT for stacks of matrices, or permute",
        )
    return shown_as("TBackward0", transpose(value, 0, 1) if value.ndim == 2 else view_of(value))


def view_of(x: Any) -> Any:
    """Return a view that shows all of `x` as it is."""
    return permute_primitive(x, axes=tuple(range(x.ndim)))


@tensor_property
def T(x: Tensor) -> Tensor:  # noqa: N802 - PyTorch's and NumPy's name
    """Return the Tensor with its axes in reverse order: the transpose of a matrix; a view."""
    result: Tensor = permute_primitive(x, axes=tuple(range(x.ndim))[::-1])
    return result


@tensor_property
def mT(x: Tensor) -> Tensor:  # noqa: N802 - PyTorch's and NumPy's name
    """Return the Tensor with its last two axes exchanged: each matrix transposed; a view."""
    if x.ndim < 2:
        raise ShapeError(f"mT: a Tensor of shape {tuple(x.shape)} is no matrix")
    return transpose(x, -2, -1)


@public("moveaxis")
def movedim(x: ArrayLike, source: Any, destination: Any) -> Tensor:
    """Return `x` with axes moved to other places, the others in their order.

    Parameters
    ----------
    x : array_like
        Any shape.
    source, destination : int or tuple of int
        The axes, and the axes of the result that they become.

    Returns
    -------
    Tensor
        A view of `x`.

    Raises
    ------
    ShapeError
        If the numbers of axes differ, or an axis is named twice.
    """
    value = box(x)
    moved = [normalize_axis("movedim", a, value.ndim) for a in _sizes("movedim", _tuple(source))]
    places = [
        normalize_axis("movedim", a, value.ndim) for a in _sizes("movedim", _tuple(destination))
    ]
    if len(moved) != len(places):
        raise ShapeError(f"movedim: {len(moved)} axes can't move to {len(places)} places")
    if len(set(moved)) != len(moved) or len(set(places)) != len(places):
        raise ShapeError(f"movedim: an axis is named twice in {source} or {destination}")
    axes = [a for a in range(value.ndim) if a not in moved]
    for place, axis in sorted(zip(places, moved, strict=True)):
        axes.insert(place, axis)
    result: Tensor = permute_primitive(value, axes=tuple(axes))
    return result


def _tuple(axis: Any) -> tuple[Any, ...]:
    return tuple(axis) if isinstance(axis, tuple | list) else (axis,)


def _broadcast(operation: str, x: Any, sizes: tuple[Any, ...]) -> Tensor:
    value = box(x)
    shape = broadcast_target(tuple(value.shape), _sizes(operation, sizes), operation)
    result: Tensor = broadcast_primitive(value, shape=shape)
    return result


@public()
def broadcast_to_(x: ArrayLike, *size: Any) -> Tensor:
    """Return `x` repeated along axes where it has size 1 or none, without a copy.

    Parameters
    ----------
    x : array_like
        A shape that broadcasts to `size`.
    *size : int, or one tuple of int
        The shape; -1 keeps the size of an axis.

    Returns
    -------
    Tensor
        A view of `x`, which can't be changed in place.

    Raises
    ------
    ShapeError
        If the shape of `x` does not broadcast to `size`.
    """
    return _broadcast("broadcast_to", x, size)


@public()
def expand(x: ArrayLike, *size: Any) -> Tensor:
    """Return `x` repeated along axes where it has size 1 or none; as `broadcast_to`.

    Parameters
    ----------
    x : array_like
        A shape that broadcasts to `size`.
    *size : int, or one tuple of int
        The shape; -1 keeps the size of an axis.

    Returns
    -------
    Tensor
        A view of `x`, which can't be changed in place.
    """
    return _broadcast("expand", x, size)


@public()
def expand_as(x: ArrayLike, other: ArrayLike) -> Tensor:
    """Return `x` broadcast to the shape of `other`.

    Parameters
    ----------
    x, other : array_like
        The shape of `x` broadcasts to that of `other`.

    Returns
    -------
    Tensor
        A view of `x`, which can't be changed in place.
    """
    return _broadcast("expand_as", x, (tuple(box(other).shape),))


@public(method=False)
def broadcast_tensors(*tensors: ArrayLike) -> tuple[Tensor, ...]:
    """Return the arguments broadcast to their common shape.

    Parameters
    ----------
    *tensors : array_like
        Shapes that broadcast.

    Returns
    -------
    tuple of Tensor
        Views.
    """
    values = [box(x) for x in tensors]
    shape = broadcast_shapes("broadcast_tensors", *[tuple(v.shape) for v in values])
    return tuple([_broadcast("broadcast_tensors", v, (shape,)) for v in values])


@public(namespace="Tensor")
def is_contiguous(x: Tensor) -> bool:
    """Return whether the elements lie in memory in their order, one after the other.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    bool
        True too where nothing is known of the memory: while a function is traced.
    """
    raw = x._raw
    return bool(raw.flags.c_contiguous) if isinstance(raw, np.ndarray) else True


@public(namespace="Tensor")
def contiguous(x: Tensor) -> Tensor:
    """Return the Tensor itself if its elements lie in order in memory, else a copy where they do.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Equal to `x`.
    """
    if not is_contiguous(x):
        result: Tensor = clone_primitive(x)
        return result
    return x
