"""The generated function for calls without branches: which calls it serves, and what it misses."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import jitgrad
from jitgrad.api.compile import CompiledFunction
from jitgrad.testing import assert_close

X = np.arange(6.0).reshape(2, 3)


class State(NamedTuple):
    mean: Any
    scale: Any


def warm(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return `function` compiled, after the two calls that a kind of call needs to be quick."""
    compiled: Any = jitgrad.compile(function)
    for _ in range(2):
        compiled(*args, **kwargs)
    return compiled


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return what calls a compiled function, which must not look anything up."""

    def call(compiled: Any, *args: Any, **kwargs: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(CompiledFunction, "_dispatch", _fail)
            return compiled(*args, **kwargs)

    return call


def _fail(*_: Any) -> Any:
    pytest.fail("the call was looked up")


def test_nested_arguments_are_taken_apart(quick: Callable[..., Any]) -> None:
    def f(parts: Any, state: Any) -> Any:
        (x, [y]), options = parts["xy"], parts["options"]
        return {"sum": (x + y * options[0]) * state.scale, "mean": [state.mean - x]}

    parts = {"xy": (X, [X + 1]), "options": (2.0,)}
    compiled = warm(f, parts, State(X * 3, X * 2))
    parts = {"xy": (X - 1, [X]), "options": (3.0,)}
    state = State(X * 5, X + 2)
    found, expected = quick(compiled, parts, state), f(parts, state)
    assert_close(found["sum"], expected["sum"])
    assert_close(found["mean"][0], expected["mean"][0])


@pytest.mark.parametrize(
    "other",
    [
        {"a": [X], "b": X},
        {"b": (X,), "a": X},
        {"a": (X, X), "b": X},
        {"a": (X,), "b": X, "c": X},
        OrderedDict(a=(X,), b=X),
    ],
    ids=["list for tuple", "order of keys", "length", "more keys", "class"],
)
def test_another_structure_is_a_call_of_another_kind(other: Any) -> None:
    def f(parts: Any) -> Any:
        return *parts, len(parts), len(parts["a"]), parts["b"] * 2

    compiled = warm(f, {"a": (X,), "b": X})
    found, expected = compiled(other), f(other)
    assert found[:-1] == expected[:-1]
    assert_close(found[-1], expected[-1])


def test_calls_with_keywords_are_quick_too(quick: Callable[..., Any]) -> None:
    def f(x: Any, *, scale: float, shift: Any = 0.0) -> Any:
        return x * scale + shift

    compiled = warm(f, X, scale=2.0)
    assert_close(quick(compiled, X, scale=4.0), X * 4.0)
    assert_close(compiled(X, shift=X, scale=4.0), X * 5.0)
    assert_close(compiled(X, scale=4.0), X * 4.0)


def test_positional_containers_are_not_mistaken_for_keywords() -> None:
    def f(*args: Any, **kwargs: Any) -> Any:
        return len(args), sorted(kwargs)

    compiled = warm(f, (X,), {"k": X})
    assert compiled((X,), {"k": X}) == (2, [])
    for _ in range(3):
        assert compiled(X, k=X) == (1, ["k"])


def test_an_int_that_keeps_changing_is_an_input(quick: Callable[..., Any]) -> None:
    compiled = jitgrad.compile(lambda x, n: x * n)
    for n in range(7):
        compiled(X, n)
    assert_close(quick(compiled, X, 99), X * 99)
    assert_close(compiled(X, 2.5), X * 2.5)
    assert_close(compiled(X, True), X)


def test_a_scalar_of_numpy_is_an_input(quick: Callable[..., Any]) -> None:
    compiled = warm(lambda x, s: x * s, X, np.float64(2.0).astype(np.float32))
    assert_close(quick(compiled, X, np.float32(0.5)), X * np.float32(0.5))
    assert_close(compiled(X, np.float64(0.1)), X * 0.1)


def test_gradients_reach_what_a_scalar_of_numpy_is_multiplied_by(quick: Callable[..., Any]) -> None:
    compiled = warm(lambda w, s: (w * s).sum(), jitgrad.ones(3, requires_grad=True), np.float32(2))
    w = jitgrad.ones(3, requires_grad=True)
    quick(compiled, w, np.float32(3)).backward()
    assert_close(w.grad, np.full(3, 3.0, np.float32))


def test_a_leaf_is_told_from_what_was_computed() -> None:
    f = warm(lambda w: (w * w).sum(), jitgrad.ones(2, requires_grad=True))
    w = jitgrad.ones(2, requires_grad=True)
    f(w * 3).backward()
    assert_close(w.grad, np.full(2, 18.0, np.float32))


@pytest.mark.parametrize("kind", [tuple, list])
def test_other_lengths_of_arguments_are_missed(kind: type) -> None:
    f = warm(lambda *args: sum(args), X, X)
    assert_close(f(X, X, X), X * 3)
    assert_close(f(*kind([X, X])), X * 2)


def test_closure_variables_of_the_differentiated_function_are_read_at_each_call() -> None:
    scale = 2.0

    def f(x: Any) -> Any:
        return (x * scale).sum()

    slope = warm(jitgrad.grad(f), X)
    assert_close(slope(X), np.full_like(X, 2.0))
    scale = 3.0
    assert_close(slope(X), np.full_like(X, 3.0))


def test_a_float_from_outside_is_compared_by_value() -> None:
    holder = {"rate": 0.5}
    f = warm(lambda x: x * holder["rate"], X)
    holder["rate"] = float("0.5")
    assert_close(f(X), X * 0.5)
    assert not f.explain().retraces
    holder["rate"] = 0.25
    assert_close(f(X), X * 0.25)


def test_inside_another_trace_the_plain_function_is_traced_along() -> None:
    inner = warm(lambda x: x * 2, X)
    constant = X.copy()
    outer = warm(lambda y: y + inner(constant), X)
    assert_close(outer(X), X + X * 2)
    constant += 1
    assert_close(outer(X), X + (X + 1) * 2)


def _momentum(w: Any, v: Any, g: Any) -> None:
    v.mul_(0.5).add_(g)
    w.sub_(v * 0.1)


def _state(*arrays: Any) -> list[Any]:
    return [jitgrad.tensor(array) for array in arrays]


def test_what_is_changed_in_place_is_copied_by_the_program(quick: Callable[..., Any]) -> None:
    update = jitgrad.compile(_momentum)
    plain, compiled = _state(X, X + 1, X + 2), _state(X, X + 1, X + 2)
    for count in range(6):
        _momentum(*plain)
        versions = [t._storage.version for t in compiled]
        if count < 3:
            update(*compiled)
        else:
            quick(update, *compiled)
        changed = [t._storage.version > v for t, v in zip(compiled, versions, strict=True)]
        assert changed == [True, True, False]
        for found, expected in zip(compiled, plain, strict=True):
            assert_close(found, expected)


def test_arguments_that_share_memory_are_changed_as_the_plain_function_does() -> None:
    update = warm(_momentum, *_state(X, X, X))
    for first, second in ((slice(0, 3), slice(1, 4)), (slice(0, 3), slice(0, 3))):
        found, expected = (np.linspace(0.0, 1.0, 4) for _ in range(2))
        for function, memory in ((update, found), (_momentum, expected)):
            shown = [jitgrad.from_numpy(memory[part]) for part in (first, second)]
            function(*shown, jitgrad.ones(3, dtype=jitgrad.float64))
        assert_close(found, expected)


def test_a_view_that_is_changed_changes_what_it_shows() -> None:
    def double(x: Any) -> None:
        x.mul_(2.0)

    update = warm(double, jitgrad.ones(2))
    base = jitgrad.ones(3)
    update(base[:2])
    assert_close(base, np.array([2.0, 2.0, 1.0], np.float32))


def test_a_call_that_fails_changes_nothing() -> None:
    def pick(w: Any, x: Any, index: Any) -> None:
        w.add_(x[index])

    w, x = jitgrad.zeros(2), jitgrad.tensor([1.0, 2.0, 3.0])
    update = warm(pick, w, x, np.array([0, 2]))
    before = w.numpy().copy()
    with pytest.raises(IndexError):
        update(w, x, np.array([0, 3]))
    assert_close(w, before)


def test_equal_constants_are_not_memory_that_is_shared(quick: Callable[..., Any]) -> None:
    def fill(x: Any) -> None:
        for i in range(3):
            for j in range(i, 3):
                x[i, j] = x[i, :i] @ x[:i, j] + 1.0

    found, expected = np.ones((3, 3)), np.ones((3, 3))
    update = warm(fill, found.copy())
    quick(update, found)
    fill(expected)
    assert_close(found, expected)


def test_unsigned_integers_are_compared_and_widened(quick: Callable[..., Any]) -> None:
    take = warm(lambda x, k: x[k], X, np.array([1, 0], np.uint8))
    assert_close(quick(take, X, np.array([1, 1], np.uint8)), X[[1, 1]])
    assert_close(take(X, np.array([1, 1, 0], np.uint16)), X[[1, 1, 0]])


def test_an_array_that_may_not_be_changed_is_not_changed() -> None:
    def grow(x: Any) -> None:
        x += 1.0

    update = warm(grow, X.copy())
    fixed = X.copy()
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        update(fixed)
    assert_close(fixed, X)
