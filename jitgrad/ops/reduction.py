"""Operations that add, multiply or combine elements over axes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jitgrad.core.bind import box
from jitgrad.core.dtypes import as_dtype, bool_, int64
from jitgrad.core.extents import has_extents
from jitgrad.core.primitive import Accumulation, Sample, none, transposes, vjps
from jitgrad.core.public import public
from jitgrad.core.shapes import AxisLike, normalize_axes
from jitgrad.core.spec import Spec
from jitgrad.ops.cast import convert
from jitgrad.ops.creation import arange_primitive
from jitgrad.ops.families import integers_to_int64, reduction, reduction_samples
from jitgrad.ops.naming import shown_as
from jitgrad.ops.shape import broadcast_to, permute_axes, reshape_to

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


def restore_axes(reduced: Any, spec: Spec, axes: tuple[int, ...], keepdims: bool) -> Any:
    """Return a reduction's output with its reduced axes back, of size 1."""
    if keepdims:
        return reduced
    return reshape_to(reduced, tuple(1 if a in axes else n for a, n in enumerate(spec.shape)))


def spread(reduced: Any, spec: Spec, axes: tuple[int, ...], keepdims: bool) -> Any:
    """Return a reduction's output or cotangent broadcast to the shape of its input."""
    return broadcast_to(restore_axes(reduced, spec, axes, keepdims), spec.shape)


def in_dtype(x: ArrayLike, dtype: npt.DTypeLike | None) -> Any:
    """Return `x` as a Tensor, converted to `dtype` where that is given."""
    value = box(x)
    return value if dtype is None else convert(value, as_dtype(dtype))


sum_over = reduction(
    "sum",
    eager=lambda x, axes, keepdims: np.add.reduce(x, axis=axes, keepdims=keepdims),
    derivative=transposes(lambda ct, x_spec, axes, keepdims: spread(ct, x_spec, axes, keepdims)),
    accumulation=Accumulation("accumulate_sum({acc}, {x})", lambda dtype: 0, adds=True),
    samples=reduction_samples(-3, 3),
    doc="Sum over axes.",
    result_dtype_of=integers_to_int64,
)


@public()
def sum(
    x: ArrayLike,
    dim: AxisLike = None,
    keepdim: bool = False,
    *,
    dtype: npt.DTypeLike | None = None,
) -> Tensor:
    """Return the sum of the elements over axes.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int or tuple of int, optional
        Axes to sum over; all of them where not given.
    keepdim : bool
        Whether the axes stay, with size 1.
    dtype : dtype_like, optional
        Convert `x` to this dtype first.

    Returns
    -------
    Tensor
        In the dtype of `x`; int64 for integers and bool.
    """
    value = in_dtype(x, dtype)
    axes = normalize_axes("sum", dim, value.ndim)
    result: Tensor = sum_over(value, axes=axes, keepdims=keepdim)
    return result if dim is None else shown_as("SumBackward1", result)


@public()
def nansum(
    x: ArrayLike,
    dim: AxisLike = None,
    keepdim: bool = False,
    *,
    dtype: npt.DTypeLike | None = None,
) -> Tensor:
    """Return the sum of the elements that are not nan, over axes.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int or tuple of int, optional
        Axes to sum over; all of them where not given.
    keepdim : bool
        Whether the axes stay, with size 1.
    dtype : dtype_like, optional
        Convert `x` to this dtype first.

    Returns
    -------
    Tensor
        In the dtype of `x`; int64 for integers and bool. The gradient of a nan is zero.
    """
    from jitgrad.ops.comparison import isnan
    from jitgrad.ops.selection import select

    value = in_dtype(x, dtype)
    axes = normalize_axes("nansum", dim, value.ndim)
    numbers = select(isnan(value), 0, value)
    return shown_as("NansumBackward0", sum_over(numbers, axes=axes, keepdims=keepdim))


# -- products ------------------------------------------------------------------------------


def _product_vjp(ct: Any, x: Any, x_spec: Spec, axes: tuple[int, ...], keepdims: bool) -> Any:
    """Return `ct` times, for each element, the product of the other elements.

    Without dividing, so that zeros are exact in derivatives of every order: products of halves of
    halves on the way up, and on the way down each half gets the product of what is outside it.
    """
    from jitgrad.ops.joining import cat

    if has_extents(x_spec.shape):
        return _product_vjp_of_unknown_size(ct, x, x_spec, axes, keepdims)
    kept = tuple(a for a in range(x_spec.ndim) if a not in axes)
    order = (*kept, *axes)
    count = 1
    for a in axes:
        count *= x_spec.shape[a]
    moved_shape = tuple(x_spec.shape[a] for a in order)
    if not count:
        return spread(ct, x_spec, axes, keepdims)
    rows = x_spec.size // count
    level = reshape_to(permute_axes(x, order), (rows, count))
    halves: list[tuple[Any, Any, Any]] = []
    while level.shape[1] > 1:
        half = level.shape[1] // 2
        left, right, odd = level[:, :half], level[:, half : 2 * half], level[:, 2 * half :]
        halves.append((left, right, odd))
        level = cat([left * right, odd], 1) if odd.shape[1] else left * right
    outside = reshape_to(ct, (rows, 1))
    for left, right, odd in reversed(halves):
        half = left.shape[1]
        pair = outside[:, :half]
        parts = [pair * right, pair * left]
        outside = cat([*parts, outside[:, half:]] if odd.shape[1] else parts, 1)
    back = tuple(order.index(a) for a in range(x_spec.ndim))
    return permute_axes(reshape_to(outside, moved_shape), back)


def _product_vjp_of_unknown_size(
    ct: Any, x: Any, x_spec: Spec, axes: tuple[int, ...], keepdims: bool
) -> Any:
    """Return the same without halves: for each element the product over a copy with a 1 there."""
    from jitgrad.ops.selection import select

    (axis,) = axes
    size, ndim = x_spec.shape[axis], x_spec.ndim
    order = (*(a for a in range(ndim) if a != axis), axis)
    moved = permute_axes(x, order)
    outer = tuple([x_spec.shape[a] for a in order[:-1]])
    places = arange_primitive(start=0, step=1, count=size, dtype=int64)
    here = reshape_to(places, (size, 1)) == places
    copies = select(here, 1.0, reshape_to(moved, (*outer, 1, size)))
    others = prod_over(copies, axes=(ndim,), keepdims=False)
    moved_back = permute_axes(others, tuple([order.index(a) for a in range(ndim)]))
    return spread(ct, x_spec, axes, keepdims) * moved_back


prod_over = reduction(
    "prod",
    eager=lambda x, axes, keepdims: np.prod(x, axis=axes, keepdims=keepdims),
    derivative=vjps(_product_vjp),
    accumulation=Accumulation("accumulate_prod({acc}, {x})", lambda dtype: 1),
    samples=reduction_samples(-2, 2),
    doc="Product over axes.",
    result_dtype_of=integers_to_int64,
)


@public()
def prod(
    x: ArrayLike,
    dim: AxisLike = None,
    keepdim: bool = False,
    *,
    dtype: npt.DTypeLike | None = None,
) -> Tensor:
    """Return the product of the elements over axes.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int or tuple of int, optional
        Axes to multiply over; all of them where not given.
    keepdim : bool
        Whether the axes stay, with size 1.
    dtype : dtype_like, optional
        Convert `x` to this dtype first.

    Returns
    -------
    Tensor
        In the dtype of `x`; int64 for integers and bool. Gradients are exact where elements are
        zero.
    """
    value = in_dtype(x, dtype)
    axes = normalize_axes("prod", dim, value.ndim)
    if has_extents(value.shape):
        for axis in axes[1:][::-1]:
            value = prod_over(value, axes=(axis,), keepdims=keepdim)
        axes = axes[:1]
    result: Tensor = prod_over(value, axes=axes, keepdims=keepdim)
    return result if dim is None else shown_as("ProdBackward1", result)


# -- logic and counts ----------------------------------------------------------------------

_NO_DERIVATIVE = none("booleans do not vary continuously")


def _truths(rng: np.random.Generator) -> list[Sample]:
    samples = reduction_samples(-1, 1)(rng)
    return [replace(s, args=(s.args[0] > 0,)) for s in samples]


all_over = reduction(
    "all",
    eager=lambda x, axes, keepdims: np.all(x, axis=axes, keepdims=keepdims),
    derivative=_NO_DERIVATIVE,
    accumulation=Accumulation("{acc} and {x}", lambda dtype: True),
    samples=_truths,
    doc="Whether all elements over axes are true.",
    result_dtype_of=lambda dtype: bool_,
)

any_over = reduction(
    "any",
    eager=lambda x, axes, keepdims: np.any(x, axis=axes, keepdims=keepdims),
    derivative=_NO_DERIVATIVE,
    accumulation=Accumulation("{acc} or {x}", lambda dtype: False),
    samples=_truths,
    doc="Whether any element over axes is true.",
    result_dtype_of=lambda dtype: bool_,
)


@public()
def all(x: ArrayLike, dim: AxisLike = None, keepdim: bool = False) -> Tensor:
    """Return whether all elements over axes are true (not zero).

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int or tuple of int, optional
        Axes to look along; all of them where not given.
    keepdim : bool
        Whether the axes stay, with size 1.

    Returns
    -------
    Tensor of bool
        True where there are no elements.
    """
    value = convert(box(x), bool_)
    result: Tensor = all_over(value, axes=normalize_axes("all", dim, value.ndim), keepdims=keepdim)
    return result


@public()
def any(x: ArrayLike, dim: AxisLike = None, keepdim: bool = False) -> Tensor:
    """Return whether any element over axes is true (not zero).

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int or tuple of int, optional
        Axes to look along; all of them where not given.
    keepdim : bool
        Whether the axes stay, with size 1.

    Returns
    -------
    Tensor of bool
        False where there are no elements.
    """
    value = convert(box(x), bool_)
    result: Tensor = any_over(value, axes=normalize_axes("any", dim, value.ndim), keepdims=keepdim)
    return result


@public()
def count_nonzero(x: ArrayLike, dim: AxisLike = None) -> Tensor:
    """Return how many elements over axes are not zero.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int or tuple of int, optional
        Axes to count along; all of them where not given.

    Returns
    -------
    Tensor of int64
    """
    value = convert(box(x), bool_)
    axes = normalize_axes("count_nonzero", dim, value.ndim)
    result: Tensor = sum_over(value, axes=axes, keepdims=False)
    return result
