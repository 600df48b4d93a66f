"""One generator for the process; its numbers follow from the seed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import ArgumentError, DtypeError
from jitgrad.testing import assert_close

DRAWS: dict[str, Callable[[], Any]] = {
    "rand": lambda: jitgrad.rand(2, 3),
    "randn": lambda: jitgrad.randn((2, 3), dtype=np.float64),
    "rand_like": lambda: jitgrad.rand_like(jitgrad.ones(4)),
    "randn_like": lambda: jitgrad.randn_like(np.ones(4)),
    "randint": lambda: jitgrad.randint(-2, 9, (5,)),
    "randperm": lambda: jitgrad.randperm(9),
    "normal": lambda: jitgrad.normal(2.0, 3.0, (4,)),
    "bernoulli": lambda: jitgrad.bernoulli(np.full(9, 0.5)),
    "uniform": lambda: jitgrad.zeros(4).uniform_(-1, 1),
    "exponential": lambda: jitgrad.zeros(4).exponential_(),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_seed_settles_the_numbers(draw: Callable[[], Any]) -> None:
    jitgrad.manual_seed(7)
    first, second = draw(), draw()
    jitgrad.manual_seed(7)
    assert_close(draw(), first)
    assert_close(draw(), second)
    jitgrad.manual_seed(-7)
    assert not np.array_equal(draw().numpy(), first.numpy())


def test_a_random_seed_can_be_used_again() -> None:
    seed = jitgrad.seed()
    first = jitgrad.rand(3)
    jitgrad.manual_seed(seed)
    assert_close(jitgrad.rand(3), first)


def test_shapes_and_dtypes() -> None:
    assert jitgrad.rand(2, 3).shape == (2, 3)
    assert jitgrad.randn().shape == ()
    assert jitgrad.rand(2).dtype == np.float32
    assert jitgrad.randn_like(np.ones(2)).dtype == np.float64
    assert jitgrad.randint(3, (2,)).dtype == np.int64
    assert jitgrad.randint(0, 3, (2,), dtype=np.float32).dtype == np.float32
    assert jitgrad.bernoulli(np.full(2, 0.5, np.float32)).dtype == np.float32
    assert jitgrad.normal(np.zeros((2, 1)), np.ones(3)).dtype == np.float64


def test_moments_are_those_of_the_distribution() -> None:
    jitgrad.manual_seed(0)
    n = 200_000
    uniform, normal = jitgrad.rand(n).numpy(), jitgrad.normal(2.0, 3.0, (n,)).numpy()
    # Five standard errors of the mean; the seed makes the test deterministic.
    assert abs(uniform.mean() - 0.5) < 5 * np.sqrt(1 / 12 / n)
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(normal.mean() - 2) < 5 * 3 / np.sqrt(n)
    assert abs(normal.std() - 3) < 5 * 3 / np.sqrt(2 * n)
    assert abs(jitgrad.bernoulli(np.full(n, 0.2)).numpy().mean() - 0.2) < 5 * np.sqrt(0.16 / n)
    drawn = jitgrad.randint(-1, 2, (n,)).numpy()
    assert set(drawn) == {-1, 0, 1}
    assert sorted(jitgrad.randperm(50).tolist()) == list(range(50))


def test_gradients_reach_mean_and_deviation() -> None:
    mean = jitgrad.zeros(3, requires_grad=True)
    std = jitgrad.ones(3, requires_grad=True)
    drawn = jitgrad.normal(mean, std)
    drawn.sum().backward()
    assert_close(mean.grad, jitgrad.ones(3))
    assert_close(std.grad, drawn.detach())


def test_threads_share_the_generator_safely() -> None:
    drawn: list[float] = []

    def work() -> None:
        drawn.extend(jitgrad.rand(100).tolist())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # float32 numbers: a handful of equal ones are chance, a repeated draw would be 100.
    assert len(set(drawn)) > 790


def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ArgumentError, match="no integer from 3 to below 3"):
        jitgrad.randint(3, 3, (2,))
    with pytest.raises(ArgumentError, match="the size is missing"):
        jitgrad.randint(3)
    with pytest.raises(DtypeError, match="can't have dtype int64"):
        jitgrad.rand(2, dtype=np.int64)
    with pytest.raises(DtypeError, match="can't have dtype int64"):
        jitgrad.randn_like([1, 2])


def test_a_generator_has_a_sequence_of_its_own() -> None:
    draws = [
        lambda g: jitgrad.rand(3, generator=g),
        lambda g: jitgrad.randn(3, generator=g),
        lambda g: jitgrad.randint(0, 1000, (5,), generator=g),
        lambda g: jitgrad.randperm(9, generator=g),
        lambda g: jitgrad.normal(1.0, 2.0, (4,), generator=g),
        lambda g: jitgrad.bernoulli(jitgrad.full((40,), 0.5), generator=g),
    ]
    for draw in draws:
        one, other = jitgrad.Generator().manual_seed(7), jitgrad.Generator().manual_seed(7)
        jitgrad.manual_seed(1)
        first = draw(one)
        jitgrad.manual_seed(2)
        assert first.tolist() == draw(other).tolist()
        assert first.tolist() != draw(one).tolist()
        assert one.initial_seed() == 7


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on Windows")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_draws_that_was_forked_while_a_thread_drew() -> None:
    generator = jitgrad.Generator().manual_seed(3)
    with generator._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            os._exit(int(generator.state() is None or not 0 <= _drawn(generator) < 1))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _drawn(generator: jitgrad.Generator) -> float:
    return jitgrad.rand((), generator=generator).item()
