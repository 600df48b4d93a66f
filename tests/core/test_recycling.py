"""Large results are made in memory that nobody has any more, and only there."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

import jitgrad as jg
from jitgrad.core.recycling import LARGE, is_recycled, recycled

FLOAT = np.dtype(np.float64)
SHAPE = (LARGE // 8,)


def test_memory_that_nobody_has_is_used_again() -> None:
    take = recycled(SHAPE, FLOAT)
    first = take()
    address = first.ctypes.data
    del first
    assert take().ctypes.data == address


def test_an_array_in_use_is_never_given_again() -> None:
    take = recycled(SHAPE, FLOAT)
    held = [take() for _ in range(5)]
    assert len({array.ctypes.data for array in held}) == 5


def test_a_view_keeps_the_memory_of_its_array() -> None:
    take = recycled(SHAPE, FLOAT)
    view = take()[3:].reshape(-1, 1)[::2]
    assert not np.shares_memory(view, take())


def test_a_buffer_keeps_the_memory_of_its_array() -> None:
    take = recycled(SHAPE, FLOAT)
    buffer = memoryview(take())
    assert not np.shares_memory(np.asarray(buffer), take())


def test_small_arrays_are_not_worth_it() -> None:
    assert not is_recycled((3, 4), FLOAT)
    assert is_recycled(SHAPE, FLOAT)


def test_threads_never_get_the_same_memory_at_once() -> None:
    take = recycled(SHAPE, FLOAT)
    shared: list[Any] = []

    def work(number: int) -> None:
        for _ in range(200):
            array = take()
            array[:4] = number
            if not (array[:4] == number).all():
                shared.append(number)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not shared


def test_results_that_are_kept_do_not_change_in_later_calls() -> None:
    step = jg.compile(jg.value_and_grad(lambda x: (x * x).sum()))
    x = np.arange(float(SHAPE[0]))
    first = step(x)[1]
    part = step(2 * x)[1][:10]
    for factor in range(3, 6):
        step(factor * x)
    np.testing.assert_array_equal(first, 2 * x)
    np.testing.assert_array_equal(part, 4 * x[:10])
