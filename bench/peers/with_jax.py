"""JAX: ``jit(value_and_grad(f))`` of arrays that are where it wants them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.nn import relu
from jax.numpy import abs, exp, log, matmul, maximum, mean, sqrt, sum, swapaxes, tanh
from jax.scipy.special import erf, logsumexp

from bench import adam, packing
from bench.workload import Array, Call

# Without this float64 arrays would become float32; those of float32 stay what they are.
jax.config.update("jax_enable_x64", True)

__all__ = [
    "STYLES", "abs", "binary_cross_entropy_with_logits", "causal_attention", "conv2d",
    "cross_entropy", "erf", "exp", "gelu", "layer_norm", "log", "logsumexp", "lower_triangular",
    "matmul", "max_pool2d", "maximum", "mean", "mse_loss", "relu", "sqrt", "sum", "swapaxes",
    "tanh",
]  # fmt: skip


def binary_cross_entropy_with_logits(z: Any, y: Any) -> Any:
    """Return the mean binary cross entropy in its stable form."""
    return mean(jax.nn.softplus(z) - y * z)


def causal_attention(q: Any, k: Any, v: Any) -> Any:
    """Return averages of `v` at no later times."""
    # On CPUs two to three times as fast as jax.nn.dot_product_attention.
    scores = matmul(q, swapaxes(k, -1, -2)) / q.shape[-1] ** 0.5
    scores = jax.numpy.where(packing.not_later(q.shape[-2]), scores, -jax.numpy.inf)
    return matmul(jax.nn.softmax(scores), v)


def conv2d(x: Any, weight: Any, bias: Any, padding: int = 0) -> Any:
    """Return the correlation of images with filters, channels first."""
    around = [(padding, padding)] * 2
    return jax.lax.conv(x, weight, (1, 1), around) + bias[:, None, None]


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


def max_pool2d(x: Any, size: int) -> Any:
    """Return the largest of each square of elements."""
    window = (1, 1, size, size)
    return jax.lax.reduce_window(x, -jax.numpy.inf, jax.lax.max, window, window, "VALID")


def mse_loss(x: Any, y: Any) -> Any:
    """Return the mean squared difference."""
    return mean((x - y) ** 2)


def lower_triangular(diagonals: Any, entries: Any) -> Any:
    """Return matrices, whose entries below the diagonal follow each other by rows."""
    size = diagonals.shape[1]
    rows, columns = jax.numpy.tril_indices(size, -1)
    zeros = jax.numpy.zeros((len(entries), size, size), entries.dtype)
    lower = zeros.at[:, rows, columns].set(entries)
    return lower + diagonals[:, :, None] * jax.numpy.eye(size)


def _compiled(function: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]) -> Call:
    inputs = [jax.numpy.asarray(array) for array in arrays]
    made = jax.jit(jax.value_and_grad(function, argnums=wrt) if wrt else function)
    return _waited_for(lambda: made(*inputs))


def _waited_for(computed: Call) -> Call:
    def call() -> Any:
        result = computed()
        # What one program computes is ready at the same time, so it suffices to wait for some.
        jax.tree.leaves(result)[0].block_until_ready()
        return result

    return call


def _product(function: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]) -> Call:
    inputs = [jax.numpy.asarray(array) for array in arrays]
    made = jax.jit(lambda x, v: jax.jvp(jax.grad(function), (x,), (v,))[1])
    return _waited_for(lambda: made(*inputs))


def _examples(function: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]) -> Call:
    inputs = [jax.numpy.asarray(array) for array in arrays]
    axes = tuple([None if k in wrt else 0 for k in range(len(arrays))])
    made = jax.jit(jax.vmap(jax.grad(function, wrt), axes))
    return _waited_for(lambda: made(*inputs))


def _training(loss: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]) -> Call:
    both = jax.value_and_grad(loss, argnums=wrt)
    step = jax.jit(adam.functional_step(both, sqrt), donate_argnums=1)
    return _waited_for(
        adam.trainer(step, *adam.split([jax.numpy.array(array) for array in arrays]))
    )


STYLES = {
    "gradient": {"": _compiled},
    "product": {"": _product},
    "examples": {"": _examples},
    "training": {"": _training},
}
