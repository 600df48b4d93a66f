"""Quantiles, and where values lie among sorted ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import Boxed, box
from jitgrad.core.dtypes import int32, int64, is_floating
from jitgrad.core.errors import ArgumentError, DtypeError, ShapeError
from jitgrad.core.primitive import Examples, External, Primitive, Sample, none, register
from jitgrad.core.public import public
from jitgrad.core.shapes import normalize_axis
from jitgrad.core.spec import Shape, Spec
from jitgrad.ops.batching import batched
from jitgrad.ops.cast import convert, stop_gradient
from jitgrad.ops.comparison import isnan
from jitgrad.ops.indexing import gather, take_along_dim
from jitgrad.ops.naming import shown_as
from jitgrad.ops.ordering import sort
from jitgrad.ops.rearranging import movedim
from jitgrad.ops.reduction import any_over, sum_over
from jitgrad.ops.rounding import ceil, floor, round_half_even
from jitgrad.ops.selection import at_least, select
from jitgrad.ops.shape import broadcast_to, reshape_to

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor

# From the rank among the sorted elements to the ranks between which the value is, and its place
# from the one to the other.
_INTERPOLATIONS: dict[str, Any] = {
    "linear": lambda rank: (floor(rank), ceil(rank), rank - floor(rank)),
    "lower": lambda rank: (floor(rank), floor(rank), 0.0),
    "higher": lambda rank: (ceil(rank), ceil(rank), 0.0),
    "nearest": lambda rank: (round_half_even(rank), round_half_even(rank), 0.0),
    "midpoint": lambda rank: (floor(rank), ceil(rank), 0.5),
}


def _quantile(
    name: str, x: ArrayLike, q: ArrayLike, dim: int | None, keepdim: bool, interpolation: str
) -> Any:
    value = box(x)
    if not is_floating(value.dtype):
        raise DtypeError(
            f"{name}: a Tensor of dtype {value.dtype} is not taken", do="convert it: x.float()"
        )
    if interpolation not in _INTERPOLATIONS:
        raise ArgumentError(
            f"{name}: there is no interpolation {interpolation!r}",
            why=f"the interpolations are {', '.join(_INTERPOLATIONS)}",
        )
    parts: Any = q if isinstance(q, Boxed) else box(np.asarray(q, value.dtype))
    if parts.ndim > 1:
        raise ShapeError(
            f"{name}: q has shape {tuple(parts.shape)}", why="it must be a number or a vector"
        )
    axis = 0 if dim is None else normalize_axis(name, dim, value.ndim)
    flat = dim is None or not value.ndim
    rows = reshape_to(value, (value.numel(),)) if flat else movedim(value, axis, -1)
    count = rows.shape[-1]
    if not count:
        raise ShapeError(f"{name}: there are no elements", why="no elements have no quantiles")
    ordered = sort(rows, -1).values
    missing = isnan(rows)
    if name == "nanquantile":
        missing = sum_over(missing, axes=(rows.ndim - 1,), keepdims=True)
        last = at_least(convert(count - 1 - missing, value.dtype), 0.0)
    else:
        last = float(count - 1)
    outer = tuple(rows.shape[:-1])
    ranks = broadcast_to(reshape_to(parts, (parts.numel(),)) * last, (*outer, parts.numel()))
    low, high, between = _INTERPOLATIONS[interpolation](ranks)
    lower = gather(ordered, -1, convert(stop_gradient(low), int64))
    upper = gather(ordered, -1, convert(stop_gradient(high), int64))
    # With the elements themselves at whole ranks, also where a neighbour is infinite.
    result: Any = select(low == high, lower, lower + (upper - lower) * between)
    if name == "quantile":
        spoiled = any_over(missing, axes=(rows.ndim - 1,), keepdims=True)
        result = select(spoiled, float("nan"), result)
    if keepdim:
        kept = (1,) * value.ndim if dim is None else _with_one(outer, axis, value.ndim)
        result = movedim(result, -1, 0)
        result = reshape_to(result, (parts.numel(), *kept))
    else:
        result = movedim(result, -1, 0)
    if not parts.ndim:
        result = reshape_to(result, tuple(result.shape[1:]))
    return result


def _with_one(outer: tuple[int, ...], axis: int, ndim: int) -> tuple[int, ...]:
    return (*outer[:axis], 1, *outer[axis:]) if ndim else ()


@public()
def quantile(
    x: ArrayLike,
    q: ArrayLike,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """Return the value below which a part `q` of the elements lies.

    Parameters
    ----------
    x : array_like, floating
        Any shape.
    q : float or array_like of one axis
        From 0 to 1.
    dim : int, optional
        The axis; all elements where not given.
    keepdim : bool
        Whether the axis stays, with size 1.
    interpolation : {"linear", "lower", "higher", "midpoint", "nearest"}
        What lies between two elements.

    Returns
    -------
    Tensor, dtype of `x`
        With a first axis for `q` where that is a vector. nan where an element is nan.

    Raises
    ------
    ShapeError
        If there are no elements, or `q` has several axes.
    DtypeError
        If `x` is not floating.
    ArgumentError
        If there is no such interpolation.
    """
    result = _quantile("quantile", x, q, dim, keepdim, interpolation)
    return shown_as("QuantileBackward0", result)


@public()
def nanquantile(
    x: ArrayLike,
    q: ArrayLike,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """Return the value below which a part `q` of the elements that are not nan lies.

    Parameters
    ----------
    x : array_like, floating
        Any shape.
    q : float or array_like of one axis
        From 0 to 1.
    dim : int, optional
        The axis; all elements where not given.
    keepdim : bool
        Whether the axis stays, with size 1.
    interpolation : {"linear", "lower", "higher", "midpoint", "nearest"}
        What lies between two elements.

    Returns
    -------
    Tensor, dtype of `x`
        With a first axis for `q` where that is a vector. nan where all elements are.

    Raises
    ------
    ShapeError
        If there are no elements, or `q` has several axes.
    DtypeError
        If `x` is not floating.
    ArgumentError
        If there is no such interpolation.
    """
    result = _quantile("nanquantile", x, q, dim, keepdim, interpolation)
    return shown_as("NanquantileBackward0", result)


# -- places among sorted values ----------------------------------------------------------------


def _check_sequence(ordered: Shape, values: Shape) -> None:
    outer = ordered[:-1]
    if not ordered or (outer and outer != values[:-1]):
        raise ShapeError(
            f"searchsorted: a sequence of shape {ordered} does not fit values of shape {values}",
            why="it must have one axis, or all axes of the values but the last one",
        )


def _search_infer(ordered: Spec, values: Spec, right: bool) -> Spec:
    _check_sequence(ordered.shape, values.shape)
    return Spec(values.shape, int64)


def _search_eager(ordered: Any, values: Any, right: bool) -> Any:
    side: Any = "right" if right else "left"
    values = np.asarray(values)
    _check_sequence(ordered.shape, values.shape)
    if ordered.ndim == 1:
        return np.asarray(np.searchsorted(ordered, values, side), np.int64)
    found = np.empty(values.shape, np.int64)
    for row in np.ndindex(ordered.shape[:-1]):
        found[row] = np.searchsorted(ordered[row], values[row], side)
    return found


def _batched_search(examples: Examples, ordered: Any, values: Any, right: bool) -> Any:
    sequence, looked_up = examples.specs
    if not examples.batched[0] and sequence.ndim == 1:
        return search_primitive(ordered, values, right=right)
    rows = batched(examples, 1, values)
    if sequence.ndim == 1:
        rows = reshape_to(rows, (examples.count, looked_up.size))
    found = search_primitive(batched(examples, 0, ordered), rows, right=right)
    return reshape_to(found, (examples.count, *looked_up.shape))


def _search_samples(rng: np.random.Generator) -> list[Sample]:
    shapes: list[Any] = [((5,), (3, 4)), ((5,), ()), ((0,), (2,)), ((3, 4), (3, 2)), ((4,), (0,))]
    return [
        Sample(
            (np.sort(rng.uniform(-2, 2, a)), rng.uniform(-3, 3, b)), {"right": right}, f"{a}-{b}"
        )
        for a, b in shapes
        for right in (False, True)
    ] + [
        Sample((np.array([1.0, 2.0, 2.0, 3.0]), np.array([2.0, 3.0])), {"right": right}, "equal")
        for right in (False, True)
    ]


search_primitive: Primitive = register(
    Primitive(
        "searchsorted",
        ("ordered", "values"),
        eager=_search_eager,
        infer=_search_infer,
        derivative=none("indices do not vary continuously"),
        lowering=External(),
        samples=_search_samples,
        doc="Where each value would go among sorted ones: before equal ones, or after.",
        grad_name="",
        batching=_batched_search,
    )
)


@public(method=False)
def searchsorted(
    sorted_sequence: ArrayLike,
    input: ArrayLike,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: ArrayLike | None = None,
) -> Tensor:
    """Return where each value would have to go for a sorted sequence to stay sorted.

    Parameters
    ----------
    sorted_sequence : array_like
        One axis; or all axes of `input`, sorted along the last one.
    input : array_like
        The values.
    out_int32 : bool
        Whether the result is int32.
    right : bool
        Whether a value goes after the elements that equal it, rather than before.
    side : {"left", "right"}, optional
        As ``right=False`` and ``right=True``.
    sorter : array_like of int, optional
        What sorts the sequence, if it is not sorted: its `argsort`.

    Returns
    -------
    Tensor of int64, shape of `input`

    Raises
    ------
    ArgumentError
        If `side` is another one, or contradicts `right`.
    ShapeError
        If the shapes do not fit.
    """
    if side not in (None, "left", "right") or (side == "left" and right):
        raise ArgumentError(f"searchsorted: side is {side!r} and right {right}")
    ordered, values = box(sorted_sequence), box(input)
    if sorter is not None:
        ordered = take_along_dim(ordered, sorter, -1)
    found = search_primitive(ordered, values, right=right or side == "right")
    result: Tensor = convert(found, int32) if out_int32 else found
    return result


@public(method=False)
def bucketize(
    input: ArrayLike, boundaries: ArrayLike, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """Return the number of the interval between sorted boundaries that each value is in.

    Parameters
    ----------
    input : array_like
        The values.
    boundaries : array_like, one axis
        Sorted.
    out_int32 : bool
        Whether the result is int32.
    right : bool
        Whether a value that equals a boundary counts as above it.

    Returns
    -------
    Tensor of int64, shape of `input`
        0 below the first boundary.

    Raises
    ------
    ShapeError
        If `boundaries` has not one axis.
    """
    edges = box(boundaries)
    if edges.ndim != 1:
        raise ShapeError(
            f"bucketize: boundaries of shape {tuple(edges.shape)}", why="they must be a vector"
        )
    return searchsorted(edges, input, out_int32=out_int32, right=right)
