"""Layers that multiply by a matrix, and those that only change a shape."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from jitgrad.nn.init import kaiming_uniform_, uniform_
from jitgrad.nn.module import Module
from jitgrad.nn.parameter import Parameter
from jitgrad.ops.activations import linear
from jitgrad.ops.creation import zeros
from jitgrad.ops.rearranging import flatten

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


class Linear(Module):
    """Affine map of the last axis: ``x @ weight.T + bias``.

    Parameters
    ----------
    in_features : int
        Size of the last axis of the input.
    out_features : int
        Size of the last axis of the output.
    bias : bool
        Whether to add a bias.
    dtype : dtype_like, optional
        Dtype of the parameters; the default dtype where not given.

    Attributes
    ----------
    weight : Parameter, shape (out_features, in_features)
        First values uniform within ``1 / sqrt(in_features)`` of zero.
    bias : Parameter, shape (out_features,), or None
        First values likewise.

    Examples
    --------
    >>> import jitgrad
    >>> jitgrad.nn.Linear(3, 2)(jitgrad.ones(5, 3)).shape
    (5, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(zeros(out_features, in_features, dtype=dtype))
        self.bias: Parameter | None = None
        if bias:
            self.bias = Parameter(zeros(out_features, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features else 0.0
            uniform_(self.bias, -bound, bound)

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``x @ weight.T + bias``."""
        return linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features},"
            f" bias={self.bias is not None}"
        )


class Flatten(Module):
    """Makes one axis of several; by default all but the first, which counts the samples.

    Parameters
    ----------
    start_dim, end_dim : int
        First and last of the axes to be joined.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, x: ArrayLike) -> Tensor:
        """Return `x` with these axes joined."""
        return flatten(x, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """Return the axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Identity(Module):
    """Returns its input; takes and ignores any arguments when made.

    Parameters
    ----------
    *args, **kwargs
        Ignored, so that it can stand in for another module.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        """Return `x`."""
        return x
