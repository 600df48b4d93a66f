"""Loops written as plain Python: what they compute compiled is what they compute plainly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from tests.syntax.programs import compare, compare_gradients


def _x(n: int = 12) -> Any:
    return jg.tensor(np.linspace(-1.0, 2.0, n))


def _m(n: int = 8) -> Any:
    return jg.tensor(np.sin(np.arange(float(n * n))).reshape(n, n) + 4.0 * np.eye(n))


def summed(x: Any) -> Any:
    s = 0.0
    for i in range(x.shape[0]):
        s = s + x[i] * i
    return s


def summed_backwards(x: Any) -> Any:
    s = 0.0
    for i in range(x.shape[0] - 1, -1, -1):
        s = s * 0.5 + x[i]
    return s


def every_second(x: Any) -> Any:
    s = 0.0
    for i in range(1, x.shape[0], 2):
        s = s * 0.5 + x[i] * i
    return s


def every_second_backwards(x: Any) -> Any:
    s = 0.0
    for i in range(x.shape[0] - 2, -1, -2):
        s = s * 0.5 + x[i] * i
    return s


def last_index(x: Any) -> Any:
    for i in range(2, x.shape[0]):
        y = x[i] * x[i - 1]
    return x[i] + y, i


def filled(x: Any) -> Any:
    y = jg.zeros_like(x)
    for i in range(x.shape[0]):
        y[i] = x[i] * x[i - 1]
    return y


def in_place_on_argument(x: Any) -> Any:
    for i in range(1, x.shape[0]):
        x[i] += 0.5 * x[i - 1]
    return None


def triangular(a: Any) -> Any:
    n = a.shape[0]
    s = 0.0
    for i in range(n):
        for j in range(i):
            for k in range(j, n):
                s = s + a[i, j] * a[j, k]
    return s


def cholesky(a: Any) -> Any:
    n = a.shape[0]
    a = a @ a.T
    low = jg.zeros_like(a)
    for i in range(n):
        for j in range(i + 1):
            s = a[i, j]
            for k in range(j):
                s = s - low[i, k] * low[j, k]
            if i == j:
                low[i, j] = jg.sqrt(s)
            else:
                low[i, j] = s / low[j, j]
    return low


def gauss_seidel(u: Any) -> Any:
    u = u.clone()
    n, m = u.shape
    for _ in range(6):
        for i in range(1, n - 1):
            for j in range(1, m - 1):
                u[i, j] = 0.25 * (u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1])
    return u


def swapped(x: Any) -> Any:
    a, b = x.clone(), x * 2.0
    for _ in range(7):
        b[1:-1] = 0.5 * (a[:-2] + a[2:])
        a, b = b, a
    return a, b


def branching(x: Any) -> Any:
    s = 0.0
    for i in range(x.shape[0]):
        if x[i] > 1.0:
            s = s + x[i] ** 2
        elif x[i] > 0.0:
            s = s - x[i]
        else:
            s = s * 0.9
    return s


def broken(x: Any) -> Any:
    s = x[0]
    for i in range(x.shape[0]):
        if s + x[i] > 0.5:
            break
        s = s + x[i] * 2.0
    else:
        s = s - 100.0
    return s


def continued(x: Any) -> Any:
    s = 0.0
    for i in range(x.shape[0]):
        if x[i] < 0.0:
            continue
        s = s + x[i]
        if i % 2 == 0:
            continue
        s = s * 2.0
    return s


def returned(x: Any) -> Any:
    for i in range(x.shape[0]):
        if x[i] > 1.0:
            return x[i] * 3.0
    return x.sum()


def decayed(x: Any) -> Any:
    n = 0
    while (x * x).sum() > 0.5:
        x = x * 0.8
        n += 1
    return x, n


def newton(x: Any) -> Any:
    y = x[-1]
    error = 1.0
    while error > 1e-12:
        new = y - (y * y - x[-1]) / (2.0 * y)
        error = abs(new - y)
        y = new
    return y


def endless(x: Any) -> Any:
    y = x
    while True:
        y = y * 0.7
        if y.sum() < 0.1:
            break
    return y


def along(x: Any) -> Any:
    s = 0.0
    for v in x:
        s = s * 0.5 + v
    return s


def along_two(x: Any) -> Any:
    s = 0.0
    for k, (a, b) in enumerate(zip(x, x * x, strict=True)):
        s = s + k * a * b
    return s


def chosen(x: Any) -> Any:
    s = 0.0
    for i in range(x.shape[0]):
        v = x[i] if (x[i] > 0.0 and i > 2) or i == 1 else -x[i]
        s = s + (v if 0.0 < v < 1.0 else 2.0 * v) * (0.0 if not i else 1.0)
    return s


def guarded(x: Any) -> Any:
    y = x.clone()
    for i in range(1, y.shape[0]):
        key = y[i]
        j = i - 1
        while j >= 0 and y[j] < key:
            y[j + 1] = y[j]
            j -= 1
        y[j + 1] = key
    return y


def _scaled(x: Any, i: Any) -> Any:
    if x[i] > 1.0:
        return x[i] * 2.0
    return x[i] + 1.0


def through_functions(x: Any) -> Any:
    def inner(v: Any) -> Any:
        if v > 0.0:
            return v * v
        return -v

    s = 0.0
    for i in range(x.shape[0]):
        s = s + inner(x[i]) * _scaled(x, i) + (lambda v: v if v > 0.5 else 0.5)(x[i])
    return s


def numbers(x: Any) -> Any:
    t, dt, k = 0.0, 0.1, 0
    for i in range(20):
        t = t + dt
        k += 2
        x = x + 0.1 * t * jg.sin(x) * (i / 3) + 1.0 / (i + 1)
    return x, t, k


def tuples(x: Any) -> Any:
    state = (x, {"v": x * 0.0, "n": 0})
    for _ in range(6):
        position, rest = state
        v = rest["v"] - 0.1 * position
        state = (position + 0.1 * v, {"v": v, "n": rest["n"] + 1})
    return state


def relaxed(u: Any) -> Any:
    v = u.clone()
    error, n = 1.0, 0
    while error > 1e-3:
        v[1:-1] = 0.5 * (u[:-2] + u[2:])
        error = abs(v - u).max()
        u, v = v, u
        n += 1
    return u, v, n


def assigned_in_the_condition(x: Any) -> Any:
    while (s := (x * x).sum()) > 1.0:
        x = x * 0.75
    return x, s


def first_apart(x: Any) -> Any:
    previous, s = None, 0.0
    for i in range(x.shape[0]):
        if previous is not None:
            s = s + x[i] * previous
        previous = x[i]
    return s


def rows(a: Any) -> Any:
    a = a.clone()
    for i in range(a.shape[0]):
        row = a[i]
        row += 1.0
        row[0] = row[1] * 2.0
    return a


def empty(x: Any) -> Any:
    s, i = 1.0, 7
    for i in range(x.shape[0], x.shape[0]):
        s = s + x[i]
    return s, i


def _name(program: Any) -> str:
    return getattr(program, "__name__", "")


def made_one(x: Any) -> Any:
    """Two variables become one in each iteration, and are two if there is none."""
    s, t = x.sum() * 0.0, x.max()
    while s > 0.1:
        s = t = t - s * x[0]
    return s, t


_BY_ELEMENT = [
    (summed, 1), (summed_backwards, 1), (every_second, 1), (every_second_backwards, 1),
    (last_index, 1), (filled, 1), (in_place_on_argument, 1), (swapped, 1), (branching, 1),
    (broken, 1), (continued, 1), (returned, 1), (decayed, 1), (newton, 1), (endless, 1),
    (along, 1), (along_two, 1), (chosen, 1), (guarded, 2), (through_functions, 1), (numbers, 1),
    (tuples, 1), (empty, 0), (relaxed, 1), (assigned_in_the_condition, 1), (first_apart, 1),
    (made_one, 1),
]  # fmt: skip
_BY_MATRIX = [(triangular, 3), (cholesky, 3), (gauss_seidel, 3), (rows, 1)]


@pytest.mark.parametrize(
    ("program", "loops"), _BY_ELEMENT, ids=lambda p: getattr(p, "__name__", "")
)
def test_a_loop_computes_what_python_computes(program: Any, loops: int) -> None:
    compare(program, _x(), loops=loops)


@pytest.mark.parametrize(("program", "loops"), _BY_MATRIX, ids=_name)
def test_nested_loops_compute_what_python_computes(program: Any, loops: int) -> None:
    compare(program, _m(), loops=loops)


_DIFFERENTIABLE = [
    summed_backwards, filled, swapped, branching, broken, continued, returned, newton, endless,
    along_two, chosen, through_functions,
]  # fmt: skip


@pytest.mark.parametrize("program", _DIFFERENTIABLE, ids=_name)
def test_gradients_through_a_loop(program: Any) -> None:
    def loss(x: Any) -> Any:
        result = program(x * 1.0)
        parts = result if isinstance(result, tuple) else (result,)
        return sum([(part * part).sum() for part in parts[1:]], (parts[0] * parts[0]).sum())

    compare_gradients(loss, _x())


def test_gradients_through_nested_loops() -> None:
    compare_gradients(triangular, _m())
    compare_gradients(lambda a: (rows(a) ** 2).sum() + gauss_seidel(a).sum(), _m())


def test_an_array_without_axes_becomes_a_scalar() -> None:
    def root(a: Any) -> Any:
        x = a
        while abs(x * x - a) > 1e-12:
            x = 0.5 * (x + a / x)
        return x

    compiled = compare(root, np.array(2.0), loops=1)
    assert compiled(np.array(9.0)) == 3.0
    assert compiled.explain().paths == 1


def test_numbers_are_not_rounded_where_they_are_assigned() -> None:
    def assigned(a: Any) -> Any:
        for i in range(a.shape[0]):
            a[i] = 0.1
            a[i] += 0.2
        return a

    compare(assigned, np.zeros(6), loops=1)
    compare(assigned, jg.zeros(6, dtype=np.float64), loops=1)
