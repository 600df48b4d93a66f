"""Calls of kernels by functions of LLVM text: what is passed, what is missed, what is returned."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import IndexingError
from jitgrad.runtime import native
from jitgrad.runtime.native import MISS, ArrayInput
from jitgrad.runtime.program import USUAL_LAYOUT, Program
from jitgrad.testing import assert_close

X = np.arange(6.0).reshape(2, 3)


def program_of(function: Callable[..., Any], *arguments: Any) -> Program:
    compiled = jitgrad.compile(function)
    compiled(*arguments)
    ((variant,),) = compiled._variants.values()
    (program,) = variant.tree.root.compiled.function.all_programs()
    return program


def native_of(function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    made = program_of(function, *arguments).make_native()
    assert made is not None
    return made


def test_results_are_those_of_the_driver() -> None:
    program = program_of(lambda x, y: (x @ y, (x.sum(), x * 2.5)), X, X.T)
    run = program.make_native()
    assert run is not None
    found, expected = run(X, X.T), program.run(X, X.T)
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b)
        assert type(a) is np.ndarray
        assert (a.shape, a.dtype, a.flags.num) == (b.shape, b.dtype, b.flags.num)


@pytest.mark.parametrize(
    "other",
    [
        X[:, :2],
        X[None],
        X.astype(np.float32),
        np.asfortranarray(X),
        X[:, ::-1],
        X.view(np.recarray),
        X.tolist(),
        None,
        1.0,
    ],
    ids=["shape", "axes", "dtype", "order", "strides", "class", "list", "none", "number"],
)
def test_other_arguments_are_missed(other: Any) -> None:
    run = native_of(lambda x: x + 1, X)
    assert run(other) is MISS
    assert run() is MISS
    assert run(X, X) is MISS
    assert_close(run(X)[0], X + 1)


def test_read_only_arrays_are_told_from_others() -> None:
    run = native_of(lambda x: x + 1, X)
    locked = X.copy()
    locked.flags.writeable = False
    assert run(locked) is MISS


def test_arrays_that_are_not_contiguous_are_read_where_they_are() -> None:
    wide = np.arange(24.0).reshape(4, 6)
    run = native_of(lambda x: x * 2, wide[::2, ::2])
    assert_close(run(wide[::2, ::2])[0], wide[::2, ::2] * 2)
    assert_close(run(wide[1:3, 3:])[0], wide[1:3, 3:] * 2)


def test_floats_and_arrays_without_axes_and_without_elements_are_passed() -> None:
    def f(x: Any, scale: float, point: Any, empty: Any) -> Any:
        return x * scale + point, empty * 2.0

    point, empty = np.array(0.5), np.empty((0, 3))
    run = native_of(f, X, 2.0, point, empty)
    names = program_of(f, X, 2.0, point, empty).graph.inputs
    given = {"x": X, "scale": 2.0, "point": point, "empty": empty}
    found, nothing = run(*[given[value.name] for value in names])
    assert_close(found, X * 2.0 + 0.5)
    assert nothing.shape == (0, 3)
    given["scale"] = 2
    assert run(*[given[value.name] for value in names]) is MISS


def test_an_input_that_is_a_result_is_copied() -> None:
    run = native_of(lambda x: (x + 0.0, x * 2), X)
    copy, _ = run(X)
    assert_close(copy, X)
    assert not np.shares_memory(copy, X)


def test_a_failing_kernel_is_a_miss_and_the_general_way_raises_the_error() -> None:
    f = jitgrad.compile(lambda x, i: jitgrad.tensor(x)[i])
    x, i = np.arange(4.0), np.array([0, 3])
    for _ in range(3):
        assert_close(f(x, i), x[i])
    with pytest.raises((IndexingError, IndexError)):
        f(x, np.array([0, 4]))


def test_references_are_counted() -> None:
    run = native_of(lambda x: x + 1, X)
    dtype = X.dtype

    def counts() -> list[int]:
        return [sys.getrefcount(thing) for thing in (MISS, dtype, X, run)]

    before = counts()
    for _ in range(1000):
        run(X)
        run(None)
    assert all(abs(a - b) < 10 for a, b in zip(counts(), before, strict=True))


def test_it_can_be_garbage() -> None:
    for _ in range(3):
        function = jitgrad.compile(lambda x: x * 3)
        for _ in range(3):
            function(X)
        # A cycle, so that the collector finds all of it at once.
        function.itself = function
        del function
        gc.collect()


def test_several_threads_may_call_it() -> None:
    run = native_of(lambda x: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True), X)
    expected = run(X)[0]
    equal: list[bool] = []

    def work() -> None:
        equal.extend(np.array_equal(run(X)[0], expected) for _ in range(300))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert equal == [True] * 1200


def test_where_memory_looks_otherwise_the_driver_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "is_usual", lambda: False)
    f = jitgrad.compile(lambda x: x - 1)
    for _ in range(3):
        assert_close(f(X), X - 1)
    assert program_of(lambda x: x - 1, X).make_native() is None


def test_a_kernel_of_another_signature_is_not_called() -> None:
    (kernel,) = program_of(lambda x: x + 1, X).kernels
    given = ArrayInput(X.shape, X.dtype, USUAL_LAYOUT, USUAL_LAYOUT)
    assert native.native_call([given], [0], [], kernel) is None
