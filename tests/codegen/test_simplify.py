from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.ir.graph import Graph
from jitgrad.ir.verify import verify
from jitgrad.transforms.product_sums import sum_factors
from jitgrad.transforms.simplify import (
    fold_fills,
    merge_moves,
    merge_repeated,
    remove_dead,
    simplify,
    transpose_factors,
)
from tests.codegen.graphs import graph_of, lines_of

x = np.arange(3.0)
m = np.arange(6.0).reshape(2, 3)


def after(
    pass_: Callable[[Graph], Graph], function: Callable[..., Any], **arrays: Any
) -> list[str]:
    """Return the lines of the nodes and the result after one pass."""
    return lines_of(verify(pass_(graph_of(function, **arrays))))[1:]


def test_dead_nodes_go() -> None:
    def f(x: Any) -> Any:
        a = x * x
        jg.tanh(x)
        return a

    assert after(remove_dead, f, x=x) == ["a: f64[3] = mul x x", "return a"]


def test_equal_computations_happen_once() -> None:
    def f(x: Any) -> Any:
        a = jg.tanh(x)
        b = jg.tanh(x)
        return a * b

    assert after(merge_repeated, f, x=x) == [
        "a: f64[3] = tanh x",
        "v0: f64[3] = mul a a",
        "return v0",
    ]


def test_numbers_that_are_equal_but_of_different_kinds_are_kept_apart() -> None:
    def f(x: Any) -> Any:
        return x * 1, x * 1.0, x * True, x + 0.0, x + -0.0

    assert len(merge_repeated(graph_of(f, x=x)).nodes) == 5


def test_random_draws_are_never_merged() -> None:
    def f(x: Any) -> Any:
        return jg.rand(3) + x, jg.rand(3) + x

    graph = merge_repeated(graph_of(f, x=x))
    assert sum(node.primitive.impure for node in graph.nodes) == 2


def test_operations_that_change_nothing_go() -> None:
    def f(x: Any) -> Any:
        a = x * 1.0
        b = a.reshape(1, 3).reshape(3)
        return jg.tanh(b)

    assert after(simplify, f, x=x) == ["v0: f64[3] = tanh x", "return v0"]


def test_a_neutral_number_that_changes_the_dtype_or_shape_stays() -> None:
    def f(n: Any, s: Any) -> Any:
        return n * 1.0, s + jg.zeros(3)

    graph = simplify(graph_of(f, n=np.arange(3), s=np.float32(2.0)))
    assert [v.spec.shape for v in graph.outputs] == [(3,), (3,)]
    assert [v.spec.dtype.name for v in graph.outputs] == ["float32", "float32"]


def test_negative_zero_is_not_neutral_by_mistake() -> None:
    def f(x: Any) -> Any:
        return x + 0.0

    from jitgrad.ir.interpret import interpret

    given = np.array([-0.0, 1.0])
    graph = simplify(graph_of(f, x=given))
    (expected,) = (given + 0.0,)
    (found,) = interpret(graph, [given])
    np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))


def test_stop_gradient_stays_while_the_graph_may_be_differentiated() -> None:
    def f(x: Any) -> Any:
        return x.detach() * x

    graph = graph_of(f, x=x)
    assert len(simplify(graph).nodes) == 2
    assert len(simplify(graph, differentiated=False).nodes) == 1


def test_filled_operands_become_numbers() -> None:
    def f(x: Any) -> Any:
        one = jg.ones(3, dtype=jg.float64)
        return x * (one + one)

    assert after(lambda g: remove_dead(fold_fills(g)), f, x=x) == [
        "v0: f64[3] = mul x 2.0",
        "return v0",
    ]


def test_a_fill_that_gives_the_shape_stays_an_array() -> None:
    def f(s: Any) -> Any:
        return s * jg.ones(3, dtype=jg.float64)

    graph = verify(simplify(graph_of(f, s=np.float64(2.0))))
    assert graph.outputs[0].spec.shape == (3,)


def test_two_permutations_become_one() -> None:
    def f(m: Any) -> Any:
        return jg.tanh(m.T.T)

    assert after(simplify, f, m=m) == ["v0: f64[2, 3] = tanh m", "return v0"]
    assert "axes=(0,1)" in " ".join(after(merge_moves, f, m=m))


def test_the_factors_of_a_product_are_transposed_in_its_place() -> None:
    def f(a: Any, b: Any) -> Any:
        return (a @ b).T

    assert after(transpose_factors, f, a=m, b=m.T.copy()) == [
        "v0: f64[2, 3] = permute b axes=(1,0)",
        "v1: f64[3, 2] = permute a axes=(1,0)",
        "v2: f64[2, 2] = matmul v0 v1",
        "return v2",
    ]


def test_a_product_that_is_used_itself_is_not_transposed_away() -> None:
    def f(a: Any, b: Any) -> Any:
        c = a @ b
        return c, c.T

    graph = graph_of(f, a=m, b=m.T.copy())
    assert lines_of(transpose_factors(graph)) == lines_of(graph)


@pytest.mark.parametrize("differentiated", [True, False])
def test_simplifying_twice_changes_nothing_more(differentiated: bool) -> None:
    def f(x: Any) -> Any:
        a = (x * 1.0).reshape(3, 1)
        return (a.T.T * jg.ones(())).sum(0), x.detach() + 0

    once = simplify(graph_of(f, x=x), differentiated)
    assert lines_of(simplify(once, differentiated)) == lines_of(once)


def test_sum_over_rows_of_a_product_is_a_product_of_sums() -> None:
    def f(a: Any, b: Any) -> Any:
        return (-1.0 * (a @ b)).sum(0)

    assert after(sum_factors, f, a=m, b=m.T) == [
        "v0: f64[1, 3] = sum a axes=(0,) keepdims=True",
        "v1: f64[1, 2] = matmul v0 b",
        "v2: f64[1, 2] = mul -1.0 v1",
        "v3: f64[2] = sum v2 axes=(0,) keepdims=False",
        "return v3",
    ]
    both = jg.value_and_grad(lambda a, b: (f(a, b) ** 2).sum(), argnums=(0, 1))
    (value, slopes), (plain, plain_slopes) = jg.compile(both)(m, m.T), both(m, m.T)
    for one, other in zip((value, *slopes), (plain, *plain_slopes), strict=True):
        np.testing.assert_allclose(one, other)


def test_sum_over_columns_of_a_stack_of_products_sums_the_right_factor() -> None:
    a, b = np.arange(12.0).reshape(2, 2, 3), np.arange(24.0).reshape(2, 3, 4)
    assert after(sum_factors, lambda a, b: (a @ b).sum((0, 2)), a=a, b=b)[:2] == [
        "v0: f64[2, 3, 1] = sum b axes=(2,) keepdims=True",
        "v1: f64[2, 2, 1] = matmul a v0",
    ]


def test_product_that_is_read_twice_is_not_summed_by_factors() -> None:
    def f(a: Any, b: Any) -> Any:
        c = a @ b
        return c, c.sum(0)

    assert "matmul a b" in after(sum_factors, f, a=m, b=m.T)[0]
