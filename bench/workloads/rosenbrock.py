"""Rosenbrock's function, small and large: slices that overlap."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from bench.workload import Array, Workload


def _inputs(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    return (rng.normal(size=size),)


def _define(ops: ModuleType) -> Callable[..., Any]:
    def rosenbrock(x: Any) -> Any:
        return ops.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)

    return rosenbrock


def _by_numpy() -> Callable[..., Any]:
    def value_and_gradient(x: Array) -> Any:
        front = x[:-1]
        bend, rest = x[1:] - front * front, 1.0 - front
        dx = np.empty_like(x)
        dx[:-1] = -400.0 * bend * front - 2.0 * rest
        dx[-1] = 0.0
        dx[1:] += 200.0 * bend
        return np.sum(100.0 * bend * bend + rest * rest), (dx,)

    return value_and_gradient


def _by_hand() -> Callable[..., Any]:
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

    return value_and_gradient


def _workload(name: str, title: str, size: int) -> Workload:
    return Workload(
        name=name,
        title=title,
        sizes=(size,),
        tiny=(10,),
        inputs=_inputs,
        define=_define,
        wrt=(0,),
        by_hand={"numpy": _by_numpy, "hand": _by_hand},
    )


WORKLOADS = [
    _workload("rosenbrock_small", "Rosenbrock, n = 10, float64", 10),
    _workload("rosenbrock", "Rosenbrock, n = 1e6, float64", 1_000_000),
]
