"""HIPS autograd: plain NumPy, recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import autograd
import autograd.numpy as anp
from autograd.numpy import abs, exp, log, matmul, maximum, mean, sqrt, sum, tanh
from autograd.scipy.special import erf, logsumexp

from bench.workload import Array, Call

__all__ = [
    "STYLES", "abs", "binary_cross_entropy_with_logits", "cross_entropy", "erf", "exp", "gelu",
    "layer_norm", "log", "matmul", "maximum", "mean", "mse_loss", "relu", "sqrt", "sum", "tanh",
]  # fmt: skip


def binary_cross_entropy_with_logits(z: Any, y: Any) -> Any:
    """Return the mean binary cross entropy in its stable form."""
    return mean(anp.logaddexp(z, 0.0) - y * z)


def cross_entropy(logits: Any, labels: Any) -> Any:
    """Return the mean cross entropy."""
    chosen = logits[anp.arange(len(labels)), labels]
    return mean(logsumexp(logits, axis=1) - chosen)


def gelu(x: Any) -> Any:
    """Return the exact form."""
    return 0.5 * x * (1.0 + erf(x * 0.7071067811865476))


def layer_norm(x: Any, size: int, weight: Any, bias: Any) -> Any:
    """Normalize the last axis, of `size` elements."""
    centred = x - mean(x, axis=-1, keepdims=True)
    variance = mean(centred * centred, axis=-1, keepdims=True)
    return centred / sqrt(variance + 1e-5) * weight + bias


def mse_loss(x: Any, y: Any) -> Any:
    """Return the mean squared difference."""
    return mean((x - y) ** 2)


def relu(x: Any) -> Any:
    """Return what is above zero."""
    return maximum(x, 0.0)


def _recorded(function: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]) -> Call:
    made = autograd.value_and_grad(function, argnum=wrt) if wrt else function
    return lambda: made(*arrays)


STYLES = {"": _recorded}
