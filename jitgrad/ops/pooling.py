"""Largest elements of windows that slide over images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.dtypes import bool_, int64, is_floating
from jitgrad.core.errors import DtypeError
from jitgrad.core.primitive import Call, Primitive, Sample, none, register, transposes
from jitgrad.core.public import public
from jitgrad.core.spec import Spec
from jitgrad.ops.batching import merged
from jitgrad.ops.naming import shown_as
from jitgrad.ops.windows import (
    POOLS,
    Images,
    Pair,
    Sizes,
    per_axis,
    pool_geometry,
    pool_size,
    pool_windows,
    windows,
)

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike


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


_DILATED = [
    ("dilated", (1, 2, 7, 9), {"kernel": (2, 3), "stride": (2, 1), "dilation": (3, 2)}),
    ("both", (1, 1, 6, 6), {"kernel": (3, 3), "stride": (2, 2), "dilation": (2, 2)}),
]


def _argmax_samples(rng: np.random.Generator) -> list[Sample]:
    samples = [
        Sample((rng.uniform(-3, 3, shape),), pool_geometry(shape, given), label)
        for label, shape, given in POOLS + _DILATED
    ]
    _, shape, given = POOLS[1]
    equal = rng.integers(0, 2, shape).astype(float)
    return [
        *samples,
        Sample((equal,), pool_geometry(shape, given), "equal"),
        Sample((equal.astype(np.int64),), pool_geometry(shape, given), "integers"),
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
        batching=merged,
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
        batching=merged,
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
        batching=merged,
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
    kernel, steps, before = pool_windows(operation, ndim, kernel_size, stride, padding)
    gaps = per_axis(operation, "dilation", dilation, ndim, 1)
    size = pool_size(operation, ndim, images.size, kernel, steps, before, gaps, ceil_mode)
    places = window_argmax(
        images.value, kernel=kernel, stride=steps, padding=before, dilation=gaps, size=size
    )
    largest = images.restored(take_in_planes(images.value, places))
    result = shown_as("MaxPool2DWithIndicesBackward0", largest)
    return (result, images.restored(places)) if return_indices else result
