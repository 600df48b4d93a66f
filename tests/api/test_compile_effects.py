"""What a function does besides computing happens in every call; what is impure is not compiled."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import FallbackWarning
from jitgrad.testing import assert_close

COUNT = 0
GENERATOR = np.random.default_rng(0)
ITERATOR = iter([1.0, 2.0])
X = jitgrad.tensor([1.0, 2.0])


class Model:
    def __init__(self) -> None:
        self.scale = 3.0


def agrees(f: Any, *args: Any) -> None:
    """Check a compiled function against the plain one, twice."""
    for _ in range(2):
        assert_close(f(*args), f.__wrapped__(*args))


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], None]:
    def set_global(name: str, value: Any) -> None:
        monkeypatch.setitem(globals(), name, value)

    return set_global


# -- what it does itself -----------------------------------------------------------------------


def check_side_effects(make: Callable[[], tuple[Callable[..., Any], Callable[[], Any]]]) -> None:
    """Check that results and state are those of plain Python, with one warning in all."""
    plain, state_of_plain = make()
    expected = [(plain(X), repr(state_of_plain())) for _ in range(4)]
    function, state = make()
    compiled = jitgrad.compile(function)
    with pytest.warns(FallbackWarning, match="runs without being compiled") as warned:
        found = [(compiled(X), repr(state())) for _ in range(4)]
    assert len(warned) == 1
    for (value, after), (expected_value, expected_after) in zip(found, expected, strict=True):
        assert_close(value, expected_value)
        assert after == expected_after


def test_a_counter_in_a_closure_counts_every_call() -> None:
    def make() -> Any:
        count = 0

        def f(x: Any) -> Any:
            nonlocal count
            count += 1
            return x * count

        return f, lambda: count

    check_side_effects(make)


def test_a_global_counter_counts_every_call(settings: Callable[[str, Any], None]) -> None:
    def make() -> Any:
        settings("COUNT", 0)

        def f(x: Any) -> Any:
            global COUNT
            COUNT += 1
            return x * COUNT

        return f, lambda: None

    check_side_effects(make)
    assert COUNT == 4


def test_a_list_is_appended_to_in_every_call() -> None:
    def make() -> Any:
        history: list[float] = []

        def f(x: Any) -> Any:
            history.append(float(x.sum()))
            return x * len(history)

        return f, lambda: history

    check_side_effects(make)


def test_dicts_sets_arrays_and_attributes_are_changed_in_every_call() -> None:
    def make() -> Any:
        table: dict[str, int] = {}
        seen: set[int] = set()
        array = np.zeros(2)
        model = Model()

        def f(x: Any) -> Any:
            table["n"] = table.get("n", 0) + 1
            seen.add(table["n"])
            array[0] += 1.0
            model.scale += 1.0
            model.last = table["n"]  # type: ignore[attr-defined]
            return x * model.scale + array[0]

        return f, lambda: (table, seen, array, vars(model)["last"])

    check_side_effects(make)


def test_attributes_of_classes_and_functions_are_changed_in_every_call() -> None:
    def make() -> Any:
        class Counter:
            n = 0

        def f(x: Any) -> Any:
            Counter.n += 1
            f.calls += 1  # type: ignore[attr-defined]
            return x * Counter.n

        f.calls = 0  # type: ignore[attr-defined]
        return f, lambda: (Counter.n, f.calls)  # type: ignore[attr-defined]

    check_side_effects(make)


def test_a_tensor_stored_outside_is_the_one_of_the_latest_call() -> None:
    def make() -> Any:
        model = Model()

        def f(x: Any) -> Any:
            model.last = x * 2.0  # type: ignore[attr-defined]
            return model.last + 1.0  # type: ignore[attr-defined]

        return f, lambda: model.last  # type: ignore[attr-defined]

    check_side_effects(make)


def test_a_list_or_dict_among_the_arguments_is_changed_for_the_caller() -> None:
    @jitgrad.compile
    def f(x: Any, log: list[Any], table: dict[str, Any]) -> Any:
        log.append(x.sum())
        table["x"] = x * 2.0
        return x

    log: list[Any] = []
    table: dict[str, Any] = {}
    with pytest.warns(FallbackWarning, match="a list or dict among its arguments"):
        f(X, log, table)
    f(X, log, table)
    assert [float(v) for v in log] == [3.0, 3.0]
    assert_close(table["x"], X * 2)


def test_an_effect_in_a_branch_that_comes_later_is_noticed() -> None:
    hits: list[int] = []

    @jitgrad.compile
    def f(x: Any) -> Any:
        if x.sum() > 10:
            hits.append(1)
        return x * 2.0

    f(X)
    assert hits == []
    with pytest.warns(FallbackWarning, match="closure variable `hits`"):
        f(X * 10.0)
    f(X)
    f(X * 10.0)
    assert hits == [1, 1]


# -- what can't be pure ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: x * random.random(), "module random"),
        (lambda x: x.double() * time.perf_counter(), "module time"),
        (lambda x: x + np.random.rand(2), "numpy.random"),  # noqa: NPY002 - what users write
        (lambda x, g=GENERATOR: x * g.random(), "Generator"),
        (lambda x, g=ITERATOR: x * next(g), "list_iterator"),
        (lambda x, g=(i for i in range(9)): x * next(g), "generator"),
        (lambda x: jitgrad.manual_seed(3) or x * 2.0, "sets the seed"),
    ],
    ids=["random", "time", "numpy.random", "Generator", "iterator", "generator", "seed"],
)  # fmt: skip
def test_impure_functions_run_as_plain_python_with_a_warning(function: Any, reason: str) -> None:
    f = jitgrad.compile(function)
    with pytest.warns(FallbackWarning, match=reason):
        first = f(X)
    second = f(X)
    if "seed" not in reason:
        assert first[0].item() != second[0].item()


def test_random_numbers_are_fresh_in_every_call_and_follow_the_seed() -> None:
    @jitgrad.compile
    def f(x: Any) -> Any:
        noise = jitgrad.rand(2) + jitgrad.randn(2)
        if x.sum() > 10:
            noise = noise + jitgrad.rand(2)
        return x + noise

    def sample(function: Any) -> list[Any]:
        jitgrad.manual_seed(7)
        return [function(x) for x in (X, X, X * 10.0, X, X * 10.0, X)]

    expected = sample(f.__wrapped__)
    for _ in range(2):
        found = sample(f)
        for a, b in zip(found, expected, strict=True):
            assert_close(a, b)
    assert found[0][0].item() != found[1][0].item()


def test_mathematical_functions_of_captured_numbers_are_pure() -> None:
    angle = 0.5
    f = jitgrad.compile(lambda x: x * math.sin(angle) + math.pi)
    agrees(f, X)
    angle = 0.75
    agrees(f, X)
