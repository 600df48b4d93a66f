"""NumPy's functions that arrange elements: padding, windows, insertion, blocks."""

from __future__ import annotations

from collections.abc import Callable
from operator import index as as_integer
from typing import Any

import numpy as np

from jitgrad.core.bind import Boxed, box
from jitgrad.core.errors import ArgumentError
from jitgrad.core.shapes import normalize_axes, normalize_axis
from jitgrad.ops.joining import cat, stack
from jitgrad.ops.rearranging import movedim
from jitgrad.ops.repeating import pad as pad_axes
from jitgrad.ops.shape import broadcast_to, reshape_to
from jitgrad.ops.taking import take

# What these add are elements that the array has.
_MODES_OF_ELEMENTS = ("edge", "reflect", "symmetric", "wrap")


def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    """Return ``numpy.pad``."""
    value = box(array)
    if isinstance(pad_width, dict):
        widths = np.zeros((value.ndim, 2), int)
        for axis, width in pad_width.items():
            widths[axis] = width
    else:
        widths = np.broadcast_to(np.asarray(pad_width), (value.ndim, 2))
    if mode == "constant":
        number = kwargs.get("constant_values", 0)
        if np.ndim(number):
            raise ArgumentError("numpy.pad: several constant_values can't be used with Tensors")
        return pad_axes(value, widths[::-1].ravel().tolist(), "constant", number)
    if mode not in _MODES_OF_ELEMENTS:
        raise ArgumentError(
            f"numpy.pad: the mode {mode!r} can't be used with Tensors",
            why=f"the modes are constant, {', '.join(_MODES_OF_ELEMENTS)}",
        )
    for axis, width in enumerate(widths):
        if width.any():
            places = np.pad(np.arange(value.shape[axis]), width, mode, **kwargs)
            value = take(value, places[None], axes=(axis,))
    return value


def _plain(x: Any) -> Any:
    return x.numpy() if isinstance(x, Boxed) else x  # type: ignore[attr-defined]


def delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    """Return ``numpy.delete``."""
    value, along = _along(box(arr), axis)
    kept = np.delete(np.arange(value.shape[along]), _plain(obj))
    return take(value, kept[None], axes=(along,))


def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """Return ``numpy.insert``."""
    value, along = _along(box(arr), axis)
    added, places, size = box(values), _plain(obj), value.shape[along]
    rest = tuple(n for k, n in enumerate(value.shape) if k != along)
    if added.ndim < value.ndim:
        # One layer, or along a single axis a row of them.
        row = not rest and added.ndim == 1
        added = movedim(added if row else broadcast_to(added, (1, *rest)), 0, along)
    single = np.ndim(places) == 0 and not isinstance(places, slice)
    count = added.shape[along] if single else np.insert(np.arange(size), places, 0).size - size
    layers = (*value.shape[:along], count, *value.shape[along + 1 :])
    order = np.insert(np.arange(size), places, size + np.arange(count))
    joined = cat([value, broadcast_to(added, layers).to(value.dtype)], along)
    return take(joined, order[None], axes=(along,))


def _along(value: Any, axis: int | None) -> tuple[Any, int]:
    if axis is None:
        return reshape_to(value, (value.numel(),)), 0
    return value, normalize_axis("axis", axis, value.ndim)


def block(arrays: Any) -> Any:
    """Return ``numpy.block``."""
    depth, ndim = _extent(arrays)
    return _joined(arrays, depth, max(depth, ndim))


def _extent(arrays: Any) -> tuple[int, int]:
    if not isinstance(arrays, list):
        return 0, box(arrays).ndim
    parts = [_extent(part) for part in arrays]
    return 1 + max(depth for depth, _ in parts), max(ndim for _, ndim in parts)


def _joined(arrays: Any, depth: int, ndim: int) -> Any:
    if isinstance(arrays, list):
        return cat([_joined(part, depth - 1, ndim) for part in arrays], -depth)
    value = box(arrays)
    return reshape_to(value, (1,) * (ndim - value.ndim) + tuple(value.shape))


def sliding_window_view(x: Any, window_shape: Any, axis: Any = None, **rest: Any) -> Any:
    """Return ``numpy.lib.stride_tricks.sliding_window_view``, as a copy."""
    value = box(x)
    sizes = window_shape if isinstance(window_shape, tuple | list) else (window_shape,)
    axes = tuple(axis) if isinstance(axis, tuple | list) else axis
    along = range(value.ndim) if axes is None else normalize_axes("axis", axes, value.ndim)
    for place, size in zip(along, sizes, strict=True):
        value = value.unfold(place, as_integer(size), 1)
    return value


def apply_along_axis(
    func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any
) -> Any:
    """Return ``numpy.apply_along_axis``."""
    value = box(arr)
    place = normalize_axis("apply_along_axis", axis, value.ndim)
    rows = movedim(value, place, -1)
    others = tuple(rows.shape[:-1])
    rows = reshape_to(rows, (-1, rows.shape[-1]))
    found = stack([box(func1d(rows[k], *args, **kwargs)) for k in range(rows.shape[0])])
    inner = tuple(found.shape[1:])
    moved = range(len(others), len(others) + len(inner))
    return movedim(
        reshape_to(found, (*others, *inner)), tuple(moved), tuple(range(place, place + len(inner)))
    )
