"""Layer normalization and GELU: sums along rows, and an error function for each element."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from bench.hand.kernel import Kernel
from bench.workload import Array, Call, Workload


def _inputs(rng: np.random.Generator, rows: int, columns: int) -> tuple[Array, ...]:
    x = rng.standard_normal((rows, columns), np.float32)
    weight = 1 + np.float32(0.1) * rng.standard_normal(columns, np.float32)
    return x, weight, np.float32(0.1) * rng.standard_normal(columns, np.float32)


def _define(ops: ModuleType) -> Callable[..., Any]:
    def loss(x: Any, weight: Any, bias: Any) -> Any:
        y = ops.gelu(ops.layer_norm(x, x.shape[-1], weight, bias))
        return ops.mean(y * y)

    return loss


def _by_numpy(*arrays: Array) -> Call:
    from scipy.special import erf

    root_half, peak = np.float32(0.7071067811865476), np.float32(0.3989422804014327)
    half, eps = np.float32(0.5), np.float32(1e-5)

    def value_and_gradients(x: Array, weight: Array, bias: Array) -> Any:
        centred = x - x.mean(axis=1, keepdims=True)
        variance = np.mean(centred * centred, axis=1, keepdims=True)
        inverse = 1 / np.sqrt(variance + eps)
        normal = centred * inverse
        z = normal * weight + bias
        share = half * (1 + erf(z * root_half))
        y = z * share
        dz = y * np.float32(2 / y.size) * (share + z * peak * np.exp(-half * z * z))
        dn = dz * weight
        mean, slope = dn.mean(axis=1, keepdims=True), np.mean(dn * normal, axis=1, keepdims=True)
        dx = (dn - mean - normal * slope) * inverse
        return np.mean(y * y), (dx, np.sum(dz * normal, axis=0), dz.sum(axis=0))

    return lambda: value_and_gradients(*arrays)


def _in_c(x: Array, weight: Array, bias: Array) -> Call:
    rows, columns = x.shape
    value, gradients = np.empty((), np.float32), tuple(map(np.empty_like, (x, weight, bias)))
    arguments = [rows, x, weight, bias, value, *gradients]
    results = (value, gradients)
    return Kernel("layer_norm", "layer_norm", arguments, results, {"COLUMNS": columns})


WORKLOADS = [
    Workload(
        name="layer_norm",
        title="layer norm and GELU, 4096x1024, float32",
        sizes=(4096, 1024),
        tiny=(5, 6),
        inputs=_inputs,
        define=_define,
        wrt=(0, 1, 2),
        by_hand={"numpy": _by_numpy, "c": _in_c},
    )
]
