"""Repeating, reversing, shifting and padding along axes: functions made of slices and joins."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index as as_integer
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import Boxed, box
from jitgrad.core.errors import ArgumentError, DtypeError, ShapeError
from jitgrad.core.public import public
from jitgrad.core.shapes import AxisLike, normalize_axes, normalize_axis
from jitgrad.ops.cast import convert
from jitgrad.ops.creation import arange, clone_primitive, full_primitive, shape_of_size
from jitgrad.ops.joining import cat_primitive, range_of
from jitgrad.ops.naming import shown_as
from jitgrad.ops.rearranging import permute
from jitgrad.ops.shape import broadcast_to, reshape_primitive, reshape_to
from jitgrad.ops.slicing import slice_primitive, slice_transpose, slice_update, whole_axis
from jitgrad.ops.taking import take

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


@public()
def flip(x: ArrayLike, *dims: Any, dim: AxisLike = None) -> Tensor:
    """Return `x` with the order of the elements along axes reversed.

    Parameters
    ----------
    x : array_like
        Any shape.
    *dims : int, or one tuple of int
        The axes; all of them where none is given.
    dim : int or tuple of int, optional
        Another way to name them.

    Returns
    -------
    Tensor
        New memory, as in PyTorch.
    """
    value = box(x)
    given = dims[0] if len(dims) == 1 else (dims or dim)
    axes = normalize_axes("flip", given, value.ndim)
    index = tuple(
        [
            ("range", n - 1, -1, n) if axis in axes and n else whole_axis(n)
            for axis, n in enumerate(value.shape)
        ]
    )
    return shown_as("FlipBackward0", clone_primitive(slice_primitive(value, index=index)))


@public(method=False)
def fliplr(x: ArrayLike) -> Tensor:
    """Return a matrix, or stack, with its second axis reversed.

    Parameters
    ----------
    x : array_like
        At least two axes.

    Returns
    -------
    Tensor
        New memory.
    """
    return flip(x, 1)


@public(method=False)
def flipud(x: ArrayLike) -> Tensor:
    """Return `x` with its first axis reversed.

    Parameters
    ----------
    x : array_like
        At least one axis.

    Returns
    -------
    Tensor
        New memory.
    """
    return flip(x, 0)


@public()
def rot90(x: ArrayLike, k: int = 1, dims: tuple[int, int] = (0, 1)) -> Tensor:
    """Return `x` turned by 90 degrees, `k` times, from the first towards the second axis.

    Parameters
    ----------
    x : array_like
        At least two axes.
    k : int
        How often.
    dims : pair of int
        The axes of the plane.

    Returns
    -------
    Tensor
        New memory.
    """
    value = box(x)
    first, second = (normalize_axis("rot90", d, value.ndim) for d in dims)
    if first == second:
        raise ShapeError(f"rot90: the axes {dims} are the same")
    order = list(range(value.ndim))
    order[first], order[second] = second, first
    turns = k % 4
    if turns == 0:
        result: Tensor = clone_primitive(value)
        return result
    if turns == 2:
        return flip(value, first, second)
    if turns == 1:
        return permute(flip(value, second), *order)
    return flip(permute(value, *order), second)


@public()
def roll(x: ArrayLike, shifts: int | Sequence[int], dims: AxisLike = None) -> Tensor:
    """Return `x` with its elements shifted along axes; those pushed out come in at the other end.

    Parameters
    ----------
    x : array_like
        Any shape.
    shifts : int or sequence of int
        How far, for each axis.
    dims : int or sequence of int, optional
        The axes; where not given, `x` is shifted as if flattened.

    Returns
    -------
    Tensor
        Shape of `x`.

    Raises
    ------
    ArgumentError
        If there are not as many shifts as axes.
    """
    value: Any = box(x)
    shape = tuple(value.shape)
    amounts = [as_integer(s) for s in (shifts if isinstance(shifts, Sequence) else (shifts,))]
    if dims is None:
        if len(amounts) != 1:
            raise ArgumentError("roll: several shifts need as many dims")
        return reshape_to(_rolled(reshape_to(value, (value.numel(),)), amounts[0], 0), shape)  # type: ignore[no-any-return]
    axes = [normalize_axis("roll", d, len(shape)) for d in _sequence(dims)]
    if len(axes) != len(amounts):
        raise ArgumentError(f"roll: {len(amounts)} shifts for {len(axes)} axes")
    for amount, axis in zip(amounts, axes, strict=True):
        value = _rolled(value, amount, axis)
    result: Tensor = value
    return result


def _sequence(given: Any) -> Sequence[Any]:
    return given if isinstance(given, tuple | list) else (given,)


def _rolled(value: Any, amount: int, axis: int) -> Any:
    shape = tuple(value.shape)
    size = shape[axis] if shape else 0
    if size == 0 or amount % size == 0:
        return clone_primitive(value)
    cut = size - amount % size
    end = slice_primitive(value, index=range_of(shape, axis, cut, size - cut))
    begin = slice_primitive(value, index=range_of(shape, axis, 0, cut))
    return shown_as("RollBackward0", cat_primitive(end, begin, axis=axis))


def _repeated(operation: str, value: Any, counts: tuple[int, ...]) -> Any:
    """Return `value`, which has as many axes as there are counts, repeated along each."""
    shape = tuple(value.shape)
    split = [n for size in shape for n in (1, size)]
    spread = [n for size, count in zip(shape, counts, strict=True) for n in (count, size)]
    wide = broadcast_to(reshape_to(value, tuple(split)), tuple(spread))
    joined = tuple([size * count for size, count in zip(shape, counts, strict=True)])
    return shown_as("RepeatBackward0", reshape_primitive(clone_primitive(wide), shape=joined))


@public()
def repeat(x: ArrayLike, *sizes: Any) -> Tensor:
    """Return `x` repeated along each axis; for repeated elements see `repeat_interleave`.

    Parameters
    ----------
    x : array_like
        Any shape.
    *sizes : int, or one tuple of int
        How often along each axis; more numbers than axes make new leading axes.

    Returns
    -------
    Tensor
        New memory.

    Raises
    ------
    ShapeError
        If there are fewer numbers than axes.
    """
    value = box(x)
    counts = shape_of_size("repeat", sizes)
    shape = tuple(value.shape)
    if len(counts) < len(shape):
        raise ShapeError(
            f"repeat: {len(counts)} numbers for {len(shape)} axes",
            why="each axis needs one",
            do="use tile, which adds ones in front",
        )
    value = reshape_to(value, (*[1] * (len(counts) - len(shape)), *shape))
    result: Tensor = _repeated("repeat", value, counts)
    return result


@public()
def tile(x: ArrayLike, *dims: Any) -> Tensor:
    """Return `x` repeated along its last axes.

    Parameters
    ----------
    x : array_like
        Any shape.
    *dims : int, or one tuple of int
        How often along each axis, aligned from the right.

    Returns
    -------
    Tensor
        New memory.
    """
    value = box(x)
    counts = shape_of_size("tile", dims)
    return repeat(value, (*[1] * (value.ndim - len(counts)), *counts))


@public()
def repeat_interleave(x: ArrayLike, repeats: ArrayLike, dim: int | None = None) -> Tensor:
    """Return `x` with each element, or each slice along an axis, repeated.

    Parameters
    ----------
    x : array_like
        Any shape.
    repeats : int or vector of int
        How often; one number, or one for each slice.
    dim : int, optional
        The axis; `x` is flattened where it is not given.

    Returns
    -------
    Tensor
        New memory.

    Raises
    ------
    ShapeError
        If there are not as many `repeats` as slices.
    ArgumentError
        If one is negative.
    """
    value: Any = box(x)
    if dim is None:
        value, axis = reshape_to(value, (value.numel(),)), 0
    else:
        axis = normalize_axis("repeat_interleave", dim, value.ndim)
    size = value.shape[axis]
    counts = np.asarray(repeats.numpy() if isinstance(repeats, Boxed) else repeats)
    if counts.dtype.kind not in "iu":
        raise DtypeError(f"repeat_interleave: the repeats have dtype {counts.dtype}, not int")
    if counts.size not in (1, size) or counts.ndim > 1:
        raise ShapeError(
            f"repeat_interleave: {counts.size} repeats for {size} slices along axis {axis}"
        )
    if (counts < 0).any():
        raise ArgumentError("repeat_interleave: the repeats must not be negative")
    places = np.repeat(np.arange(size), counts)
    result: Tensor = take(value, places[None], axes=(axis,))
    return result


@public(method=False)
def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Return the coordinates of a grid: each vector spread over the axes of all.

    Parameters
    ----------
    *tensors : array_like, or one list of them
        Vectors or 0-d values.
    indexing : {"ij", "xy"}
        ``"xy"`` exchanges the first two axes of the result.

    Returns
    -------
    tuple of Tensor
        One for each vector, all of the same shape; views.

    Raises
    ------
    ArgumentError
        If `indexing` is neither.
    """
    if indexing not in ("ij", "xy"):
        raise ArgumentError(f"meshgrid: indexing is 'ij' or 'xy', not {indexing!r}")
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], tuple | list) else tensors
    values = [box(x) for x in given]
    if any(v.ndim > 1 for v in values):
        raise ShapeError("meshgrid: the inputs must be vectors")
    places = list(range(len(values)))
    if indexing == "xy" and len(values) > 1:
        places[0], places[1] = 1, 0
    shape = [0] * len(values)
    for place, value in zip(places, values, strict=True):
        shape[place] = value.numel()
    return tuple(
        [
            broadcast_to(
                reshape_to(v, tuple([v.numel() if a == p else 1 for a in range(len(values))])),
                tuple(shape),
            )
            for p, v in zip(places, values, strict=True)
        ]
    )


@public(method=False, namespace="nn.functional")
def pad(x: ArrayLike, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """Return `x` with elements added, or for negative numbers taken away, at the ends of axes.

    Parameters
    ----------
    x : array_like
        Any shape.
    pad : sequence of int
        Pairs (before, after), the first for the last axis, the second for the one before it.
    mode : {"constant", "reflect", "replicate", "circular"}
        What is added: `value`, the mirror image without the edge, the edge, the other end.
    value : float
        For the mode ``"constant"``.

    Returns
    -------
    Tensor
        In the dtype of `x`.

    Raises
    ------
    ArgumentError
        If `pad` has an odd length or more pairs than axes, or `mode` does not exist.
    """
    array = box(x)
    widths = [as_integer(n) for n in pad]
    if len(widths) % 2 or len(widths) // 2 > array.ndim:
        raise ArgumentError(
            f"pad: {len(widths)} numbers for a Tensor with {array.ndim} axes",
            why="there must be two for each padded axis",
        )
    pairs = [(0, 0)] * (array.ndim - len(widths) // 2)
    pairs += [(widths[i], widths[i + 1]) for i in range(len(widths) - 2, -1, -2)]
    for axis, (before, after) in enumerate(pairs):
        if array.shape[axis] + before + after < 0:
            raise ArgumentError(f"pad: nothing would be left of axis {axis}")
    if mode == "constant":
        return _pad_constant(array, pairs, value)
    if mode not in ("reflect", "replicate", "circular"):
        raise ArgumentError(f"pad: there is no mode {mode!r}")
    for axis, (before, after) in enumerate(pairs):
        if before or after:
            places = _padded_places(mode, array.shape[axis], before, after)
            array = take(array, places[None], axes=(axis,))
    result: Tensor = array
    return result


def _pad_constant(array: Any, pairs: list[tuple[int, int]], value: float) -> Tensor:
    shape = tuple(array.shape)
    cut = tuple(
        [
            ("range", max(-b, 0), 1, n - max(-b, 0) - max(-a, 0))
            for n, (b, a) in zip(shape, pairs, strict=True)
        ]
    )
    part = slice_primitive(array, index=cut) if any(min(p) < 0 for p in pairs) else array
    wide = tuple([n + b + a for n, (b, a) in zip(shape, pairs, strict=True)])
    index = tuple([("range", max(b, 0), 1, m) for m, (b, _) in zip(part.shape, pairs, strict=True)])
    if value == 0:
        return shown_as("ConstantPadNdBackward0", slice_transpose(part, shape=wide, index=index))
    base = full_primitive(shape=wide, value=value, dtype=array.dtype)
    return shown_as("ConstantPadNdBackward0", slice_update(base, part, index=index))


def _padded_places(mode: str, size: int, before: int, after: int) -> Any:
    places = np.arange(-before, size + after)
    if mode == "circular":
        if max(before, after) > size:
            raise ArgumentError(f"pad: circular padding goes around axis of size {size} only once")
        return places % size
    if mode == "replicate":
        if size == 0:
            raise ArgumentError("pad: an empty axis has no edge to repeat")
        return np.clip(places, 0, size - 1)
    if max(before, after) >= size:
        raise ArgumentError(f"pad: reflection must be less than the size {size} of the axis")
    mirrored = np.abs(places)
    return np.where(mirrored >= size, 2 * (size - 1) - mirrored, mirrored)


@public(method=False, namespace="nn.functional")
def one_hot(x: ArrayLike, num_classes: int = -1) -> Tensor:
    """Return for each class number a vector with a one in its place and zeros elsewhere.

    Parameters
    ----------
    x : array_like of integers
        Class numbers, from 0.
    num_classes : int
        Length of the vectors; where not given, one more than the largest number, whose value is
        asked for.

    Returns
    -------
    Tensor of int64, shape (*shape of `x`, num_classes)
        Ones and zeros.
    """
    from jitgrad.ops.comparison import eq

    classes = box(x)
    if classes.dtype.kind not in "iu":
        raise DtypeError(f"one_hot: class numbers are integers, not {classes.dtype}")
    count = num_classes if num_classes >= 0 else int(classes.numpy().max(initial=-1)) + 1
    spread = reshape_to(classes, (*classes.shape, 1))
    result: Tensor = convert(eq(spread, arange(count)), np.dtype(np.int64))
    return result
