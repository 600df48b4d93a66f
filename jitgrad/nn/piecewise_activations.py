"""Piecewise activations, and smooth forms of them, as Modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy.typing as npt

from jitgrad.nn.module import Module
from jitgrad.nn.parameter import Parameter
from jitgrad.ops import piecewise_activations
from jitgrad.ops.creation import full

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


class ReLU6(Module):
    """Each element, but at least 0 and at most 6."""

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``relu6(x)``."""
        return piecewise_activations.relu6(x)


class Hardtanh(Module):
    """Each element, or the bound that it is beyond.

    Parameters
    ----------
    min_val : float
        Lower bound.
    max_val : float
        Upper bound.
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        super().__init__()
        self.min_val = min_val
        self.max_val = max_val

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``hardtanh(x)``."""
        return piecewise_activations.hardtanh(x, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        """Return what it was made with."""
        return f"min_val={self.min_val}, max_val={self.max_val}"


class Hardsigmoid(Module):
    """``x / 6 + 1 / 2`` of each element, but at least 0 and at most 1."""

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``hardsigmoid(x)``."""
        return piecewise_activations.hardsigmoid(x)


class Hardswish(Module):
    """Each element times its `Hardsigmoid`."""

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``hardswish(x)``."""
        return piecewise_activations.hardswish(x)


class Mish(Module):
    """Each element times the tanh of its softplus."""

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``mish(x)``."""
        return piecewise_activations.mish(x)


class SELU(Module):
    """`ELU`, scaled so that mean 0 and variance 1 are stable from layer to layer."""

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``selu(x)``."""
        return piecewise_activations.selu(x)


class CELU(Module):
    """Each element, or ``alpha * (exp(x / alpha) - 1)`` where it is negative.

    Parameters
    ----------
    alpha : float
        Minus the limit for elements that are very negative.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``celu(x)``."""
        return piecewise_activations.celu(x, self.alpha)

    def extra_repr(self) -> str:
        """Return what it was made with."""
        return f"alpha={self.alpha}"


class Softsign(Module):
    """``x / (1 + |x|)`` of each element."""

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``softsign(x)``."""
        return piecewise_activations.softsign(x)


class Softshrink(Module):
    """Each element moved towards zero, and zero for those nearer to it than that.

    Parameters
    ----------
    lambd : float
        How far.
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``softshrink(x)``."""
        return piecewise_activations.softshrink(x, self.lambd)

    def extra_repr(self) -> str:
        """Return what it was made with."""
        return f"lambd={self.lambd}"


class Hardshrink(Module):
    """Each element, and zero for those near to it.

    Parameters
    ----------
    lambd : float
        How near.
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``hardshrink(x)``."""
        return piecewise_activations.hardshrink(x, self.lambd)

    def extra_repr(self) -> str:
        """Return what it was made with."""
        return f"lambd={self.lambd}"


class Tanhshrink(Module):
    """Each element less its tanh."""

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``tanhshrink(x)``."""
        return piecewise_activations.tanhshrink(x)


class Threshold(Module):
    """Each element above a threshold, and one value in place of the others.

    Parameters
    ----------
    threshold : float
        The threshold.
    value : float
        What stands for elements up to it.
    """

    def __init__(self, threshold: float, value: float) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``threshold(x)``."""
        return piecewise_activations.threshold(x, self.threshold, self.value)

    def extra_repr(self) -> str:
        """Return what it was made with."""
        return f"threshold={self.threshold}, value={self.value}"


class GLU(Module):
    """The first half of an axis times the sigmoid of the second half.

    Parameters
    ----------
    dim : int
        The axis; of even size.
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``glu(x)``."""
        return piecewise_activations.glu(x, self.dim)

    def extra_repr(self) -> str:
        """Return what it was made with."""
        return f"dim={self.dim}"


class PReLU(Module):
    """Each element, times a slope where it is not positive, which is trained.

    Parameters
    ----------
    num_parameters : int
        1, or the number of channels.
    init : float
        First value of the slopes.
    dtype : dtype_like, optional
        Dtype of the parameter; the default dtype where not given.
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, dtype: npt.DTypeLike | None = None
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.weight = Parameter(full((num_parameters,), init, dtype=dtype))

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``prelu(x)``."""
        return piecewise_activations.prelu(x, self.weight)

    def extra_repr(self) -> str:
        """Return the number of slopes."""
        return f"num_parameters={self.num_parameters}"
