"""Where temporaries lie, and with what ways back begin and end, changes no result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.core.dtypes import float64
from jitgrad.ir.graph import Literal
from jitgrad.loops.builder import Builder
from jitgrad.loops.layout import lay_out
from jitgrad.loops.program import Array, Linear, Load, Program, Store, statements
from jitgrad.loops.settle import settle
from jitgrad.testing import check_grads


def zero() -> Literal:
    return Literal.of(0.0)


def moved_along(axis: int) -> tuple[Program, Array]:
    """Return a program whose loop goes along an axis of a temporary of shape (4, 3)."""
    builder = Builder()
    held = builder.array((4, 3), float64)
    out = Array((4, 3), float64)
    with builder.loop(Linear.of(0), Linear.of(held.shape[axis]), "i") as loop:
        index = [Linear.of(1), Linear.of(1)]
        index[axis] = Linear.of(loop.index)
        builder.store(held, tuple(index), zero())
        builder.store(out, tuple(index), builder.load(held, tuple(index)))
    return Program([], [], [out], [held], builder.block), held


@pytest.mark.parametrize(("axis", "shape"), [(0, (3, 4)), (1, (4, 3))])
def test_temporaries_lie_as_loops_go_and_outputs_as_they_were(axis: int, shape: Any) -> None:
    program, held = moved_along(axis)
    lay_out(program)
    assert held.shape == shape
    assert program.outputs[0].shape == (4, 3)
    for access in statements(program.body):
        if isinstance(access, (Load, Store)) and access.array is held:
            assert access.index[0].known == 1
            assert access.index[1].terms


def passed_on(rows: int, wanted: int) -> tuple[Program, Array, Array]:
    """Return a way back that moves `wanted` of so many rows of a cotangent to zeros."""
    builder = Builder()
    ct = Array((rows, 5), float64, "ct")
    given = Array((rows, 5), float64, "given")
    for row in range(wanted):
        with builder.loop(Linear.of(0), Linear.of(5), "i") as loop:
            index = (Linear.of(row), Linear.of(loop.index))
            value = builder.load(ct, index)
            builder.store(ct, index, zero())
            builder.store(given, index, value, adds=True)
    return Program([ct], [], [given], [], builder.block), ct, given


def test_first_additions_store_and_last_stores_go() -> None:
    program, ct, given = passed_on(2, 2)
    assert settle(program, [given]) == {given}
    stores = [s for s in statements(program.body) if isinstance(s, Store)]
    assert [(s.array, s.adds) for s in stores] == [(given, False)] * 2
    assert ct not in [s.array for s in stores]


def test_what_is_not_stored_whole_must_begin_as_zeros() -> None:
    program, _, given = passed_on(3, 2)
    assert settle(program, [given]) == set()


def test_what_is_read_again_is_cleared() -> None:
    program, ct, given = passed_on(1, 1)
    again, _, _ = passed_on(1, 1)
    for access in statements(again.body):
        if isinstance(access, Store) and access.adds:
            access.array = given
        elif isinstance(access, (Load, Store)):
            access.array = ct
    program.body += again.body
    settle(program, [given])
    stores = [s for s in statements(program.body) if isinstance(s, Store)]
    assert [s.array for s in stores].count(ct) == 2
    # The second addition finds what the first one has left.
    assert [s.adds for s in stores if s.array is given] == [False, True]


def by_columns(x: Any) -> Any:
    out = np.zeros_like(x)
    for _ in range(5):
        held = np.zeros_like(x)
        for j in range(1, x.shape[1]):
            held[:, j] = 0.5 * held[:, j - 1] + x[:, j] * x[:, j - 1]
        for j in range(x.shape[1]):
            out[:, j] += np.sin(held[:, j])
    return out


def test_programs_that_go_along_columns() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (6, 7))
    np.testing.assert_allclose(jg.compile(by_columns)(x), by_columns(x), rtol=1e-12)
    check_grads(jg.compile(lambda x: by_columns(x).sum()), (x,), order=1)
