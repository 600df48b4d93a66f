"""Sorting, and the elements at a rank: k-th, median, most frequent, running extremes.

What has values and indices finds the indices first, by an operation without a derivative, and
gathers the values: their gradient is that of `gather`. As in PyTorch nan counts as the largest
number, and equal elements stay in their order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.dtypes import int64
from jitgrad.core.errors import ArgumentError, ShapeError
from jitgrad.core.primitive import External, Primitive, Sample, none, register, vjps
from jitgrad.core.public import public
from jitgrad.core.shapes import normalize_axis, reduced_shape
from jitgrad.core.spec import Shape, Spec
from jitgrad.ops.batching import along
from jitgrad.ops.extrema import ValuesIndices, shared_vjp
from jitgrad.ops.families import reduction, reduction_samples
from jitgrad.ops.indexing import gather
from jitgrad.ops.naming import shown_as
from jitgrad.ops.reduction import spread, sum_over
from jitgrad.ops.selection import select
from jitgrad.ops.shape import reshape_to

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor

_NO_DERIVATIVE = none("indices do not vary continuously")


# -- indices ---------------------------------------------------------------------------------


def _order(x: Any, axis: int, descending: bool = False) -> Any:
    """Return the indices that sort `x` along an axis, equal elements in their order."""
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    backwards = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
    return x.shape[axis] - 1 - np.flip(backwards, axis)


def _largest_eager(x: Any, axis: int, count: int, largest: bool) -> Any:
    size = x.shape[axis]
    if not count or 4 * count > size or _nans(x, axis).any():
        order = _order(x, axis, descending=largest)
        return np.ascontiguousarray(order[(*[slice(None)] * axis, slice(count))])
    # Without sorting all: what is beyond the last one wanted, and the first that equal it.
    rows = np.moveaxis(x, axis, -1)
    rank = size - count if largest else count - 1
    edge = np.partition(rows, rank, -1)[..., rank, None]
    beyond, equal = (rows > edge if largest else rows < edge), rows == edge
    wanted = count - beyond.sum(-1, keepdims=True)
    chosen = beyond | (equal & (np.cumsum(equal, -1) <= wanted))
    places = np.nonzero(chosen)[-1].reshape(*rows.shape[:-1], count)
    order = _order(np.take_along_axis(rows, places, -1), rows.ndim - 1, largest)
    return np.moveaxis(np.take_along_axis(places, order, -1), -1, axis)


def _kth_eager(x: Any, axis: int, rank: int) -> Any:
    if _nans(x, axis).any():
        return _pick(_order(x, axis), rank, axis)
    value = np.take(np.partition(x, rank, axis), [rank], axis)
    return np.argmax(x == value, axis=axis, keepdims=True)


def _pick(order: Any, rank: Any, axis: int) -> Any:
    """Return the entries of `order` at a rank, or one for each row, along an axis kept at 1."""
    shape = [n if a != axis else 1 for a, n in enumerate(order.shape)]
    return np.take_along_axis(order, np.broadcast_to(rank, shape), axis)


def _nans(x: Any, axis: int) -> Any:
    if x.dtype.kind != "f":
        return np.zeros([n if a != axis else 1 for a, n in enumerate(x.shape)], np.int64)
    return np.isnan(x).sum(axis=axis, keepdims=True)


def _median_eager(x: Any, axis: int, skip_nan: bool) -> Any:
    count, nans = x.shape[axis], _nans(x, axis)
    if not nans.any():
        return _kth_eager(x, axis, (count - 1) // 2)
    if skip_nan:
        rank = np.maximum(count - nans - 1, 0) // 2
    else:
        rank = np.where(nans > 0, count - nans, (count - 1) // 2)
    return _pick(_order(x, axis), rank, axis)


def _mode_eager(x: Any, axis: int) -> Any:
    count = x.shape[axis]
    rows = np.moveaxis(x, axis, -1)
    order = _order(rows, rows.ndim - 1)
    ordered = np.take_along_axis(rows, order, -1)
    # An element's number within its run of equal ones; the longest run ends at the largest.
    places = np.arange(count)
    begins = np.ones(rows.shape, np.bool_)
    begins[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    number = places - np.maximum.accumulate(np.where(begins, places, 0), axis=-1)
    ends = np.argmax(number, axis=-1)[..., None]
    return np.moveaxis(np.take_along_axis(order, ends, -1), -1, axis)


def _running_eager(x: Any, axis: int, largest: bool) -> Any:
    extreme = np.maximum if largest else np.minimum
    reached = x == extreme.accumulate(x, axis=axis)
    if x.dtype.kind == "f":
        reached |= np.isnan(x)
    places = np.arange(x.shape[axis]).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
    return np.maximum.accumulate(np.where(reached, places, 0), axis=axis)


_SHAPES: list[tuple[Shape, int]] = [((5,), 0), ((3, 4), 0), ((3, 4), 1), ((2, 3, 4), 1)]


def _index_samples(*variants: dict[str, Any], empty: bool = True) -> Any:
    """Return samples with each of several sets of parameters, with and without equal elements."""

    def make(rng: np.random.Generator) -> list[Sample]:
        shapes = [*_SHAPES, ((0, 3), 1), *([((0,), 0), ((2, 0), 1)] if empty else [])]
        samples = []
        for number, variant in enumerate(variants):
            for shape, axis in shapes:
                x = rng.uniform(-3, 3, shape)
                samples.append(Sample((x,), {"axis": axis, **variant}, f"{shape}-{axis}-{number}"))
            equal = rng.integers(0, 3, (2, 6)).astype(np.float64)
            samples.append(Sample((equal,), {"axis": 1, **variant}, f"equal-{number}"))
            holes = np.array([[2.0, np.nan, 1.0, 1.0], [np.nan] * 4])
            samples.append(Sample((holes,), {"axis": 1, **variant}, f"nan-{number}"))
        return samples

    return make


def _indices(
    name: str, eager: Callable[..., Any], sizes: Callable[..., int], samples: Any, doc: str
) -> Primitive:
    """Enter an operation that gives ``sizes(n, ...)`` indices along an axis of size ``n``."""

    def infer(x: Spec, axis: int, **params: Any) -> Spec:
        shape = list(x.shape)
        shape[axis] = sizes(shape[axis], **params)
        return Spec(tuple(shape), int64)

    return register(
        Primitive(
            name,
            ("x",),
            eager=lambda x, axis, **params: np.asarray(eager(x, axis, **params), np.int64),
            infer=infer,
            derivative=_NO_DERIVATIVE,
            lowering=External(),
            samples=samples,
            doc=doc,
            grad_name="",
            batching=along("axis"),
        )
    )


order_along = _indices(
    "argsort",
    _order,
    lambda size, descending: size,
    _index_samples({"descending": False}, {"descending": True}),
    "Indices that sort the elements along an axis, equal ones in their order.",
)

first_along = _indices(
    "argtopk",
    _largest_eager,
    lambda size, count, largest: count,
    _index_samples({"count": 2, "largest": True}, {"count": 1, "largest": False}, empty=False),
    "Indices of the largest or smallest elements along an axis, in their order.",
)

ranked_along = _indices(
    "argkth",
    _kth_eager,
    lambda size, rank: 1,
    _index_samples({"rank": 0}, {"rank": 2}, empty=False),
    "Index of the element at a rank along an axis.",
)

median_along = _indices(
    "argmedian",
    _median_eager,
    lambda size, skip_nan: 1,
    _index_samples({"skip_nan": False}, {"skip_nan": True}, empty=False),
    "Index of the median along an axis, the lower one of two.",
)

mode_along = _indices(
    "argmode",
    _mode_eager,
    lambda size: 1,
    _index_samples({}, empty=False),
    "Index of the last of the most frequent elements along an axis.",
)

running_extreme = _indices(
    "cumargmax",
    _running_eager,
    lambda size, largest: size,
    _index_samples({"largest": True}, {"largest": False}),
    "Index of the largest or smallest element so far along an axis, the last of equal ones.",
)


def _picked(
    operation: str, along: Primitive, x: Any, axis: int, keepdim: bool, **params: Any
) -> ValuesIndices:
    """Return the elements that `along` finds, and where they are; 0-d is taken as one element."""
    shown = f"{operation.capitalize()}Backward0"
    value = reshape_to(x, (1,)) if not x.ndim else x
    indices = along(value, axis=axis, **params)
    values: Any = gather(value, axis, indices)
    shape = tuple(indices.shape)
    if not x.ndim:
        shape = () if shape == (1,) else shape
    elif not keepdim:
        shape = reduced_shape(shape, (axis,), False)
    if shape != tuple(indices.shape):
        values, indices = reshape_to(values, shape), reshape_to(indices, shape)
    return ValuesIndices(shown_as(shown, values), indices)


def _check_count(operation: str, name: str, count: int, least: int, x: Any, axis: int) -> None:
    size = x.shape[axis] if x.ndim else 1
    if not least <= count <= size:
        raise ArgumentError(
            f"{operation}: {name} is {count}",
            why=f"axis {axis} has {size} elements, so it must be from {least} to {size}",
            do=f"pass min({name}, x.shape[{axis}]) where there may be fewer elements"
            if count > size
            else f"pass a number of at least {least}",
        )


def _check_any(operation: str, x: Any, axis: int) -> None:
    if x.ndim and not x.shape[axis]:
        raise ShapeError(
            f"{operation}: axis {axis} of shape {tuple(x.shape)} has no elements",
            why=f"the {operation} of no elements has no value",
        )


# -- sorting -----------------------------------------------------------------------------------


@public()
def sort(
    x: ArrayLike, dim: int = -1, descending: bool = False, stable: bool = True
) -> ValuesIndices:
    """Return the elements in order along an axis, and where each came from.

    Parameters
    ----------
    x : array_like
        Any shape; nan counts as the largest number.
    dim : int
        The axis.
    descending : bool
        Whether the largest comes first.
    stable : bool
        Accepted as in PyTorch; equal elements always stay in their order.

    Returns
    -------
    ValuesIndices
        Named tuple of ``values`` and ``indices``, of the shape of `x`.
    """
    value = box(x)
    axis = normalize_axis("sort", dim, value.ndim)
    return _picked("sort", order_along, value, axis, True, descending=bool(descending))


@public()
def argsort(x: ArrayLike, dim: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """Return the indices that sort the elements along an axis.

    Parameters
    ----------
    x : array_like
        Any shape; nan counts as the largest number.
    dim : int
        The axis.
    descending : bool
        Whether the largest comes first.
    stable : bool
        Accepted as in PyTorch; equal elements always stay in their order.

    Returns
    -------
    Tensor of int64, shape of `x`
    """
    value = box(x)
    axis = normalize_axis("argsort", dim, value.ndim)
    rows = reshape_to(value, (1,)) if not value.ndim else value
    order = order_along(rows, axis=axis, descending=bool(descending))
    result: Tensor = reshape_to(order, ()) if not value.ndim else order
    return result


@public()
def topk(
    x: ArrayLike, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> ValuesIndices:
    """Return the `k` largest or smallest elements along an axis, and where they are.

    Parameters
    ----------
    x : array_like
        Any shape; nan counts as the largest number.
    k : int
        How many.
    dim : int
        The axis.
    largest : bool
        Whether the largest, rather than the smallest, are wanted.
    sorted : bool
        Accepted as in PyTorch; they always come in order, the first of equal ones first.

    Returns
    -------
    ValuesIndices
        Named tuple of ``values`` and ``indices``, with size `k` along the axis.

    Raises
    ------
    ArgumentError
        If `k` is negative or larger than the axis.
    """
    value = box(x)
    axis = normalize_axis("topk", dim, value.ndim)
    _check_count("topk", "k", k, 0, value, axis)
    return _picked("topk", first_along, value, axis, True, count=int(k), largest=bool(largest))


@public()
def kthvalue(x: ArrayLike, k: int, dim: int = -1, keepdim: bool = False) -> ValuesIndices:
    """Return the `k`-th smallest element along an axis, and where it is.

    Parameters
    ----------
    x : array_like
        Any shape; nan counts as the largest number.
    k : int
        1 for the smallest.
    dim : int
        The axis.
    keepdim : bool
        Whether the axis stays, with size 1.

    Returns
    -------
    ValuesIndices
        Named tuple of ``values`` and ``indices``.

    Raises
    ------
    ArgumentError
        If `k` is not from 1 to the size of the axis.
    """
    value = box(x)
    axis = normalize_axis("kthvalue", dim, value.ndim)
    _check_count("kthvalue", "k", k, 1, value, axis)
    return _picked("kthvalue", ranked_along, value, axis, keepdim, rank=int(k) - 1)


# -- medians -----------------------------------------------------------------------------------


def _median_over(skip_nan: bool) -> Callable[..., Any]:
    def eager(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
        kept = [a for a in range(x.ndim) if a not in axes]
        count = math.prod([x.shape[a] for a in axes])
        rows = x.transpose(*kept, *axes).reshape(*[x.shape[a] for a in kept], count)
        last = rows.ndim - 1
        found = np.take_along_axis(rows, _median_eager(rows, last, skip_nan), last)
        return found.reshape(reduced_shape(x.shape, axes, keepdims))

    return eager


def _equals_share(
    ct: Any, x: Any, out: Any, x_spec: Spec, axes: tuple[int, ...], keepdims: bool
) -> Any:
    """Return the cotangent of the elements that equal the output; a nan gets none."""
    chosen = x == spread(out, x_spec, axes, keepdims)
    count = sum_over(chosen, axes=axes, keepdims=keepdims)
    return select(chosen, spread(ct / count, x_spec, axes, keepdims), 0.0)


median_over = reduction(
    "median",
    eager=_median_over(skip_nan=False),
    derivative=vjps(shared_vjp),
    accumulation=None,
    samples=reduction_samples(-3, 3, empty=False),
    doc="Median over axes, the lower one of two; equal elements share the gradient.",
    identity_for_empty=False,
)

nanmedian_over = reduction(
    "nanmedian",
    eager=_median_over(skip_nan=True),
    derivative=vjps(_equals_share),
    accumulation=None,
    samples=reduction_samples(-3, 3, empty=False),
    doc="Median over axes of the elements that are not nan; equal ones share the gradient.",
    identity_for_empty=False,
)


def _median(name: str, over: Primitive, x: Any, dim: int | None, keepdim: bool) -> Any:
    value = box(x)
    if dim is None:
        return over(value, axes=tuple(range(value.ndim)), keepdims=False)
    axis = normalize_axis(name, dim, value.ndim)
    _check_any(name, value, axis)
    return _picked(name, median_along, value, axis, keepdim, skip_nan=over is nanmedian_over)


@public()
def median(x: ArrayLike, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the median, the lower one of two: of all elements, or along an axis.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int, optional
        The axis.
    keepdim : bool
        Whether the axis stays, with size 1.

    Returns
    -------
    Tensor
        Without `dim`; equal elements share the gradient.
    ValuesIndices
        With `dim`: named tuple of ``values`` and ``indices``. nan where an element is nan.

    Raises
    ------
    ShapeError
        If there are no elements.
    """
    return _median("median", median_over, x, dim, keepdim)


@public()
def nanmedian(x: ArrayLike, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the median of the elements that are not nan, the lower one of two.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int, optional
        The axis; all elements where not given.
    keepdim : bool
        Whether the axis stays, with size 1.

    Returns
    -------
    Tensor
        Without `dim`; equal elements share the gradient.
    ValuesIndices
        With `dim`: named tuple of ``values`` and ``indices``. nan where all elements are.

    Raises
    ------
    ShapeError
        If there are no elements.
    """
    return _median("nanmedian", nanmedian_over, x, dim, keepdim)


@public()
def mode(x: ArrayLike, dim: int = -1, keepdim: bool = False) -> ValuesIndices:
    """Return the most frequent element along an axis, the smallest one of several, and its place.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int
        The axis.
    keepdim : bool
        Whether the axis stays, with size 1.

    Returns
    -------
    ValuesIndices
        Named tuple of ``values`` and ``indices``, the last place where the value is.

    Raises
    ------
    ShapeError
        If there are no elements.
    """
    value = box(x)
    axis = normalize_axis("mode", dim, value.ndim)
    _check_any("mode", value, axis)
    return _picked("mode", mode_along, value, axis, keepdim)


# -- running extremes --------------------------------------------------------------------------


@public()
def cummax(x: ArrayLike, dim: int) -> ValuesIndices:
    """Return the largest element so far along an axis, and where it is.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int
        The axis.

    Returns
    -------
    ValuesIndices
        Named tuple of ``values`` and ``indices``, of the shape of `x`; the last of equal elements
        counts. nan from the first nan on.
    """
    value = box(x)
    axis = normalize_axis("cummax", dim, value.ndim)
    return _picked("cummax", running_extreme, value, axis, True, largest=True)


@public()
def cummin(x: ArrayLike, dim: int) -> ValuesIndices:
    """Return the smallest element so far along an axis, and where it is.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int
        The axis.

    Returns
    -------
    ValuesIndices
        Named tuple of ``values`` and ``indices``, of the shape of `x`; the last of equal elements
        counts. nan from the first nan on.
    """
    value = box(x)
    axis = normalize_axis("cummin", dim, value.ndim)
    return _picked("cummin", running_extreme, value, axis, True, largest=False)
