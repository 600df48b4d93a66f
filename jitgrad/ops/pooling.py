"""Largest elements and means of windows that slide over images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.dtypes import bool_, int64, is_floating
from jitgrad.core.errors import ArgumentError, DtypeError, ShapeError
from jitgrad.core.primitive import Call, Primitive, Sample, none, register, transposes
from jitgrad.core.public import public
from jitgrad.core.spec import Spec
from jitgrad.ops.creation import ones
from jitgrad.ops.naming import shown_as
from jitgrad.ops.windows import (
    Images,
    Pair,
    Sizes,
    floating_images,
    per_axis,
    spread_windows,
    windows,
)

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


# -- largest elements ----------------------------------------------------------------------


def _window_argmax(
    x: Any, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, size: Pair
) -> Any:
    taps = windows(x, size, kernel, stride, padding, dilation)
    inside = windows(np.ones_like(x, bool), size, kernel, stride, padding, dilation, False)
    height, width = x.shape[2:]
    numbers = np.broadcast_to(np.arange(height * width).reshape(height, width), x.shape)
    places = windows(numbers, size, kernel, stride, padding, dilation)
    flat = (*x.shape[:2], kernel[0] * kernel[1], *size)
    taps, inside, places = (a.reshape(flat) for a in (taps, inside, places))
    lowest = -np.inf if is_floating(x.dtype) else np.iinfo(x.dtype).min
    # of several nans the last one counts, otherwise the first of the largest
    nans = np.isnan(taps) & inside
    last_nan = flat[2] - 1 - nans[:, :, ::-1].argmax(2)
    largest = np.where(inside, taps, lowest)
    first = (inside & (largest == largest.max(2, keepdims=True))).argmax(2)
    chosen = np.where(nans.any(2), last_nan, first)
    return np.take_along_axis(places, chosen[:, :, None], 2)[:, :, 0]


_POOLS: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("plain", (2, 3, 4, 6), {"kernel": (2, 2), "stride": (2, 2)}),
    ("overlapping", (2, 2, 5, 6), {"kernel": (3, 2), "stride": (1, 1)}),
    ("padded", (1, 2, 5, 7), {"kernel": (3, 2), "stride": (2, 2), "padding": (1, 1)}),
    ("gaps", (1, 2, 7, 8), {"kernel": (1, 2), "stride": (3, 4)}),
    ("row", (2, 2, 1, 9), {"kernel": (1, 3), "stride": (1, 3)}),
    ("beyond", (1, 2, 5, 5), {"kernel": (2, 3), "stride": (2, 2), "size": (3, 3)}),
    ("no images", (0, 2, 4, 4), {"kernel": (2, 2), "stride": (2, 2)}),
]
_DILATED = [
    ("dilated", (1, 2, 7, 9), {"kernel": (2, 3), "stride": (2, 1), "dilation": (3, 2)}),
    ("both", (1, 1, 6, 6), {"kernel": (3, 3), "stride": (2, 2), "dilation": (2, 2)}),
]


def _geometry(shape: tuple[int, ...], given: dict[str, Any]) -> dict[str, Any]:
    found = {"padding": (0, 0), "dilation": (1, 1)} | given
    size = [
        _count(n, k, s, p, d, ceil_mode=False)
        for n, k, s, p, d in zip(
            shape[2:], *(found[name] for name in ("kernel", "stride", "padding", "dilation")),
            strict=True,
        )
    ]  # fmt: skip
    return {"size": tuple(size)} | found


def _argmax_samples(rng: np.random.Generator) -> list[Sample]:
    samples = [
        Sample((rng.uniform(-3, 3, shape),), _geometry(shape, given), label)
        for label, shape, given in _POOLS + _DILATED
    ]
    _, shape, given = _POOLS[1]
    equal = rng.integers(0, 2, shape).astype(float)
    return [
        *samples,
        Sample((equal,), _geometry(shape, given), "equal"),
        Sample((equal.astype(np.int64),), _geometry(shape, given), "integers"),
    ]


window_argmax: Primitive = register(
    Primitive(
        "window_argmax",
        ("x",),
        eager=_window_argmax,
        infer=lambda x, size, **geometry: Spec((*x.shape[:2], *size), int64),
        derivative=none("indices do not vary continuously"),
        lowering=Call(
            "window_argmax",
            lambda kernel, stride, padding, dilation, size: (
                *kernel, *stride, *padding, *dilation,
            ),
        ),
        samples=_argmax_samples,
        doc="Where in its image the first largest element of each window is, counted by rows.",
        grad_name="",
    )
)  # fmt: skip


def _flat(x: Any) -> Any:
    return x.reshape(*x.shape[:2], x.shape[2] * x.shape[3])


def _take(x: Any, places: Any) -> Any:
    return np.take_along_axis(_flat(x), _flat(places), 2).reshape(places.shape)


def _put(y: Any, places: Any, size: Pair) -> Any:
    images, channels = y.shape[:2]
    out = np.zeros((images, channels, size[0] * size[1]), y.dtype)
    leading = (np.arange(images)[:, None, None], np.arange(channels)[:, None])
    np.add.at(out, (*leading, _flat(places)), _flat(y))
    return out.reshape(images, channels, *size)


_PLACES = [("plain", (2, 3), (4, 5), (2, 3)), ("none", (0, 2), (2, 2), (1, 1))]


def _take_samples(rng: np.random.Generator) -> list[Sample]:
    return [
        Sample(
            (rng.uniform(-2, 2, (*lead, *size)), rng.integers(0, size[0] * size[1], (*lead, *out))),
            {},
            label,
        )
        for label, lead, size, out in _PLACES
    ]


def _put_samples(rng: np.random.Generator) -> list[Sample]:
    return [
        Sample(
            (rng.uniform(-2, 2, (*lead, *out)), rng.integers(0, size[0] * size[1], (*lead, *out))),
            {"size": size},
            label,
        )
        for label, lead, size, out in _PLACES
    ]


take_in_planes: Primitive = register(
    Primitive(
        "take_in_planes",
        ("x", "places"),
        eager=_take,
        infer=lambda x, places: Spec(places.shape, x.dtype),
        derivative=transposes(
            lambda ct, places, x_spec: put_in_planes(ct, places, size=x_spec.shape[2:]), None
        ),
        lowering=Call("take_in_planes", lambda: ()),
        samples=_take_samples,
        doc="Elements of images at places in them.",
        grad_name="MaxPool2DWithIndicesBackward0",
    )
)

put_in_planes: Primitive = register(
    Primitive(
        "put_in_planes",
        ("y", "places"),
        eager=_put,
        infer=lambda y, places, size: Spec((*y.shape[:2], *size), y.dtype),
        derivative=transposes(lambda ct, places: take_in_planes(ct, places), None),
        lowering=Call("put_in_planes", lambda size: ()),
        samples=_put_samples,
        doc="Images of zeros to which elements are added at places in them.",
        grad_name="MaxPool2DWithIndicesBackwardBackward0",
    )
)


# -- sums ----------------------------------------------------------------------------------


def _window_arguments(kernel: Pair, stride: Pair, padding: Pair, size: Pair) -> tuple[int, ...]:
    return (*kernel, *stride, *padding)


def _sum_samples(rng: np.random.Generator) -> list[Sample]:
    return [_without_dilation(rng, shape, shape, given, label) for label, shape, given in _POOLS]


def _spread_samples(rng: np.random.Generator) -> list[Sample]:
    samples = []
    for label, shape, given in _POOLS:
        size = _geometry(shape, given)["size"]
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
    geometry = _geometry(image, given)
    del geometry["dilation"]
    return Sample((rng.uniform(-3, 3, shape),), geometry, label)


window_sum: Primitive = register(
    Primitive(
        "window_sum",
        ("x",),
        eager=lambda x, kernel, stride, padding, size: (
            windows(x, size, kernel, stride, padding).sum((2, 3), dtype=x.dtype)
        ),
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
    )
)


# -- functions -----------------------------------------------------------------------------


@public(method=False, namespace="nn.functional")
def max_pool1d(
    input: ArrayLike,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Return the largest element of each window of sequences.

    Parameters
    ----------
    input : array_like, shape (n, c, l) or (c, l)
        Sequences of `c` channels.
    kernel_size : int
        Elements in a window.
    stride : int, optional
        Steps between windows; `kernel_size` where not given.
    padding : int
        By how much windows may begin before the first element, and end after the last one; at most
        half of `kernel_size`. What lies there does not count.
    dilation : int
        Steps between the elements of a window.
    ceil_mode : bool
        Whether a last window counts that has room for its first element only.
    return_indices : bool
        Whether to return where the elements are, too.

    Returns
    -------
    Tensor, shape (n, c, length) or (c, length); or a pair with a Tensor of int64
        Of equal elements the first one counts and gets the gradient; nan is larger than any other.

    Raises
    ------
    ShapeError
        If a window is larger than the input.
    ArgumentError
        If an argument is out of range.
    """
    return _max_pool(
        "max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


@public(method=False, namespace="nn.functional")
def max_pool2d(
    input: ArrayLike,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Return the largest element of each window of images.

    Parameters
    ----------
    input : array_like, shape (n, c, h, w) or (c, h, w)
        Images of `c` channels.
    kernel_size : int or pair of int
        Rows and columns of a window.
    stride : int or pair of int, optional
        Steps between windows; `kernel_size` where not given.
    padding : int or pair of int
        By how much windows may begin before the first row and column, and end after the last ones;
        at most half of `kernel_size`. What lies there does not count.
    dilation : int or pair of int
        Steps between the rows and columns of a window.
    ceil_mode : bool
        Whether a last window counts that has room for its first row or column only.
    return_indices : bool
        Whether to return where in its image the elements are, too, counted row by row.

    Returns
    -------
    Tensor, shape (n, c, height, width) or (c, height, width); or a pair with a Tensor of int64
        Of equal elements the first one counts and gets the gradient; nan is larger than any other.

    Raises
    ------
    ShapeError
        If a window is larger than the input.
    ArgumentError
        If an argument is out of range.
    """
    return _max_pool(
        "max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


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
    Tensor, shape (n, c, \\*output_size) or (c, \\*output_size), dtype of `input`

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
    given = (output_size,) * 2 if output_size is None or isinstance(output_size, int) else output_size
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
    above, beside = (
        box(_shares(n, parts, x.dtype)) for n, parts in zip(shape, size, strict=True)
    )
    return above @ x @ beside.mT


def _shares(size: int, parts: int, dtype: Any) -> Any:
    """Return the matrix that takes the mean of each part of an axis."""
    matrix = np.zeros((parts, size), dtype)
    for part in range(parts):
        start, end = part * size // parts, -(-(part + 1) * size // parts)
        matrix[part, start:end] = 1 / (end - start)
    return matrix


def _max_pool(
    operation: str,
    ndim: int,
    input: ArrayLike,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    images = Images.of(operation, input, ndim)
    if images.value.dtype == bool_:
        raise DtypeError(f"{operation}: booleans are not taken", do="convert them: x.float()")
    kernel, steps, before = _windows_of(operation, ndim, kernel_size, stride, padding)
    gaps = per_axis(operation, "dilation", dilation, ndim, 1)
    size = _size(operation, ndim, images.size, kernel, steps, before, gaps, ceil_mode)
    places = window_argmax(
        images.value, kernel=kernel, stride=steps, padding=before, dilation=gaps, size=size
    )
    largest = images.restored(take_in_planes(images.value, places))
    result = shown_as("MaxPool2DWithIndicesBackward0", largest)
    return (result, images.restored(places)) if return_indices else result


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
    kernel, steps, before = _windows_of(operation, ndim, kernel_size, stride, padding)
    size = _size(operation, ndim, images.size, kernel, steps, before, (1, 1), ceil_mode)
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


def _windows_of(
    operation: str, ndim: int, kernel_size: Sizes, stride: Sizes | None, padding: Sizes
) -> tuple[Pair, Pair, Pair]:
    kernel = per_axis(operation, "kernel_size", kernel_size, ndim, 1)
    steps = kernel if stride is None else per_axis(operation, "stride", stride, ndim, 1)
    before = per_axis(operation, "padding", padding, ndim, 0)
    if any(p > k // 2 for p, k in zip(before, kernel, strict=True)):
        raise ArgumentError(
            f"{operation}: padding is {padding!r}",
            why=f"it must be at most half of kernel_size, {kernel_size!r}",
        )
    return kernel, steps, before


def _size(
    operation: str,
    ndim: int,
    image: Pair,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    ceil_mode: bool,
) -> Pair:
    high, wide = (
        _count(*axis, ceil_mode)
        for axis in zip(image, kernel, stride, padding, dilation, strict=True)
    )
    if min(high, wide) < 1:
        raise ShapeError(
            f"{operation}: a window of size {kernel[-ndim:]} is larger than the image",
            why=f"the image has size {image[-ndim:]}, {padding[-ndim:]} added at each edge; the"
            f" window's elements are {dilation[-ndim:]} apart",
        )
    return high, wide


def _count(
    size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> int:
    """Return how many windows there are along an axis."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    # the last one must begin within the image or the padding before it
    return count - 1 if (count - 1) * stride >= size + padding else count
