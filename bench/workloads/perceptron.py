"""Networks of three layers: a small one, where calls count, and one where matrix products do."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np

from bench.workload import Array, Workload


def _parameters(rng: np.random.Generator, widths: tuple[int, ...]) -> list[Array]:
    arrays = []
    for size_in, size_out in pairwise(widths):
        scale = np.float32(1.0 / np.sqrt(size_in))
        arrays.append(scale * rng.standard_normal((size_in, size_out), np.float32))
        arrays.append(scale * rng.standard_normal(size_out, np.float32))
    return arrays


def _regression_inputs(rng: np.random.Generator, batch: int, *widths: int) -> tuple[Array, ...]:
    x = rng.standard_normal((batch, widths[0]), np.float32)
    y = rng.standard_normal((batch, widths[-1]), np.float32)
    return x, y, *_parameters(rng, widths)


def _classes_inputs(rng: np.random.Generator, batch: int, *widths: int) -> tuple[Array, ...]:
    x = rng.standard_normal((batch, widths[0]), np.float32)
    return x, rng.integers(0, widths[-1], batch), *_parameters(rng, widths)


def _define_regression(ops: ModuleType) -> Callable[..., Any]:
    def loss(x: Any, y: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any) -> Any:
        h1 = ops.tanh(ops.matmul(x, w1) + b1)
        h2 = ops.tanh(ops.matmul(h1, w2) + b2)
        return ops.mse_loss(ops.matmul(h2, w3) + b3, y)

    return loss


def _define_classes(ops: ModuleType) -> Callable[..., Any]:
    def loss(x: Any, y: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any) -> Any:
        h1 = ops.relu(ops.matmul(x, w1) + b1)
        h2 = ops.relu(ops.matmul(h1, w2) + b2)
        return ops.cross_entropy(ops.matmul(h2, w3) + b3, y)

    return loss


def _regression_by_numpy() -> Callable[..., Any]:
    def value_and_gradients(x: Array, y: Array, *params: Array) -> Any:
        w1, b1, w2, b2, w3, b3 = params
        h1 = np.tanh(x @ w1 + b1)
        h2 = np.tanh(h1 @ w2 + b2)
        rest = h2 @ w3 + b3 - y
        d3 = rest * np.float32(2.0 / rest.size)
        d2 = (d3 @ w3.T) * (1 - h2 * h2)
        d1 = (d2 @ w2.T) * (1 - h1 * h1)
        gradients = (x.T @ d1, d1.sum(0), h1.T @ d2, d2.sum(0), h2.T @ d3, d3.sum(0))
        return np.mean(rest * rest), gradients

    return value_and_gradients


def _classes_by_numpy() -> Callable[..., Any]:
    def value_and_gradients(x: Array, y: Array, *params: Array) -> Any:
        w1, b1, w2, b2, w3, b3 = params
        h1 = np.maximum(x @ w1 + b1, 0)
        h2 = np.maximum(h1 @ w2 + b2, 0)
        logits = h2 @ w3 + b3
        logits -= logits.max(axis=1, keepdims=True)
        d3 = np.exp(logits)
        totals = d3.sum(axis=1, keepdims=True)
        rows = np.arange(len(y))
        value = np.mean(np.log(totals[:, 0]) - logits[rows, y])
        d3 /= totals
        d3[rows, y] -= 1
        d3 /= np.float32(len(y))
        d2 = (d3 @ w3.T) * (h2 > 0)
        d1 = (d2 @ w2.T) * (h1 > 0)
        gradients = (x.T @ d1, d1.sum(0), h1.T @ d2, d2.sum(0), h2.T @ d3, d3.sum(0))
        return value, gradients

    return value_and_gradients


_WRT = (2, 3, 4, 5, 6, 7)

WORKLOADS = [
    Workload(
        name="mlp_small",
        title="network 8-32-32-1, tanh, batch 16, float32",
        sizes=(16, 8, 32, 32, 1),
        tiny=(3, 2, 5, 4, 1),
        inputs=_regression_inputs,
        define=_define_regression,
        wrt=_WRT,
        by_hand={"numpy": _regression_by_numpy},
        styles=("", "tensors", "backward"),
    ),
    Workload(
        name="mlp",
        title="network 784-256-128-10, relu, cross entropy, batch 256, float32",
        sizes=(256, 784, 256, 128, 10),
        tiny=(6, 7, 5, 4, 3),
        inputs=_classes_inputs,
        define=_define_classes,
        wrt=_WRT,
        by_hand={"numpy": _classes_by_numpy},
    ),
]
