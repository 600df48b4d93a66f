"""Loops that keep so many bytes for their ways back: the same gradients, in less memory."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.control.limited import Plan, first_stretch, plan_of
from jitgrad.core.errors import ArgumentError
from jitgrad.runtime.bodies import interpreted
from tests.loops.programs import numbers

BUDGETS = (150, 400, 1000, 3000, 100_000)


def counted(x: Any, w: Any, memory: int | None) -> Any:
    auto = None if memory is None else "auto"
    return jg.fori_loop(
        3, 40, lambda i, s: jg.sin(s * w) + 0.1 * i * s, x, checkpoint=auto, memory=memory
    ).sum()


def along_an_array(x: Any, w: Any, memory: int | None, *, reverse: bool = False) -> Any:
    def step(carry: Any, item: Any) -> Any:
        s, n = carry
        s = jg.tanh(s * item + w)
        return (s, n + 1), s * s

    xs = x * jg.arange(31.0, dtype=jg.float64)[:, None]
    auto = None if memory is None else "auto"
    (s, _), ys = jg.scan(step, (x, 0), xs, reverse=reverse, checkpoint=auto, memory=memory)
    return (s * x).sum() + (ys * xs).sum()


def backwards(x: Any, w: Any, memory: int | None) -> Any:
    return along_an_array(x, w, memory, reverse=True)


def solving(x: Any, w: Any, memory: int | None) -> Any:
    """What only NumPy can do stands in the loop."""
    auto = None if memory is None else "auto"
    a = jg.outer(w, w) + 3.0 * jg.eye(5, dtype=jg.float64)
    return jg.fori_loop(
        0, 12, lambda _, s: jg.linalg.solve(a, s) + jg.cos(s), x, checkpoint=auto, memory=memory
    ).sum()


@pytest.mark.parametrize("function", [counted, along_an_array, backwards, solving])
def test_gradients_do_not_depend_on_memory(function: Callable[..., Any]) -> None:
    x, w = jg.tensor(numbers(5)), jg.tensor(1.0 + 0.1 * numbers(5))
    gradient = jg.grad(function, argnums=(0, 1))
    expected = gradient(x, w, None)
    for memory in BUDGETS:
        for found, plain in zip(gradient(x, w, memory), expected, strict=True):
            np.testing.assert_allclose(found.numpy(), plain.numpy(), rtol=1e-11, atol=1e-14)
    with interpreted():
        for found, plain in zip(gradient(x, w, 400), expected, strict=True):
            np.testing.assert_allclose(found.numpy(), plain.numpy(), rtol=1e-11, atol=1e-14)


def plain_loop(x: Any, w: Any) -> Any:
    for _ in range(5000):
        x = x + 0.001 * np.sin(x * w)
    return (x * x).sum()


def test_a_plain_loop_keeps_no_more_than_it_may() -> None:
    x, w = np.linspace(0.1, 1.0, 100), np.linspace(0.5, 2.0, 100)
    whole = jg.compile(jg.grad(plain_loop))
    limited = jg.compile(jg.grad(plain_loop), checkpoint="auto", memory=200_000)
    expected = whole(x, w)
    np.testing.assert_allclose(limited(x, w), expected, rtol=1e-11)
    assert any("blocks" in line for line in limited.explain().external)
    tracemalloc.start()
    limited(x, w)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # All of it would be 4 MB.
    assert peak < 400_000


def test_derivatives_of_derivatives_are_limited_as_well() -> None:
    x, w = jg.tensor(numbers(5)), jg.tensor(1.0 + 0.1 * numbers(5))

    def along(x: Any, memory: int | None) -> Any:
        return (jg.grad(counted)(x, w, memory) * w).sum()

    found, expected = (jg.grad(along)(x, memory) for memory in (1000, None))
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-10)


@pytest.mark.parametrize("snapshots", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 10, 21, 36])
def test_no_block_runs_more_often_than_the_binomial_schedule_says(
    count: int, snapshots: int
) -> None:
    runs = [0] * count
    most = 0

    def sweep(start: int, stop: int, free: int, held: int) -> None:
        nonlocal most
        most = max(most, held)
        while stop - start > 1:
            middle = start + first_stretch(stop - start, free)
            for block in range(start, middle):
                runs[block] += 1
            sweep(middle, stop, max(free - 1, 0), held + 1)
            stop = middle

    sweep(0, count, snapshots, 0)
    assert most <= snapshots + 1
    if snapshots:
        repeats = 0
        while math.comb(snapshots + repeats, snapshots) < count:
            repeats += 1
        assert max(runs) <= repeats


def test_a_plan_fits_into_memory() -> None:
    assert plan_of(100, 8, 80, 800) is None
    for memory in (1000, 5000, 100_000):
        plan = plan_of(100_000, 80, 80, memory)
        assert isinstance(plan, Plan)
        assert plan.length * 80 + (plan.snapshots + 1) * 80 <= memory


def test_what_is_no_strategy_is_refused() -> None:
    with pytest.raises(ArgumentError, match="checkpoint is None or 'auto'"):
        jg.fori_loop(0, 3, lambda _, s: s, 1.0, checkpoint="always")
    with pytest.raises(ArgumentError, match="without a strategy"):
        jg.scan(lambda c, _: (c, ()), 1.0, length=3, memory=100)
    with pytest.raises(ArgumentError, match="a number of bytes"):
        jg.compile(plain_loop, checkpoint="auto", memory=-5)
