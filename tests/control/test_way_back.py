"""What a step back computes, keeps for after the loop, and how it is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.control import run_loop
from jitgrad.control.deferred import sum_over_iterations
from jitgrad.core.spec import Spec
from jitgrad.ir.graph import Graph, GraphBuilder, Literal, Value
from jitgrad.ir.verify import verify
from jitgrad.ops.arithmetic import add, mul
from jitgrad.ops.contraction import matmul_stack
from jitgrad.testing import assert_close

F64 = np.dtype(float)
X = np.array([1.0, 2.0, 3.0])


def test_a_product_waits_until_after_the_loop() -> None:
    a, b, c = (Value(Spec(shape, F64)) for shape in ((4, 1), (1, 4), (4, 4)))
    builder = GraphBuilder()
    (product,) = builder.emit(matmul_stack, (a, b), {})
    (other,) = builder.emit(mul, (c, Literal.of(2.0)), {})
    (output,) = builder.emit(add, (product, other), {})
    graph, (total,) = sum_over_iterations(Graph((a, b, c), tuple(builder.nodes), (output,)), 1)
    verify(graph)
    assert total.running
    assert [later.node.primitive.name for later in total.later] == ["matmul"]
    assert [node.primitive.name for node in graph.nodes] == ["mul", "add"]
    assert graph.outputs[1:] == (a, b)


def test_a_small_product_does_not_wait() -> None:
    a, b = (Value(Spec((2, 2), F64)) for _ in range(2))
    builder = GraphBuilder()
    (product,) = builder.emit(matmul_stack, (a, b), {})
    graph, (total,) = sum_over_iterations(Graph((a, b), tuple(builder.nodes), (product,)), 1)
    assert total.running
    assert total.later == ()
    assert len(graph.outputs) == 1


def weights(w: Any, xs: Any) -> Any:
    return jg.scan(lambda h, x: (jg.tanh(w @ h + x), ()), xs[0], xs)[0].sum()


def weights_in_rows(w: Any, xs: Any) -> Any:
    h = xs[:, :2].reshape(2, -1)[:, :5]
    return jg.fori_loop(0, 4, lambda i, h: jg.tanh(h @ w) * xs[i], h).sum()


def elements(w: Any, xs: Any) -> Any:
    return jg.fori_loop(0, 5, lambda i, s: s * w[i, i] + (w[i] * xs[0]).sum(), 1.0)


@pytest.mark.parametrize("function", [weights, weights_in_rows, elements])
def test_gradients_of_what_waits_are_those_of_a_trace(function: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    w, xs = jg.tensor(rng.normal(size=(5, 5)) * 0.5), jg.tensor(rng.normal(size=(6, 5)))
    found = jg.compile(jg.grad(function, (0, 1)))(w, xs)
    for number, gradient in enumerate(found):
        for place in [(0, 0), (1, 3), (4, 4)]:
            moved = [[x.clone() for x in (w, xs)] for _ in range(2)]
            for sign, arguments in zip((1, -1), moved, strict=True):
                arguments[number][place] += sign * 1e-6
            above, below = (float(function(*arguments)) for arguments in moved)
            assert float(gradient[place]) == pytest.approx((above - below) / 2e-6, abs=1e-6)


def logistic(x: Any) -> Any:
    return jg.fori_loop(0, 200, lambda i, c: c + 0.01 * c * (x - c), x * 0.5).sum()


def halved(x: Any) -> Any:
    return jg.while_loop(lambda c: c.sum() > 1e-20, lambda c: c * 0.5 + 1e-3 * x * c, x).sum()


def test_python_gives_what_machine_code_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """With more states than there is room for at first, and an odd number of them."""
    x = jg.tensor(X)
    for function in (logistic, halved):
        both = jg.value_and_grad(function)
        quick = both(x)
        with monkeypatch.context() as patch:
            patch.setattr(run_loop, "repeater_of", lambda body: None)
            assert_close(both(x), quick)
            assert_close(function(x), quick[0])
        assert_close(function(x), quick[0])


def test_bodies_of_external_steps_run_in_python() -> None:
    a = jg.tensor(np.array([[3.0, 1.0], [1.0, 2.0]]))

    def f(b: Any) -> Any:
        return jg.fori_loop(0, 3, lambda i, x: jg.linalg.solve(a, x) + b, b).sum()

    b = np.array([1.0, 2.0])
    inverse = np.linalg.inv(a.numpy())
    total = sum(np.linalg.matrix_power(inverse, k) for k in range(4))
    assert_close(jg.grad(f)(jg.tensor(b)), total.sum(0))


def test_an_index_out_of_range_ends_a_loop_of_machine_code() -> None:
    x = jg.tensor(X)
    with pytest.raises(IndexError, match="an index is out of range for axis 0 of size 3"):
        jg.fori_loop(0, 5, lambda i, c: c + x[i], 0.0)


def test_an_iteration_keeps_the_sum_of_its_products() -> None:
    def f(w: Any, u: Any, xs: Any) -> Any:
        def step(h: Any, x: Any) -> tuple[Any, Any]:
            h = jg.tanh(x @ w + h @ u)
            return h, h.sum()

        end, sums = jg.scan(step, xs[0] @ w, xs)
        return (end * end).sum() + (sums * sums).sum()

    rng = np.random.default_rng(0)
    w, u = jg.tensor(rng.normal(size=(40, 50)) / 7), jg.tensor(rng.normal(size=(50, 50)) / 7)
    xs = jg.tensor(rng.normal(size=(6, 30, 40)))
    kept: list[Any] = []
    plain = run_loop.run_forward

    def run_forward(*args: Any) -> Any:
        results, states = plain(*args)
        kept.append(states)
        return results, states

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jitgrad.control.loop.run_forward", run_forward)
        gradients = jg.grad(f, argnums=(0, 1, 2))(w, u, xs)
    (states,) = [s for s in kept if s is not None]
    assert [np.shape(stack) for stack in states.as_arrays().kept] == [(6, 30, 50)]
    for k, (x, gradient) in enumerate(zip((w, u, xs), gradients, strict=True)):
        direction = rng.normal(size=x.shape)
        ends = []
        for sign in (1.0, -1.0):
            given = [w, u, xs]
            given[k] = x + sign * 1e-6 * jg.tensor(direction)
            ends.append(float(f(*given)))
        slope = (ends[0] - ends[1]) / 2e-6
        assert_close((gradient.numpy() * direction).sum(), slope, rtol=1e-5, atol=1e-8)
