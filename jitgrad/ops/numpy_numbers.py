"""NumPy's functions of numbers in order: grids, interpolation, bins, cases, polynomials."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.core.bind import Boxed, box
from jitgrad.core.dtypes import float64, is_floating
from jitgrad.core.errors import ArgumentError
from jitgrad.ops.cast import convert
from jitgrad.ops.comparison import isnan
from jitgrad.ops.decompositions import lstsq
from jitgrad.ops.exponential import exp, log
from jitgrad.ops.extrema import amax, amin
from jitgrad.ops.joining import cat
from jitgrad.ops.numpy_compositions import convolve, vander
from jitgrad.ops.power import sqrt, square
from jitgrad.ops.quantiles import searchsorted
from jitgrad.ops.rearranging import movedim
from jitgrad.ops.reduction import all as all_of
from jitgrad.ops.reduction import sum as total
from jitgrad.ops.repeating import flip
from jitgrad.ops.rounding import round_
from jitgrad.ops.scans import cumsum
from jitgrad.ops.selection import clamp, where
from jitgrad.ops.shape import reshape_to

# -- grids -------------------------------------------------------------------------------------


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """Return ``numpy.linspace``."""
    parts = [x.dtype for x in (start, stop) if isinstance(x, Boxed)]  # type: ignore[attr-defined]
    common = np.result_type(*parts)
    common = common if is_floating(common) else float64
    first, last = convert(box(start), common), convert(box(stop), common)
    shares = np.linspace(0.0, 1.0, num, endpoint).astype(common)
    along = reshape_to(box(shares), (num,) + (1,) * max(first.ndim, last.ndim))
    result = movedim(first * (1 - along) + last * along, 0, axis)
    if dtype is not None:
        result = convert(result, np.dtype(dtype))
    return (result, (last - first) / max(num - endpoint, 1)) if retstep else result


def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, **rest: Any
) -> Any:
    """Return ``numpy.logspace``."""
    return box(base) ** linspace(start, stop, num, endpoint, **rest)


def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, **rest: Any) -> Any:
    """Return ``numpy.geomspace`` of positive numbers."""
    return exp(linspace(log(start), log(stop), num, endpoint, **rest))


# -- interpolation and bins --------------------------------------------------------------------


def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    """Return ``numpy.interp``; at a knot the slope is that on its right."""
    if period is not None:
        raise ArgumentError("numpy.interp: the argument period can't be used with Tensors")
    point, knots, values = box(x), box(xp), box(fp)
    place = clamp(searchsorted(knots, point, right=True) - 1, 0, knots.shape[0] - 2)
    slope = (values[place + 1] - values[place]) / (knots[place + 1] - knots[place])
    result = values[place] + slope * (point - knots[place])
    result = where(point < knots[0], values[0] if left is None else left, result)
    return where(point > knots[-1], values[-1] if right is None else right, result)


def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    """Return ``numpy.digitize``."""
    edges = box(bins)
    if edges.shape[0] > 1 and bool(edges[0] > edges[-1]):
        return edges.shape[0] - searchsorted(flip(edges, (0,)), x, right=not right)
    return searchsorted(edges, x, right=not right)


def histogram(
    a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> Any:
    """Return ``numpy.histogram``: counts, which have no gradient."""
    if weights is not None or density:
        raise ArgumentError(
            "numpy.histogram: weights and density can't be used with Tensors",
            do="use numpy.bincount(numpy.digitize(...), weights)",
        )
    plain = [x.detach().numpy() if isinstance(x, Boxed) else x for x in (a, bins)]  # type: ignore[attr-defined]
    counts, edges = np.histogram(plain[0], plain[1], range)
    return box(counts), box(edges)


def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """Return ``numpy.correlate``."""
    left, right = box(a), box(v)
    if left.shape[0] < right.shape[0]:
        return flip(convolve(right, flip(left, (0,)), mode), (0,))
    return convolve(left, flip(right, (0,)), mode)


def polyfit(x: Any, y: Any, deg: int) -> Any:
    """Return ``numpy.polyfit``, without weights."""
    powers = vander(x, deg + 1)
    # Columns of equal size make the problem as well conditioned as can be.
    scale = sqrt(total(square(powers), 0))
    value = box(y)
    right = reshape_to(value, (value.shape[0], -1))
    found = lstsq(powers / scale, right).solution / reshape_to(scale, (deg + 1, 1))
    return reshape_to(found, (deg + 1, *value.shape[1:]))


# -- cases -------------------------------------------------------------------------------------


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """Return ``numpy.select``."""
    if len(condlist) != len(choicelist):
        raise ArgumentError(
            f"numpy.select: {len(condlist)} conditions for {len(choicelist)} choices"
        )
    result: Any = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        result = where(condition, choice, result)
    return result


def choose(a: Any, choices: Sequence[Any], out: Any = None, mode: str = "raise") -> Any:
    """Return ``numpy.choose``."""
    places = box(a)
    if mode != "raise" or not bool(((places >= 0) & (places < len(choices))).all()):
        raise ArgumentError(
            f"numpy.choose: indices must be from 0 to {len(choices) - 1}, and mode 'raise'"
        )
    return select([places == k for k in range(len(choices))], choices)


def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
    """Return ``numpy.piecewise``; functions are called with all of `x`."""
    value = box(x)
    conditions = list(condlist) if isinstance(condlist, list | tuple) else [condlist]
    pieces = [f(value, *args, **kwargs) if callable(f) else f for f in funclist]
    default = pieces.pop() if len(pieces) == len(conditions) + 1 else 0
    # Of several that hold the last one counts.
    result = select(conditions[::-1], pieces[::-1], default)
    return convert(result, value.dtype)


def _without_nans(extremum: Callable[..., Any], worst: float) -> Callable[..., Any]:
    def function(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Any:
        value = box(a)
        missing = isnan(value)
        found = extremum(where(missing, worst, value), axis, keepdims)
        return where(all_of(missing, axis, keepdims), math.nan, found)

    return function


nanmax = _without_nans(amax, -math.inf)
nanmin = _without_nans(amin, math.inf)


# -- functions of each number ------------------------------------------------------------------


def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: float = 2 * math.pi) -> Any:
    """Return ``numpy.unwrap``."""
    value = movedim(box(p), axis, -1)
    steps = value[..., 1:] - value[..., :-1]
    turns: Any = round_(steps / period)
    # Half a turn stays as it is, upwards as well as downwards.
    turns = where(abs(steps) <= (period / 2 if discont is None else discont), 0.0, turns)
    moved = cumsum(turns, -1) * period
    return movedim(cat([value[..., :1], value[..., 1:] - moved], -1), -1, axis)


def modf(x: Any) -> tuple[Any, Any]:
    """Return ``numpy.modf``."""
    value = box(x)
    return value.frac(), value.trunc()


def divmod(x1: Any, x2: Any) -> tuple[Any, Any]:
    """Return ``numpy.divmod``."""
    value = box(x1)
    return value // x2, value % x2
