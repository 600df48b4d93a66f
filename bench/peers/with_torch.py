"""PyTorch, eager: gradients by `torch.autograd.grad`, or by ``backward`` into ``.grad``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import (
    abs,
    erf,
    exp,
    log,
    logsumexp,
    matmul,
    maximum,
    mean,
    relu,
    sqrt,
    sum,
    swapaxes,
    tanh,
)
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    conv2d,
    cross_entropy,
    gelu,
    max_pool2d,
    mse_loss,
    scaled_dot_product_attention,
)

from bench import adam
from bench.workload import Array, Call

__all__ = [
    "STYLES", "abs", "backward", "binary_cross_entropy_with_logits", "causal_attention",
    "conv2d", "cross_entropy", "erf", "exp", "gelu", "gradient", "layer_norm", "log",
    "logsumexp", "lower_triangular", "matmul", "max_pool2d", "maximum", "mean", "mse_loss",
    "product", "relu", "sqrt", "sum", "swapaxes", "tanh", "training",
]  # fmt: skip


def layer_norm(x: Any, size: int, weight: Any, bias: Any) -> Any:
    """Return PyTorch's `layer_norm`, which wants a tuple for `size`."""
    return torch.nn.functional.layer_norm(x, (size,), weight, bias)


def causal_attention(q: Any, k: Any, v: Any) -> Any:
    """Return averages of `v` at no later times."""
    return scaled_dot_product_attention(q, k, v, is_causal=True)


def lower_triangular(diagonals: Any, entries: Any) -> Any:
    """Return matrices, whose entries below the diagonal follow each other by rows."""
    size = diagonals.shape[1]
    rows, columns = torch.tril_indices(size, size, -1)
    matrices = torch.diag_embed(diagonals)
    matrices[:, rows, columns] = entries
    return matrices


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


def product(function: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]) -> Call:
    """Return a call of `torch.autograd.grad`, of the gradient's product with a vector."""
    x, v = (torch.tensor(array) for array in arrays)
    x.requires_grad_()

    def call() -> Any:
        (slope,) = torch.autograd.grad(function(x), x, create_graph=True)
        return torch.autograd.grad(slope, x, v)[0]

    return call


def examples(function: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]) -> Call:
    """Return a call of `torch.func.vmap` of `torch.func.grad`."""
    tensors = [torch.tensor(array) for array in arrays]
    made = of_examples(function, wrt, len(arrays))
    return lambda: made(*tensors)


def of_examples(function: Callable[..., Any], wrt: tuple[int, ...], count: int) -> Any:
    """Return the function of `count` inputs that gives the gradients of each example."""
    axes = tuple([None if k in wrt else 0 for k in range(count)])
    return torch.func.vmap(torch.func.grad(function, wrt), axes)


def training(function: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]) -> Call:
    """Return a call of ``backward`` and of an optimizer's step."""
    batch, state = adam.split([torch.tensor(array) for array in arrays])
    count, parameters, means, squares = state
    betas = (adam.KEEP_MEAN, adam.KEEP_SQUARE)
    leaves = [parameter.requires_grad_() for parameter in parameters]
    optimizer = torch.optim.Adam(leaves, adam.RATE, betas, adam.EPSILON, fused=True)
    adam.resume(optimizer, count, means, squares)

    def call() -> Any:
        optimizer.zero_grad()
        loss = function(*batch, *leaves)
        loss.backward()
        optimizer.step()
        return loss.detach(), leaves

    return call


STYLES = {
    "gradient": {"": gradient, "backward": backward},
    "product": {"": product},
    "examples": {"": examples},
    "training": {"": training},
}
