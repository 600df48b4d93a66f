"""Layers that take the largest element or the mean of windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from jitgrad.nn.module import Module
from jitgrad.ops.mean_pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    avg_pool1d,
    avg_pool2d,
)
from jitgrad.ops.pooling import max_pool1d, max_pool2d
from jitgrad.ops.windows import Sizes

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


class _MaxPool(Module):
    pool: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, x: ArrayLike) -> Any:
        """Return the largest element of each window, and where it is if that was asked for."""
        return type(self).pool(
            x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
            self.return_indices,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """Return the sizes."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding},"
            f" dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """Largest element of each window of sequences; see `max_pool1d`.

    Parameters
    ----------
    kernel_size : int
        Elements in a window.
    stride : int, optional
        Steps between windows; `kernel_size` where not given.
    padding, dilation : int
        By how much windows may extend beyond the ends, and steps between their elements.
    return_indices, ceil_mode : bool
        Whether to return where the elements are, too, and whether a last window counts that has
        room for its first element only.
    """

    pool = staticmethod(max_pool1d)


class MaxPool2d(_MaxPool):
    """Largest element of each window of images; see `max_pool2d`.

    Parameters
    ----------
    kernel_size : int or pair of int
        Rows and columns of a window.
    stride : int or pair of int, optional
        Steps between windows; `kernel_size` where not given.
    padding, dilation : int or pair of int
        By how much windows may extend beyond the edges, and steps between their elements.
    return_indices, ceil_mode : bool
        Whether to return where the elements are, too, and whether a last window counts that has
        room for its first row or column only.

    Examples
    --------
    >>> import jitgrad
    >>> jitgrad.nn.MaxPool2d(2)(jitgrad.ones(4, 3, 8, 8)).shape
    (4, 3, 4, 4)
    """

    pool = staticmethod(max_pool2d)


class AvgPool1d(Module):
    """Mean of each window of sequences; see `avg_pool1d`.

    Parameters
    ----------
    kernel_size : int
        Elements in a window.
    stride : int, optional
        Steps between windows; `kernel_size` where not given.
    padding : int
        How many zeros there are at both ends.
    ceil_mode, count_include_pad : bool
        Whether a last window counts that has room for its first element only, and whether the zeros
        count among the elements.
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, x: ArrayLike) -> Tensor:
        """Return the mean of each window."""
        return avg_pool1d(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(AvgPool1d):
    """Mean of each window of images; see `avg_pool2d`.

    Parameters
    ----------
    kernel_size : int or pair of int
        Rows and columns of a window.
    stride : int or pair of int, optional
        Steps between windows; `kernel_size` where not given.
    padding : int or pair of int
        How many zeros there are at the edges.
    ceil_mode, count_include_pad : bool
        Whether a last window counts that has room for its first row or column only, and whether the
        zeros count among the elements.
    divisor_override : int, optional
        What sums are divided by in place of the number of elements.
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        self.divisor_override = divisor_override

    def forward(self, x: ArrayLike) -> Tensor:
        """Return the mean of each window."""
        return avg_pool2d(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
            self.divisor_override,
        )  # fmt: skip


class AdaptiveAvgPool1d(Module):
    """Means of parts of sequences; see `adaptive_avg_pool1d`.

    Parameters
    ----------
    output_size : int
        How many parts there are.
    """

    def __init__(self, output_size: int) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, x: ArrayLike) -> Tensor:
        """Return the mean of each part."""
        return adaptive_avg_pool1d(x, self.output_size)

    def extra_repr(self) -> str:
        """Return the size."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool2d(Module):
    """Means of parts of images; see `adaptive_avg_pool2d`.

    Parameters
    ----------
    output_size : int or pair of int or None
        How many rows and columns of parts there are; None for as many as the image has.
    """

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, x: ArrayLike) -> Tensor:
        """Return the mean of each part."""
        return adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:
        """Return the size."""
        return f"output_size={self.output_size}"
