"""Activations as Modules, for `Sequential`; the functions are in `nn.functional`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitgrad.core.errors import ArgumentError
from jitgrad.nn.functional import dropout
from jitgrad.nn.module import Module
from jitgrad.ops.activations import elu, gelu, leaky_relu, logsigmoid, relu, silu, softplus
from jitgrad.ops.composite import log_softmax, softmax
from jitgrad.ops.exponential import sigmoid, tanh

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


class ReLU(Module):
    """Each element, or zero where it is negative."""

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``relu(x)``."""
        result: Tensor = relu(x)
        return result


class LeakyReLU(Module):
    """Each element, times a small slope where it is not positive.

    Parameters
    ----------
    negative_slope : float
        The slope.
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = negative_slope

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``leaky_relu(x)``."""
        return leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        """Return the slope."""
        return f"negative_slope={self.negative_slope}"


class ELU(Module):
    """Each element, or ``alpha * (exp(x) - 1)`` where it is not positive.

    Parameters
    ----------
    alpha : float
        Minus the limit for elements that are very negative.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``elu(x)``."""
        return elu(x, self.alpha)

    def extra_repr(self) -> str:
        """Return alpha."""
        return f"alpha={self.alpha}"


class GELU(Module):
    """Each element times the standard normal distribution function of it.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        ``"tanh"`` for the approximation by a hyperbolic tangent.
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``gelu(x)``."""
        return gelu(x, self.approximate)

    def extra_repr(self) -> str:
        """Return which form it is."""
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    """Each element times its sigmoid."""

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``x * sigmoid(x)``."""
        return silu(x)


class Tanh(Module):
    """Hyperbolic tangent of each element."""

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``tanh(x)``."""
        result: Tensor = tanh(x)
        return result


class Sigmoid(Module):
    """``1 / (1 + exp(-x))`` of each element."""

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``sigmoid(x)``."""
        result: Tensor = sigmoid(x)
        return result


class LogSigmoid(Module):
    """Logarithm of the sigmoid of each element."""

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``log(sigmoid(x))``."""
        return logsigmoid(x)


class Softplus(Module):
    """``log(1 + exp(beta * x)) / beta`` of each element, a smooth form of `ReLU`.

    Parameters
    ----------
    beta : float
        How sharp the bend is.
    threshold : float
        Where ``beta * x`` is above it, the element itself is returned.
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``softplus(x)``."""
        return softplus(x, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """Return beta and the threshold."""
        return f"beta={self.beta}, threshold={self.threshold}"


class Softmax(Module):
    """Exponentials of the elements along an axis, divided by their sum.

    Parameters
    ----------
    dim : int
        The axis.
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``softmax(x, dim)``."""
        return softmax(x, self.dim)

    def extra_repr(self) -> str:
        """Return the axis."""
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """Logarithm of the softmax along an axis.

    Parameters
    ----------
    dim : int
        The axis.
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``log_softmax(x, dim)``."""
        return log_softmax(x, self.dim)

    def extra_repr(self) -> str:
        """Return the axis."""
        return f"dim={self.dim}"


class Dropout(Module):
    """Replaces elements by zero at random while training; does nothing afterwards.

    Parameters
    ----------
    p : float
        The probability of being replaced, from 0 to 1.

    Raises
    ------
    ArgumentError
        If `p` is not from 0 to 1.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ArgumentError(f"Dropout: p is {p}", why="a probability is from 0 to 1")
        self.p = p

    def forward(self, x: ArrayLike) -> Tensor:
        """Return `x` with elements dropped and the others scaled up to keep the mean."""
        return dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        """Return the probability."""
        return f"p={self.p}"
