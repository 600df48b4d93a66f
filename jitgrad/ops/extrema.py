"""Largest and smallest elements over axes, and where they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.dtypes import DType, bool_, int64, is_floating
from jitgrad.core.errors import ArgumentError, ShapeError
from jitgrad.core.primitive import (
    Accumulation,
    External,
    Primitive,
    Sample,
    none,
    register,
    vjps,
)
from jitgrad.core.public import public
from jitgrad.core.shapes import AxisLike, normalize_axes, normalize_axis, reduced_shape
from jitgrad.core.spec import Spec
from jitgrad.ops.batching import along
from jitgrad.ops.comparison import gt, isnan, lt
from jitgrad.ops.creation import full_primitive
from jitgrad.ops.families import reduction, reduction_samples
from jitgrad.ops.naming import shown_as
from jitgrad.ops.reduction import spread, sum_over
from jitgrad.ops.selection import maximum, minimum, select
from jitgrad.ops.shape import reshape_to

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


class ValuesIndices(NamedTuple):
    """What operations that pick elements along an axis return.

    Parameters
    ----------
    values : Tensor
        The elements.
    indices : Tensor of int64
        Where they are along the axis.
    """

    values: Tensor
    indices: Tensor


def lowest(dtype: DType) -> float | int | bool:
    """Return a number of a dtype below or equal to all others."""
    if dtype == bool_:
        return False
    return -np.inf if is_floating(dtype) else int(np.iinfo(dtype).min)


def highest(dtype: DType) -> float | int | bool:
    """Return a number of a dtype above or equal to all others."""
    if dtype == bool_:
        return True
    return np.inf if is_floating(dtype) else int(np.iinfo(dtype).max)


def shared_vjp(
    ct: Any, x: Any, out: Any, x_spec: Spec, axes: tuple[int, ...], keepdims: bool
) -> Any:
    """Return the cotangent of the elements that equal the extremum, which share it evenly."""
    chosen = (x == spread(out, x_spec, axes, keepdims)) | isnan(x)
    count = sum_over(chosen, axes=axes, keepdims=keepdims)
    return select(chosen, spread(ct / count, x_spec, axes, keepdims), 0.0)


amax_over = reduction(
    "amax",
    eager=lambda x, axes, keepdims: np.max(x, axis=axes, keepdims=keepdims),
    derivative=vjps(shared_vjp),
    accumulation=Accumulation("accumulate_max({acc}, {x})", lowest),
    samples=reduction_samples(-3, 3, empty=False),
    doc="Largest element over axes; equal ones share the gradient.",
    identity_for_empty=False,
)

amin_over = reduction(
    "amin",
    eager=lambda x, axes, keepdims: np.min(x, axis=axes, keepdims=keepdims),
    derivative=vjps(shared_vjp),
    accumulation=Accumulation("accumulate_min({acc}, {x})", highest),
    samples=reduction_samples(-3, 3, empty=False),
    doc="Smallest element over axes; equal ones share the gradient.",
    identity_for_empty=False,
)


# -- where they are ------------------------------------------------------------------------


def _index_samples(rng: np.random.Generator) -> list[Sample]:
    cases = [((5,), 0), ((3, 4), 0), ((3, 4), 1), ((2, 3, 4), 1), ((0, 3), 1)]
    return [
        Sample((rng.uniform(-3, 3, shape),), {"axis": axis, "keepdims": keep}, f"{shape}-{axis}")
        for shape, axis in cases
        for keep in (False, True)
    ]


# Along an axis of so many elements they are compared one after the other.
_MOST_COMPARED = 16


def _index_of(
    name: str, eager: Callable[..., Any], is_better: Callable[[Any, Any], Any], doc: str
) -> Primitive:
    def infer(x: Spec, axis: int, keepdims: bool) -> Spec:
        if x.shape[axis] == 0:
            raise ShapeError(
                f"{name}: axis {axis} of shape {x.shape} has no elements",
                why="no element is the largest or smallest of none",
            )
        return Spec(reduced_shape(x.shape, (axis,), keepdims), int64)

    def spelled(x: Any, axis: int, keepdims: bool) -> Any:
        before = (slice(None),) * axis
        best = x[(*before, 0)]
        where = full_primitive(shape=best.shape, value=0, dtype=int64)
        for number in range(1, x.shape[axis]):
            element = x[(*before, number)]
            better = is_better(element, best)
            if is_floating(x.dtype):
                better = better | (isnan(element) & ~isnan(best))
            where, best = select(better, number, where), select(better, element, best)
        return reshape_to(where, reduced_shape(x.shape, (axis,), keepdims))

    return register(
        Primitive(
            name,
            ("x",),
            eager=lambda x, axis, keepdims: eager(x, axis=axis, keepdims=keepdims),
            infer=infer,
            derivative=none("indices do not vary continuously"),
            lowering=External(spelled, lambda x, axis, keepdims: x.shape[axis] <= _MOST_COMPARED),
            samples=_index_samples,
            doc=doc,
            grad_name="",
            batching=along("axis"),
        )
    )


argmax_along = _index_of(
    "argmax", np.argmax, gt, "Index of the first largest element along an axis."
)
argmin_along = _index_of(
    "argmin", np.argmin, lt, "Index of the first smallest element along an axis."
)


def _index(operation: Primitive, x: ArrayLike, dim: int | None, keepdim: bool) -> Any:
    value = box(x)
    if dim is not None and value.ndim:
        axis = normalize_axis(operation.name, dim, value.ndim)
        return operation(value, axis=axis, keepdims=keepdim)
    if dim is not None:
        normalize_axis(operation.name, dim, 0)
    index = operation(reshape_to(value, (value.numel(),)), axis=0, keepdims=False)
    return reshape_to(index, (1,) * value.ndim) if keepdim else index


@public()
def argmax(x: ArrayLike, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Return the index of the first largest element.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int, optional
        Axis to look along; where not given, the index is that into the flattened `x`.
    keepdim : bool
        Whether the axis stays, with size 1.

    Returns
    -------
    Tensor of int64
    """
    result: Tensor = _index(argmax_along, x, dim, keepdim)
    return result


@public()
def argmin(x: ArrayLike, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Return the index of the first smallest element.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int, optional
        Axis to look along; where not given, the index is that into the flattened `x`.
    keepdim : bool
        Whether the axis stays, with size 1.

    Returns
    -------
    Tensor of int64
    """
    result: Tensor = _index(argmin_along, x, dim, keepdim)
    return result


# -- the elements --------------------------------------------------------------------------


@public()
def amax(x: ArrayLike, dim: AxisLike = None, keepdim: bool = False) -> Tensor:
    """Return the largest element over axes; equal ones share the gradient.

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
    Tensor, dtype of `x`
        nan where one of the elements is nan.

    Raises
    ------
    ShapeError
        If there are no elements to choose from.
    """
    value = box(x)
    axes = normalize_axes("amax", dim, value.ndim)
    result: Tensor = amax_over(value, axes=axes, keepdims=keepdim)
    return result


@public()
def amin(x: ArrayLike, dim: AxisLike = None, keepdim: bool = False) -> Tensor:
    """Return the smallest element over axes; equal ones share the gradient.

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
    Tensor, dtype of `x`
        nan where one of the elements is nan.

    Raises
    ------
    ShapeError
        If there are no elements to choose from.
    """
    value = box(x)
    axes = normalize_axes("amin", dim, value.ndim)
    result: Tensor = amin_over(value, axes=axes, keepdims=keepdim)
    return result


@public()
def aminmax(x: ArrayLike, *, dim: AxisLike = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """Return the smallest and the largest element over axes.

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
    tuple of Tensor
        The smallest and the largest, as `amin` and `amax` return them.
    """
    return amin(x, dim, keepdim), amax(x, dim, keepdim)


@public()
def max(
    x: ArrayLike, dim: Any = None, keepdim: bool = False, *, other: ArrayLike | None = None
) -> Any:
    """Return the largest element, those along an axis, or the larger of each pair.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int, optional
        Axis to look along. A Tensor or array here is taken as `other`.
    keepdim : bool
        Whether the axis stays, with size 1.
    other : array_like, optional
        Compare with this element by element: `maximum`.

    Returns
    -------
    Tensor
        Without `dim`: the largest element, its gradient shared by equal ones; with `other` the
        larger of each pair.
    ValuesIndices
        With `dim`: named tuple of the largest elements, ``values``, and the places of the first
        of them, ``indices``, which get the gradient.
    """
    return _extremum("max", amax_over, argmax_along, maximum, x, dim, keepdim, other)


@public()
def min(
    x: ArrayLike, dim: Any = None, keepdim: bool = False, *, other: ArrayLike | None = None
) -> Any:
    """Return the smallest element, those along an axis, or the smaller of each pair.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int, optional
        Axis to look along. A Tensor or array here is taken as `other`.
    keepdim : bool
        Whether the axis stays, with size 1.
    other : array_like, optional
        Compare with this element by element: `minimum`.

    Returns
    -------
    Tensor
        Without `dim`: the smallest element, its gradient shared by equal ones; with `other` the
        smaller of each pair.
    ValuesIndices
        With `dim`: named tuple of the smallest elements, ``values``, and the places of the first
        of them, ``indices``, which get the gradient.
    """
    return _extremum("min", amin_over, argmin_along, minimum, x, dim, keepdim, other)


def _extremum(
    name: str,
    over: Primitive,
    along: Primitive,
    of_two: Primitive,
    x: ArrayLike,
    dim: Any,
    keepdim: bool,
    other: ArrayLike | None,
) -> Any:
    value = box(x)
    if other is None and hasattr(dim, "dtype"):
        dim, other = None, dim
    if other is not None:
        if dim is not None:
            raise ArgumentError(f"{name}: dim and other can't both be given")
        return of_two(value, other)
    if dim is None:
        every = tuple(range(value.ndim))
        return shown_as(f"{name.capitalize()}Backward1", over(value, axes=every, keepdims=keepdim))
    if isinstance(dim, (tuple, list)):
        raise ArgumentError(
            f"{name}: dim is {dim!r}, which names several axes",
            why="an index along several axes at once is not one number",
            do=f"use a{name}, which takes several axes and returns values only",
        )
    return _picked(name, along, value, normalize_axis(name, dim, value.ndim), keepdim)


def _picked(name: str, along: Primitive, value: Any, axis: int, keepdim: bool) -> ValuesIndices:
    from jitgrad.ops.indexing import gather

    if not value.ndim:
        indices = reshape_to(along(reshape_to(value, (1,)), axis=0, keepdims=True), ())
        return ValuesIndices(shown_as(f"{name.capitalize()}Backward0", value * 1), indices)
    indices = along(value, axis=axis, keepdims=True)
    values: Any = gather(value, axis, indices)
    if not keepdim:
        shape = reduced_shape(tuple(value.shape), (axis,), False)
        values, indices = reshape_to(values, shape), reshape_to(indices, shape)
    return ValuesIndices(shown_as(f"{name.capitalize()}Backward0", values), indices)
