"""PyTorch, eager: gradients by `torch.autograd.grad`, or by ``backward`` into ``.grad``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import abs, erf, exp, log, matmul, maximum, mean, relu, sqrt, sum, tanh
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    gelu,
    mse_loss,
)

from bench.workload import Array, Call

__all__ = [
    "STYLES", "abs", "backward", "binary_cross_entropy_with_logits", "cross_entropy", "erf", "exp",
    "gelu", "gradient", "layer_norm", "log", "matmul", "maximum", "mean", "mse_loss", "relu",
    "sqrt", "sum", "tanh",
]  # fmt: skip


def layer_norm(x: Any, size: int, weight: Any, bias: Any) -> Any:
    """Return PyTorch's `layer_norm`, which wants a tuple for `size`."""
    return torch.nn.functional.layer_norm(x, (size,), weight, bias)


def gradient(function: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]) -> Call:
    """Return a call of `function` and of `torch.autograd.grad`."""
    tensors = [torch.tensor(array) for array in arrays]
    if not wrt:

        def value() -> Any:
            with torch.no_grad():
                return function(*tensors)

        return value
    leaves = [tensors[k].requires_grad_() for k in wrt]

    def call() -> Any:
        loss = function(*tensors)
        return loss.detach(), torch.autograd.grad(loss, leaves)

    return call


def backward(function: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]) -> Call:
    """Return a call of `function` and of ``backward``."""
    tensors = [torch.tensor(array) for array in arrays]
    leaves = [tensors[k].requires_grad_() for k in wrt]

    def call() -> Any:
        for leaf in leaves:
            leaf.grad = None
        loss = function(*tensors)
        loss.backward()
        return loss.detach(), [leaf.grad for leaf in leaves]

    return call


STYLES = {"": gradient, "backward": backward}
