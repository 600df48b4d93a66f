"""Functions that networks apply to each element, and the linear layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.errors import ArgumentError
from jitgrad.core.primitive import Primitive, Template, partials
from jitgrad.core.public import public, publish
from jitgrad.ops.exponential import expm1, sigmoid, tanh
from jitgrad.ops.families import elementwise, reals
from jitgrad.ops.naming import shown_as
from jitgrad.ops.selection import select
from jitgrad.ops.special import erf

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor

relu = elementwise(
    "relu",
    eager=lambda x: np.maximum(x, x.dtype.type(0)),
    derivative=partials(lambda out: out > 0),
    template=Template("maximum({x}, {zero})", boolean="{x}"),
    samples=reals(0.3, 3),
    doc="Each element, or zero where it is negative; its derivative at zero is zero.",
)

softplus_primitive: Primitive = elementwise(
    "softplus",
    eager=lambda x: np.logaddexp(x, x.dtype.type(0)),
    derivative=partials(lambda x: sigmoid(x)),
    template=Template("softplus({x})", cost=28),
    samples=reals(-4, 4),
    doc="``log(1 + exp(x))`` of each element, finite for all finite elements.",
    result="float",
    published=False,
)

publish(relu, "relu", method=False, namespace="nn.functional")
publish(sigmoid, "sigmoid", method=False, namespace="nn.functional")
publish(tanh, "tanh", method=False, namespace="nn.functional")


@public(method=False, namespace="nn.functional")
def softplus(x: ArrayLike, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """Return ``log(1 + exp(beta * x)) / beta``, a smooth form of `relu`.

    Parameters
    ----------
    x : array_like
        Any shape.
    beta : float
        How sharp the bend is.
    threshold : float
        Where ``beta * x`` is above it, `x` itself is returned.

    Returns
    -------
    Tensor, shape and dtype of `x`
        Finite for all finite elements.
    """
    value = box(x)
    scaled = value if beta == 1 else value * beta
    smooth = softplus_primitive(scaled)
    result = select(scaled > threshold, value, smooth if beta == 1 else smooth / beta)
    return shown_as("SoftplusBackward0", result)


@public(method=False, namespace="nn.functional")
def logsigmoid(x: ArrayLike) -> Tensor:
    """Return the logarithm of `sigmoid`, finite for all finite elements.

    Parameters
    ----------
    x : array_like, any shape

    Returns
    -------
    Tensor, shape and dtype of `x`
    """
    return shown_as("LogSigmoidBackward0", -softplus_primitive(-box(x)))


@public(method=False, namespace="nn.functional")
def silu(x: ArrayLike) -> Tensor:
    """Return ``x * sigmoid(x)``.

    Parameters
    ----------
    x : array_like, any shape

    Returns
    -------
    Tensor, shape and dtype of `x`
    """
    value = box(x)
    return shown_as("SiluBackward0", value * sigmoid(value))


@public(method=False, namespace="nn.functional")
def gelu(x: ArrayLike, approximate: str = "none") -> Tensor:
    """Return `x` times the standard normal distribution function of `x`.

    Parameters
    ----------
    x : array_like
        Any shape.
    approximate : {"none", "tanh"}
        ``"tanh"`` for the approximation by a hyperbolic tangent [1]_.

    Returns
    -------
    Tensor, shape and dtype of `x`

    Raises
    ------
    ArgumentError
        If `approximate` is neither.

    References
    ----------
    .. [1] D. Hendrycks, K. Gimpel, Gaussian error linear units, arXiv:1606.08415 (2016).
    """
    value = box(x)
    if approximate == "none":
        share = erf(value * math.sqrt(0.5))
    elif approximate == "tanh":
        share = tanh(math.sqrt(2.0 / math.pi) * (value + 0.044715 * value**3))
    else:
        raise ArgumentError(f"gelu: approximate is {approximate!r}", do="pass 'none' or 'tanh'")
    return shown_as("GeluBackward0", 0.5 * value * (1.0 + share))


@public(method=False, namespace="nn.functional")
def leaky_relu(x: ArrayLike, negative_slope: float = 0.01) -> Tensor:
    """Return each element, times a small slope where it is not positive.

    Parameters
    ----------
    x : array_like
        Any shape.
    negative_slope : float
        The slope up to and at zero.

    Returns
    -------
    Tensor, shape and dtype of `x`
    """
    value = box(x)
    return shown_as("LeakyReluBackward0", select(value > 0, value, value * negative_slope))


@public(method=False, namespace="nn.functional")
def elu(x: ArrayLike, alpha: float = 1.0) -> Tensor:
    """Return each element, or ``alpha * (exp(x) - 1)`` where it is not positive.

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
    return shown_as("EluBackward0", select(value > 0, value, alpha * expm1(value)))


@public(method=False, namespace="nn.functional")
def linear(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None) -> Tensor:
    """Return ``x @ weight.T + bias``.

    Parameters
    ----------
    x : array_like, shape (..., n)
        Inputs.
    weight : array_like, shape (m, n) or (n,)
        One row for each output.
    bias : array_like, shape (m,), optional
        Added to each output.

    Returns
    -------
    Tensor, shape (..., m)

    Raises
    ------
    ShapeError
        If the last axis of `x` is not as long as the rows of `weight`.
    """
    from jitgrad.ops.shape import permute_axes

    matrix = box(weight)
    result: Any = box(x) @ (permute_axes(matrix, (1, 0)) if matrix.ndim == 2 else matrix)
    if bias is None:
        return shown_as("MmBackward0", result)
    name = "AddmmBackward0" if result.ndim == 2 else "ViewBackward0"
    return shown_as(name, result + bias)
