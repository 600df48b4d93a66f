"""PyTorch with the loss given to `torch.compile`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from bench import adam
from bench.peers import with_torch
from bench.workload import Array, Call


def _gradient(function: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]) -> Call:
    return with_torch.gradient(_fresh(function), wrt, arrays)


def _backward(function: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]) -> Call:
    return with_torch.backward(_fresh(function), wrt, arrays)


def _fresh(function: Callable[..., Any]) -> Callable[..., Any]:
    # Shapes seen by other workloads must not make this one's sizes dynamic.
    torch._dynamo.reset()
    compiled: Callable[..., Any] = torch.compile(function)
    return compiled


def _product(function: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]) -> Call:
    # What is recorded while compiled code runs can't be differentiated twice, so both derivatives
    # are in what is compiled.
    slope = torch.func.grad(function)
    made = _fresh(lambda x, v: torch.func.jvp(slope, (x,), (v,))[1])
    x, v = (torch.tensor(array) for array in arrays)
    return lambda: made(x, v)


def _examples(function: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]) -> Call:
    made = _fresh(with_torch.of_examples(function, wrt, len(arrays)))
    tensors = [torch.tensor(array) for array in arrays]
    return lambda: made(*tensors)


def _training(function: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]) -> Call:
    return with_torch.training(_fresh(function), wrt, arrays)


def _functional(
    function: Callable[..., Any], wrt: tuple[int, ...], arrays: Sequence[Array]
) -> Call:
    both = torch.func.grad_and_value(function, wrt)
    step = _fresh(adam.functional_step(lambda *inputs: both(*inputs)[::-1], torch.sqrt))
    return adam.trainer(step, *adam.split([torch.tensor(array) for array in arrays]))


operations = with_torch
STYLES = {
    "gradient": {"": _gradient, "backward": _backward},
    "product": {"": _product},
    "examples": {"": _examples},
    "training": {"": _training, "functional": _functional},
}
