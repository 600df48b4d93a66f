"""Rosenbrock's function, small and large: slices that overlap."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from bench.hand.kernel import Kernel
from bench.workload import Array, Call, Workload


def _inputs(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    return (rng.normal(size=size),)


def _product_inputs(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    return rng.normal(size=size), rng.normal(size=size)


def _define(ops: ModuleType) -> Callable[..., Any]:
    def rosenbrock(x: Any) -> Any:
        return ops.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)

    return rosenbrock


def _by_numpy(*arrays: Array) -> Call:
    def value_and_gradient(x: Array) -> Any:
        front = x[:-1]
        bend, rest = x[1:] - front * front, 1.0 - front
        dx = np.empty_like(x)
        dx[:-1] = -400.0 * bend * front - 2.0 * rest
        dx[-1] = 0.0
        dx[1:] += 200.0 * bend
        return np.sum(100.0 * bend * bend + rest * rest), (dx,)

    return lambda: value_and_gradient(*arrays)


def _by_numba(*arrays: Array) -> Call:
    from numba import njit

    @njit(cache=True, fastmath={"contract", "reassoc"})
    def value_and_gradient(x: Array) -> Any:
        dx = np.empty_like(x)
        total, before = 0.0, 0.0
        for i in range(x.size - 1):
            bend, rest = x[i + 1] - x[i] * x[i], 1.0 - x[i]
            total += 100.0 * bend * bend + rest * rest
            dx[i] = before - 400.0 * bend * x[i] - 2.0 * rest
            before = 200.0 * bend
        dx[x.size - 1] = before
        return total, (dx,)

    return lambda: value_and_gradient(*arrays)


def _in_c(x: Array) -> Call:
    value, dx = np.empty(()), np.empty_like(x)
    return Kernel("rosenbrock", "rosenbrock", [x.size, x, value, dx], (value, (dx,)))


def _product_by_numpy(x: Array, v: Array) -> Call:
    def product() -> Any:
        front, back = x[:-1], x[1:]
        across = -400.0 * front
        out = np.empty_like(x)
        out[:-1] = (1200.0 * front * front - 400.0 * back + 2.0) * v[:-1] + across * v[1:]
        out[-1] = 0.0
        out[1:] += 200.0 * v[1:] + across * v[:-1]
        return out

    return product


def _product_by_numba(x: Array, v: Array) -> Call:
    from numba import njit

    @njit(cache=True, fastmath={"contract"})
    def product(x: Array, v: Array) -> Any:
        out = np.empty_like(x)
        before = 0.0
        for i in range(x.size - 1):
            across = -400.0 * x[i]
            bend = 1200.0 * x[i] * x[i] - 400.0 * x[i + 1] + 2.0
            out[i] = before + bend * v[i] + across * v[i + 1]
            before = 200.0 * v[i + 1] + across * v[i]
        out[x.size - 1] = before
        return out

    return lambda: product(x, v)


def _product_in_c(x: Array, v: Array) -> Call:
    out = np.empty_like(x)
    return Kernel("rosenbrock", "product", [x.size, x, v, out], out)


def _workload(name: str, title: str, size: int) -> Workload:
    return Workload(
        name=name,
        title=title,
        sizes=(size,),
        tiny=(10,),
        inputs=_inputs,
        define=_define,
        wrt=(0,),
        by_hand={"numpy": _by_numpy, "numba": _by_numba, "c": _in_c},
    )


WORKLOADS = [
    _workload("rosenbrock_small", "Rosenbrock, n = 10, float64", 10),
    _workload("rosenbrock", "Rosenbrock, n = 1e6, float64", 1_000_000),
    Workload(
        name="rosenbrock_hvp",
        title="Rosenbrock, n = 1e6, Hessian-vector product, float64",
        sizes=(1_000_000,),
        tiny=(10,),
        inputs=_product_inputs,
        define=_define,
        wrt=(0,),
        task="product",
        by_hand={"numpy": _product_by_numpy, "numba": _product_by_numba, "c": _product_in_c},
    ),
]
