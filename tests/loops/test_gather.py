"""Ways back of stencils, which collect from neighbours: against the plain way, at all sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad.core.dtypes import float64, int64
from jitgrad.loops.gather import gather
from jitgrad.loops.program import Array, Block, For, Linear, Load, Program, Scalar, Store
from tests.loops.programs import numbers
from tests.loops.test_loop_programs import differences


def along_a_line(x: Any) -> Any:
    a, b = x * 1.0, x * 2.0
    for _ in range(6):
        b[2:-1] = 0.5 * a[2:-1] - 0.25 * a[:-3] + a[1:-2] * a[3:]
        a, b = b, a
    return (a * b).sum()


def on_a_grid(x: Any) -> Any:
    a, b = x * 1.0, x * 2.0
    for _ in range(6):
        b[1:-1, 1:-1] = 0.2 * (
            a[1:-1, 1:-1] + a[:-2, 1:-1] + a[2:, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:]
        )
        a, b = b, a
    return (a * a * b).sum()


def to_one_side(x: Any) -> Any:
    a, b = x * 1.0, x * 0.5
    for k in range(6):
        b[:-2, 1:] -= 0.3 * k * (a[2:, :-1] - a[:-2, :-1])
        a[1:, :-1] += 0.1 * (b[:-1, 1:] * b[1:, 1:])
    return (a * b).sum()


def in_space(x: Any) -> Any:
    a, b = x * 1.0, x * 1.0
    for _ in range(5):
        b[1:-1, 1:-1, 1:-1] = 0.2 * (
            a[2:, 1:-1, 1:-1] - 2.0 * a[1:-1, 1:-1, 1:-1] + a[:-2, 1:-1, 1:-1]
            + a[1:-1, 2:, 1:-1] - a[1:-1, 1:-1, 2:]
        )  # fmt: skip
        a[1:-1, 1:-1, 1:-1] += 0.1 * b[:-2, :-2, 2:] - 0.1 * b[2:, 2:, 1:-1]
    return (a * b).sum()


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (along_a_line, [(4,), (5,), (6,), (23,)]),
        (on_a_grid, [(3, 3), (3, 5), (6, 4), (9, 21)]),
        (to_one_side, [(3, 2), (4, 4), (3, 9), (17, 5)]),
        (in_space, [(3, 3, 3), (5, 3, 4), (6, 5, 11)]),
    ],
    ids=lambda f: getattr(f, "__name__", ""),
)
def test_the_gradient_is_that_of_finite_differences(
    function: Callable[[Any], Any], shapes: list[tuple[int, ...]]
) -> None:
    gradient, value = jitgrad.compile(jitgrad.grad(function)), jitgrad.compile(function)
    for shape in shapes:
        x = numbers(*shape)
        expected = differences(lambda x: value(x.numpy()), x)
        np.testing.assert_allclose(np.asarray(gradient(x)), expected, rtol=1e-6, atol=1e-7)


def test_each_element_is_written_once() -> None:
    array, other, index = Array((9,), float64), Array((9,), float64), Scalar(int64)
    v = Scalar(float64)
    here = Linear.of(index)
    body: Block = [Load(other, (here,), v)]
    body += [Store(array, (here + o,), v, adds=True) for o in (0, 2, 1)]
    loop = For(index, Linear.of(0), Linear.of(7), body)
    program = gather(Program([other], [], [array], [], [loop]))
    (core,) = [s for s in program.body if isinstance(s, For)]
    assert (core.start.known, core.stop.known) == (2, 7)
    assert sum(isinstance(s, Store) for s in core.body) == 1
    assert sum(isinstance(s, Store) for s in program.body) == 4
