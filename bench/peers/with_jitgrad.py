"""jitgrad: arrays go in and come out, or Tensors do, or a compiled loss is sent ``backward``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jitgrad
from bench import adam, packing
from bench.workload import Array, Call
from jitgrad import (
    abs,
    diag_embed,
    erf,
    exp,
    log,
    logsumexp,
    matmul,
    maximum,
    mean,
    relu,
    softmax,
    sqrt,
    sum,
    swapaxes,
    tanh,
    where,
)
from jitgrad.nn.functional import (
    binary_cross_entropy_with_logits,
    conv2d,
    cross_entropy,
    gelu,
    layer_norm,
    max_pool2d,
    mse_loss,
)

__all__ = [
    "STYLES", "abs", "binary_cross_entropy_with_logits", "causal_attention", "conv2d",
    "cross_entropy", "erf", "exp", "gelu", "layer_norm", "log", "logsumexp", "lower_triangular",
    "matmul", "max_pool2d", "maximum", "mean", "mse_loss", "relu", "sqrt", "sum", "swapaxes",
    "tanh",
]  # fmt: skip
# What the interpreter takes must not pass for what kernels take.
warnings.simplefilter("error", jitgrad.FallbackWarning)


def causal_attention(q: Any, k: Any, v: Any) -> Any:
    """Return averages of `v` at no later times."""
    scores = matmul(q, swapaxes(k, -1, -2)) / q.shape[-1] ** 0.5
    scores = where(packing.not_later(q.shape[-2]), scores, -float("inf"))
    return matmul(softmax(scores, -1), v)


def lower_triangular(diagonals: Any, entries: Any) -> Any:
    """Return matrices, whose entries below the diagonal follow each other by rows."""
    size = diagonals.shape[1]
    positions, below = packing.positions(size)
    lower = (entries[:, positions] * below).reshape(-1, size, size)
    return lower + diag_embed(diagonals)


def _compiled(function: Callable[..., Any], wrt: tuple[int, ...], inputs: Sequence[Any]) -> Call:
    if not wrt:
        value = jitgrad.compile(function)
        return lambda: value(*inputs)
    both = jitgrad.compile(jitgrad.value_and_grad(function, argnums=wrt))
    return lambda: both(*inputs)


def _with_tensors(
    function: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]
) -> Call:
    return _compiled(function, wrt, [jitgrad.tensor(array) for array in arrays])


def _backward(function: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]) -> Call:
    tensors = [jitgrad.tensor(array) for array in arrays]
    leaves = [tensors[k].requires_grad_() for k in wrt]
    loss = jitgrad.compile(function)

    def call() -> Any:
        for leaf in leaves:
            leaf.grad = None
        value = loss(*tensors)
        value.backward()
        return value, [leaf.grad for leaf in leaves]

    return call


def _eager(function: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]) -> Call:
    if not wrt:
        return lambda: function(*arrays)
    both = jitgrad.value_and_grad(function, argnums=wrt)
    return lambda: both(*arrays)


def _product(function: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]) -> Call:
    slope = jitgrad.grad(function)
    made = jitgrad.compile(jitgrad.grad(lambda x, v: sum(slope(x) * v)))
    return lambda: made(*arrays)


def _examples(function: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]) -> Call:
    axes = tuple([None if k in wrt else 0 for k in range(len(arrays))])
    made = jitgrad.compile(jitgrad.vmap(jitgrad.grad(function, argnums=wrt), axes))
    return lambda: made(*arrays)


def _training(loss: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]) -> Call:
    both = jitgrad.value_and_grad(loss, argnums=wrt)
    # As one would: the old state's memory is worth something where there is much of it.
    donated = "state" if any(array.nbytes > 2**16 for array in arrays) else ()
    step = jitgrad.compile(adam.functional_step(both, sqrt), donate=donated)
    batch, _ = adam.split(arrays)
    _, state = adam.split([jitgrad.tensor(array) for array in arrays])
    return adam.trainer(step, batch, state)


def _with_optimizer(
    loss: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]
) -> Call:
    batch, state = adam.split([jitgrad.tensor(array) for array in arrays])
    count, parameters, means, squares = state
    betas = (adam.KEEP_MEAN, adam.KEEP_SQUARE)
    leaves = [parameter.requires_grad_() for parameter in parameters]
    optimizer = jitgrad.optim.Adam(leaves, adam.RATE, betas, adam.EPSILON)
    adam.resume(optimizer, count, means, squares)

    @jitgrad.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        value = loss(x, y, *leaves)
        value.backward()
        optimizer.step()
        return value

    return lambda: (step(*batch), leaves)


STYLES = {
    "gradient": {
        "": _compiled,
        "tensors": _with_tensors,
        "backward": _backward,
        "eager": _eager,
    },
    "product": {"": _product},
    "examples": {"": _examples},
    "training": {"": _training, "optim": _with_optimizer},
}
