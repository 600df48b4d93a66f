"""JAX: ``jit(value_and_grad(f))`` of arrays that are where it wants them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.nn import relu
from jax.numpy import abs, exp, log, matmul, maximum, mean, sqrt, sum, tanh
from jax.scipy.special import erf

from bench.workload import Array, Call

# Without this float64 arrays would become float32; those of float32 stay what they are.
jax.config.update("jax_enable_x64", True)

__all__ = [
    "STYLES", "abs", "binary_cross_entropy_with_logits", "cross_entropy", "erf", "exp", "gelu",
    "layer_norm", "log", "matmul", "maximum", "mean", "mse_loss", "relu", "sqrt", "sum", "tanh",
]  # fmt: skip


def binary_cross_entropy_with_logits(z: Any, y: Any) -> Any:
    """Return the mean binary cross entropy in its stable form."""
    return mean(jax.nn.softplus(z) - y * z)


def cross_entropy(logits: Any, labels: Any) -> Any:
    """Return the mean cross entropy."""
    chosen = jax.numpy.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)
    return -mean(chosen)


def gelu(x: Any) -> Any:
    """Return the exact form, as PyTorch does by default."""
    return jax.nn.gelu(x, approximate=False)


def layer_norm(x: Any, size: int, weight: Any, bias: Any) -> Any:
    """Normalize the last axis, of `size` elements."""
    return jax.nn.standardize(x, axis=-1, epsilon=1e-5) * weight + bias


def mse_loss(x: Any, y: Any) -> Any:
    """Return the mean squared difference."""
    return mean((x - y) ** 2)


def _compiled(function: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]) -> Call:
    inputs = [jax.numpy.asarray(array) for array in arrays]
    made = jax.jit(jax.value_and_grad(function, argnums=wrt) if wrt else function)
    return lambda: jax.block_until_ready(made(*inputs))


STYLES = {"": _compiled}
