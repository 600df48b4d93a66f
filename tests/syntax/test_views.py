"""Variables that show a part of an array which changes afterwards, in loops and behind branches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad as jg


def element_in_a_branch(x: Any) -> Any:
    s, n = x.sum() * 0.0, 0
    while n < 4 and s < 100.0:
        x[0] = s + 1.0
        s = x[0] if x[n] > 0.2 else s
        n += 1
    return s, x


def element_set_in_a_branch(x: Any) -> Any:
    s, n = x.sum() * 0.0, 0
    while n < 4 and s < 100.0:
        x[0] = s + 1.0
        if x[n] > 0.2:
            s = x[0]
        n += 1
    return s, x


def element_of_a_loop(x: Any) -> Any:
    s, n = x.sum() * 0.0, 0
    while n < 3 and s < 100.0:
        x[0] = s + 1.0
        s = x[0]
        n += 1
    return s, x


def changed_after_the_loop(x: Any) -> Any:
    s, n = x.sum() * 0.0, 0
    while n < 3 and s < 100.0:
        s = x[n]
        n += 1
    x[2] = 9.0
    return s, x


def whole_changed_after_the_loop(x: Any) -> Any:
    w, n = x * 2.0, 0
    while n < 3 and x[n] > -5.0:
        w = x
        n += 1
    x[1] = 9.0
    return w, x


def never_entered(x: Any) -> Any:
    w, n = x, 5
    while n < 3 and x[n] > -5.0:
        w = w * 2.0
        n += 1
    x[1] = 9.0
    return w, x


def changed_after_the_branch(x: Any) -> Any:
    total = x.sum() * 0.0
    for n in range(40):
        s = x[0] if x[n % 7] > 0.2 else x[1]
        x[0] = 0.1 * n
        total = total + s
    return total, x


def elements_of_one_of_two(x: Any) -> Any:
    y, s = x * 2.0, x.sum() * 0.0
    for v in x:
        s = s + v
        x, y = y, x
        x[1:-1] = 0.5 * s * y[2:]
    return s, x


def another_name_of_one_of_two(x: Any) -> Any:
    y, w, s = x * 2.0, x, x.sum() * 0.0
    for i in range(7):
        s = s + w[i]
        x, y = y, x
        x[1:-1] = 0.5 * s * y[2:]
    return s, x


def a_part_of_one_of_two(x: Any) -> Any:
    y, w, s = x * 2.0, x[1:5], x.sum() * 0.0
    for i in range(7):
        s = s + w[1] * i
        x, y = y, x
        x[1:-1] = 0.5 * s * y[2:]
    return s, x


_PROGRAMS = [
    element_in_a_branch, element_set_in_a_branch, element_of_a_loop, changed_after_the_loop,
    whole_changed_after_the_loop, never_entered, changed_after_the_branch,
    elements_of_one_of_two, another_name_of_one_of_two, a_part_of_one_of_two,
]  # fmt: skip


@pytest.mark.parametrize("program", _PROGRAMS, ids=lambda p: p.__name__)
def test_what_is_shown_changes(program: Any) -> None:
    def on_a_copy(x: Any) -> Any:
        return program(x * 1.0)

    x = jg.tensor([0.3, 0.7, -0.2, 0.5, 1.2, 0.1, 0.7], dtype=jg.float64)
    compiled = jg.compile(on_a_copy)
    for _ in range(3):
        for found, expected in zip(compiled(x), on_a_copy(x), strict=True):
            np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-14)
