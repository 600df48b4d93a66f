"""HIPS autograd: plain NumPy, recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import autograd
import autograd.numpy as anp
from autograd.numpy import abs, exp, log, matmul, maximum, mean, sqrt, sum, swapaxes, tanh
from autograd.scipy.special import erf, logsumexp

from bench import adam, packing
from bench.workload import Array, Call

__all__ = [
    "STYLES", "abs", "binary_cross_entropy_with_logits", "causal_attention", "cross_entropy",
    "erf", "exp", "gelu", "layer_norm", "log", "logsumexp", "lower_triangular", "matmul",
    "maximum", "mean", "mse_loss", "relu", "sqrt", "sum", "swapaxes", "tanh",
]  # fmt: skip


def binary_cross_entropy_with_logits(z: Any, y: Any) -> Any:
    """Return the mean binary cross entropy in its stable form."""
    return mean(anp.logaddexp(z, 0.0) - y * z)


def causal_attention(q: Any, k: Any, v: Any) -> Any:
    """Return averages of `v` at no later times."""
    scores = anp.matmul(q, swapaxes(k, -1, -2)) / q.shape[-1] ** 0.5
    scores = anp.where(packing.not_later(q.shape[-2]), scores, -anp.inf)
    shares = exp(scores - anp.max(scores, axis=-1, keepdims=True))
    return anp.matmul(shares / sum(shares, axis=-1, keepdims=True), v)


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


def lower_triangular(diagonals: Any, entries: Any) -> Any:
    """Return matrices, whose entries below the diagonal follow each other by rows."""
    size = diagonals.shape[1]
    positions, below = packing.positions(size)
    lower = anp.reshape(entries[:, positions] * below, (-1, size, size))
    return lower + diagonals[:, :, None] * anp.eye(size)


def relu(x: Any) -> Any:
    """Return what is above zero."""
    return maximum(x, 0.0)


def _recorded(function: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]) -> Call:
    made = autograd.value_and_grad(function, argnum=wrt) if wrt else function
    return lambda: made(*arrays)


def _product(function: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]) -> Call:
    made = autograd.make_hvp(function)
    x, v = arrays
    return lambda: made(x)[0](v)


def _training(loss: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]) -> Call:
    step = adam.functional_step(autograd.value_and_grad(loss, argnum=wrt), sqrt)
    return adam.trainer(step, *adam.split(arrays))


STYLES = {"gradient": {"": _recorded}, "product": {"": _product}, "training": {"": _training}}
