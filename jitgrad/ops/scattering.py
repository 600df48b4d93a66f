"""Reductions of elements that an index array groups, and views by strides."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.dtypes import is_floating
from jitgrad.core.errors import ArgumentError, IndexingError, ShapeError
from jitgrad.core.primitive import External, Primitive, Rule, Sample, Vjps, register
from jitgrad.core.public import public
from jitgrad.core.shapes import normalize_axis
from jitgrad.core.spec import Spec
from jitgrad.ops.arithmetic import add, div, mul
from jitgrad.ops.batching import along
from jitgrad.ops.cast import convert
from jitgrad.ops.comparison import isnan
from jitgrad.ops.extrema import highest, lowest
from jitgrad.ops.indexing import fit_value, index_tensor
from jitgrad.ops.naming import shown_as
from jitgrad.ops.rounding import floor_divide
from jitgrad.ops.selection import select
from jitgrad.ops.shape import reshape_to
from jitgrad.ops.taking import (
    check_gather,
    check_range,
    gather_primitive,
    gather_transpose,
    mesh,
    take,
)

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


def _eager(ufunc: Any) -> Callable[..., Any]:
    def scatter(x: Any, index: Any, src: Any, axis: int) -> Any:
        result = x.copy()
        try:
            ufunc.at(result, mesh(index, axis), src)
        except IndexError:
            check_range("scatter_reduce", index[None], x.shape, (axis,))
            raise
        return result

    return scatter


def _samples(rng: np.random.Generator) -> list[Sample]:
    cases: list[Any] = [
        ((4,), [2, 0, 2, 1, 1], 0),
        ((2, 3), [[0, 0], [2, 1]], 1),
        ((3, 2), [[1, 0]], 0),
        ((2, 3), [[], []], 1),
    ]
    return [
        Sample(
            (
                rng.uniform(0.5, 3, shape),
                np.asarray(index, np.int64),
                rng.uniform(0.5, 3, np.shape(index)),
            ),
            {"axis": axis},
            f"{shape}-{np.shape(index)}-axis{axis}",
        )
        for shape, index, axis in cases
    ]


def _into(name: str, ufunc: Any, rules: tuple[Any, Any], doc: str) -> Primitive:
    """Enter an operation that combines elements of an array with those of a source."""
    of_x, of_src = rules
    return register(
        Primitive(
            name,
            ("x", "index", "src"),
            eager=_eager(ufunc),
            infer=lambda x, index, src, axis: Spec(x.shape, x.dtype),
            derivative=Vjps((Rule.of(of_x), None, Rule.of(of_src))),
            lowering=External(),
            samples=_samples,
            doc=doc,
            grad_name="ScatterReduceBackward0",
            batching=along("axis"),
        )
    )


# -- extremes: equal elements share the gradient -------------------------------------------------


def _shares(x: Any, index: Any, src: Any, out: Any, axis: int) -> tuple[Any, Any, Any]:
    """Return which elements of `x` and of `src` are the extreme one, and how many there are."""
    from_x = (x == out) | isnan(x)
    from_src = (src == gather_primitive(out, index, axis=axis)) | isnan(src)
    counted = gather_transpose(convert(from_src, src.dtype), index, shape=tuple(x.shape), axis=axis)
    return from_x, from_src, add(convert(from_x, x.dtype), counted)


def _extreme_of_x(ct: Any, x: Any, index: Any, src: Any, out: Any, axis: int) -> Any:
    from_x, _, count = _shares(x, index, src, out, axis)
    return select(from_x, div(ct, count), 0.0)


def _extreme_of_src(ct: Any, x: Any, index: Any, src: Any, out: Any, axis: int) -> Any:
    _, from_src, count = _shares(x, index, src, out, axis)
    return select(from_src, gather_primitive(div(ct, count), index, axis=axis), 0.0)


scatter_amax = _into(
    "scatter_amax",
    np.maximum,
    (_extreme_of_x, _extreme_of_src),
    "Each element, or the largest of those that an index array sends to it if that is larger.",
)

scatter_amin = _into(
    "scatter_amin",
    np.minimum,
    (_extreme_of_x, _extreme_of_src),
    "Each element, or the smallest of those that an index array sends to it if that is smaller.",
)


# -- products: exact where factors are zero ------------------------------------------------------


def _other_factors(
    x: Any, index: Any, src: Any, axis: int, factor: Any, at: Callable[[Any], Any]
) -> Any:
    """Return the product that `factor` goes into, without it; `at` takes products to its places."""

    def without_zeros(value: Any) -> Any:
        return select(value == 0.0, 1.0, value)

    product = scatter_prod(without_zeros(x), index, without_zeros(src), axis=axis)
    of_src = gather_transpose(
        convert(src == 0.0, src.dtype), index, shape=tuple(x.shape), axis=axis
    )
    zeros = at(add(convert(x == 0.0, x.dtype), of_src))
    others = div(at(product), without_zeros(factor))
    return select(zeros == convert(factor == 0.0, x.dtype), others, 0.0)


def _product_of_x(ct: Any, x: Any, index: Any, src: Any, axis: int) -> Any:
    return mul(ct, _other_factors(x, index, src, axis, x, lambda product: product))


def _product_of_src(ct: Any, x: Any, index: Any, src: Any, axis: int) -> Any:
    def at(product: Any) -> Any:
        return gather_primitive(product, index, axis=axis)

    return mul(at(ct), _other_factors(x, index, src, axis, src, at))


scatter_prod: Primitive = _into(
    "scatter_prod",
    np.multiply,
    (_product_of_x, _product_of_src),
    "Each element times those that an index array sends to it.",
)


# -- public ------------------------------------------------------------------------------------


@public(inplace=True)
def scatter_reduce(
    x: ArrayLike,
    dim: int,
    index: ArrayLike,
    src: ArrayLike,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """Return `x` with the elements of `src` that an index array sends to each place combined.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int
        The axis.
    index : array_like of int
        As many axes as `x`; where along `dim` each element of `src` goes.
    src : array_like, shape of `index`
        The elements.
    reduce : {"sum", "prod", "mean", "amax", "amin"}
        How elements are combined.
    include_self : bool
        Whether the element of `x` takes part, rather than being replaced.

    Returns
    -------
    Tensor, shape and dtype of `x`
        Equal largest and smallest elements share the gradient; that of products is exact where
        factors are zero.

    Raises
    ------
    ArgumentError
        If there is no such way to combine.
    IndexingError
        If an index is out of range, or `index` does not hold integers.
    ShapeError
        If the shapes do not fit.
    """
    value, places = box(x), index_tensor("scatter_reduce", index)
    neutral = _neutral(reduce, value.dtype)
    axis = normalize_axis("scatter_reduce", dim, value.ndim)
    if not value.ndim:
        inner = scatter_reduce(
            reshape_to(value, (1,)),
            0,
            reshape_to(places, (1,)),
            reshape_to(box(src), (1,)),
            reduce,
            include_self=include_self,
        )
        single: Tensor = reshape_to(inner, ())
        return single
    shape = tuple(value.shape)
    check_gather("scatter_reduce", shape, tuple(places.shape), axis)
    part = fit_value(src, tuple(places.shape), value.dtype)
    ones = convert(places == places, value.dtype)
    sent = gather_transpose(ones, places, shape=shape, axis=axis)
    base = value if include_self else select(sent > 0, neutral, value)
    if reduce in _SCATTERS:
        result = _SCATTERS[reduce](base, places, part, axis=axis)
    else:
        result = add(base, gather_transpose(part, places, shape=shape, axis=axis))
    if reduce == "mean":
        count = add(sent, 1) if include_self else select(sent > 0, sent, 1)
        result = div(result, count) if is_floating(value.dtype) else floor_divide(result, count)
    return shown_as("ScatterReduceBackward0", result)


_SCATTERS = {"prod": scatter_prod, "amax": scatter_amax, "amin": scatter_amin}


def _neutral(reduce: str, dtype: Any) -> float | int | bool:
    neutral: dict[str, float | int | bool] = {
        "sum": 0, "mean": 0, "prod": 1, "amax": lowest(dtype), "amin": highest(dtype)
    }  # fmt: skip
    if reduce not in neutral:
        raise ArgumentError(
            f"scatter_reduce: there is no reduction {reduce!r}",
            why=f"the reductions are {', '.join(neutral)}",
        )
    return neutral[reduce]


@public()
def as_strided(
    x: ArrayLike, size: Sequence[int], stride: Sequence[int], storage_offset: int = 0
) -> Tensor:
    """Return the elements that strides name, counted in the order of the elements of `x`.

    Parameters
    ----------
    x : array_like
        Any shape.
    size : sequence of int
        Shape of the result.
    stride : sequence of int
        How many elements of `x` lie between neighbours along each axis.
    storage_offset : int
        Which element comes first.

    Returns
    -------
    Tensor, shape `size`
        A copy; elements that are shown several times get the sum of their gradients.

    Raises
    ------
    ShapeError
        If there are not as many strides as sizes.
    IndexingError
        If an element beyond the last one is named.
    """
    value = box(x)
    sizes, steps = tuple(size), tuple(stride)
    if len(sizes) != len(steps):
        raise ShapeError(f"as_strided: {len(steps)} strides for {len(sizes)} sizes")
    places = np.full(sizes, storage_offset, np.int64)
    for axis, (count, step) in enumerate(zip(sizes, steps, strict=True)):
        along = np.arange(count) * step
        places += along.reshape([-1 if a == axis else 1 for a in range(len(sizes))])
    count = math.prod(value.shape)
    if places.size and not (places.min() >= 0 and places.max() < count):
        raise IndexingError(
            f"as_strided: element {places.max()} of {count} is named",
            why=f"with sizes {sizes}, strides {steps} and offset {storage_offset}",
        )
    taken = take(reshape_to(value, (count,)), places[None], axes=(0,))
    return shown_as("AsStridedBackward0", taken)
