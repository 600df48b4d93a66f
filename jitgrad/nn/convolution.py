"""Layers that slide filters over sequences and images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy.typing as npt

from jitgrad.core.errors import ArgumentError
from jitgrad.nn.init import kaiming_uniform_, uniform_
from jitgrad.nn.module import Module
from jitgrad.nn.parameter import Parameter
from jitgrad.ops.convolution import conv1d, conv2d, conv_transpose1d, conv_transpose2d
from jitgrad.ops.creation import zeros
from jitgrad.ops.windows import Sizes

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


class _Convolution(Module):
    """What the layers share; parameters as in PyTorch."""

    ndim: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        shape: tuple[int, int],
        kernel_size: Sizes,
        stride: Sizes,
        padding: Sizes | str,
        dilation: Sizes,
        groups: int,
        bias: bool,
        dtype: npt.DTypeLike | None,
    ) -> None:
        super().__init__()
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ArgumentError(
                f"{type(self).__name__}: groups is {groups}",
                why=f"{in_channels} channels of the input and {out_channels} of the output must be"
                " divisible by it",
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _expanded(kernel_size, self.ndim)
        self.stride = _expanded(stride, self.ndim)
        self.padding = padding if isinstance(padding, str) else _expanded(padding, self.ndim)
        self.dilation = _expanded(dilation, self.ndim)
        self.output_padding = (0,) * self.ndim
        self.groups = groups
        self.weight = Parameter(zeros(*shape, *self.kernel_size, dtype=dtype))
        self.bias: Parameter | None = None
        if bias:
            self.bias = Parameter(zeros(out_channels, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            terms = math.prod(self.weight.shape[1:])
            bound = 1 / math.sqrt(terms) if terms else 0.0
            uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        """Return the sizes, and what is not as usual."""
        parts = [
            f"{self.in_channels}, {self.out_channels}",
            f"kernel_size={self.kernel_size}",
            f"stride={self.stride}",
        ]
        usual: dict[str, Any] = {
            "padding": (0,) * self.ndim,
            "dilation": (1,) * self.ndim,
            "output_padding": (0,) * self.ndim,
            "groups": 1,
        }
        parts += [
            f"{name}={getattr(self, name)}" for name in usual if getattr(self, name) != usual[name]
        ]
        parts += [] if self.bias is not None else ["bias=False"]
        return ", ".join(parts)


def _expanded(given: Sizes, ndim: int) -> tuple[int, ...]:
    return (given,) * ndim if isinstance(given, int) else tuple(given)


class _Forward(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        shape = (out_channels, in_channels // groups if groups > 0 else 0)
        super().__init__(
            in_channels, out_channels, shape, kernel_size, stride, padding, dilation, groups, bias,
            dtype,
        )  # fmt: skip


class Conv1d(_Forward):
    """Filters that slide along sequences; see `conv1d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Of the input and the output.
    kernel_size : int
        Taps of a filter.
    stride, dilation : int
        Steps between places, and between taps.
    padding : int, or "same" or "valid"
        Zeros at both ends.
    groups : int
        Into how many groups the channels are divided.
    bias : bool
        Whether to add a bias.
    dtype : dtype_like, optional
        Dtype of the parameters; the default dtype where not given.

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels / groups, kernel_size)
        First values uniform within ``1 / sqrt(n)`` of zero, `n` the number of terms of an output.
    bias : Parameter, shape (out_channels,), or None
        First values likewise.

    Examples
    --------
    >>> import jitgrad
    >>> jitgrad.nn.Conv1d(3, 2, 5)(jitgrad.ones(4, 3, 20)).shape
    (4, 2, 16)
    """

    ndim = 1

    def forward(self, x: ArrayLike) -> Tensor:
        """Return the convolution of `x` with the filters."""
        return conv1d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


class Conv2d(_Forward):
    """Filters that slide over images; see `conv2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Of the input and the output.
    kernel_size : int or pair of int
        Rows and columns of a filter.
    stride, dilation : int or pair of int
        Steps between places, and between taps.
    padding : int, pair of int, or "same" or "valid"
        Zeros at all edges.
    groups : int
        Into how many groups the channels are divided.
    bias : bool
        Whether to add a bias.
    dtype : dtype_like, optional
        Dtype of the parameters; the default dtype where not given.

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels / groups, *kernel_size)
        First values uniform within ``1 / sqrt(n)`` of zero, `n` the number of terms of an output.
    bias : Parameter, shape (out_channels,), or None
        First values likewise.

    Examples
    --------
    >>> import jitgrad
    >>> jitgrad.nn.Conv2d(3, 2, 5, padding="same")(jitgrad.ones(4, 3, 8, 8)).shape
    (4, 2, 8, 8)
    """

    ndim = 2

    def forward(self, x: ArrayLike) -> Tensor:
        """Return the convolution of `x` with the filters."""
        return conv2d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


class _Transposed(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        shape = (in_channels, out_channels // groups if groups > 0 else 0)
        super().__init__(
            in_channels, out_channels, shape, kernel_size, stride, padding, dilation, groups, bias,
            dtype,
        )  # fmt: skip
        self.output_padding = _expanded(output_padding, self.ndim)


class ConvTranspose1d(_Transposed):
    """The transpose of a convolution of sequences; see `conv_transpose1d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Of the input and the output.
    kernel_size : int
        Taps of a filter.
    stride, padding, dilation : int
        As of the convolution.
    output_padding : int
        By how much the result is longer than need be.
    groups : int
        Into how many groups the channels are divided.
    bias : bool
        Whether to add a bias.
    dtype : dtype_like, optional
        Dtype of the parameters; the default dtype where not given.

    Attributes
    ----------
    weight : Parameter, shape (in_channels, out_channels / groups, kernel_size)
        First values uniform within ``1 / sqrt(out_channels / groups * kernel_size)`` of zero.
    bias : Parameter, shape (out_channels,), or None
        First values likewise.
    """

    ndim = 1

    def forward(self, x: ArrayLike) -> Tensor:
        """Return what a convolution with the filters is the transpose of."""
        return conv_transpose1d(
            x, self.weight, self.bias, self.stride, self.padding,  # type: ignore[arg-type]
            self.output_padding, self.groups, self.dilation,
        )  # fmt: skip


class ConvTranspose2d(_Transposed):
    """The transpose of a convolution of images; see `conv_transpose2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Of the input and the output.
    kernel_size : int or pair of int
        Rows and columns of a filter.
    stride, padding, dilation : int or pair of int
        As of the convolution.
    output_padding : int or pair of int
        By how much the result is larger than need be.
    groups : int
        Into how many groups the channels are divided.
    bias : bool
        Whether to add a bias.
    dtype : dtype_like, optional
        Dtype of the parameters; the default dtype where not given.

    Attributes
    ----------
    weight : Parameter, shape (in_channels, out_channels / groups, *kernel_size)
        First values uniform within ``1 / sqrt(out_channels / groups * kh * kw)`` of zero.
    bias : Parameter, shape (out_channels,), or None
        First values likewise.
    """

    ndim = 2

    def forward(self, x: ArrayLike) -> Tensor:
        """Return what a convolution with the filters is the transpose of."""
        return conv_transpose2d(
            x, self.weight, self.bias, self.stride, self.padding,  # type: ignore[arg-type]
            self.output_padding, self.groups, self.dilation,
        )  # fmt: skip
