"""Arguments whose memory a compiled function may use for its results."""

from __future__ import annotations

import os
import pickle
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.codegen import parallel
from jitgrad.core.errors import ArgumentError, GradientError

WIDE = (80, 40)


def momentum(state: Any, slope: Any) -> Any:
    weights, mean = state
    mean = 0.9 * mean + 0.1 * slope
    return (weights - 0.01 * mean, mean), (slope * slope).sum()


def _state(rng: np.random.Generator) -> tuple[Any, ...]:
    return rng.normal(size=WIDE), rng.normal(size=WIDE), rng.normal(size=WIDE)


def test_results_are_made_in_the_memory_of_donated_arrays(rng: np.random.Generator) -> None:
    step = jg.compile(momentum, donate="state")
    weights, mean, slope = _state(rng)
    state: Any = (weights, mean)
    expected: Any = (weights.copy(), mean.copy())
    for _ in range(5):
        state, value = step(state, slope)
        expected, expected_value = momentum(expected, slope)
        np.testing.assert_allclose(value, expected_value)
        for one, other in zip(state, expected, strict=True):
            np.testing.assert_allclose(one, other)
        assert np.shares_memory(state[0], weights)
        assert np.shares_memory(state[1], mean)


def test_donated_tensors_can_not_be_used_afterwards(rng: np.random.Generator) -> None:
    step = jg.compile(momentum, donate=0)
    weights, mean, slope = map(jg.tensor, _state(rng))
    expected = momentum((weights.clone(), mean.clone()), slope)[0][0]
    (new, _), _ = step((weights, mean), slope)
    np.testing.assert_allclose(new.numpy(), expected.numpy())
    for use in (lambda: mean + 1.0, lambda: repr(mean), lambda: step((weights, new), slope)):
        with pytest.raises(ArgumentError, match="its memory was donated to momentum") as caught:
            use()
        assert "use the result instead, or pass a clone()" in str(caught.value)
    assert slope.shape == WIDE


def test_backward_through_a_donated_tensor_says_what_changed_it() -> None:
    step = jg.compile(lambda x: x + 1.0, donate="x")
    x = jg.ones(*WIDE, requires_grad=True)
    loss = (x * x).sum()
    with jg.no_grad():
        step(x)
    with pytest.raises(GradientError, match="changed in place"):
        loss.backward()


def test_arguments_that_share_memory_are_refused(rng: np.random.Generator) -> None:
    step = jg.compile(momentum, donate="state")
    weights, mean, _ = _state(rng)
    before = mean.copy()
    for slope in (mean, mean[:], mean[::-1]):
        with pytest.raises(ArgumentError, match="is donated shares memory with another one"):
            step((weights, mean), slope)
    with pytest.raises(ArgumentError, match="shares memory"):
        step((mean, mean), weights)
    np.testing.assert_array_equal(mean, before)
    # What is not donated may.
    step((weights, mean[:, ::-1].copy()), before)


def late_reader(x: Any, y: Any) -> Any:
    first = x * 2.0 + y
    return first, (x[1:] * first[:-1]).sum(0), x


def _other_order(x: Any, y: Any) -> Any:
    return x * 2.0, x[::-1] + y


def _by_rows(x: Any, y: Any) -> Any:
    shifted = x - x.mean(1, keepdims=True)
    return shifted / (shifted * shifted).sum(1, keepdims=True) + y, (x * x).sum()


def _product(x: Any, y: Any) -> Any:
    return x + 1.0, x @ y.T


def _swapped(x: Any, y: Any) -> Any:
    return y - x, x + y


@pytest.mark.parametrize("function", [late_reader, _other_order, _by_rows, _product, _swapped])
def test_what_is_read_again_is_not_overwritten_before(
    function: Any, rng: np.random.Generator
) -> None:
    x, y = rng.normal(size=(2, *WIDE))
    compiled = jg.compile(function, donate=("x", "y"))
    for _ in range(3):
        results = compiled(x.copy(), y.copy())
        for one, other in zip(results, function(x, y), strict=True):
            np.testing.assert_allclose(one, other)


def test_large_arrays_on_several_threads(rng: np.random.Generator) -> None:
    step = jg.compile(momentum, donate="state")
    weights, mean, slope = rng.normal(size=(3, 500, 300))
    expected = momentum((weights, mean), slope)[0]
    for _ in range(3):
        given = weights.copy(), mean.copy()
        made, _ = step(given, slope)
        assert np.shares_memory(made[0], given[0])
        for one, other in zip(made, expected, strict=True):
            np.testing.assert_allclose(one, other)


def test_read_only_arrays_are_left_alone(rng: np.random.Generator) -> None:
    x = rng.normal(size=WIDE)
    x.flags.writeable = False
    before = x.copy()
    double = jg.compile(lambda x: 2.0 * x, donate="x")
    for _ in range(3):
        np.testing.assert_array_equal(double(x), 2.0 * before)
    np.testing.assert_array_equal(x, before)


def test_an_error_of_the_run_is_not_hidden_by_another_run() -> None:
    take = jg.compile(lambda x, k: (x + 1.0, jg.tensor(x)[k]), donate="x")
    take(np.zeros(WIDE), np.array([0]))
    for _ in range(3):
        with pytest.raises(IndexError):
            take(np.zeros(WIDE), np.array([177]))


def test_arrays_from_outside_the_arguments_may_be_the_same(rng: np.random.Generator) -> None:
    kept = rng.normal(size=WIDE)
    step = jg.compile(lambda x: (x * 2.0, kept[::-1] + x), donate="x")
    for given in (kept[:], kept[:], kept, kept):
        before = kept.copy()
        doubled, added = step(given)
        np.testing.assert_array_equal(doubled, 2.0 * before)
        np.testing.assert_array_equal(added, before[::-1] + before)


def test_names_that_are_no_arguments_are_refused() -> None:
    with pytest.raises(ArgumentError, match="donate names 'weight', which is no argument"):
        jg.compile(momentum, donate="weight")
    with pytest.raises(ArgumentError, match="donate names 2"):
        jg.compile(momentum, donate=(0, 2))


def test_donating_functions_are_traced_along_and_pickled(rng: np.random.Generator) -> None:
    step = pickle.loads(pickle.dumps(jg.compile(momentum, donate=["state"])))
    weights, mean, slope = _state(rng)
    twice = jg.compile(lambda state, slope: step(step(state, slope)[0], slope)[0])
    (one, _), before = twice((weights, mean), slope), mean.copy()
    other = momentum(momentum((weights, mean), slope)[0], slope)[0][0]
    np.testing.assert_allclose(one, other)
    np.testing.assert_array_equal(mean, before)
    assert step((weights, mean), slope)[0][0] is weights


def _random_function(rng: np.random.Generator) -> Any:
    """Return a function of four square matrices that reads them in all sorts of orders."""
    steps = [
        lambda a, b: a + 0.5 * b,
        lambda a, b: a * b,
        lambda a, b: np.tanh(a) - b,
        lambda a, b: a[::-1] + b,
        lambda a, b: a.T * 0.5 + b,
        lambda a, b: 0.1 * (a @ b),
        lambda a, b: a - b.mean(1, keepdims=True),
        lambda a, b: a + b.sum(0),
        lambda a, b: np.where(a > 0.0, a, b),
    ]
    plan = [(steps[rng.integers(len(steps))], *rng.integers(0, 4 + k, 2)) for k in range(8)]
    results = rng.integers(2, 12, 4)

    def function(*values: Any) -> Any:
        made = list(values)
        for step, first, second in plan:
            made.append(step(made[first], made[second]))
        return tuple([made[k] for k in results]), made[-1].sum()

    return function


@pytest.mark.parametrize("seed", range(int(os.environ.get("JITGRAD_PROGRAMS", "60")) // 4))
def test_random_functions_of_donated_arguments(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "LEAST_NANOSECONDS", 0.0 if seed % 2 else 1e9)
    rng = np.random.default_rng(seed)
    function = _random_function(rng)
    values = rng.normal(size=(4, 48, 48))
    compiled = jg.compile(function, donate=(0, 1, 2, 3))
    for _ in range(3):
        given = [value.copy() for value in values]
        results, total = compiled(*given)
        expected, expected_total = function(*values)
        np.testing.assert_allclose(total, expected_total, rtol=1e-9, atol=1e-9)
        for one, other in zip(results, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
