"""Prices of a million options and how they change with all that they depend on."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from bench.hand.kernel import Kernel
from bench.workload import Array, Call, Workload

_SQRT_HALF = 0.7071067811865476
_SQRT_TWO_PI = 2.5066282746310002


def _inputs(rng: np.random.Generator, count: int) -> tuple[Array, ...]:
    spot, strike = rng.uniform(50, 150, count), rng.uniform(50, 150, count)
    years, volatility = rng.uniform(0.1, 2, count), rng.uniform(0.1, 0.5, count)
    return spot, strike, years, volatility, np.array(0.03)


def _define(ops: ModuleType) -> Callable[..., Any]:
    def normal(x: Any) -> Any:
        return 0.5 * (1.0 + ops.erf(x * _SQRT_HALF))

    def total_price(spot: Any, strike: Any, years: Any, volatility: Any, rate: Any) -> Any:
        spread = volatility * ops.sqrt(years)
        d1 = (ops.log(spot / strike) + (rate + 0.5 * volatility**2) * years) / spread
        discounted = strike * ops.exp(-rate * years)
        return ops.sum(spot * normal(d1) - discounted * normal(d1 - spread))

    return total_price


def _by_numpy(*arrays: Array) -> Call:
    from scipy.special import erf

    def value_and_gradients(s: Array, k: Array, t: Array, v: Array, r: Array) -> Any:
        root = np.sqrt(t)
        spread = v * root
        d1 = (np.log(s / k) + (r + 0.5 * v * v) * t) / spread
        n1 = 0.5 * (1.0 + erf(d1 * _SQRT_HALF))
        n2 = 0.5 * (1.0 + erf((d1 - spread) * _SQRT_HALF))
        discount = np.exp(-r * t)
        discounted = k * discount
        vega = s * root * np.exp(-0.5 * d1 * d1) / _SQRT_TWO_PI
        theta = r * discounted * n2 + vega * v / (2.0 * t)
        value = np.sum(s * n1 - discounted * n2)
        return value, (n1, -discount * n2, theta, vega, np.sum(t * discounted * n2))

    return lambda: value_and_gradients(*arrays)


def _by_numba(*arrays: Array) -> Call:
    import math

    from numba import njit

    @njit(cache=True, fastmath={"contract", "reassoc"})
    def value_and_gradients(s: Array, k: Array, t: Array, v: Array, r: Array) -> Any:
        ds, dk, dt, dv = np.empty_like(s), np.empty_like(k), np.empty_like(t), np.empty_like(v)
        dr, total, rate = 0.0, 0.0, r[()]
        for i in range(s.size):
            root = math.sqrt(t[i])
            spread = v[i] * root
            d1 = (math.log(s[i] / k[i]) + (rate + 0.5 * v[i] * v[i]) * t[i]) / spread
            n1 = 0.5 * (1.0 + math.erf(d1 * _SQRT_HALF))
            n2 = 0.5 * (1.0 + math.erf((d1 - spread) * _SQRT_HALF))
            discount = math.exp(-rate * t[i])
            paid = k[i] * discount * n2
            vega = s[i] * root * math.exp(-0.5 * d1 * d1) / _SQRT_TWO_PI
            total += s[i] * n1 - paid
            ds[i], dk[i], dv[i] = n1, -discount * n2, vega
            dt[i] = rate * paid + vega * v[i] / (2.0 * t[i])
            dr += t[i] * paid
        return total, (ds, dk, dt, dv, dr)

    return lambda: value_and_gradients(*arrays)


def _in_c(*arrays: Array) -> Call:
    value, gradients = np.empty(()), tuple(np.empty_like(array) for array in arrays)
    arguments = [arrays[0].size, *arrays, value, *gradients]
    return Kernel("black_scholes", "black_scholes", arguments, (value, gradients))


WORKLOADS = [
    Workload(
        name="black_scholes",
        title="Black-Scholes, 1e6 options, float64",
        sizes=(1_000_000,),
        tiny=(40,),
        inputs=_inputs,
        define=_define,
        wrt=(0, 1, 2, 3, 4),
        by_hand={"numpy": _by_numpy, "numba": _by_numba, "c": _in_c},
    )
]
