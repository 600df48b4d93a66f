"""The operation that makes the first nan or infinity is found, and described."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import ArgumentError, FallbackWarning, GradientError, first_nonfinite

X = np.array([4.0, 0.0, 1.0])


def entropy(x: Any) -> Any:
    h = jitgrad.log(x)
    return (h * x).sum()


def test_the_first_operation_is_reported_with_line_and_ranges() -> None:
    report = first_nonfinite(entropy, X)
    assert report is not None
    assert report.operation == "log"
    assert report.reaches_result
    assert not report.in_gradient
    line = entropy.__code__.co_firstlineno + 1
    assert str(report) == (
        "log makes an infinity\n"
        f"  where: test_nonfinite.py:{line}, in entropy:  h = jitgrad.log(x)\n"
        "  in:    x: f64[3]  0 to 4\n"
        "  out:   h: f64[3]  0 to 1.38629, 1 infinite"
    )


def test_a_function_that_stays_finite_has_no_report() -> None:
    assert first_nonfinite(entropy, X + 1.0, gradient=True) is None


def test_a_compiled_function_is_looked_into_and_left_as_it_is() -> None:
    f = jitgrad.compile(entropy)
    report = first_nonfinite(f, jitgrad.tensor(X))
    assert report is not None
    assert report.operation == "log"
    assert f.explain().variants == 0


def test_a_derivative_that_is_not_finite_is_found() -> None:
    def length(x: Any) -> Any:
        return jitgrad.sqrt(x).sum()

    assert first_nonfinite(length, X) is None
    report = first_nonfinite(length, X, gradient=True)
    assert report is not None
    assert report.in_gradient
    assert report.location is not None
    assert report.location.source() == "return jitgrad.sqrt(x).sum()"
    assert "in a derivative makes an infinity" in str(report)


def test_gradients_are_those_by_what_requires_them() -> None:
    def f(x: Any, y: Any) -> Any:
        return (jitgrad.sqrt(x) * y).sum()

    x, y = jitgrad.tensor(X), jitgrad.tensor(X, requires_grad=True)
    assert first_nonfinite(f, x, y, gradient=True) is None
    report = first_nonfinite(f, x.requires_grad_(), y, gradient=True)
    assert report is not None
    assert report.in_gradient
    assert x.grad is None


def test_an_infinity_that_is_written_down_is_taken_as_meant() -> None:
    def masked(x: Any) -> Any:
        scores = jitgrad.where(x > 0.5, x, -float("inf"))
        return jitgrad.softmax(scores, dim=0)

    assert first_nonfinite(masked, X) is None
    report = first_nonfinite(masked, X - 9.0)  # nothing is left: inf - inf
    assert report is not None
    assert report.reaches_result
    assert any(out.nans for out in report.outputs)


def test_what_reaches_the_result_goes_before_what_does_not() -> None:
    def chosen(x: Any) -> Any:
        return jitgrad.where(x > 0, jitgrad.log(x), 0.0)

    def divided(x: Any) -> Any:
        return chosen(x) / (x - x)

    harmless = first_nonfinite(chosen, X)
    assert harmless is not None
    assert harmless.operation == "log"
    assert not harmless.reaches_result
    assert str(harmless).endswith("\n  no result is spoilt by it")
    harmful = first_nonfinite(divided, X)
    assert harmful is not None
    assert harmful.operation == "div"


def test_an_argument_that_is_not_finite_is_reported() -> None:
    report = first_nonfinite(lambda x: x * 2.0, np.array([1.0, np.nan]))
    assert str(report) == ("what the function is given holds a nan\n  out:   x: f64[2]  1, 1 nan")


def test_values_that_are_asked_for_do_not_end_the_search() -> None:
    def f(x: Any) -> Any:
        if x.sum() > 0:
            x = x - 1.0
        return 1.0 / x

    report = first_nonfinite(f, X)
    assert report is not None
    assert report.location is not None
    assert report.location.source() == "return 1.0 / x"


def test_random_numbers_are_those_of_the_next_call() -> None:
    def f(x: Any) -> Any:
        return x + jitgrad.rand(3, dtype=np.float64)

    jitgrad.manual_seed(3)
    expected = f(X)
    jitgrad.manual_seed(3)
    assert first_nonfinite(f, X) is None
    assert f(X).tolist() == expected.tolist()


def test_a_function_without_gradient_is_an_error() -> None:
    with pytest.raises(GradientError, match="has no gradient"):
        first_nonfinite(lambda x: x > 0, X, gradient=True)


def test_a_function_that_cannot_be_captured_is_an_error() -> None:
    with (
        pytest.warns(FallbackWarning, match="runs without being compiled"),
        pytest.raises(ArgumentError, match="can't be looked into"),
    ):
        first_nonfinite(lambda x: object(), X)
