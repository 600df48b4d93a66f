"""Integrals and slopes of sampled functions, made of other operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from jitgrad.core.bind import Boxed, box
from jitgrad.core.errors import ArgumentError, ShapeError
from jitgrad.core.public import public
from jitgrad.core.shapes import AxisLike, normalize_axes, normalize_axis
from jitgrad.ops.arithmetic import add, div, mul, sub
from jitgrad.ops.joining import cat, narrow
from jitgrad.ops.reduction import sum_over
from jitgrad.ops.scans import cumsum
from jitgrad.ops.shape import reshape_to

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


def _trapezoids(
    operation: str, y: ArrayLike, x: ArrayLike | None, dx: ArrayLike | None, dim: int
) -> tuple[Any, int]:
    """Return the areas between neighbours along an axis, and that axis."""
    value = box(y)
    if not value.ndim:
        raise ShapeError(f"{operation}: a 0-d value has no axis to integrate along")
    if x is not None and dx is not None:
        raise ArgumentError(f"{operation}: x and dx can't both be given")
    axis = normalize_axis(operation, dim, value.ndim)
    count = max(value.shape[axis] - 1, 0)
    means = mul(add(narrow(value, axis, 1, count), narrow(value, axis, 0, count)), 0.5)
    if x is None:
        return mul(means, 1 if dx is None else dx), axis
    places = box(x)
    if places.ndim == 1:
        places = reshape_to(places, tuple(-1 if a == axis else 1 for a in range(value.ndim)))
    along = axis - value.ndim
    steps = sub(narrow(places, along, 1, count), narrow(places, along, 0, count))
    return mul(means, steps), axis


@public("trapz", method=False)
def trapezoid(
    y: ArrayLike, x: ArrayLike | None = None, *, dx: ArrayLike | None = None, dim: int = -1
) -> Tensor:
    """Return the integral of a sampled function along an axis, by the trapezoidal rule.

    Parameters
    ----------
    y : array_like
        Values of the function.
    x : array_like, optional
        Where they are: a vector, or of the shape of `y`.
    dx : number, optional
        Distance of neighbours, where `x` is not given; 1 by default.
    dim : int
        The axis.

    Returns
    -------
    Tensor
        Without that axis.

    Raises
    ------
    ArgumentError
        If `x` and `dx` are both given.
    ShapeError
        If `y` has no axis.
    """
    areas, axis = _trapezoids("trapezoid", y, x, dx, dim)
    result: Tensor = sum_over(areas, axes=(axis,), keepdims=False)
    return result


@public(method=False)
def cumulative_trapezoid(
    y: ArrayLike, x: ArrayLike | None = None, *, dx: ArrayLike | None = None, dim: int = -1
) -> Tensor:
    """Return the integral of a sampled function up to each sample, by the trapezoidal rule.

    Parameters
    ----------
    y : array_like
        Values of the function.
    x : array_like, optional
        Where they are: a vector, or of the shape of `y`.
    dx : number, optional
        Distance of neighbours, where `x` is not given; 1 by default.
    dim : int
        The axis.

    Returns
    -------
    Tensor
        Shorter than `y` by one along that axis: the integral up to the first sample is left out.

    Raises
    ------
    ArgumentError
        If `x` and `dx` are both given.
    ShapeError
        If `y` has no axis.
    """
    areas, axis = _trapezoids("cumulative_trapezoid", y, x, dx, dim)
    return cumsum(areas, axis)


# -- slopes ------------------------------------------------------------------------------------


def _slope(value: Any, axis: int, spacing: Any, edge_order: int) -> Any:
    """Return the slope along an axis: second order inside, of order `edge_order` at the ends."""
    size = value.shape[axis]
    if size <= edge_order:
        raise ShapeError(
            f"gradient: axis {axis} has {size} elements",
            why=f"at least {edge_order + 1} are needed with edge_order={edge_order}",
        )

    def part(x: Any, start: int, count: int) -> Any:
        return narrow(x, axis, start, count)

    if isinstance(spacing, Boxed):
        places = reshape_to(spacing, tuple(-1 if a == axis else 1 for a in range(value.ndim)))
        steps = sub(part(places, 1, size - 1), part(places, 0, size - 1))

        def step(start: int, count: int) -> Any:
            return part(steps, start, count)
    else:

        def step(start: int, count: int) -> Any:
            return spacing

    inner = size - 2
    slopes = [_end(part, step, value, 0, edge_order)]
    if inner:
        left, right = step(0, inner), step(1, inner)
        before, here, after = part(value, 0, inner), part(value, 1, inner), part(value, 2, inner)
        rising = mul(div(sub(after, here), right), left)
        falling = mul(div(sub(here, before), left), right)
        slopes.append(div(add(rising, falling), left + right))
    slopes.append(_end(part, step, value, size, edge_order))
    return cat(slopes, axis)


def _end(
    part: Callable[[Any, int, int], Any],
    step: Callable[[int, int], Any],
    value: Any,
    size: int,
    edge_order: int,
) -> Any:
    """Return the slope at the first element, or where a size is given at the last one."""
    last = bool(size)
    near = step(size - 2 if last else 0, 1)
    first = (size - 2) if last else 0
    slope = div(sub(part(value, first + 1, 1), part(value, first, 1)), near)
    if edge_order == 1:
        return slope
    far = step(size - 3 if last else 1, 1)
    first = (size - 3) if last else 1
    further = div(sub(part(value, first + 1, 1), part(value, first, 1)), far)
    change = div(mul(sub(slope, further), near), near + far)
    return add(slope, change)


@public(method=False)
def gradient(
    x: ArrayLike, *, spacing: Any = 1, dim: AxisLike = None, edge_order: int = 1
) -> tuple[Tensor, ...]:
    """Return the slopes of a sampled function along axes, by differences of neighbours.

    Parameters
    ----------
    x : array_like
        Values of the function.
    spacing : number, or sequence of number or array_like
        Distance of neighbours; or for each axis that, or a vector of where the samples are.
    dim : int or tuple of int, optional
        The axes; all of them where not given.
    edge_order : {1, 2}
        Order of the differences at both ends; inside it is 2.

    Returns
    -------
    tuple of Tensor
        For each axis the slopes, of the shape of `x`.

    Raises
    ------
    ArgumentError
        If `edge_order` is another one, or there are not as many spacings as axes.
    ShapeError
        If an axis is too short.
    """
    value = box(x)
    if edge_order not in (1, 2):
        raise ArgumentError(f"gradient: edge_order is {edge_order}", why="it is 1 or 2")
    axes = normalize_axes("gradient", dim, value.ndim)
    alone = isinstance(spacing, (int, float))
    spacings: Sequence[Any] = [spacing] * len(axes) if alone else list(spacing)
    if len(spacings) != len(axes):
        raise ArgumentError(f"gradient: {len(spacings)} spacings for {len(axes)} axes")
    return tuple(
        [
            _slope(value, axis, s if isinstance(s, (int, float)) else box(s), edge_order)
            for axis, s in zip(axes, spacings, strict=True)
        ]
    )
