"""The tutorial on gradients: binary cross entropy of a 5 by 3 layer, where only the call counts."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from bench.hand.kernel import Kernel
from bench.workload import Array, Call, Workload


def _inputs(rng: np.random.Generator, size_in: int, size_out: int) -> tuple[Array, ...]:
    w = rng.normal(size=(size_in, size_out)).astype(np.float32)
    b = rng.normal(size=size_out).astype(np.float32)
    return np.ones(size_in, np.float32), np.zeros(size_out, np.float32), w, b


def _define(ops: ModuleType) -> Callable[..., Any]:
    def loss(x: Any, y: Any, w: Any, b: Any) -> Any:
        return ops.binary_cross_entropy_with_logits(ops.matmul(x, w) + b, y)

    return loss


def _by_numpy(*arrays: Array) -> Call:
    def value_and_gradients(x: Array, y: Array, w: Array, b: Array) -> Any:
        z = x @ w + b
        shrunk = np.exp(-np.abs(z))
        value = np.mean(np.maximum(z, 0) - y * z + np.log1p(shrunk))
        sigmoid = np.where(z >= 0, 1, shrunk) / (1 + shrunk)
        dz = (sigmoid - y) / np.float32(z.size)
        return value, (np.outer(x, dz), dz)

    return lambda: value_and_gradients(*arrays)


def _by_numba(*arrays: Array) -> Call:
    import math

    from numba import njit

    @njit(cache=True, fastmath={"contract"})
    def value_and_gradients(x: Array, y: Array, w: Array, b: Array) -> Any:
        rows, columns = w.shape
        dw, db = np.empty_like(w), np.empty_like(b)
        one, scale = np.float32(1), np.float32(1) / np.float32(columns)
        total = np.float32(0)
        for j in range(columns):
            z = b[j]
            for i in range(rows):
                z += x[i] * w[i, j]
            shrunk = math.exp(-abs(z))
            total += max(z, np.float32(0)) - y[j] * z + math.log1p(shrunk)
            sigmoid = (one if z >= 0 else shrunk) / (one + shrunk)
            db[j] = (sigmoid - y[j]) * scale
        for i in range(rows):
            for j in range(columns):
                dw[i, j] = x[i] * db[j]
        return total * scale, (dw, db)

    return lambda: value_and_gradients(*arrays)


def _in_c(x: Array, y: Array, w: Array, b: Array) -> Call:
    value, dw, db = np.empty((), np.float32), np.empty_like(w), np.empty_like(b)
    arguments = [x, y, w, b, value, dw, db]
    sizes = {"ROWS": w.shape[0], "COLUMNS": w.shape[1]}
    return Kernel("cross_entropy", "binary", arguments, (value, (dw, db)), sizes)


WORKLOADS = [
    Workload(
        name="bce",
        title="binary cross entropy, 5x3, float32",
        sizes=(5, 3),
        tiny=(5, 3),
        inputs=_inputs,
        define=_define,
        wrt=(2, 3),
        by_hand={"numpy": _by_numpy, "numba": _by_numba, "c": _in_c},
        styles=("", "tensors", "backward"),
    )
]
