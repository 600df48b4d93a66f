"""Means of windows that slide over images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.primitive import Call, Primitive, Sample, register, transposes
from jitgrad.core.public import public
from jitgrad.core.spec import Spec
from jitgrad.ops.batching import merged
from jitgrad.ops.creation import ones
from jitgrad.ops.naming import shown_as
from jitgrad.ops.windows import (
    POOLS,
    Pair,
    Sizes,
    floating_images,
    per_axis,
    pool_geometry,
    pool_size,
    pool_windows,
    spread_windows,
    windows,
)

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


def _window_arguments(kernel: Pair, stride: Pair, padding: Pair, size: Pair) -> tuple[int, ...]:
    return (*kernel, *stride, *padding)


def _sum_samples(rng: np.random.Generator) -> list[Sample]:
    return [_without_dilation(rng, shape, shape, given, label) for label, shape, given in POOLS]


def _spread_samples(rng: np.random.Generator) -> list[Sample]:
    samples = []
    for label, shape, given in POOLS:
        size = pool_geometry(shape, given)["size"]
        sample = _without_dilation(rng, (*shape[:2], *size), shape, given, label)
        samples.append(Sample(sample.args, sample.params | {"size": shape[2:]}, label))
    return samples


def _without_dilation(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    image: tuple[int, ...],
    given: dict[str, Any],
    label: str,
) -> Sample:
    geometry = pool_geometry(image, given)
    del geometry["dilation"]
    return Sample((rng.uniform(-3, 3, shape),), geometry, label)


window_sum: Primitive = register(
    Primitive(
        "window_sum",
        ("x",),
        eager=lambda x, kernel, stride, padding, size: windows(
            x, size, kernel, stride, padding
        ).sum((2, 3), dtype=x.dtype),
        infer=lambda x, size, **geometry: Spec((*x.shape[:2], *size), x.dtype),
        derivative=transposes(
            lambda ct, x_spec, kernel, stride, padding: window_spread(
                ct, kernel=kernel, stride=stride, padding=padding, size=x_spec.shape[2:]
            )
        ),
        lowering=Call("window_sum", _window_arguments),
        samples=_sum_samples,
        doc="Sum of each window of images.",
        grad_name="AvgPool2DBackward0",
        batching=merged,
    )
)


def _window_spread(y: Any, kernel: Pair, stride: Pair, padding: Pair, size: Pair) -> Any:
    taps = np.broadcast_to(y[:, :, None, None], (*y.shape[:2], *kernel, *y.shape[2:]))
    return spread_windows(taps, (*y.shape[:2], *size), stride, padding)


window_spread: Primitive = register(
    Primitive(
        "window_spread",
        ("y",),
        eager=_window_spread,
        infer=lambda y, size, **geometry: Spec((*y.shape[:2], *size), y.dtype),
        derivative=transposes(
            lambda ct, y_spec, kernel, stride, padding: window_sum(
                ct, kernel=kernel, stride=stride, padding=padding, size=y_spec.shape[2:]
            )
        ),
        lowering=Call("window_spread", _window_arguments),
        samples=_spread_samples,
        doc="Images to each window of which an element is added.",
        grad_name="AvgPool2DBackwardBackward0",
        batching=merged,
    )
)


# -- functions -----------------------------------------------------------------------------


@public(method=False, namespace="nn.functional")
def avg_pool1d(
    input: ArrayLike,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Return the mean of each window of sequences.

    Parameters
    ----------
    input : array_like, shape (n, c, l) or (c, l), floating
        Sequences of `c` channels.
    kernel_size : int
        Elements in a window.
    stride : int, optional
        Steps between windows; `kernel_size` where not given.
    padding : int
        How many zeros there are at both ends; at most half of `kernel_size`.
    ceil_mode : bool
        Whether a last window counts that has room for its first element only.
    count_include_pad : bool
        Whether the zeros count among the elements.

    Returns
    -------
    Tensor, shape (n, c, length) or (c, length), dtype of `input`

    Raises
    ------
    ShapeError
        If a window is larger than the input.
    DtypeError
        If the input is not floating.
    ArgumentError
        If an argument is out of range.
    """
    return _avg_pool(
        "avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None
    )


@public(method=False, namespace="nn.functional")
def avg_pool2d(
    input: ArrayLike,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Return the mean of each window of images.

    Parameters
    ----------
    input : array_like, shape (n, c, h, w) or (c, h, w), floating
        Images of `c` channels.
    kernel_size : int or pair of int
        Rows and columns of a window.
    stride : int or pair of int, optional
        Steps between windows; `kernel_size` where not given.
    padding : int or pair of int
        How many zeros there are at the edges; at most half of `kernel_size`.
    ceil_mode : bool
        Whether a last window counts that has room for its first row or column only.
    count_include_pad : bool
        Whether the zeros count among the elements.
    divisor_override : int, optional
        What sums are divided by in place of the number of elements.

    Returns
    -------
    Tensor, shape (n, c, height, width) or (c, height, width), dtype of `input`

    Raises
    ------
    ShapeError
        If a window is larger than the input.
    DtypeError
        If the input is not floating.
    ArgumentError
        If an argument is out of range.
    """
    return _avg_pool(
        "avg_pool2d",
        2,
        input,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )


@public(method=False, namespace="nn.functional")
def adaptive_avg_pool1d(input: ArrayLike, output_size: int) -> Tensor:
    """Return means of parts of sequences that are as equally long as can be.

    Parameters
    ----------
    input : array_like, shape (n, c, l) or (c, l), floating
        Sequences of `c` channels.
    output_size : int
        How many parts there are; neighbours share elements where `l` is not divisible by it.

    Returns
    -------
    Tensor, shape (n, c, output_size) or (c, output_size), dtype of `input`

    Raises
    ------
    ShapeError
        If the input has another number of axes.
    DtypeError
        If it is not floating.
    ArgumentError
        If `output_size` is not positive.
    """
    images = floating_images("adaptive_avg_pool1d", input, 1)
    size = per_axis("adaptive_avg_pool1d", "output_size", output_size, 1, 1)
    return shown_as("AdaptiveAvgPool1DBackward0", images.restored(_parts(images.value, size)))


@public(method=False, namespace="nn.functional")
def adaptive_avg_pool2d(input: ArrayLike, output_size: Any) -> Tensor:
    """Return means of parts of images that are as equally large as can be.

    Parameters
    ----------
    input : array_like, shape (n, c, h, w) or (c, h, w), floating
        Images of `c` channels.
    output_size : int, or pair of int or None
        How many rows and columns of parts there are; None for as many as the image has. Neighbours
        share pixels where these sizes do not divide those of the image.

    Returns
    -------
    Tensor, shape (n, c, *output_size) or (c, *output_size), dtype of `input`

    Raises
    ------
    ShapeError
        If the input has another number of axes.
    DtypeError
        If it is not floating.
    ArgumentError
        If a size is not positive.
    """
    images = floating_images("adaptive_avg_pool2d", input, 2)
    given = (
        (output_size,) * 2 if output_size is None or isinstance(output_size, int) else output_size
    )
    wanted = [n if size is None else size for n, size in zip(images.size, given, strict=True)]
    size = per_axis("adaptive_avg_pool2d", "output_size", wanted, 2, 1)
    return shown_as("AdaptiveAvgPool2DBackward0", images.restored(_parts(images.value, size)))


def _parts(x: Any, size: Pair) -> Any:
    """Return the means of parts of images."""
    shape: Pair = x.shape[2], x.shape[3]
    if all(n % parts == 0 for n, parts in zip(shape, size, strict=True)):
        kernel = (shape[0] // size[0], shape[1] // size[1])
        total = window_sum(x, kernel=kernel, stride=kernel, padding=(0, 0), size=size)
        return total / (kernel[0] * kernel[1])
    above, beside = (box(_shares(n, parts, x.dtype)) for n, parts in zip(shape, size, strict=True))
    return above @ x @ beside.mT


def _shares(size: int, parts: int, dtype: Any) -> Any:
    """Return the matrix that takes the mean of each part of an axis."""
    matrix = np.zeros((parts, size), dtype)
    for part in range(parts):
        start, end = part * size // parts, -(-(part + 1) * size // parts)
        matrix[part, start:end] = 1 / (end - start)
    return matrix


def _avg_pool(
    operation: str,
    ndim: int,
    input: ArrayLike,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> Tensor:
    images = floating_images(operation, input, ndim)
    kernel, steps, before = pool_windows(operation, ndim, kernel_size, stride, padding)
    size = pool_size(operation, ndim, images.size, kernel, steps, before, (1, 1), ceil_mode)
    total = window_sum(images.value, kernel=kernel, stride=steps, padding=before, size=size)
    count: Any = kernel[0] * kernel[1] if divisor is None else divisor
    if divisor is None and (ceil_mode or (before != (0, 0) and not count_include_pad)):
        # Windows at the edges have fewer elements.
        high, wide = images.size
        if count_include_pad:
            high, wide, before = high + 2 * before[0], wide + 2 * before[1], (0, 0)
        count = window_sum(
            ones(1, 1, high, wide, dtype=images.value.dtype),
            kernel=kernel, stride=steps, padding=before, size=size,
        )  # fmt: skip
    return shown_as(f"AvgPool{ndim}DBackward0", images.restored(total / count))
