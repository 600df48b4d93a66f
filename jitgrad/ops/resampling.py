"""Images and signals of another size; `jitgrad.nn.functional`.

Each output element is a weighted sum of a few input elements along each axis in turn. Places and
weights depend on sizes alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.errors import ArgumentError, ShapeError
from jitgrad.core.public import public
from jitgrad.ops.arithmetic import add, mul
from jitgrad.ops.mean_pooling import adaptive_avg_pool1d, adaptive_avg_pool2d
from jitgrad.ops.naming import shown_as
from jitgrad.ops.taking import take

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor

Array = np.ndarray[Any, Any]
# Pairs of places and weights; a weight of None is one.
Taps = list[tuple[Array, Array | None]]


def _centres(size: int, new: int, scale: float, align: bool) -> Array:
    """Return where in the input the centre of each output element is."""
    if align:
        return np.arange(new) * ((size - 1) / (new - 1) if new > 1 else 0.0)
    return (np.arange(new) + 0.5) * scale - 0.5


def _nearest(size: int, new: int, scale: float, align: bool) -> Taps:
    places = np.floor(np.arange(new) * scale).astype(np.int64)
    return [(np.minimum(places, size - 1), None)]


def _nearest_exact(size: int, new: int, scale: float, align: bool) -> Taps:
    places = np.floor((np.arange(new) + 0.5) * scale).astype(np.int64)
    return [(np.minimum(places, size - 1), None)]


def _linear(size: int, new: int, scale: float, align: bool) -> Taps:
    centres = np.maximum(_centres(size, new, scale, align), 0.0)
    low = np.minimum(np.floor(centres).astype(np.int64), size - 1)
    between = centres - low
    return [(low, 1.0 - between), (np.minimum(low + 1, size - 1), between)]


def _cubic(size: int, new: int, scale: float, align: bool) -> Taps:
    centres = _centres(size, new, scale, align)
    low = np.floor(centres).astype(np.int64)
    t = centres - low
    a = -0.75

    def near(d: Array) -> Array:
        return ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0

    def far(d: Array) -> Array:
        return ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a

    weights = [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)]
    return [(np.clip(low + k - 1, 0, size - 1), w) for k, w in enumerate(weights)]


# The axes of space that each mode takes, and its taps.
_MODES: dict[str, tuple[tuple[int, ...], Callable[..., Taps]]] = {
    "nearest": ((1, 2, 3), _nearest),
    "nearest-exact": ((1, 2, 3), _nearest_exact),
    "linear": ((1,), _linear),
    "bilinear": ((2,), _linear),
    "trilinear": ((3,), _linear),
    "bicubic": ((2,), _cubic),
}


@public(method=False, namespace="nn.functional")
def interpolate(
    x: ArrayLike,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Tensor:
    """Return images or signals in another size.

    Parameters
    ----------
    x : array_like, shape (n, c, ...), floating
        With one to three axes of space.
    size : int or sequence of int, optional
        The new sizes.
    scale_factor : float or sequence of float, optional
        By what the sizes are multiplied, where `size` is not given.
    mode : str
        ``"nearest"``, ``"nearest-exact"``, ``"linear"`` (one axis), ``"bilinear"``, ``"bicubic"``
        (two axes), ``"trilinear"`` (three), ``"area"`` (one or two).
    align_corners : bool, optional
        Whether the centres of the outermost elements coincide, rather than their edges.
    recompute_scale_factor : bool, optional
        Whether the factors follow from the rounded sizes.

    Returns
    -------
    Tensor, shape (n, c, ...)

    Raises
    ------
    ArgumentError
        If there is no such mode for so many axes, or not exactly one of `size`, `scale_factor`.
    ShapeError
        If there are no axes of space, or not as many sizes as axes.
    """
    value = box(x)
    space = value.ndim - 2
    if space < 1:
        raise ShapeError(
            f"interpolate: an input of shape {tuple(value.shape)}",
            why="the first two axes are examples and channels",
        )
    news, scales = _sizes(tuple(value.shape[2:]), size, scale_factor, recompute_scale_factor)
    if mode == "area" and space in (1, 2):
        pool: Any = adaptive_avg_pool1d if space == 1 else adaptive_avg_pool2d
        pooled: Tensor = pool(value, news[0] if space == 1 else tuple(news))
        return pooled
    axes, taps = _MODES.get(mode, ((), _nearest))
    if space not in axes:
        raise ArgumentError(
            f"interpolate: mode {mode!r} is not possible for {space} axes of space",
            do=f"use one of {', '.join(m for m, (n, _) in _MODES.items() if space in n)}",
        )
    result = value
    for number, (new, scale) in enumerate(zip(news, scales, strict=True)):
        axis = number + 2
        sum_of_taps: Any = None
        for places, weights in taps(value.shape[axis], new, scale, bool(align_corners)):
            part = take(result, places[None], axes=(axis,))
            if weights is not None:
                shape = (-1, *(1,) * (value.ndim - axis - 1))
                part = mul(part, weights.astype(value.dtype).reshape(shape))
            sum_of_taps = part if sum_of_taps is None else add(sum_of_taps, part)
        result = sum_of_taps
    return shown_as(f"Upsample{mode.capitalize()}{space}DBackward0", result)


def _sizes(
    sizes: tuple[int, ...], size: Any, scale_factor: Any, recompute: bool | None
) -> tuple[list[int], list[float]]:
    """Return the new sizes, and how far apart in the input neighbours of the output are."""
    if (size is None) == (scale_factor is None):
        raise ArgumentError("interpolate: pass exactly one of size and scale_factor")
    given = scale_factor if size is None else size
    every = list(given) if isinstance(given, (tuple, list)) else [given] * len(sizes)
    if len(every) != len(sizes):
        raise ShapeError(f"interpolate: {len(every)} sizes for {len(sizes)} axes of space")
    if size is None:
        news = [int(n * factor) for n, factor in zip(sizes, every, strict=True)]
        if not recompute:
            return news, [1.0 / factor for factor in every]
    else:
        news = [int(n) for n in every]
    return news, [n / new if new else 0.0 for n, new in zip(sizes, news, strict=True)]
