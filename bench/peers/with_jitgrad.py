"""jitgrad: arrays go in and come out, or Tensors do, or a compiled loss is sent ``backward``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jitgrad
from bench.workload import Array, Call
from jitgrad import abs, erf, exp, log, matmul, maximum, mean, relu, sqrt, sum, tanh
from jitgrad.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    gelu,
    layer_norm,
    mse_loss,
)

__all__ = [
    "STYLES", "abs", "binary_cross_entropy_with_logits", "cross_entropy", "erf", "exp", "gelu",
    "layer_norm", "log", "matmul", "maximum", "mean", "mse_loss", "relu", "sqrt", "sum", "tanh",
]  # fmt: skip


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


STYLES = {"": _compiled, "tensors": _with_tensors, "backward": _backward, "eager": _eager}
