"""Functions with loops that run as loop programs, and what they are tested on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import jitgrad


@dataclass(frozen=True)
class Case:
    """A function of one array that returns a number, and the array."""

    name: str
    function: Callable[[Any], Any]
    x: Any


CASES: list[Case] = []


def case(x: Any) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Add a function to the cases."""

    def add(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        CASES.append(Case(function.__name__, function, np.asarray(x)))
        return function

    return add


def numbers(*shape: int) -> Any:
    """Return numbers between 0 and 1."""
    return np.random.default_rng(7).uniform(0, 1, shape)


def positive(n: int) -> Any:
    """Return a positive definite matrix."""
    a = numbers(n, n)
    return a @ a.T + n * np.eye(n)


@case(numbers(7, 6))
def gauss_seidel(x: Any) -> Any:
    rows, columns = x.shape

    def sweep(_: Any, x: Any) -> Any:
        def row(i: Any, x: Any) -> Any:
            def element(j: Any, x: Any) -> Any:
                x = x.clone()
                x[i, j] = 0.25 * (x[i - 1, j] + x[i + 1, j] + x[i, j - 1] + x[i, j + 1])
                return x

            return jitgrad.fori_loop(1, columns - 1, element, x)

        return jitgrad.fori_loop(1, rows - 1, row, x)

    return (jitgrad.fori_loop(0, 3, sweep, x) ** 2).sum()


@case([1.0, 0.5, 2.0])
def lorenz(state: Any) -> Any:
    def slope(s: Any) -> Any:
        return jitgrad.stack([10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - s[2]])

    def step(_: Any, s: Any) -> Any:
        return s + 0.01 * slope(s + 0.005 * slope(s))

    return (jitgrad.fori_loop(0, 20, step, state) ** 2).sum()


@case(3.7)
def newton(a: Any) -> Any:
    return jitgrad.while_loop(
        lambda x: abs(x * x - a) > 1e-6, lambda x: 0.5 * (x + a / x), jitgrad.ones_like(a)
    )


@case(positive(6))
def cholesky(a: Any) -> Any:
    n = len(a)

    def row(i: Any, low: Any) -> Any:
        def element(j: Any, low: Any) -> Any:
            low = low.clone()
            low[i, j] = (a[i, j] - (low[i, :j] * low[j, :j]).sum()) / low[j, j]
            return low

        low = jitgrad.fori_loop(0, i, element, low).clone()
        low[i, i] = jitgrad.sqrt(a[i, i] - low[i, :i] @ low[i, :i])
        return low

    return (jitgrad.fori_loop(0, n, row, jitgrad.zeros_like(a)) ** 3).sum()


@case(positive(6))
def elimination(a: Any) -> Any:
    def eliminate(k: Any, a: Any) -> Any:
        a = a.clone()
        a[k + 1 :, k] = a[k + 1 :, k] / a[k, k]
        a[k + 1 :, k + 1 :] -= a[k + 1 :, k][:, None] * a[k, k + 1 :][None, :]
        return a

    return (jitgrad.fori_loop(0, len(a) - 1, eliminate, a) ** 2).sum()


@case(positive(5))
def gram_schmidt(a: Any) -> Any:
    n = len(a)

    def column(k: Any, carry: Any) -> Any:
        q, r = carry[0].clone(), carry[1].clone()
        r[k, k] = jitgrad.sqrt((q[:, k] * q[:, k]).sum())
        q[:, k] = q[:, k] / r[k, k]

        def other(j: Any, carry: Any) -> Any:
            q, r = carry[0].clone(), carry[1].clone()
            r[k, j] = (q[:, k] * q[:, j]).sum()
            q[:, j] = q[:, j] - q[:, k] * r[k, j]
            return q, r

        return jitgrad.fori_loop(k + 1, n, other, (q, r))

    q, r = jitgrad.fori_loop(0, n, column, (a, jitgrad.zeros_like(a)))
    return (r * r + q).sum()


@case(numbers(6, 6))
def best_path(costs: Any) -> Any:
    def step(k: Any, best: Any) -> Any:
        return jitgrad.amax(best[:, None] + costs, 0) * costs[k]

    return (jitgrad.fori_loop(0, 6, step, costs[0]) ** 2).sum()


@case(numbers(9))
def reflecting_walls(x: Any) -> Any:
    def step(_: Any, carry: Any) -> Any:
        def particle(j: Any, carry: Any) -> Any:
            x, v = carry[0].clone(), carry[1].clone()
            moved = x[j] + 0.3 * v[j]
            x[j], v[j] = jitgrad.cond(
                moved > 1, lambda m, u: (2 - m, -u), lambda m, u: (1 * m, 1 * u), moved, v[j]
            )
            return x, v

        return jitgrad.fori_loop(0, 9, particle, carry)

    x, v = jitgrad.fori_loop(0, 5, step, (x, x * 2))
    return (x * x * v).sum()


@case(numbers(6, 3))
def bodies(x: Any) -> Any:
    def step(_: Any, carry: Any) -> Any:
        x, v = carry
        d = x[:, None, :] - x[None, :, :]
        r = (d * d).sum(-1) + 0.1
        v = v - 0.1 * (d * (1 / (r * jitgrad.sqrt(r)))[:, :, None]).sum(1)
        return x + 0.1 * v, v

    x, v = jitgrad.fori_loop(0, 4, step, (x, 0.1 * x))
    return (x * x).sum() + (v * v).sum()


@case(numbers(8))
def shifted_onto_itself(x: Any) -> Any:
    def step(i: Any, x: Any) -> Any:
        x = x.clone()
        x[1:] = x[:-1] * x[i]
        return x

    return (jitgrad.fori_loop(0, 3, step, x) ** 2).sum()


@case(numbers(5))
def an_exchange(x: Any) -> Any:
    def step(i: Any, carry: Any) -> Any:
        a, b = carry
        return b * 1.5, a + b[i]

    a, b = jitgrad.fori_loop(0, 5, step, (x, x * x))
    return (a * b).sum()


@case(numbers(4, 5))
def along_an_array(x: Any) -> Any:
    def step(total: Any, row: Any) -> Any:
        total = total * row.sum() + jitgrad.sin(row)
        return total, total[1] * row

    last, rows = jitgrad.scan(step, x[0], x, reverse=True)
    return (last * last).sum() + (rows**2).sum()


@case(numbers(3, 4))
def products(w: Any) -> Any:
    def step(_: Any, h: Any) -> Any:
        return jitgrad.tanh(h @ w.T @ w + 0.1)

    return jitgrad.fori_loop(0, 3, step, w).sum()


@case(numbers(6))
def an_index_that_is_computed(x: Any) -> Any:
    order = jitgrad.tensor([3, -1, 0, 3])

    def step(k: Any, total: Any) -> Any:
        return total * x[order[k]] + x[-1 - k]

    return jitgrad.fori_loop(0, 4, step, x[0])


@case(numbers(6))
def a_part_that_is_held_fast(x: Any) -> Any:
    def step(i: Any, carry: Any) -> Any:
        s, y = carry
        y = y.clone()
        y[i] = y[i] * s
        return s + x[i] * (0.5 * s), y

    s, y = jitgrad.fori_loop(0, 6, step, (x[0], x))
    return s * y.sum()


@case(numbers(9))
def a_recurrence(x: Any) -> Any:
    def step(i: Any, y: Any) -> Any:
        y = y.clone()
        y[i] = y[i - 1] * y[i] + 0.5 * y[i - 2]
        return y

    y = jitgrad.fori_loop(2, 9, step, x)

    def down(i: Any, y: Any) -> Any:
        y = y.clone()
        y[7 - i] = y[8 - i] * jitgrad.sin(y[7 - i])
        return y

    return (jitgrad.fori_loop(0, 7, down, y) ** 2).sum()


@case(numbers(5))
def a_result_that_is_read_on_the_way_back(x: Any) -> Any:
    def step(i: Any, y: Any) -> Any:
        y = y.clone()
        y[i] = jitgrad.tanh(y[i]) * y[i - 1]
        return y

    return (x * jitgrad.fori_loop(0, 5, step, x)).sum()
