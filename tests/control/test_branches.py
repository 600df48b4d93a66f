"""`cond`, `switch`, `checkpoint`: what is run, what is kept, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.core.errors import ArgumentError, DtypeError, ShapeError, TraceError
from jitgrad.runtime.bodies import interpreted
from jitgrad.testing import assert_close
from tests.messages import message_of

X = np.array([1.0, 2.0, 3.0])


@pytest.fixture(autouse=True)
def _quickly() -> Any:
    with interpreted():
        yield


@pytest.mark.parametrize("wrap", [lambda f: f, jg.compile], ids=["eager", "compiled"])
def test_the_side_not_taken_has_no_influence(wrap: Any) -> None:
    def f(x: Any) -> Any:
        return jg.cond(x > 0, jg.log, jg.zeros_like, x)

    def g(x: Any) -> Any:
        return jg.cond(x > 0, lambda x: jg.sqrt(x), lambda x: x * 0.0, x)

    zero = jg.tensor(np.array(0.0))
    for function in (f, g):
        assert float(wrap(function)(zero)) == 0.0
        assert float(wrap(jg.grad(function))(zero)) == 0.0
        assert float(wrap(jg.grad(jg.grad(function)))(zero)) == 0.0
    assert_close(float(wrap(jg.grad(f))(jg.tensor(np.array(4.0)))), 0.25)


def test_a_compiled_branch_is_chosen_at_run_time() -> None:
    @jg.compile
    def f(x: Any, w: Any) -> Any:
        return jg.value_and_grad(
            lambda x: jg.cond(x.sum() > 0, lambda x: (x * w).sum(), lambda x: (x**2).sum(), x)
        )(x)

    w = jg.tensor(np.array(3.0))
    for x in (X, -X, 2 * X, -3 * X):
        value, gradient = f(jg.tensor(x), w)
        positive = x.sum() > 0
        assert_close(float(value), float((3 * x).sum() if positive else (x**2).sum()))
        assert_close(gradient, np.full(3, 3.0) if positive else 2 * x)
    assert f.explain().retraces == ()


def test_only_the_branch_taken_is_called_outside_of_a_trace() -> None:
    called: list[str] = []

    def yes(x: Any) -> Any:
        called.append("yes")
        return x

    def no(x: Any) -> Any:
        called.append("no")
        return -x

    assert_close(jg.cond(jg.tensor(True), yes, no, X), X)
    assert_close(jg.cond(False, yes, no, X), -X)
    assert called == ["yes", "no"]


def test_switch_takes_the_nearest_branch_there_is() -> None:
    branches = [lambda x: x, lambda x: 2 * x, lambda x: 3 * x]
    compiled = jg.compile(lambda i, x: jg.switch(i, branches, x))
    for index, factor in [(-5, 1), (0, 1), (1, 2), (2, 3), (7, 3)]:
        assert_close(jg.switch(index, branches, X), factor * X)
        assert_close(jg.switch(jg.tensor(index), branches, X), factor * X)
        assert_close(compiled(jg.tensor(index), jg.tensor(X)), factor * X)


def test_structures_and_closures_pass_through_branches() -> None:
    w = jg.tensor(np.array(2.0), requires_grad=True)

    @jg.compile
    def f(x: Any, flag: Any) -> Any:
        return jg.cond(
            flag,
            lambda s: {"a": s["a"] * w, "n": s["n"] + 1},
            lambda s: {"a": s["a"] + w, "n": s["n"]},
            {"a": x, "n": jg.tensor(1)},
        )

    for flag, factor in ((True, X.sum()), (False, 3.0)):
        w.grad = None
        found = f(jg.tensor(X), jg.tensor(flag))
        found["a"].sum().backward()
        assert_close(float(w.grad), float(factor))
        assert found["n"].item() == 1 + flag


def test_branches_that_give_other_kinds_of_results_are_refused() -> None:
    def provoke() -> Any:
        body = lambda i, c: jg.cond(i > 0, lambda c: c[:2], lambda c: c, c)  # noqa: E731
        return jg.fori_loop(0, 2, body, X)

    assert message_of(TraceError, provoke, "<lambda>") == (
        "cond: result is f64[3] of false_fn and f64[2] of true_fn\n"
        "  why:   which one runs is decided later; the result has to be of one kind"
    )
    with pytest.raises(TraceError, match="different structures"):
        jg.fori_loop(0, 2, lambda i, c: jg.cond(i > 0, lambda: c, lambda: (c, c)), X)


def test_a_predicate_of_several_elements_is_refused() -> None:
    def provoke() -> Any:
        return jg.cond(jg.tensor(X) > 0, jg.log, jg.exp, X)

    assert message_of(ShapeError, provoke) == (
        "cond: the predicate has shape (3,)\n"
        "  why:   one boolean decides; a Tensor without axes, or a Python bool\n"
        "  do:    reduce it: .all() or .any(); to choose element by element use jitgrad.where"
    )


def test_an_index_that_is_no_integer_is_refused() -> None:
    with pytest.raises(DtypeError, match="must be one integer"):
        jg.switch(jg.tensor(1.5), [jg.sin, jg.cos], X)
    with pytest.raises(ArgumentError, match="there are no branches"):
        jg.switch(0, [])


# -- checkpoint --------------------------------------------------------------------------------


def test_a_checkpoint_keeps_arguments_alone_and_computes_again() -> None:
    w = jg.tensor(np.array(0.5), requires_grad=True)
    layer = jg.checkpoint(lambda x, scale=1.0: jg.exp(jg.tanh(x * w) * scale))
    x = jg.tensor(X, requires_grad=True)
    y = layer(x, scale=2.0)
    assert y.grad_fn.name() == "BranchBackward"
    y.sum().backward()
    t = np.tanh(X * 0.5)
    slope = 2.0 * np.exp(2.0 * t) * (1 - t * t)
    assert_close(x.grad, slope * 0.5)
    assert_close(float(w.grad), float((slope * X).sum()))


def test_random_numbers_of_a_checkpoint_are_the_same_on_the_way_back() -> None:
    def noisy(x: Any) -> Any:
        return (x * jg.rand(3)).sum()

    jg.manual_seed(1)
    expected = jg.grad(noisy)(jg.tensor(X))
    jg.manual_seed(1)
    assert_close(jg.grad(jg.checkpoint(noisy))(jg.tensor(X)), expected)
    jg.manual_seed(1)
    assert_close(jg.compile(jg.grad(jg.checkpoint(noisy)))(jg.tensor(X)), expected)


def test_a_checkpoint_without_recording_is_the_function_itself() -> None:
    layer = jg.checkpoint(lambda x: x * 2.0 if x.sum() > 0 else x)
    with jg.no_grad():
        assert_close(layer(jg.tensor(X)), 2 * X)
