"""PyTorch with the loss given to `torch.compile`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

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


operations = with_torch
STYLES = {"": _gradient, "backward": _backward}
