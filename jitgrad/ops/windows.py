"""What convolution and pooling share: windows that slide over images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.dtypes import is_floating
from jitgrad.core.errors import ArgumentError, DtypeError, ShapeError
from jitgrad.ops.shape import reshape_to

Pair = tuple[int, int]
Sizes = int | Sequence[int]
_ONE: Pair = (1, 1)


def per_axis(operation: str, what: str, given: Sizes, ndim: int, least: int) -> Pair:
    """Return an argument that is one number, or one for each of the `ndim` axes, for two axes.

    Along the axis that sequences lack it is `least`.

    Raises
    ------
    ArgumentError
        If there are too many or too few numbers, or one is less than `least`.
    """
    sizes = (given,) if isinstance(given, int) else tuple(given)
    if len(sizes) == 1:
        sizes *= ndim
    if len(sizes) != ndim or any(size < least for size in sizes):
        raise ArgumentError(
            f"{operation}: {what} is {given!r}",
            why=f"it must be a number, or {ndim}, of at least {least}",
        )
    return (least, sizes[0]) if ndim == 1 else (sizes[0], sizes[1])


@dataclass(frozen=True, slots=True)
class Images:
    """An input as images of two axes, and the way back.

    Parameters
    ----------
    value : Tensor, shape (n, c, h, w)
        The images; `h` is 1 where the input has one axis.
    ndim : int
        How many axes the input's images have, 1 or 2.
    batched : bool
        Whether the input has an axis that counts the images.
    """

    value: Any
    ndim: int
    batched: bool

    @staticmethod
    def of(operation: str, x: Any, ndim: int) -> Images:
        """Return an array of shape (n, c, *sizes) or (c, *sizes) as images.

        Raises
        ------
        ShapeError
            If it has another number of axes.
        """
        value = box(x)
        if value.ndim not in (ndim + 1, ndim + 2):
            raise ShapeError(
                f"{operation}: the input has shape {tuple(value.shape)}",
                why=f"it must have {ndim + 2} axes, the first for images and the second for"
                f" channels, or {ndim + 1} for a single image",
            )
        batched = value.ndim == ndim + 2
        shape = tuple(value.shape) if batched else (1, *value.shape)
        if ndim == 1:
            shape = (*shape[:2], 1, shape[2])
        return Images(reshape_to(value, shape), ndim, batched)

    @property
    def size(self) -> Pair:
        """Height and width."""
        return self.value.shape[2], self.value.shape[3]

    def restored(self, result: Any) -> Any:
        """Return images of two axes with the axes that the input has."""
        shape = tuple(result.shape)
        if self.ndim == 1:
            shape = (*shape[:2], shape[3])
        return reshape_to(result, shape if self.batched else shape[1:])


def floating_images(operation: str, x: Any, ndim: int) -> Images:
    """Return `Images.of` an array; raises the error of one that is not floating."""
    images = Images.of(operation, x, ndim)
    if not is_floating(images.value.dtype):
        raise DtypeError(
            f"{operation}: the input has dtype {images.value.dtype}",
            why="it must be floating",
            do="convert it: x.float()",
        )
    return images


def windows(
    x: Any, size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = _ONE,
    outside: float = 0,
) -> Any:  # fmt: skip
    """Return what each tap of a window sees, as a read-only view.

    Parameters
    ----------
    x : array, shape (n, c, h, w)
        Images.
    size : tuple of int
        How many windows there are along each axis.
    kernel, stride, padding, dilation : tuple of int
        Taps of a window, steps between windows and between taps, and rows and columns before
        the first.
    outside : number
        What is seen where the image has ended.

    Returns
    -------
    array, shape (n, c, *kernel, *size)
    """
    padded = np.full((*x.shape[:2], *_extent(size, kernel, stride, dilation)), outside, x.dtype)
    inner, shown = _overlap(padded.shape, x.shape, padding)
    padded[inner] = x[shown]
    return _view(padded, size, stride, kernel, dilation)


def spread_windows(
    taps: Any, shape: tuple[int, ...], stride: Pair, padding: Pair, dilation: Pair = _ONE
) -> Any:
    """Return the transpose of `windows`: images of `shape` that each tap is added to."""
    kernel, size = taps.shape[2:4], taps.shape[4:]
    padded = np.zeros((*taps.shape[:2], *_extent(size, kernel, stride, dilation)), taps.dtype)
    for i, j in np.ndindex(*kernel):
        rows, columns = (
            slice(tap * d, tap * d + (n - 1) * s + 1, s)
            for tap, d, n, s in zip((i, j), dilation, size, stride, strict=True)
        )
        padded[:, :, rows, columns] += taps[:, :, i, j]
    images = np.zeros(shape, taps.dtype)
    inner, shown = _overlap(padded.shape, shape, padding)
    images[shown] = padded[inner]
    return images


def _extent(size: Sequence[int], kernel: Sequence[int], stride: Pair, dilation: Pair) -> Pair:
    """Return the size of the part of an image that windows cover, padding included."""
    high, wide = (
        max((n - 1) * s + (k - 1) * d + 1, 0) if n and k else 0
        for n, k, s, d in zip(size, kernel, stride, dilation, strict=True)
    )
    return high, wide


def _overlap(padded: Sequence[int], shape: Sequence[int], padding: Pair) -> tuple[Any, Any]:
    """Return which part of padded images is in the images, and which of these it is."""
    inner: list[slice] = [slice(None), slice(None)]
    shown: list[slice] = [slice(None), slice(None)]
    for have, size, before in zip(padded[2:], shape[2:], padding, strict=True):
        count = max(min(have - before, size), 0)
        inner.append(slice(before, before + count))
        shown.append(slice(0, count))
    return tuple(inner), tuple(shown)


def _view(padded: Any, size: Pair, stride: Pair, kernel: Pair, dilation: Pair) -> Any:
    n, c, h, w = padded.strides
    steps = (n, c, h * dilation[0], w * dilation[1], h * stride[0], w * stride[1])
    return np.lib.stride_tricks.as_strided(
        padded, (*padded.shape[:2], *kernel, *size), steps, writeable=False
    )


# -- pools ---------------------------------------------------------------------------------


def pool_windows(
    operation: str, ndim: int, kernel_size: Sizes, stride: Sizes | None, padding: Sizes
) -> tuple[Pair, Pair, Pair]:
    """Return size, stride and padding of the windows of a pool.

    Raises
    ------
    ArgumentError
        If one is out of range.
    """
    kernel = per_axis(operation, "kernel_size", kernel_size, ndim, 1)
    steps = kernel if stride is None else per_axis(operation, "stride", stride, ndim, 1)
    before = per_axis(operation, "padding", padding, ndim, 0)
    if any(p > k // 2 for p, k in zip(before, kernel, strict=True)):
        raise ArgumentError(
            f"{operation}: padding is {padding!r}",
            why=f"it must be at most half of kernel_size, {kernel_size!r}",
        )
    return kernel, steps, before


def pool_size(
    operation: str,
    ndim: int,
    image: Pair,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    ceil_mode: bool,
) -> Pair:
    """Return how many windows of a pool there are along each axis.

    Raises
    ------
    ShapeError
        If there are none.
    """
    high, wide = (
        count_windows(*axis, ceil_mode)
        for axis in zip(image, kernel, stride, padding, dilation, strict=True)
    )
    if min(high, wide) < 1:
        raise ShapeError(
            f"{operation}: a window of size {kernel[-ndim:]} is larger than the image",
            why=f"the image has size {image[-ndim:]}, {padding[-ndim:]} added at each edge; the"
            f" window's elements are {dilation[-ndim:]} apart",
        )
    return high, wide


def count_windows(
    size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> int:
    """Return how many windows there are along an axis."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    # the last one must begin within the image or the padding before it
    return count - 1 if (count - 1) * stride >= size + padding else count


# What both kinds of pools are tested on: shape of the images, and windows.
POOLS: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("plain", (2, 3, 4, 6), {"kernel": (2, 2), "stride": (2, 2)}),
    ("overlapping", (2, 2, 5, 6), {"kernel": (3, 2), "stride": (1, 1)}),
    ("padded", (1, 2, 5, 7), {"kernel": (3, 2), "stride": (2, 2), "padding": (1, 1)}),
    ("gaps", (1, 2, 7, 8), {"kernel": (1, 2), "stride": (3, 4)}),
    ("row", (2, 2, 1, 9), {"kernel": (1, 3), "stride": (1, 3)}),
    ("beyond", (1, 2, 5, 5), {"kernel": (2, 3), "stride": (2, 2), "size": (3, 3)}),
    ("no images", (0, 2, 4, 4), {"kernel": (2, 2), "stride": (2, 2)}),
]


def pool_geometry(shape: tuple[int, ...], given: dict[str, Any]) -> dict[str, Any]:
    """Return the static parameters of a pool of images of `shape`, those not `given` as usual."""
    found = {"padding": (0, 0), "dilation": (1, 1)} | given
    size = [
        count_windows(n, k, s, p, d, ceil_mode=False)
        for n, k, s, p, d in zip(
            shape[2:], *(found[name] for name in ("kernel", "stride", "padding", "dilation")),
            strict=True,
        )
    ]  # fmt: skip
    return {"size": tuple(size)} | found
