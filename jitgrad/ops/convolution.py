"""Convolutions: sums of products of images, shifted, and filters.

There are three operations, each the transpose of the others in one of its two inputs: from image
and filter to output, from output and filter to image, from image and output to filter. So
derivatives of every order are again these three.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import bind, box
from jitgrad.core.errors import ArgumentError, DtypeError, ShapeError
from jitgrad.core.primitive import (
    Call,
    Derivative,
    Examples,
    Primitive,
    Sample,
    SampleMaker,
    register,
    transposes,
)
from jitgrad.core.public import public
from jitgrad.core.spec import Spec
from jitgrad.ops.naming import shown_as
from jitgrad.ops.shape import reshape_to
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

# Static parameters of all three operations: `size` is that of the output's two last axes, and by
# it how far an image is padded beyond its far edges; `padding` is that before the near ones.
Geometry = dict[str, Any]


def _arguments(
    stride: Pair, padding: Pair, dilation: Pair, groups: int, size: Pair
) -> tuple[int, ...]:
    return (*stride, *padding, *dilation, groups)


def _in_groups(array: Any, groups: int, axis: int) -> list[Any]:
    return np.split(array, groups, axis)


def _convolve(
    x: Any, w: Any, stride: Pair, padding: Pair, dilation: Pair, groups: int, size: Pair
) -> Any:
    seen = windows(x, size, w.shape[2:], stride, padding, dilation)
    parts = [
        np.tensordot(filters, taps, ((1, 2, 3), (1, 2, 3))).swapaxes(0, 1)
        for filters, taps in zip(_in_groups(w, groups, 0), _in_groups(seen, groups, 1), strict=True)
    ]
    return np.concatenate(parts, 1)


def _convolve_input(
    y: Any, w: Any, stride: Pair, padding: Pair, dilation: Pair, groups: int, size: Pair
) -> Any:
    parts = [
        np.tensordot(outputs, filters, ((1,), (0,))).transpose(0, 3, 4, 5, 1, 2)
        for outputs, filters in zip(_in_groups(y, groups, 1), _in_groups(w, groups, 0), strict=True)
    ]
    taps = np.concatenate(parts, 1)
    return spread_windows(taps, (*taps.shape[:2], *size), stride, padding, dilation)


def _convolve_weight(
    x: Any, y: Any, stride: Pair, padding: Pair, dilation: Pair, groups: int, size: Pair
) -> Any:
    seen = windows(x, y.shape[2:], size, stride, padding, dilation)
    parts = [
        np.tensordot(outputs, taps, ((0, 2, 3), (0, 4, 5)))
        for outputs, taps in zip(_in_groups(y, groups, 1), _in_groups(seen, groups, 1), strict=True)
    ]
    return np.concatenate(parts, 0)


_CASES: list[tuple[str, tuple[int, ...], tuple[int, ...], Geometry]] = [
    ("plain", (2, 3, 5, 6), (4, 3, 3, 2), {}),
    ("padded", (2, 2, 4, 5), (3, 2, 3, 3), {"padding": (1, 2)}),
    ("strided", (2, 2, 7, 6), (3, 2, 3, 2), {"stride": (2, 3), "padding": (1, 0)}),
    ("dilated", (1, 2, 7, 9), (2, 2, 2, 3), {"dilation": (3, 2), "padding": (0, 1)}),
    ("both", (1, 1, 9, 9), (2, 1, 3, 2), {"stride": (2, 3), "dilation": (3, 2)}),
    ("groups", (2, 4, 4, 4), (6, 2, 3, 3), {"groups": 2, "padding": (1, 1)}),
    ("depthwise", (1, 3, 4, 5), (3, 1, 2, 2), {"groups": 3}),
    ("pointwise", (2, 3, 3, 4), (5, 3, 1, 1), {"stride": (2, 2)}),
    ("row", (2, 2, 1, 8), (3, 2, 1, 3), {"padding": (0, 1)}),
    ("wide", (2, 2, 3, 40), (7, 2, 3, 3), {"padding": (1, 1)}),
    ("no images", (0, 2, 4, 4), (3, 2, 3, 3), {}),
    ("no channels", (2, 0, 4, 4), (3, 0, 3, 3), {}),
]


def _output_size(size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    """Return how many windows fit into padded images along each axis."""
    high, wide = (
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    return high, wide


def _samples(which: tuple[int, int]) -> SampleMaker:
    """Return samples of two of the three arrays; the third one gives the size."""

    def make(rng: np.random.Generator) -> list[Sample]:
        samples = []
        for label, image, filters, given in _CASES:
            geometry: Geometry = {
                "stride": (1, 1),
                "padding": (0, 0),
                "dilation": (1, 1),
                "groups": 1,
            }
            geometry |= given
            stride, padding, dilation = (geometry[k] for k in ("stride", "padding", "dilation"))
            kernel: Any = filters[2:]
            size = _output_size((image[2], image[3]), kernel, stride, padding, dilation)
            shapes = (image, filters, (image[0], filters[0], *size))
            (missing,) = {0, 1, 2}.difference(which)
            geometry["size"] = shapes[missing][2:]
            arrays = tuple([rng.uniform(-2, 2, shapes[number]) for number in which])
            samples.append(Sample(arrays, geometry, label))
        return samples

    return make


def _batched_convolution(examples: Examples, images: Any, filters: Any, **geometry: Any) -> Any:
    """Take the examples for more images, where all have the same filters."""
    if examples.batched[1] or examples.primitive is convolution_weight:
        return None
    first, (output,) = examples.specs[0], examples.outputs
    flat = reshape_to(images, (examples.count * first.shape[0], *first.shape[1:]))
    made = bind(examples.primitive, (flat, filters), geometry)
    return reshape_to(made, (examples.count, *output.shape))


def _convolution(
    name: str,
    inputs: tuple[str, str],
    eager: Callable[..., Any],
    channels: Callable[[Spec, Spec, int], tuple[int, int]],
    derivative: Derivative,
    intrinsic: str,
    samples: tuple[int, int],
    doc: str,
) -> Primitive:
    def infer(first: Spec, second: Spec, **geometry: Any) -> Spec:
        leading = channels(first, second, geometry["groups"])
        return Spec((*leading, *geometry["size"]), first.dtype)

    return register(
        Primitive(
            name,
            inputs,
            eager,
            infer,
            derivative,
            Call(intrinsic, _arguments),
            _samples(samples),
            doc,
            "ConvolutionBackward0",
            batching=_batched_convolution,
        )
    )


def _size_of(spec: Spec) -> Pair:
    return spec.shape[2], spec.shape[3]


convolution: Primitive = _convolution(
    "convolution",
    ("x", "w"),
    _convolve,
    lambda x, w, groups: (x.shape[0], w.shape[0]),
    transposes(
        lambda ct, w, x_spec, stride, padding, dilation, groups: convolution_input(
            ct, w, stride=stride, padding=padding, dilation=dilation, groups=groups,
            size=_size_of(x_spec),
        ),
        lambda ct, x, w_spec, stride, padding, dilation, groups: convolution_weight(
            x, ct, stride=stride, padding=padding, dilation=dilation, groups=groups,
            size=_size_of(w_spec),
        ),
    ),
    "convolve",
    (0, 1),
    "Sums of products of images, shifted, and filters.",
)  # fmt: skip

convolution_input: Primitive = _convolution(
    "convolution_input",
    ("y", "w"),
    _convolve_input,
    lambda y, w, groups: (y.shape[0], groups * w.shape[1]),
    transposes(
        lambda ct, w, y_spec, stride, padding, dilation, groups: convolution(
            ct, w, stride=stride, padding=padding, dilation=dilation, groups=groups,
            size=_size_of(y_spec),
        ),
        lambda ct, y, w_spec, stride, padding, dilation, groups: convolution_weight(
            ct, y, stride=stride, padding=padding, dilation=dilation, groups=groups,
            size=_size_of(w_spec),
        ),
    ),
    "convolve_input",
    (2, 1),
    "Transpose of a convolution in the images.",
)  # fmt: skip

convolution_weight: Primitive = _convolution(
    "convolution_weight",
    ("x", "y"),
    _convolve_weight,
    lambda x, y, groups: (y.shape[1], x.shape[1] // groups),
    transposes(
        lambda ct, y, x_spec, stride, padding, dilation, groups: convolution_input(
            y, ct, stride=stride, padding=padding, dilation=dilation, groups=groups,
            size=_size_of(x_spec),
        ),
        lambda ct, x, y_spec, stride, padding, dilation, groups: convolution(
            x, ct, stride=stride, padding=padding, dilation=dilation, groups=groups,
            size=_size_of(y_spec),
        ),
    ),
    "convolve_weight",
    (0, 2),
    "Transpose of a convolution in the filters.",
)  # fmt: skip


# -- functions -----------------------------------------------------------------------------


@public(method=False, namespace="nn.functional")
def conv1d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Slide filters along sequences: sums of products at each place.

    Parameters
    ----------
    input : array_like, shape (n, c, l) or (c, l), floating
        Sequences of `c` channels.
    weight : array_like, shape (o, c / groups, k), dtype of `input`
        A filter for each channel of the output; it is not reversed.
    bias : array_like, shape (o,), optional
        Added to each channel.
    stride, dilation : int
        Steps between places, and between the taps of a filter.
    padding : int, or "same" or "valid"
        Zeros at both ends; ``"same"`` pads so that the length stays.
    groups : int
        Into how many groups the channels are divided, each with filters of its own.

    Returns
    -------
    Tensor, shape (n, o, length) or (o, length)
        The length is ``(l + 2 * padding - dilation * (k - 1) - 1) // stride + 1``.

    Raises
    ------
    ShapeError
        If the shapes do not fit together.
    DtypeError
        If a dtype is not floating, or they differ.
    ArgumentError
        If an argument is out of range.
    """
    return _forward("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


@public(method=False, namespace="nn.functional")
def conv2d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Slide filters over images: sums of products at each place.

    Parameters
    ----------
    input : array_like, shape (n, c, h, w) or (c, h, w), floating
        Images of `c` channels.
    weight : array_like, shape (o, c / groups, kh, kw), dtype of `input`
        A filter for each channel of the output; it is not reversed.
    bias : array_like, shape (o,), optional
        Added to each channel.
    stride, dilation : int or pair of int
        Steps between places, and between the taps of a filter.
    padding : int, pair of int, or "same" or "valid"
        Zeros at all edges; ``"same"`` pads so that the size stays.
    groups : int
        Into how many groups the channels are divided, each with filters of its own.

    Returns
    -------
    Tensor, shape (n, o, height, width) or (o, height, width)
        Height and width are ``(size + 2 * padding - dilation * (k - 1) - 1) // stride + 1``.

    Raises
    ------
    ShapeError
        If the shapes do not fit together.
    DtypeError
        If a dtype is not floating, or they differ.
    ArgumentError
        If an argument is out of range.
    """
    return _forward("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


@public(method=False, namespace="nn.functional")
def conv_transpose1d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """Map back from outputs of `conv1d` to sequences: its transpose.

    Parameters
    ----------
    input : array_like, shape (n, c, l) or (c, l), floating
        What a convolution may give.
    weight : array_like, shape (c, o / groups, k), dtype of `input`
        The convolution's filters.
    bias : array_like, shape (o,), optional
        Added to each channel.
    stride, padding, dilation : int
        As of the convolution.
    output_padding : int
        By how much the result is longer than the shortest that the convolution takes to this
        length.
    groups : int
        As of the convolution.

    Returns
    -------
    Tensor, shape (n, o, length) or (o, length)
        The length is ``(l - 1) * stride - 2 * padding + dilation * (k - 1) + output_padding + 1``.

    Raises
    ------
    ShapeError
        If the shapes do not fit together.
    DtypeError
        If a dtype is not floating, or they differ.
    ArgumentError
        If an argument is out of range.
    """
    return _transposed(
        "conv_transpose1d",
        1,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


@public(method=False, namespace="nn.functional")
def conv_transpose2d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """Map back from outputs of `conv2d` to images: its transpose.

    Parameters
    ----------
    input : array_like, shape (n, c, h, w) or (c, h, w), floating
        What a convolution may give.
    weight : array_like, shape (c, o / groups, kh, kw), dtype of `input`
        The convolution's filters.
    bias : array_like, shape (o,), optional
        Added to each channel.
    stride, padding, dilation : int or pair of int
        As of the convolution.
    output_padding : int or pair of int
        By how much the result is larger than the smallest that the convolution takes to this size.
    groups : int
        As of the convolution.

    Returns
    -------
    Tensor, shape (n, o, height, width) or (o, height, width)
        Height and width are
        ``(size - 1) * stride - 2 * padding + dilation * (k - 1) + output_padding + 1``.

    Raises
    ------
    ShapeError
        If the shapes do not fit together.
    DtypeError
        If a dtype is not floating, or they differ.
    ArgumentError
        If an argument is out of range.
    """
    return _transposed(
        "conv_transpose2d",
        2,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


def _forward(
    operation: str,
    ndim: int,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    stride: Sizes,
    padding: Sizes | str,
    dilation: Sizes,
    groups: int,
) -> Tensor:
    images = floating_images(operation, input, ndim)
    filters = _filters(operation, weight, ndim, images, groups, of_output=True)
    steps = per_axis(operation, "stride", stride, ndim, 1)
    gaps = per_axis(operation, "dilation", dilation, ndim, 1)
    kernel: Pair = filters.shape[2], filters.shape[3]
    if isinstance(padding, str):
        before, size = _named_padding(operation, padding, images.size, kernel, steps, gaps)
    else:
        before = per_axis(operation, "padding", padding, ndim, 0)
        size = _output_size(images.size, kernel, steps, before, gaps)
    if min(size) < 1:
        raise ShapeError(
            f"{operation}: a filter of size {kernel[-ndim:]} is larger than the image",
            why=f"the image has size {images.size[-ndim:]}, {before[-ndim:]} added at each edge;"
            f" the filter's taps are {gaps[-ndim:]} apart",
        )
    result = convolution(
        images.value, filters, stride=steps, padding=before, dilation=gaps, groups=groups, size=size
    )
    return _with_bias(operation, images, result, bias)


def _transposed(
    operation: str,
    ndim: int,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    groups: int,
    dilation: Sizes,
) -> Tensor:
    images = floating_images(operation, input, ndim)
    filters = _filters(operation, weight, ndim, images, groups, of_output=False)
    steps = per_axis(operation, "stride", stride, ndim, 1)
    gaps = per_axis(operation, "dilation", dilation, ndim, 1)
    before = per_axis(operation, "padding", padding, ndim, 0)
    more = per_axis(operation, "output_padding", output_padding, ndim, 0)
    if any(m >= max(s, d) and m for m, s, d in zip(more, steps, gaps, strict=True)):
        raise ArgumentError(
            f"{operation}: output_padding is {output_padding!r}",
            why="it must be less than stride or dilation",
        )
    high, wide = (
        (n - 1) * s - 2 * p + d * (k - 1) + m + 1
        for n, s, p, d, k, m in zip(
            images.size, steps, before, gaps, filters.shape[2:], more, strict=True
        )
    )
    if min(high, wide) < 1:
        raise ShapeError(
            f"{operation}: nothing is left of the result",
            why=f"its size would be {(high, wide)[-ndim:]}",
            do="pad less",
        )
    result = convolution_input(
        images.value, filters,
        stride=steps, padding=before, dilation=gaps, groups=groups, size=(high, wide),
    )  # fmt: skip
    return _with_bias(operation, images, result, bias)


def _filters(
    operation: str, weight: ArrayLike, ndim: int, images: Images, groups: int, of_output: bool
) -> Any:
    """Return filters of two axes; `of_output` says whether their first axis is the output's."""
    value = box(weight)
    shape = tuple(value.shape)
    if len(shape) != ndim + 2:
        raise ShapeError(
            f"{operation}: the weight has shape {shape}", why=f"it must have {ndim + 2} axes"
        )
    if value.dtype != images.value.dtype:
        raise DtypeError(
            f"{operation}: the input has dtype {images.value.dtype}, the weight {value.dtype}",
            why="they must be the same",
            do="convert one of them",
        )
    if groups < 1 or shape[0] % groups:
        raise ArgumentError(
            f"{operation}: groups is {groups}",
            why=f"the first axis of the weight, of size {shape[0]}, must be divisible by it",
        )
    channels = images.value.shape[1]
    wanted = shape[1] * groups if of_output else shape[0]
    if channels != wanted:
        axis = f"{shape[1]} for each of {groups} groups" if of_output else f"{shape[0]}"
        raise ShapeError(
            f"{operation}: the input has {channels} channels",
            why=f"a weight of shape {shape} takes {axis}",
        )
    return value if ndim == 2 else reshape_to(value, (*shape[:2], 1, shape[2]))


def _named_padding(
    operation: str, name: str, size: Pair, kernel: Pair, stride: Pair, dilation: Pair
) -> tuple[Pair, Pair]:
    """Return the padding at the near edges, and the size of the output."""
    if name == "valid":
        return (0, 0), _output_size(size, kernel, stride, (0, 0), dilation)
    if name != "same":
        raise ArgumentError(
            f"{operation}: padding is {name!r}", why="by name there are 'same' and 'valid'"
        )
    if stride != (1, 1):
        raise ArgumentError(
            f"{operation}: padding is 'same' and stride {stride}",
            why="only stride 1 keeps the size",
        )
    high, wide = ((k - 1) * d // 2 for k, d in zip(kernel, dilation, strict=True))
    return (high, wide), size


def _with_bias(operation: str, images: Images, result: Any, bias: ArrayLike | None) -> Tensor:
    if bias is not None:
        added = box(bias)
        channels = result.shape[1]
        if tuple(added.shape) != (channels,):
            raise ShapeError(
                f"{operation}: the bias has shape {tuple(added.shape)}",
                why=f"the output has {channels} channels, so it must be ({channels},)",
            )
        if added.dtype != result.dtype:
            raise DtypeError(
                f"{operation}: the input has dtype {result.dtype}, the bias {added.dtype}",
                why="they must be the same",
                do="convert one of them",
            )
        result = result + reshape_to(added, (channels, 1, 1))
    return shown_as("ConvolutionBackward0", images.restored(result))
