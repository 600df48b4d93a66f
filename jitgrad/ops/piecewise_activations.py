"""Piecewise activations, such as hard tanh and leaky relu, and smooth forms of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitgrad.core.bind import box
from jitgrad.core.public import public
from jitgrad.core.shapes import normalize_axis
from jitgrad.ops.activations import elu, softplus_primitive
from jitgrad.ops.exponential import expm1, sigmoid, tanh
from jitgrad.ops.joining import chunk
from jitgrad.ops.naming import shown_as
from jitgrad.ops.selection import select
from jitgrad.ops.shape import reshape_to

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor

# Mean 0 and variance 1 stay so from layer to layer [1]_ of `selu`.
_SELU_SCALE = 1.0507009873554804934193349852946
_SELU_ALPHA = 1.6732632423543772848170429916717


@public(method=False, namespace="nn.functional")
def hardtanh(x: ArrayLike, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """Return each element, or the bound that it is beyond; the slope at the bounds is 0.

    Parameters
    ----------
    x : array_like
        Any shape.
    min_val, max_val : float
        The bounds.

    Returns
    -------
    Tensor, shape and dtype of `x`
    """
    value = box(x)
    inside = select(value <= min_val, min_val, select(value >= max_val, max_val, value))
    return shown_as("HardtanhBackward0", inside)


@public(method=False, namespace="nn.functional")
def relu6(x: ArrayLike) -> Tensor:
    """Return each element, but at least 0 and at most 6.

    Parameters
    ----------
    x : array_like, any shape

    Returns
    -------
    Tensor, shape and dtype of `x`
    """
    return hardtanh(x, 0.0, 6.0)


@public(method=False, namespace="nn.functional")
def hardsigmoid(x: ArrayLike) -> Tensor:
    """Return ``x / 6 + 1 / 2``, but at least 0 and at most 1.

    Parameters
    ----------
    x : array_like, any shape

    Returns
    -------
    Tensor, shape and dtype of `x`
    """
    value = box(x)
    inside = select(value <= -3, 0.0, select(value >= 3, 1.0, value / 6 + 0.5))
    return shown_as("HardsigmoidBackward0", inside)


@public(method=False, namespace="nn.functional")
def hardswish(x: ArrayLike) -> Tensor:
    """Return ``x * hardsigmoid(x)``.

    Parameters
    ----------
    x : array_like, any shape

    Returns
    -------
    Tensor, shape and dtype of `x`
    """
    value = box(x)
    bent = select(value <= -3, 0.0, select(value >= 3, value, value * (value / 6 + 0.5)))
    return shown_as("HardswishBackward0", bent)


@public(method=False, namespace="nn.functional")
def softshrink(x: ArrayLike, lambd: float = 0.5) -> Tensor:
    """Return each element moved towards zero, and zero for those nearer to it than that.

    Parameters
    ----------
    x : array_like
        Any shape.
    lambd : float
        How far.

    Returns
    -------
    Tensor, shape and dtype of `x`
    """
    value = box(x)
    moved = select(value > lambd, value - lambd, select(value < -lambd, value + lambd, 0.0))
    return shown_as("SoftshrinkBackward0", moved)


@public(method=False, namespace="nn.functional")
def hardshrink(x: ArrayLike, lambd: float = 0.5) -> Tensor:
    """Return each element, and zero for those near to it.

    Parameters
    ----------
    x : array_like
        Any shape.
    lambd : float
        How near.

    Returns
    -------
    Tensor, shape and dtype of `x`
    """
    value = box(x)
    return shown_as("HardshrinkBackward0", select(abs(value) > lambd, value, 0.0))


@public(method=False, namespace="nn.functional")
def threshold(x: ArrayLike, threshold: float, value: float) -> Tensor:
    """Return each element above a threshold, and one value in place of the others.

    Parameters
    ----------
    x : array_like
        Any shape.
    threshold, value : float
        The threshold, and what stands for elements up to it.

    Returns
    -------
    Tensor, shape and dtype of `x`
    """
    given = box(x)
    return shown_as("ThresholdBackward0", select(given > threshold, given, value))


@public(method=False, namespace="nn.functional")
def mish(x: ArrayLike) -> Tensor:
    """Return ``x * tanh(softplus(x))``.

    Parameters
    ----------
    x : array_like, any shape

    Returns
    -------
    Tensor, shape and dtype of `x`
    """
    value = box(x)
    return shown_as("MishBackward0", value * tanh(softplus_primitive(value)))


@public(method=False, namespace="nn.functional")
def celu(x: ArrayLike, alpha: float = 1.0) -> Tensor:
    """Return each element, or ``alpha * (exp(x / alpha) - 1)`` where it is negative.

    Parameters
    ----------
    x : array_like
        Any shape.
    alpha : float
        Minus the limit for elements that are very negative.

    Returns
    -------
    Tensor, shape and dtype of `x`
    """
    value = box(x)
    return shown_as("CeluBackward0", select(value > 0, value, alpha * expm1(value / alpha)))


@public(method=False, namespace="nn.functional")
def selu(x: ArrayLike) -> Tensor:
    """Return `elu`, scaled so that mean 0 and variance 1 are stable from layer to layer [1]_.

    Parameters
    ----------
    x : array_like, any shape

    Returns
    -------
    Tensor, shape and dtype of `x`

    References
    ----------
    .. [1] G. Klambauer et al., Self-normalizing neural networks, arXiv:1706.02515 (2017).
    """
    return shown_as("EluBackward0", _SELU_SCALE * elu(x, _SELU_ALPHA))


@public(method=False, namespace="nn.functional")
def softsign(x: ArrayLike) -> Tensor:
    """Return ``x / (1 + |x|)``.

    Parameters
    ----------
    x : array_like, any shape

    Returns
    -------
    Tensor, shape and dtype of `x`
    """
    value = box(x)
    result: Tensor = value / (1 + abs(value))
    return result


@public(method=False, namespace="nn.functional")
def tanhshrink(x: ArrayLike) -> Tensor:
    """Return ``x - tanh(x)``.

    Parameters
    ----------
    x : array_like, any shape

    Returns
    -------
    Tensor, shape and dtype of `x`
    """
    value = box(x)
    result: Tensor = value - tanh(value)
    return result


@public(method=False, namespace="nn.functional")
def glu(x: ArrayLike, dim: int = -1) -> Tensor:
    """Return the first half of an axis times the sigmoid of the second half.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int
        The axis; of even size.

    Returns
    -------
    Tensor, dtype of `x`
    """
    value = box(x)
    first, second = chunk(value, 2, normalize_axis("glu", dim, value.ndim))
    return shown_as("GluBackward0", first * sigmoid(second))


@public(method=False, namespace="nn.functional")
def prelu(x: ArrayLike, weight: ArrayLike) -> Tensor:
    """Return each element, times a slope where it is not positive.

    Parameters
    ----------
    x : array_like
        Any shape; channels are the second axis.
    weight : array_like, shape (1,) or (channels,)
        The slope, or one of each channel.

    Returns
    -------
    Tensor, shape and dtype of `x`
    """
    value, slope = box(x), box(weight)
    if value.ndim > 1 and slope.ndim == 1:
        slope = reshape_to(slope, (1, slope.shape[0]) + (1,) * (value.ndim - 2))
    bent: Any = select(value > 0, value, slope * value)
    return shown_as("PreluKernelBackward0", bent)
