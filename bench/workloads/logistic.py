"""Logistic regression: two passes over a matrix that fits no cache, and a vector in between."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from bench.hand.kernel import Kernel
from bench.workload import Array, Call, Workload


def _inputs(rng: np.random.Generator, rows: int, columns: int) -> tuple[Array, ...]:
    x = rng.normal(size=(rows, columns))
    y = (rng.random(rows) < 0.5).astype(np.float64)
    return x, y, 0.1 * rng.normal(size=columns), np.array(0.1)


def _define(ops: ModuleType) -> Callable[..., Any]:
    def loss(x: Any, y: Any, w: Any, b: Any) -> Any:
        return ops.binary_cross_entropy_with_logits(ops.matmul(x, w) + b, y)

    return loss


def _by_numpy(*arrays: Array) -> Call:
    def value_and_gradients(x: Array, y: Array, w: Array, b: Array) -> Any:
        z = x @ w + b
        shrunk = np.exp(-np.abs(z))
        value = np.mean(np.maximum(z, 0) - y * z + np.log1p(shrunk))
        dz = (np.where(z >= 0, 1, shrunk) / (1 + shrunk) - y) / z.size
        return value, (x.T @ dz, np.sum(dz))

    return lambda: value_and_gradients(*arrays)


def _by_numba(*arrays: Array) -> Call:
    import math

    from numba import njit

    @njit(cache=True, fastmath={"contract", "reassoc"})
    def value_and_gradients(x: Array, y: Array, w: Array, b: Array) -> Any:
        rows, columns = x.shape
        dw, db, total, bias = np.zeros(columns), 0.0, 0.0, b[()]
        for i in range(rows):
            z = bias
            for j in range(columns):
                z += x[i, j] * w[j]
            shrunk = math.exp(-abs(z))
            total += max(z, 0.0) - y[i] * z + math.log1p(shrunk)
            dz = ((1.0 if z >= 0 else shrunk) / (1.0 + shrunk) - y[i]) / rows
            db += dz
            for j in range(columns):
                dw[j] += x[i, j] * dz
        return total / rows, (dw, db)

    return lambda: value_and_gradients(*arrays)


def _in_c(x: Array, y: Array, w: Array, b: Array) -> Call:
    value, dw, db = np.empty(()), np.empty_like(w), np.empty_like(b)
    arguments = [len(x), x, y, w, b, value, dw, db]
    return Kernel("logistic", "logistic", arguments, (value, (dw, db)), {"COLUMNS": len(w)})


WORKLOADS = [
    Workload(
        name="logistic",
        title="logistic regression, 200,000x32, float64",
        sizes=(200_000, 32),
        tiny=(50, 4),
        inputs=_inputs,
        define=_define,
        wrt=(2, 3),
        by_hand={"numpy": _by_numpy, "numba": _by_numba, "c": _in_c},
    )
]
