"""Threads of kernels: how many, who may call, what a fork does to them."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import jitgrad as jg
from jitgrad.core.errors import ArgumentError
from jitgrad.intrinsics import parallel
from jitgrad.runtime import thread_pool, threads

ROOT = Path(__file__).parents[2]
X = np.linspace(-2.0, 2.0, 300_000)

needs_pool = pytest.mark.skipif(
    not thread_pool.available(), reason="kernels run on one thread here"
)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def loss(x: Any) -> Any:
    return (jg.exp(x) * jg.sin(x)).sum()


value_and_gradient = jg.compile(jg.value_and_grad(loss))


def bits(x: Any = X) -> tuple[bytes, bytes]:
    value, gradient = value_and_gradient(x)
    return np.asarray(value).tobytes(), np.asarray(gradient).tobytes()


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = jg.get_num_threads()
    jg.set_num_threads(2)
    yield
    jg.set_num_threads(before)
    threads.stop_threads()


def python(code: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


# -- how many -------------------------------------------------------------------------------


def test_the_number_that_was_set_is_the_number() -> None:
    jg.set_num_threads(3)
    assert jg.get_num_threads() == 3


@pytest.mark.parametrize("threads", [0, -1, 1.0, "2", True, None])
def test_a_number_of_threads_is_a_positive_integer(threads: Any) -> None:
    with pytest.raises(ArgumentError, match="not a positive number of threads"):
        jg.set_num_threads(threads)


def test_the_environment_gives_the_number() -> None:
    code = "import jitgrad; print(jitgrad.get_num_threads())"
    assert python(code, JITGRAD_NUM_THREADS="5") == "5"


def test_a_wrong_number_in_the_environment_is_told() -> None:
    code = """
import jitgrad
try:
    jitgrad.get_num_threads()
except jitgrad.ArgumentError as error:
    print(error)
"""
    expected = "JITGRAD_NUM_THREADS: 'many' is not a positive number of threads"
    assert python(code, JITGRAD_NUM_THREADS="many").splitlines()[0] == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes have no affinity here")
def test_without_a_choice_it_is_the_number_of_processors_that_may_be_used() -> None:
    code = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import jitgrad
print(jitgrad.get_num_threads())
"""
    assert python(code, JITGRAD_NUM_THREADS="") == "1"


def test_threadpoolctl_limits_kernels() -> None:
    space = threads.Workspaces(64, 64)
    with threadpool_limits(1):
        assert space.take().team[parallel.LIMIT] == 1
        assert bits() == bits()
    assert space.take().team[parallel.LIMIT] == 2


def blas_threads() -> list[int]:
    """Return how many threads the BLAS libraries use, SciPy's apart from NumPy's."""
    found = [p["num_threads"] for p in threadpool_info() if "scipy.libs" in p["filepath"]]
    if not found:
        pytest.skip("SciPy's BLAS library is not OpenBLAS from a wheel")
    return found


def test_blas_uses_as_many_threads_and_gets_its_own_back() -> None:
    product = jg.compile(lambda a: jg.tanh(a @ a).sum())
    product(np.ones((100, 100)))
    before = blas_threads()
    jg.set_num_threads(1)
    assert blas_threads() == [1]
    jg.set_num_threads(64)
    assert blas_threads() >= before


def test_a_limit_that_is_set_before_blas_is_loaded_holds_for_it() -> None:
    code = """
import jitgrad, numpy
from threadpoolctl import threadpool_info
jitgrad.set_num_threads(1)
a = numpy.ones((100, 100))
jitgrad.compile(lambda a: jitgrad.tanh(a @ a).sum())(a)
print(*[p["num_threads"] for p in threadpool_info() if "scipy.libs" in p["filepath"]])
"""
    assert python(code) in ("", "1")


# -- threads that call ------------------------------------------------------------------------


@needs_pool
def test_threads_start_at_the_first_large_program_and_stop() -> None:
    threads.stop_threads()
    before = threading.active_count()
    value_and_gradient(X[:100])
    assert threading.active_count() == before
    bits()
    assert threading.active_count() == before + 1
    threads.stop_threads()
    assert threading.active_count() == before


@needs_pool
def test_more_threads_start_when_more_are_asked_for() -> None:
    expected = bits()
    before = threading.active_count()
    jg.set_num_threads(4)
    assert bits() == expected
    assert threading.active_count() == before + 2
    jg.set_num_threads(2)
    assert bits() == expected


def test_many_threads_may_call_at_once() -> None:
    inputs = [X * scale for scale in (0.5, 1.0, 1.5, 2.0)]
    expected = [bits(x) for x in inputs]
    found: list[list[Any]] = [[] for _ in inputs]

    def call(number: int) -> None:
        found[number] = [bits(inputs[number]) for _ in range(30)]

    callers = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert found == [[bits_of_one] * 30 for bits_of_one in expected]


def test_the_number_may_change_while_others_call() -> None:
    expected = bits()
    found = []

    def call() -> None:
        found.extend(bits() for _ in range(50))

    caller = threading.Thread(target=call)
    caller.start()
    while caller.is_alive():
        for count in (1, 3, 2, 5):
            jg.set_num_threads(count)
        threads.stop_threads()
    caller.join()
    assert found == [expected] * 50


# -- processes --------------------------------------------------------------------------------


def _in_child(expected: Any, queue: Any) -> None:
    queue.put(bits() == expected)


def _same_in_child(method: str) -> bool:
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(bits(), queue))
    child.start()
    same: bool = queue.get(timeout=120)
    child.join()
    return same


@needs_fork
@pytest.mark.parametrize("again", [1, 2])
def test_a_forked_child_computes_the_same(again: int) -> None:
    bits()
    assert _same_in_child("fork")
    assert bits() == bits()


def test_a_spawned_child_computes_the_same() -> None:
    assert _same_in_child("spawn")


@needs_fork
def test_forking_while_others_compute_hangs_nobody() -> None:
    expected = bits()
    done = threading.Event()
    found = []

    def call() -> None:
        while not done.is_set():
            found.append(bits() == expected)

    caller = threading.Thread(target=call)
    caller.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                os._exit(0 if bits() == expected else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        done.set()
        caller.join()
    assert found
    assert all(found)


def test_a_process_ends_while_its_threads_sleep() -> None:
    code = """
import jitgrad, numpy
jitgrad.set_num_threads(2)
print(float(jitgrad.compile(lambda x: jitgrad.exp(x).sum())(numpy.zeros(300_000))))
"""
    assert python(code) == "300000.0"


def test_blas_has_its_threads_back_after_runs_that_overlap() -> None:
    x = np.random.default_rng(0).normal(size=(300, 300))
    step = jg.compile(lambda x: jg.tanh(x @ x) @ x)
    assert "share_blas" in step.source(x)
    step(x)
    before = blas_threads()
    workers = [threading.Thread(target=lambda: [step(x) for _ in range(200)]) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert blas_threads() == before


def test_the_first_thread_waits_the_longer_for_others_the_more_there_is_to_do() -> None:
    little, much = (
        threads.Workspaces(0, 0, nanoseconds=work).take().team[parallel.PATIENCE]
        for work in (1e5, 1e7)
    )
    assert 0 < little < much
