"""Arithmetic of shapes: broadcasting, axes, reshaping."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index

from jitgrad.core.errors import DtypeError, ShapeError
from jitgrad.core.extents import Extent, as_size, may_be_equal
from jitgrad.core.spec import Shape

AxisLike = int | Sequence[int] | None


def broadcast_shapes(operation: str, *shapes: Shape) -> Shape:
    """Return the shape that all `shapes` broadcast to.

    Raises
    ------
    ShapeError
        If two sizes of an axis differ and neither is 1; `operation` begins the message.
    """
    first = shapes[0]
    if all(shape == first for shape in shapes):
        return first
    ndim = max(map(len, shapes))
    result = [1] * ndim
    for shape in shapes:
        for axis in range(1, len(shape) + 1):
            size = shape[-axis]
            held = result[-axis]
            if held == 1 or (size != 1 and isinstance(held, Extent)):
                result[-axis] = size
            elif size != 1 and not may_be_equal(size, held):
                raise _no_broadcast(operation, shapes, axis, held, size)
    return tuple(result)


def _no_broadcast(
    operation: str, shapes: tuple[Shape, ...], axis: int, held: int, size: int
) -> ShapeError:
    place = "last axes" if axis == 1 else f"axes {-axis}"
    listed = " and ".join(map(str, dict.fromkeys(shapes)))
    do = "reshape one of them so that the axes line up from the right"
    short = min(shapes, key=len)
    longest = max(shapes, key=len)
    if len(short) == 1 and len(longest) == 2 and short[0] == longest[0]:
        do = "to combine the vector with every column give it a last axis: v[:, None]"
    return ShapeError(
        f"{operation}: shapes {listed} do not broadcast",
        why=f"the {place} are {held} and {size}; they must be equal, or one of them 1",
        do=do,
    )


def normalize_axis(operation: str, axis: int, ndim: int) -> int:
    """Return `axis` as a number from 0 to ``ndim - 1``; a 0-d value counts as having one axis.

    Raises
    ------
    ShapeError
        If there is no such axis.
    DtypeError
        If `axis` is not an integer.
    """
    try:
        number = index(axis)
    except TypeError:
        raise DtypeError(
            f"{operation}: an axis must be an integer, not {type(axis).__name__}"
        ) from None
    limit = max(ndim, 1)
    if not -limit <= number < limit:
        raise ShapeError(
            f"{operation}: there is no axis {number}",
            why=f"the value has {ndim} axes, so axes go from {-limit} to {limit - 1}",
        )
    return number % limit


def normalize_axes(operation: str, axis: AxisLike, ndim: int) -> tuple[int, ...]:
    """Return the sorted non-negative axes that `axis` names; None and ``()`` name all of them.

    Raises
    ------
    ShapeError
        If an axis does not exist or is named twice.
    """
    if axis is None:
        return tuple(range(ndim))
    given: Sequence[int] = axis if isinstance(axis, (tuple, list)) else (axis,)
    if not given:
        return tuple(range(ndim))
    axes = sorted(normalize_axis(operation, a, ndim) for a in given)
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{operation}: an axis is named twice in {tuple(given)}")
    return tuple(axes) if ndim else ()


def reduced_shape(shape: Shape, axes: tuple[int, ...], keepdims: bool) -> Shape:
    """Return `shape` with `axes` (sorted, non-negative) gone, or of size 1 if `keepdims`."""
    if keepdims:
        return tuple(1 if a in axes else n for a, n in enumerate(shape))
    return tuple(n for a, n in enumerate(shape) if a not in axes)


def resolve_reshape(operation: str, shape: Shape, wanted: Sequence[int]) -> Shape:
    """Return `wanted` with a -1 replaced by the size that the number of elements asks for.

    Raises
    ------
    ShapeError
        If the element counts differ, or more than one size is -1.
    """
    sizes = [as_size(n) for n in wanted]
    extents = [n for n in shape if isinstance(n, Extent)]
    for n in [n for n in sizes if isinstance(n, Extent)]:
        if n not in extents:
            # That it fits is found when the graph runs.
            return tuple(sizes)
        extents.remove(n)
    total = math.prod([n for n in shape if not isinstance(n, Extent)])
    known = math.prod([n for n in sizes if n != -1 and not isinstance(n, Extent)])
    unknown = sizes.count(-1)
    if unknown > 1:
        raise ShapeError(f"{operation}: only one size may be -1, got {tuple(sizes)}")
    if extents:
        if not unknown:
            return tuple(sizes)
        if total == known and len(extents) == 1:
            return tuple([extents[0] if n == -1 else n for n in sizes])
        raise ShapeError(
            f"{operation}: shape {shape} can't become {tuple(wanted)} here",
            why="the size in the place of -1 is not known before the program runs",
            do="say what it is",
        )
    if unknown == 1 and known and total % known == 0:
        sizes[sizes.index(-1)] = total // known
        known = total
    if known != total or -1 in sizes or any(n < 0 for n in sizes):
        raise ShapeError(
            f"{operation}: shape {shape} can't become {tuple(wanted)}",
            why=f"{shape} has {total} elements, {tuple(wanted)} asks for "
            + (f"a multiple of {known}" if unknown else str(known)),
        )
    return tuple(sizes)
