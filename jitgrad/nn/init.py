"""First values of parameters: functions that fill a Tensor in place and return it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from jitgrad.core.errors import ArgumentError, ShapeError
from jitgrad.ops.creation import eye, full
from jitgrad.ops.random import rand, randn
from jitgrad.tensor.modes import no_grad

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import Tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


def _replace(tensor: Tensor, make: Callable[[], Tensor]) -> Tensor:
    with no_grad():
        tensor.data = make()
    return tensor


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill a Tensor with one number.

    Parameters
    ----------
    tensor : Tensor
        Any shape; changed in place.
    val : number
        The number.

    Returns
    -------
    Tensor
        `tensor`.
    """
    return _replace(tensor, lambda: full(tensor.shape, val, dtype=tensor.dtype))


def zeros_(tensor: Tensor) -> Tensor:
    """Fill a Tensor with zeros.

    Parameters
    ----------
    tensor : Tensor
        Any shape; changed in place.

    Returns
    -------
    Tensor
        `tensor`.
    """
    return constant_(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill a Tensor with ones.

    Parameters
    ----------
    tensor : Tensor
        Any shape; changed in place.

    Returns
    -------
    Tensor
        `tensor`.
    """
    return constant_(tensor, 1)


def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with ones on the diagonal and zeros elsewhere.

    Parameters
    ----------
    tensor : Tensor, shape (n, m)
        Changed in place.

    Returns
    -------
    Tensor
        `tensor`.

    Raises
    ------
    ShapeError
        If it is not a matrix.
    """
    if tensor.ndim != 2:
        raise ShapeError(
            f"eye_: a Tensor of shape {tensor.shape} has no diagonal",
            why="it must have two axes",
        )
    return _replace(tensor, lambda: eye(*tensor.shape, dtype=tensor.dtype))


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Fill a Tensor with random numbers that are equally likely anywhere from `a` to `b`.

    Parameters
    ----------
    tensor : Tensor
        Any shape; changed in place.
    a, b : float
        The bounds.

    Returns
    -------
    Tensor
        `tensor`.
    """
    return _replace(tensor, lambda: a + (b - a) * rand(tensor.shape, dtype=tensor.dtype))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Fill a Tensor with normally distributed random numbers.

    Parameters
    ----------
    tensor : Tensor
        Any shape; changed in place.
    mean, std : float
        Mean and standard deviation.

    Returns
    -------
    Tensor
        `tensor`.
    """
    return _replace(tensor, lambda: mean + std * randn(tensor.shape, dtype=tensor.dtype))


_GAINS = {
    "linear": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 3 / 4,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return by what the values before an activation must be scaled to keep their variance.

    Parameters
    ----------
    nonlinearity : str
        ``"linear"``, ``"sigmoid"``, ``"tanh"``, ``"relu"``, ``"leaky_relu"`` or ``"selu"``.
    param : float, optional
        Slope of the negative side of ``"leaky_relu"``, 0.01 where not given.

    Returns
    -------
    float
        The factor.

    Raises
    ------
    ArgumentError
        If the activation is not one of these.
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in _GAINS:
        known = ", ".join(sorted([*_GAINS, "leaky_relu"]))
        raise ArgumentError(
            f"calculate_gain: there is no gain for {nonlinearity!r}", why=f"those known: {known}"
        )
    return _GAINS[nonlinearity]


def _fans(operation: str, tensor: Tensor) -> tuple[int, int]:
    """Return how many values each output sums over, and how many outputs each input reaches."""
    if tensor.ndim < 2:
        raise ShapeError(
            f"{operation}: a Tensor of shape {tensor.shape} has no inputs and outputs",
            why="axis 0 counts the outputs, axis 1 the inputs, so it needs two axes at least",
            do="use normal_ or uniform_",
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _kaiming_std(operation: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError(
            f"{operation}: mode is {mode!r}", why='it must be "fan_in" or "fan_out"'
        )
    fan = _fans(operation, tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def kaiming_uniform_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """Fill a Tensor uniformly so that values keep their variance through a rectifier [1]_.

    Parameters
    ----------
    tensor : Tensor, shape (outputs, inputs, ...)
        Changed in place.
    a : float
        Slope of the negative side of the rectifier.
    mode : {"fan_in", "fan_out"}
        Whether the values keep their variance, or the gradients.
    nonlinearity : str
        As of `calculate_gain`.

    Returns
    -------
    Tensor
        `tensor`.

    Raises
    ------
    ShapeError
        If it has fewer than two axes.
    ArgumentError
        If `mode` or `nonlinearity` is not known.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun, Delving deep into rectifiers, ICCV 2015.
    """
    bound = math.sqrt(3) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Tensor:
    """Fill a Tensor normally so that values keep their variance; as `kaiming_uniform_`.

    Parameters
    ----------
    tensor : Tensor, shape (outputs, inputs, ...)
        Changed in place.
    a : float
        Slope of the negative side of the rectifier.
    mode : {"fan_in", "fan_out"}
        Whether the values keep their variance, or the gradients.
    nonlinearity : str
        As of `calculate_gain`.

    Returns
    -------
    Tensor
        `tensor`.
    """
    return normal_(tensor, 0.0, _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Fill a Tensor uniformly so that values and gradients about keep their variance [1]_.

    Parameters
    ----------
    tensor : Tensor, shape (outputs, inputs, ...)
        Changed in place.
    gain : float
        A further factor, as of `calculate_gain`.

    Returns
    -------
    Tensor
        `tensor`.

    Raises
    ------
    ShapeError
        If it has fewer than two axes.

    References
    ----------
    .. [1] X. Glorot, Y. Bengio, Understanding the difficulty of training deep feedforward neural
       networks, AISTATS 2010.
    """
    bound = gain * math.sqrt(6 / max(sum(_fans("xavier_uniform_", tensor)), 1))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Fill a Tensor normally so that values and gradients keep their variance.

    As `xavier_uniform_` otherwise.

    Parameters
    ----------
    tensor : Tensor, shape (outputs, inputs, ...)
        Changed in place.
    gain : float
        A further factor, as of `calculate_gain`.

    Returns
    -------
    Tensor
        `tensor`.
    """
    std = gain * math.sqrt(2 / max(sum(_fans("xavier_normal_", tensor)), 1))
    return normal_(tensor, 0.0, std)
