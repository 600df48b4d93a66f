"""A chain of 14 elementwise operations, none of them transcendental: memory traffic counts."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from bench.hand.kernel import Kernel
from bench.workload import Array, Call, Workload


def _inputs(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    return rng.normal(size=size), rng.normal(size=size)


def _define(ops: ModuleType) -> Callable[..., Any]:
    def chain(x: Any, y: Any) -> Any:
        a = x * y + 0.5
        b = a * a - x
        c = ops.maximum(b, y)
        d = c / (1.0 + a * a)
        e = ops.abs(d - x) * 0.25
        return (e + d) * y - c

    return chain


def _define_sum(ops: ModuleType) -> Callable[..., Any]:
    chain = _define(ops)

    def total(x: Any, y: Any) -> Any:
        return ops.sum(chain(x, y))

    return total


def _forward_by_numpy(*arrays: Array) -> Call:
    def chain(x: Array, y: Array) -> Any:
        a = x * y + 0.5
        b = a * a - x
        c = np.maximum(b, y)
        d = c / (1.0 + a * a)
        e = np.abs(d - x) * 0.25
        return (e + d) * y - c

    return lambda: chain(*arrays)


def _gradient_by_numpy(*arrays: Array) -> Call:
    def value_and_gradients(x: Array, y: Array) -> Any:
        a = x * y + 0.5
        b = a * a - x
        c = np.maximum(b, y)
        q = 1.0 + a * a
        d = c / q
        r = d - x
        e = np.abs(r) * 0.25
        value = np.sum((e + d) * y - c)
        dr = np.sign(r) * (0.25 * y)
        dd = y + dr
        dc = dd / q - 1.0
        larger = b > y
        db = dc * larger
        da = 2.0 * a * (db - dd * d / q)
        dx = da * y - db - dr
        dy = (e + d) + dc * ~larger + da * x
        return value, (dx, dy)

    return lambda: value_and_gradients(*arrays)


def _forward_by_numba(*arrays: Array) -> Call:
    from numba import njit

    @njit(cache=True, fastmath={"contract"})
    def chain(x: Array, y: Array) -> Any:
        out = np.empty_like(x)
        for i in range(x.size):
            a = x[i] * y[i] + 0.5
            c = max(a * a - x[i], y[i])
            d = c / (1.0 + a * a)
            e = abs(d - x[i]) * 0.25
            out[i] = (e + d) * y[i] - c
        return out

    return lambda: chain(*arrays)


def _gradient_by_numba(*arrays: Array) -> Call:
    from numba import njit

    @njit(cache=True, fastmath={"contract", "reassoc"})
    def value_and_gradients(x: Array, y: Array) -> Any:
        dx, dy = np.empty_like(x), np.empty_like(y)
        total = 0.0
        for i in range(x.size):
            a = x[i] * y[i] + 0.5
            b = a * a - x[i]
            c = max(b, y[i])
            inverse = 1.0 / (1.0 + a * a)
            d = c * inverse
            r = d - x[i]
            e = abs(r) * 0.25
            total += (e + d) * y[i] - c
            dr = 0.25 * y[i] if r > 0 else -0.25 * y[i]
            dd = y[i] + dr
            dc = dd * inverse - 1.0
            db = dc if b > y[i] else 0.0
            da = 2.0 * a * (db - dd * d * inverse)
            dx[i] = da * y[i] - db - dr
            dy[i] = (e + d) + (dc - db) + da * x[i]
        return total, (dx, dy)

    return lambda: value_and_gradients(*arrays)


def _forward_in_c(x: Array, y: Array) -> Call:
    out = np.empty_like(x)
    return Kernel("chain", "forward", [x.size, x, y, out], out)


def _gradient_in_c(x: Array, y: Array) -> Call:
    value, dx, dy = np.empty(()), np.empty_like(x), np.empty_like(y)
    return Kernel("chain", "gradient", [x.size, x, y, value, dx, dy], (value, (dx, dy)))


WORKLOADS = [
    Workload(
        name="chain_forward",
        title="14 elementwise operations, 1e6, float64, value alone",
        sizes=(1_000_000,),
        tiny=(37,),
        inputs=_inputs,
        define=_define,
        by_hand={"numpy": _forward_by_numpy, "numba": _forward_by_numba, "c": _forward_in_c},
    ),
    Workload(
        name="chain",
        title="the same, summed, with gradients",
        sizes=(1_000_000,),
        tiny=(37,),
        inputs=_inputs,
        define=_define_sum,
        wrt=(0, 1),
        by_hand={
            "numpy": _gradient_by_numpy,
            "numba": _gradient_by_numba,
            "c": _gradient_in_c,
        },
    ),
]
