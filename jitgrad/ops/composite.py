"""Functions made of operations, which need no derivative rules of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from jitgrad.core.bind import box
from jitgrad.core.dtypes import get_default_dtype, is_floating
from jitgrad.core.errors import DtypeError
from jitgrad.core.public import public, publish
from jitgrad.core.shapes import AxisLike, normalize_axes, normalize_axis
from jitgrad.core.spec import Count, Shape
from jitgrad.ops.arithmetic import add, div, mul, reciprocal, sub
from jitgrad.ops.cast import convert, stop_gradient
from jitgrad.ops.comparison import isfinite, isnan
from jitgrad.ops.exponential import exp, log
from jitgrad.ops.extrema import amax_over
from jitgrad.ops.naming import shown_as
from jitgrad.ops.power import root_of_squares, square
from jitgrad.ops.reduction import in_dtype, sum_over
from jitgrad.ops.selection import maximum, select
from jitgrad.ops.spans import known_size

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


def _floating(operation: str, x: ArrayLike, dtype: npt.DTypeLike | None = None) -> Any:
    """Return `x` as a Tensor of a floating dtype.

    Raises
    ------
    DtypeError
        If its dtype is another.
    """
    value = in_dtype(x, dtype)
    if not is_floating(value.dtype):
        raise DtypeError(
            f"{operation}: the input has dtype {value.dtype}",
            why="the result is floating, in the dtype of the input",
            do=f"convert it first: x.float().{operation}(...)",
        )
    return value


def _count(shape: Shape, axes: tuple[int, ...], less: float = 0) -> Any:
    """Return how many elements are averaged over, less a number."""
    count: Any = 1
    for axis in axes:
        count *= known_size(shape[axis])
    return Count(max(count - less, 0)) if isinstance(count, int) else maximum(count - less, 0)


# -- averages and deviations ---------------------------------------------------------------


def mean_over(value: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    """Return the mean of a floating Tensor over axes (sorted, non-negative); nan of no elements."""
    count = _count(tuple(value.shape), axes)
    return div(sum_over(value, axes=axes, keepdims=keepdims), count)


@public()
def mean(
    x: ArrayLike,
    dim: AxisLike = None,
    keepdim: bool = False,
    *,
    dtype: npt.DTypeLike | None = None,
) -> Tensor:
    """Return the mean of the elements over axes.

    Parameters
    ----------
    x : array_like, floating
        Any shape.
    dim : int or tuple of int, optional
        Axes to average over; all of them where not given.
    keepdim : bool
        Whether the axes stay, with size 1.
    dtype : dtype_like, optional
        Convert `x` to this dtype first.

    Returns
    -------
    Tensor, dtype of `x`
        nan where there are no elements.

    Raises
    ------
    DtypeError
        If the dtype is not floating.
    """
    value = _floating("mean", x, dtype)
    axes = normalize_axes("mean", dim, value.ndim)
    name = "MeanBackward0" if dim is None else "MeanBackward1"
    return shown_as(name, mean_over(value, axes, keepdim))


@public()
def nanmean(x: ArrayLike, dim: AxisLike = None, keepdim: bool = False) -> Tensor:
    """Return the mean of the elements that are not nan, over axes.

    Parameters
    ----------
    x : array_like, floating
        Any shape.
    dim : int or tuple of int, optional
        Axes to average over; all of them where not given.
    keepdim : bool
        Whether the axes stay, with size 1.

    Returns
    -------
    Tensor, dtype of `x`
        nan where all elements are; the gradient of a nan is zero.
    """
    value = _floating("nanmean", x)
    axes = normalize_axes("nanmean", dim, value.ndim)
    missing = isnan(value)
    total = sum_over(select(missing, 0.0, value), axes=axes, keepdims=keepdim)
    count = sum_over(~missing, axes=axes, keepdims=keepdim)
    return shown_as("DivBackward0", div(total, count))


def _variance(
    operation: str,
    x: ArrayLike,
    dim: Any,
    keepdim: bool,
    correction: float | None,
    unbiased: bool | None,
) -> Any:
    value = _floating(operation, x)
    if isinstance(dim, bool):  # PyTorch's older form: var(x, unbiased)
        dim, unbiased = None, dim
    axes = normalize_axes(operation, dim, value.ndim)
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    divisor = _count(tuple(value.shape), axes, correction)
    deviations = sub(value, mean_over(value, axes, True))
    return div(sum_over(square(deviations), axes=axes, keepdims=keepdim), divisor)


@public()
def var(
    x: ArrayLike,
    dim: AxisLike = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    unbiased: bool | None = None,
) -> Tensor:
    """Return the variance of the elements over axes.

    Parameters
    ----------
    x : array_like, floating
        Any shape.
    dim : int or tuple of int, optional
        Axes to look along; all of them where not given.
    keepdim : bool
        Whether the axes stay, with size 1.
    correction : number, optional
        Subtracted from the number of elements, by which the sum of squares is divided; 1 as
        default.
    unbiased : bool, optional
        True stands for a correction of 1, False for 0.

    Returns
    -------
    Tensor, dtype of `x`
        In the units of `x` squared; nan where the divisor is zero.
    """
    return shown_as("VarBackward0", _variance("var", x, dim, keepdim, correction, unbiased))


@public()
def std(
    x: ArrayLike,
    dim: AxisLike = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    unbiased: bool | None = None,
) -> Tensor:
    """Return the standard deviation of the elements over axes.

    Parameters
    ----------
    x : array_like, floating
        Any shape.
    dim : int or tuple of int, optional
        Axes to look along; all of them where not given.
    keepdim : bool
        Whether the axes stay, with size 1.
    correction : number, optional
        Subtracted from the number of elements, by which the sum of squares is divided; 1 as
        default.
    unbiased : bool, optional
        True stands for a correction of 1, False for 0.

    Returns
    -------
    Tensor, dtype and units of `x`
        Its gradient is zero where all elements are equal.
    """
    variance = _variance("std", x, dim, keepdim, correction, unbiased)
    return shown_as("StdBackward0", root_of_squares(variance))


# -- exponentials that stay finite ---------------------------------------------------------


def finite_shift(value: Any, axes: tuple[int, ...]) -> Any:
    """Return the largest element over axes, which stay with size 1, as a constant.

    What is computed with the shift does not depend on it, so it needs no derivative. Where the
    largest element is infinite or nan the shift is zero.
    """
    largest = stop_gradient(amax_over(value, axes=axes, keepdims=True))
    return select(isfinite(largest), largest, 0.0)


@public()
def logsumexp(x: ArrayLike, dim: AxisLike, keepdim: bool = False) -> Tensor:
    """Return the logarithm of the sum of exponentials over axes, finite for all finite elements.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int or tuple of int
        Axes to sum over.
    keepdim : bool
        Whether the axes stay, with size 1.

    Returns
    -------
    Tensor, dtype of `x`
        The default dtype for integers and bool; minus infinity where there are no elements.
    """
    given = box(x)
    value = given if is_floating(given.dtype) else convert(given, get_default_dtype())
    axes = normalize_axes("logsumexp", dim, value.ndim)
    if not _count(tuple(value.shape), axes):
        return shown_as(
            "LogsumexpBackward0", log(sum_over(exp(value), axes=axes, keepdims=keepdim))
        )
    shift = finite_shift(value, axes)
    total = log(sum_over(exp(sub(value, shift)), axes=axes, keepdims=keepdim))
    if not keepdim:
        from jitgrad.ops.shape import reshape_to

        shift = reshape_to(shift, tuple(total.shape))
    return shown_as("LogsumexpBackward0", add(total, shift))


@public()
def softmax(x: ArrayLike, dim: int, *, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Return exponentials divided by their sum along an axis.

    Parameters
    ----------
    x : array_like, floating
        Any shape.
    dim : int
        The axis.
    dtype : dtype_like, optional
        Convert `x` to this dtype first.

    Returns
    -------
    Tensor, shape and dtype of `x`
        Positive, with sum 1 along the axis.

    Raises
    ------
    DtypeError
        If the dtype is not floating.
    """
    value = _floating("softmax", x, dtype)
    axes = _one_axis("softmax", dim, value)
    if not value.numel():
        return shown_as("SoftmaxBackward0", mul(value, 1))
    shift = stop_gradient(amax_over(value, axes=axes, keepdims=True))
    exponentials = exp(sub(value, shift))
    total = sum_over(exponentials, axes=axes, keepdims=True)
    # a product, whose derivative needs no division
    return shown_as("SoftmaxBackward0", mul(exponentials, reciprocal(total)))


@public()
def log_softmax(x: ArrayLike, dim: int, *, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Return the logarithm of `softmax` along an axis, finite for all finite elements.

    Parameters
    ----------
    x : array_like, floating
        Any shape.
    dim : int
        The axis.
    dtype : dtype_like, optional
        Convert `x` to this dtype first.

    Returns
    -------
    Tensor, shape and dtype of `x`
        Not positive.

    Raises
    ------
    DtypeError
        If the dtype is not floating.
    """
    value = _floating("log_softmax", x, dtype)
    axes = _one_axis("log_softmax", dim, value)
    if not value.numel():
        return shown_as("LogSoftmaxBackward0", mul(value, 1))
    shifted = sub(value, stop_gradient(amax_over(value, axes=axes, keepdims=True)))
    total = sum_over(exp(shifted), axes=axes, keepdims=True)
    return shown_as("LogSoftmaxBackward0", sub(shifted, log(total)))


def _one_axis(operation: str, dim: int, value: Any) -> tuple[int, ...]:
    axis = normalize_axis(operation, dim, value.ndim)
    return (axis,) if value.ndim else ()


publish(softmax, "softmax", method=False, namespace="nn.functional")
publish(log_softmax, "log_softmax", method=False, namespace="nn.functional")


# -- sums of products ----------------------------------------------------------------------


@public(inplace=True)
def lerp(x: ArrayLike, end: ArrayLike, weight: ArrayLike) -> Tensor:
    """Return ``x + weight * (end - x)``, the point between two others.

    Parameters
    ----------
    x, end, weight : array_like
        Shapes that broadcast.

    Returns
    -------
    Tensor
        Of the broadcast shape.
    """
    start = box(x)
    return shown_as("LerpBackward0", add(start, mul(sub(end, start), weight)))


@public(inplace=True)
def addcmul(x: ArrayLike, tensor1: ArrayLike, tensor2: ArrayLike, *, value: float = 1) -> Tensor:
    """Return ``x + value * tensor1 * tensor2``.

    Parameters
    ----------
    x, tensor1, tensor2 : array_like
        Shapes that broadcast.
    value : number
        Factor.

    Returns
    -------
    Tensor
        Of the broadcast shape.
    """
    product = mul(tensor1, tensor2)
    return shown_as("AddcmulBackward0", add(x, product if value == 1 else mul(product, value)))


@public(inplace=True)
def addcdiv(x: ArrayLike, tensor1: ArrayLike, tensor2: ArrayLike, *, value: float = 1) -> Tensor:
    """Return ``x + value * tensor1 / tensor2``.

    Parameters
    ----------
    x, tensor1, tensor2 : array_like
        Shapes that broadcast.
    value : number
        Factor.

    Returns
    -------
    Tensor
        Of the broadcast shape.
    """
    quotient = div(tensor1, tensor2)
    return shown_as("AddcdivBackward0", add(x, quotient if value == 1 else mul(quotient, value)))
