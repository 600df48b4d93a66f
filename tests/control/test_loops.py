"""Loops: bounds of run time, dtypes of the carry, what may be passed, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.core.errors import ArgumentError, DtypeError, GradientError, ShapeError, TraceError
from jitgrad.ir.verify import verify
from jitgrad.runtime.bodies import interpreted
from jitgrad.testing import assert_close
from jitgrad.trace.segments import Segment
from tests.messages import message_of

X = np.array([1.0, 2.0, 3.0])


@pytest.fixture(autouse=True)
def _quickly() -> Any:
    with interpreted():
        yield


# -- run time --------------------------------------------------------------------------------


def test_bounds_of_run_time_trace_nothing_anew() -> None:
    @jg.compile
    def f(x: Any, lower: Any, upper: Any) -> Any:
        return jg.value_and_grad(lambda x: jg.fori_loop(lower, upper, lambda i, c: c * x + i, 1.0))(
            x
        )

    def plain(x: float, lower: int, upper: int) -> tuple[float, float]:
        value, slope = 1.0, 0.0
        for i in range(lower, upper):
            value, slope = value * x + i, slope * x + value
        return value, slope

    x = jg.tensor(np.array(1.1))
    for lower, upper in [(0, 3), (2, 7), (4, 4), (5, 3), (-2, 2), (0, 20)]:
        value, slope = f(x, jg.tensor(lower), jg.tensor(upper))
        assert_close([float(value), float(slope)], list(plain(1.1, lower, upper)))
    assert f.explain().retraces == ()
    assert f.explain().paths == 1


def test_a_python_int_that_changes_becomes_a_bound_of_run_time() -> None:
    @jg.compile
    def f(x: Any, n: int) -> Any:
        return jg.fori_loop(0, n, lambda i, c: c * x, x)

    x = jg.tensor(np.array(1.1))
    for n in range(12):
        assert_close(float(f(x, n)), 1.1 ** (n + 1))
    assert len(f.explain().retraces) <= 4


def test_trip_counts_of_a_while_loop_trace_nothing_anew() -> None:
    @jg.compile
    def root(a: Any) -> Any:
        return jg.while_loop(lambda x: abs(x * x - a) > 1e-12, lambda x: 0.5 * (x + a / x), a + 1)

    slope = jg.compile(jg.grad(lambda a: root.__wrapped__(a)))
    for a in (0.01, 1.0, 2.0, 50.0, 1e4):
        assert_close(float(root(jg.tensor(np.array(a)))), a**0.5)
        assert_close(float(slope(jg.tensor(np.array(a)))), 0.5 / a**0.5)
    assert root.explain().retraces == ()


def test_the_program_does_not_grow_with_the_count() -> None:
    def f(x: Any, n: int) -> Any:
        return jg.fori_loop(0, n, lambda i, c: c * x, x)

    x = jg.tensor(np.array(1.0001))
    assert float(jg.grad(lambda x: f(x, 20000))(x)) == pytest.approx(20001 * 1.0001**20000)


# -- carries ---------------------------------------------------------------------------------


def test_a_number_to_start_with_takes_the_dtype_that_the_body_gives() -> None:
    x = jg.tensor(X)
    found = jg.fori_loop(0, 3, lambda i, s: s + x[1], 0.1)
    assert found.dtype == np.float64
    assert float(found) == 0.1 + 2.0 + 2.0 + 2.0
    assert jg.fori_loop(0, 3, lambda i, s: s + i, 0).dtype == np.int64
    assert jg.fori_loop(0, 3, lambda i, s: s * 2, 0.5).dtype == np.float32


def test_the_first_carry_is_not_changed_and_shares_no_memory() -> None:
    x = jg.tensor(X.copy())

    def body(i: Any, c: Any) -> Any:
        c[0] = c[0] + 1.0
        return c

    found = jg.fori_loop(0, 2, body, x)
    assert_close(x, X)
    assert_close(found, np.array([3.0, 2.0, 3.0]))
    same = jg.fori_loop(0, 0, body, x)
    same += 1.0
    assert_close(x, X)
    kept = jg.fori_loop(0, 3, lambda i, c: c, x)
    kept += 1.0
    assert_close(x, X)


def test_results_may_be_changed_in_place_before_backward() -> None:
    x = jg.tensor(X, requires_grad=True)
    y = jg.fori_loop(0, 3, lambda i, c: c * c, x)
    y += 1.0
    y.sum().backward()
    assert_close(x.grad, 8 * X**7)


def test_an_operand_changed_in_place_before_backward_is_refused() -> None:
    x = jg.tensor(X, requires_grad=True)
    w = jg.tensor(X.copy())
    y = jg.fori_loop(0, 3, lambda i, c: c * w, x)
    w += 1.0
    with pytest.raises(GradientError, match="changed in place"):
        y.sum().backward()


def test_numpy_arrays_and_views_are_taken() -> None:
    square = np.arange(6.0).reshape(2, 3).T
    total, rows = jg.scan(lambda c, row: (c + row, row[::-1]), np.zeros(2), square)
    assert_close(total, square.sum(0))
    assert_close(rows, square[:, ::-1])
    column = jg.tensor(square)[:, 1]
    assert_close(jg.fori_loop(0, 2, lambda i, c: c + column, column), 3 * square[:, 1])


def test_what_the_body_reads_outside_is_read_again_by_each_call() -> None:
    w = jg.tensor(np.array(2.0))

    @jg.compile
    def f(x: Any) -> Any:
        return jg.fori_loop(0, 3, lambda i, c: c * w, x)

    assert_close(f(jg.tensor(X)), 8 * X)
    w += 1.0
    assert_close(f(jg.tensor(X)), 27 * X)


def test_python_numbers_among_the_arguments_keep_their_value() -> None:
    @jg.compile
    def f(x: Any, h: float) -> Any:
        return jg.fori_loop(0, 3, lambda i, c: c + h * x, x)

    for h in (0.1, 0.7, 1 / 3):
        assert_close(f(jg.tensor(X), h), X + 3 * h * X)


def test_without_recording_nothing_is_kept() -> None:
    x = jg.tensor(X, requires_grad=True)
    with jg.no_grad():
        assert not jg.fori_loop(0, 3, lambda i, c: c * c, x).requires_grad
    constant = jg.fori_loop(0, 3, lambda i, c: (c * c).detach(), x)
    assert constant.requires_grad  # the carry before the first iteration is `x`
    (gradient,) = jg.autograd.grad(constant.sum(), x)
    assert_close(gradient, 0 * X)


def test_a_loop_with_integers_and_booleans_carries_gradients_past_them() -> None:
    def body(i: Any, carry: Any) -> Any:
        x, count, flag = carry
        return jg.where(flag, x * 2.0, x * 3.0), count + 1, count > 0

    def f(x: Any) -> Any:
        return jg.fori_loop(0, 4, body, (x, 0, True))[0].sum()

    assert_close(jg.grad(f)(jg.tensor(X)), np.full(3, 2.0 * 3.0 * 2.0 * 2.0))


def test_an_output_that_is_not_used_gets_no_cotangent() -> None:
    x = jg.tensor(X, requires_grad=True)
    last, stacked = jg.scan(lambda c, e: (c * e, c + e), jg.tensor(np.array(1.0)), x)
    stacked.sum().backward()
    first = x.grad
    x.grad = None
    last, stacked = jg.scan(lambda c, e: (c * e, c + e), jg.tensor(np.array(1.0)), x)
    last.backward()
    assert_close(x.grad, X.prod() / X)
    # stacked = [1 + x0, x0 + x1, x0 x1 + x2]
    assert_close(first, np.array([2.0 + X[1], 1.0 + X[0], 1.0]))


def test_lengths_may_be_zero_and_structures_empty() -> None:
    carry, ys = jg.scan(lambda c, x: (c, (x, x * 2)), 1.0, np.zeros((0, 2)))
    assert float(carry) == 1.0
    assert [y.shape for y in ys] == [(0, 2), (0, 2)]
    assert jg.scan(lambda c, x: (c + 1, ()), 0, length=5)[0].item() == 5
    assert jg.fori_loop(0, 3, lambda i, c: c, ()) == ()


def test_random_numbers_are_other_ones_in_each_iteration() -> None:
    jg.manual_seed(3)
    _, draws = jg.scan(lambda c, _: (c, jg.rand(2)), (), length=4)
    assert len(np.unique(draws.numpy())) == 8


def test_a_derivative_inside_a_body_may_use_backward_of_its_own() -> None:
    def body(i: Any, c: Any) -> Any:
        value, slope = jg.value_and_grad(lambda y: (y**3).sum())(c)
        return c - 0.01 * slope + 0.0 * value

    x = jg.tensor(X, requires_grad=True)
    y = jg.fori_loop(0, 1, body, x)
    y.sum().backward()
    assert_close(x.grad, 1 - 0.06 * X)


# -- the graph -------------------------------------------------------------------------------


def test_graphs_of_loops_are_well_formed_and_show_their_bodies() -> None:
    @jg.compile
    def f(x: Any) -> Any:
        return jg.grad(lambda x: jg.fori_loop(0, 3, lambda i, c: c * c, x).sum())(x)

    f(jg.tensor(X))
    (segment,) = _segments(f, jg.tensor(X))
    verify(segment.graph())
    text = f.graph(jg.tensor(X))
    assert "loop 0 3 x" in text
    assert "    graph_" in text
    assert "c: f64[3]" in text


def _segments(f: Any, x: Any) -> list[Segment]:
    return list(f._traced((x,), {}).in_order())


def test_two_traces_of_a_body_are_the_same_static_parameter() -> None:
    @jg.compile
    def f(x: Any) -> Any:
        y = jg.fori_loop(0, 3, lambda i, c: c * c, x)
        return y + 1.0 if y.sum() > 0 else y

    for x in (X, -X * 0.0, X, -X * 0.0):
        assert_close(f(jg.tensor(x)), x**8 + (1.0 if x.sum() > 0 else 0.0))
    assert f.explain().paths == 2


# -- errors ----------------------------------------------------------------------------------


def test_a_carry_that_changes_is_refused_with_the_leaf_and_the_line() -> None:
    def provoke() -> Any:
        return jg.fori_loop(0, 3, lambda i, c: {"a": c["a"], "b": c["b"][:2]}, {"a": X, "b": X})

    assert message_of(TraceError, provoke, "<lambda>") == (
        "fori_loop: carry['b'] changes its shape\n"
        "  why:   it starts as f64[3] and comes back as f64[2]\n"
        "  do:    let init have the shape that the body returns"
    )
    with pytest.raises(TraceError, match=r"carry changes its dtype"):
        jg.while_loop(lambda c: c.sum() < 1, lambda c: c.double(), jg.ones(3))


def test_another_structure_is_refused() -> None:
    def provoke() -> Any:
        return jg.fori_loop(0, 3, lambda i, c: (c, c), X)

    assert message_of(TraceError, provoke) == (
        "fori_loop: the carry changes its structure\n"
        "  why:   it starts as a leaf and comes back as a tuple of 2\n"
        "  do:    return from the body what it takes"
    )


def test_a_condition_of_several_elements_is_refused() -> None:
    def provoke() -> Any:
        return jg.while_loop(lambda c: c < 3, lambda c: c + 1, X)

    assert message_of(ShapeError, provoke) == (
        "while_loop: the condition has shape (3,)\n"
        "  why:   one boolean decides; a Tensor without axes, or a Python bool\n"
        "  do:    reduce it: .all() or .any(); to choose element by element use jitgrad.where"
    )


def test_lengths_that_differ_are_refused() -> None:
    def provoke() -> Any:
        return jg.scan(lambda c, x: (c, x), 0, {"a": X, "b": X[:2]})

    assert message_of(ShapeError, provoke) == (
        "scan: the lengths differ\n  why:   xs['a'] 3, xs['b'] 2; there is one element each time"
    )
    with pytest.raises(ShapeError, match="the argument length 4"):
        jg.scan(lambda c, x: (c, x), 0, X, length=4)
    with pytest.raises(ArgumentError, match="length is -1"):
        jg.scan(lambda c, x: (c, x), 0, length=-1)
    with pytest.raises(ArgumentError, match="is not known"):
        jg.scan(lambda c, x: (c, x), 0)
    with pytest.raises(ShapeError, match="xs has no axes"):
        jg.map(lambda x: x, 1.0)


def test_a_bound_that_is_no_integer_is_refused() -> None:
    def provoke() -> Any:
        return jg.fori_loop(0, 2.5, lambda i, c: c, X)

    assert message_of(DtypeError, provoke) == (
        "fori_loop: upper is float\n  why:   a bound of the index is an integer, or a Tensor of one"
    )


def test_a_function_that_returns_no_pair_is_refused() -> None:
    with pytest.raises(TraceError, match=r"must return a pair \(carry, output\)"):
        jg.scan(lambda c, x: c, 0.0, X)


def test_a_body_that_asks_for_a_value_is_refused() -> None:
    def provoke() -> Any:
        return jg.fori_loop(0, 2, lambda i, c: c * float(c.sum()), X)

    assert message_of(TraceError, provoke, "<lambda>").startswith(
        "fori_loop: the body asks for the value of a Tensor\n  why:   it is traced once"
    )


def test_a_body_that_changes_what_is_outside_is_refused() -> None:
    total = jg.tensor(X)

    def body(i: Any, c: Any) -> Any:
        total[0] = total[0] + c[0]
        return c

    with pytest.raises(TraceError, match="changes a Tensor from outside in place"):
        jg.fori_loop(0, 2, body, X)
    assert_close(total, X)


def test_an_index_out_of_range_raises_as_without_a_loop() -> None:
    x = jg.tensor(X)
    with pytest.raises(IndexError):
        jg.fori_loop(0, 4, lambda i, c: c + x[i], 0.0)


def test_gradients_inside_a_loop_may_go_through_loops_of_any_length() -> None:
    def inner(x: Any) -> Any:
        count = jg.floor(x[0] * 3).long()
        return jg.fori_loop(0, count, lambda i, c: jg.tanh(c) + 0.1 * i, x).sum()

    xs = np.array([[0.1, 2.0], [1.5, 0.3], [40.0, 1.0]])
    found = jg.map(jg.grad(inner), xs)
    each = [jg.grad(inner)(jg.tensor(x)).numpy() for x in xs]
    np.testing.assert_allclose(found.numpy(), np.stack(each), rtol=1e-12)
