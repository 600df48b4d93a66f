"""Guards hold for as long as what was read is the same, and say what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad.trace.environment import Environment
from jitgrad.trace.guards import same


def environment_of(function: Callable[..., Any], *leaves: Any) -> Environment:
    environment = Environment(function, leaves)
    assert not environment.unguardable
    assert environment.check(leaves) is not None
    return environment


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (1.0, 2.0, "was 1.0, is 2.0"),
        (1, True, "was 1, is True"),
        (1, 1.0, "was 1, is 1.0"),
        (0.0, -0.0, "was 0.0, is -0.0"),
        ("a", "b", "was 'a', is 'b'"),
        (None, 0.0, "was None, is 0.0"),
        ([1], [1, 2], "had length 1, has 2"),
        ([1], (1,), "another object"),
        ({"a": 1}, {"b": 1}, "another object"),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, "another object"),
        (len, sum, "another object"),
        (np.ones(2), np.ones(3), "another type, shape, dtype"),
        (np.ones(2), np.ones(2, np.float32), "another type, shape, dtype"),
        (jitgrad.ones(2), jitgrad.ones(2, requires_grad=True), "requires_grad"),
        (np.float64(1.0), 1.0, "was np.float64(1.0), is 1.0"),
    ],
)
def test_a_guard_tells_values_apart_and_says_how(before: Any, after: Any, words: str) -> None:
    value = before
    environment = environment_of(lambda: value)
    assert environment.why_stale(()) == ""
    value = after
    assert environment.check(()) is None
    assert words in environment.why_stale(())
    assert "closure variable `value`" in environment.why_stale(())
    value = before
    assert environment.check(()) is not None


def test_nan_is_the_same_as_nan() -> None:
    value = float("nan")
    environment = environment_of(lambda: value)
    value = float("nan")
    assert environment.check(()) is not None
    assert same(np.array([np.nan]), np.array([np.nan]))
    assert not same(np.array([0.0]), np.array([-0.0]))
    assert not same(np.array([1.0]), np.array([1]))


def test_tensors_are_handed_over_and_may_be_others_of_their_kind() -> None:
    w = jitgrad.ones(2)
    environment = environment_of(lambda: w)
    assert environment.check(())[0] is w  # type: ignore[index]
    w = jitgrad.zeros(2)
    assert environment.check(())[0] is w  # type: ignore[index]


def test_objects_that_raise_when_they_are_read_are_stale() -> None:
    class Fickle:
        def __init__(self) -> None:
            self.part = 1.0

    fickle: Any = Fickle()
    environment = environment_of(lambda: fickle.part)
    del fickle.part
    assert environment.check(()) is None
    assert "is gone" in environment.why_stale(())
    fickle = None
    assert environment.check(()) is None


def test_the_contents_of_arrays_are_guarded_where_numpy_may_have_read_them() -> None:
    data = np.ones(2)
    environment = environment_of(lambda: data)
    captured = environment.check(())
    assert captured is not None
    environment.guard_contents([0], captured, has_constants=False)
    data[0] = 5.0
    assert environment.check(()) is not None
    environment.guard_contents([], captured, has_constants=False)
    data[0] = 6.0
    assert environment.check(()) is None
    assert "has other elements" in environment.why_stale(())


def test_what_a_function_changes_is_found_and_undone() -> None:
    values, table, array = [1.0], {"a": 1}, np.ones(2)
    names: set[str] = set()

    class Holder:
        kind = "plain"

        def __init__(self) -> None:
            self.value = 1.0

    holder = Holder()
    count = 0

    def change() -> Any:
        nonlocal count
        count += 1
        values.append(2.0)
        table["b"] = 2
        array[0] = 7.0
        names.add("x")
        holder.value, holder.more = 2.0, 3.0  # type: ignore[attr-defined]
        Holder.kind = "other"

    environment = environment_of(change)
    before = environment.snapshot([array])
    assert before.what_changed() == ""
    change()
    assert "outside itself" in before.what_changed()
    assert environment.check(()) is None
    before.restore()
    assert before.what_changed() == ""
    assert environment.check(()) is not None
    assert (values, table, names, count) == ([1.0], {"a": 1}, set(), 0)
    assert array.tolist() == [1.0, 1.0]
    assert (vars(holder), Holder.kind) == ({"value": 1.0}, "plain")


def test_a_changed_grad_mode_is_found_and_undone() -> None:
    before = environment_of(lambda: None).snapshot([])
    jitgrad.set_grad_enabled(False)
    try:
        assert "grad mode" in before.what_changed()
        before.restore()
        assert jitgrad.is_grad_enabled()
    finally:
        jitgrad.set_grad_enabled(True)
