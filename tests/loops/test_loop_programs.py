"""Loop programs: values and gradients, against the interpreter and finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad.core.errors import IndexingError
from jitgrad.runtime import loop_programs
from jitgrad.runtime.bodies import interpreted
from jitgrad.runtime.build import build_statistics
from tests.loops.programs import CASES, Case, numbers

EACH_CASE = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def differences(function: Any, x: Any) -> Any:
    """Return the gradient by central differences."""
    found = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[place] = 1e-6
        ends = [jitgrad.tensor(np.asarray(x + s * step)) for s in (1, -1)]
        above, below = (float(function(end)) for end in ends)
        found[place] = (above - below) / 2e-6
    return found


@EACH_CASE
def test_a_loop_program_gives_what_the_interpreter_gives(case: Case) -> None:
    x = jitgrad.tensor(case.x)
    found = case.function(x)
    with interpreted():
        expected = case.function(x)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)


@EACH_CASE
def test_its_way_back_is_what_finite_differences_give(case: Case) -> None:
    value, gradient = jitgrad.value_and_grad(case.function)(jitgrad.tensor(case.x))
    assert np.isfinite(value.numpy())
    np.testing.assert_allclose(
        gradient.numpy(), differences(case.function, case.x), rtol=1e-5, atol=1e-6
    )


@EACH_CASE
def test_a_compiled_function_gives_the_same(case: Case) -> None:
    x = jitgrad.tensor(case.x)
    plain, compiled = (
        form(jitgrad.value_and_grad(case.function)) for form in (lambda f: f, jitgrad.compile)
    )
    for expected, found in zip(plain(x), compiled(x), strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-11)


@EACH_CASE
def test_all_of_them_are_loop_programs(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = type(loop_programs.engine)()
    monkeypatch.setattr(loop_programs, "engine", engine)
    jitgrad.value_and_grad(case.function)(jitgrad.tensor(case.x))
    assert engine._loops
    assert None not in engine._loops.values()


@EACH_CASE
def test_the_second_derivative_is_that_of_the_first(case: Case) -> None:
    if case.name == "best_path":
        pytest.skip("extrema have no second derivative where they change")
    direction = numbers(*case.x.shape)

    def along(x: Any) -> Any:
        return (jitgrad.grad(case.function)(x) * direction).sum()

    gradient = jitgrad.grad(along)(jitgrad.tensor(case.x))
    np.testing.assert_allclose(gradient.numpy(), differences(along, case.x), rtol=1e-4, atol=1e-4)


def test_float32_stays_float32() -> None:
    def f(x: Any) -> Any:
        return jitgrad.fori_loop(0, 5, lambda i, s: jitgrad.sin(s) * 1.5, x).sum()

    x = jitgrad.tensor(numbers(20).astype(np.float32))
    value, gradient = jitgrad.value_and_grad(f)(x)
    assert value.dtype == gradient.dtype == np.float32
    wide = jitgrad.grad(f)(x.double())
    np.testing.assert_allclose(gradient.numpy(), wide.numpy(), rtol=1e-5)


def test_what_is_kept_may_outgrow_its_memory() -> None:
    def f(x: Any) -> Any:
        return jitgrad.while_loop(lambda s: s < 1e3, lambda s: s * x, 1.0 + 0 * x)

    x, power, slope, count = 1.0005, 1.0, 0.0, 0
    while power < 1e3:
        power, slope, count = power * x, slope * x + power, count + 1
    gradient = jitgrad.grad(f)(jitgrad.tensor(x, dtype=jitgrad.float64))
    assert count > 10_000
    np.testing.assert_allclose(float(gradient), slope, rtol=1e-9)


def test_other_bounds_build_nothing_new() -> None:
    @jitgrad.compile
    def f(x: Any, n: Any) -> Any:
        return jitgrad.fori_loop(0, n, lambda i, s: s * x + i, x)

    def plainly(x: float, n: int) -> float:
        total = x
        for i in range(n):
            total = total * x + i
        return total

    x = jitgrad.tensor(1.1, dtype=jitgrad.float64)
    f(x, jitgrad.tensor(2))
    before = build_statistics().compiled
    for n in (0, 1, 5):
        assert float(f(x, jitgrad.tensor(n))) == pytest.approx(plainly(1.1, n))
    assert build_statistics().compiled == before


def test_backward_twice_gives_the_same_twice() -> None:
    x = jitgrad.tensor(numbers(6), requires_grad=True)

    def step(i: Any, s: Any) -> Any:
        s = s.clone()
        s[i] = s[i] * s.sum()
        return s

    out = jitgrad.fori_loop(0, 6, step, x).sum()
    out.backward(retain_graph=True)
    first = x.grad.numpy().copy()
    out.backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * first, rtol=1e-14)


@pytest.mark.parametrize("compiled", [False, True])
def test_an_index_out_of_range_is_the_users_error(compiled: bool) -> None:
    def f(x: Any, k: Any) -> Any:
        return jitgrad.fori_loop(0, 3, lambda i, s: s + x[k + i], 0.0 * x[0])

    f = jitgrad.compile(f) if compiled else f
    x = jitgrad.tensor(numbers(5))
    assert float(f(x, jitgrad.tensor(-5))) == pytest.approx(x.numpy()[:3].sum())
    with pytest.raises(IndexingError, match="out of range for axis 0 of size 5"):
        f(x, jitgrad.tensor(3))


def test_an_empty_range_and_empty_parts() -> None:
    def f(x: Any) -> Any:
        def step(i: Any, s: Any) -> Any:
            return s + x[:i].sum() + (x[i:] @ x[i:])

        return jitgrad.fori_loop(0, 0, step, x.sum()) + jitgrad.fori_loop(0, 3, step, x[0])

    x = numbers(3)
    expected = x.sum() + x[0] + sum(x[:i].sum() + x[i:] @ x[i:] for i in range(3))
    np.testing.assert_allclose(float(f(jitgrad.tensor(x))), expected)


def test_the_arguments_stay_as_they_are() -> None:
    x = numbers(4, 4)
    before = x.copy()
    jitgrad.compile(jitgrad.grad(CASES[0].function))(x)
    np.testing.assert_array_equal(x, before)


def test_what_is_detached_in_a_loop_has_no_derivative() -> None:
    def f(x: Any) -> Any:
        def step(i: Any, carry: Any) -> Any:
            s, y = carry
            return s + s.detach() * x[i], y * y.detach().sum()

        s, y = jitgrad.fori_loop(0, 3, step, (x[0], x))
        return s + y.sum()

    x = jitgrad.tensor(numbers(6))
    gradient = jitgrad.grad(f)(x)
    with interpreted():
        expected = jitgrad.grad(f)(x)
    np.testing.assert_allclose(gradient.numpy(), expected.numpy(), rtol=1e-12)


def test_explain_tells_how_loops_are_run() -> None:
    def multiplied(x: Any) -> Any:
        return jitgrad.fori_loop(0, 5, lambda i, s: jitgrad.tanh(s @ s), x)

    def large(x: Any) -> Any:
        return jitgrad.fori_loop(0, 5, lambda i, s: s * 1.5, x + 1)

    for function, told in ((multiplied, "BLAS is better at"), (large, "as one kernel")):
        compiled = jitgrad.compile(function)
        compiled(jitgrad.tensor(numbers(150, 150)))
        (report,) = compiled.explain().external
        assert told in report
        assert "test_loop_programs.py:" in report
