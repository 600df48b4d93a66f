"""Networks of three layers: a small one, where calls count, and one where matrix products do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np

from bench import adam
from bench.hand.kernel import Kernel
from bench.workload import Array, Call, Workload


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


def _regression_step_inputs(rng: np.random.Generator, *sizes: int) -> tuple[Array, ...]:
    return adam.with_state(rng, _regression_inputs(rng, *sizes))


def _classes_step_inputs(rng: np.random.Generator, *sizes: int) -> tuple[Array, ...]:
    return adam.with_state(rng, _classes_inputs(rng, *sizes))


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


def _regression(x: Array, y: Array, *params: Array) -> Any:
    w1, b1, w2, b2, w3, b3 = params
    h1 = np.tanh(x @ w1 + b1)
    h2 = np.tanh(h1 @ w2 + b2)
    rest = h2 @ w3 + b3 - y
    d3 = rest * np.float32(2.0 / rest.size)
    d2 = (d3 @ w3.T) * (1 - h2 * h2)
    d1 = (d2 @ w2.T) * (1 - h1 * h1)
    gradients = (x.T @ d1, d1.sum(0), h1.T @ d2, d2.sum(0), h2.T @ d3, d3.sum(0))
    return np.mean(rest * rest), gradients


def _classes(x: Array, y: Array, *params: Array) -> Any:
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


def _examples(x: Array, y: Array, *params: Array) -> Any:
    w1, b1, w2, b2, w3, b3 = params
    h1 = np.tanh(x @ w1 + b1)
    h2 = np.tanh(h1 @ w2 + b2)
    d3 = (h2 @ w3 + b3 - y) * np.float32(2.0 / y.shape[1])
    d2 = (d3 @ w3.T) * (1 - h2 * h2)
    d1 = (d2 @ w2.T) * (1 - h1 * h1)
    pairs = ((x, d1), (h1, d2), (h2, d3))
    return [part for h, d in pairs for part in (h[:, :, None] * d[:, None, :], d)]


def _by_numpy(function: Callable[..., Any], *arrays: Array) -> Call:
    return lambda: function(*arrays)


def _step_by_numpy(function: Callable[..., Any], *arrays: Array) -> Call:
    batch, state = adam.split(arrays)
    return adam.trainer(adam.functional_step(function, np.sqrt), batch, state)


def _sizes(x: Array, w1: Array, w2: Array, w3: Array) -> dict[str, int]:
    widths = [len(w1), len(w2), len(w3), w3.shape[1]]
    return dict(zip(("BATCH", "IN", "HIDDEN1", "HIDDEN2", "OUT"), [len(x), *widths], strict=True))


def _in_c(source: str, x: Array, y: Array, *params: Array) -> Call:
    value, gradients = np.empty((), np.float32), tuple(map(np.empty_like, params))
    constants = {**_sizes(x, *params[::2]), **adam.constants_for_c()}
    arguments = [x, y, *params, value, *gradients]
    return Kernel(source, "gradient", arguments, (value, gradients), constants)


def _examples_in_c(source: str, x: Array, y: Array, *params: Array) -> Call:
    gradients = [np.empty((len(x), *array.shape), np.float32) for array in params]
    arguments = [x, y, *params, *gradients]
    constants = {**_sizes(x, *params[::2]), **adam.constants_for_c()}
    return Kernel(source, "examples", arguments, gradients, constants)


def _step_in_c(source: str, *arrays: Array) -> Call:
    (x, _), (_, params, _, _) = adam.split(arrays)
    value = np.empty((), np.float32)
    constants = {**_sizes(x, *params[::2]), **adam.constants_for_c()}
    return Kernel(source, "step", [*arrays, value], (value, params), constants)


_WRT = (2, 3, 4, 5, 6, 7)

_SMALL = {"sizes": (16, 8, 32, 32, 1), "tiny": (3, 2, 5, 4, 1)}
_LARGE = {"sizes": (256, 784, 256, 128, 10), "tiny": (6, 7, 5, 4, 3)}

WORKLOADS = [
    Workload(
        name="mlp_small",
        title="network 8-32-32-1, tanh, batch 16, float32",
        **_SMALL,
        inputs=_regression_inputs,
        define=_define_regression,
        wrt=_WRT,
        by_hand={
            "numpy": partial(_by_numpy, _regression),
            "c": partial(_in_c, "small_network"),
        },
        styles=("", "tensors", "backward"),
    ),
    Workload(
        name="mlp_examples",
        title="the small network, gradients of each of 4096 examples",
        sizes=(4096, 8, 32, 32, 1),
        tiny=(5, 2, 5, 4, 3),
        inputs=_regression_inputs,
        define=_define_regression,
        wrt=_WRT,
        task="examples",
        by_hand={
            "numpy": partial(_by_numpy, _examples),
            "c": partial(_examples_in_c, "small_network"),
        },
    ),
    Workload(
        name="mlp",
        title="network 784-256-128-10, relu, cross entropy, batch 256, float32",
        **_LARGE,
        inputs=_classes_inputs,
        define=_define_classes,
        wrt=_WRT,
        by_hand={
            "numpy": partial(_by_numpy, _classes),
            "c": partial(_in_c, "large_network"),
        },
    ),
    Workload(
        name="train_small",
        title="the small network, training step with Adam",
        **_SMALL,
        inputs=_regression_step_inputs,
        define=_define_regression,
        wrt=_WRT,
        task="training",
        by_hand={
            "numpy": partial(_step_by_numpy, _regression),
            "c": partial(_step_in_c, "small_network"),
        },
        styles=("", "optim", "functional"),
    ),
    Workload(
        name="train_large",
        title="the large network, training step with Adam",
        **_LARGE,
        inputs=_classes_step_inputs,
        define=_define_classes,
        wrt=_WRT,
        task="training",
        by_hand={
            "numpy": partial(_step_by_numpy, _classes),
            "c": partial(_step_in_c, "large_network"),
        },
        styles=("", "optim", "functional"),
    ),
]
