from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import jitgrad as jg
from jitgrad.ir.verify import verify
from jitgrad.transforms.residuals import Split, split
from tests.codegen.graphs import graph_of, joint_of, lines_of

x = np.arange(3.0)


def split_of(function: Callable[..., Any], **arrays: Any) -> Split:
    both = split(joint_of(graph_of(function, **arrays)))
    verify(both.forward)
    verify(both.backward)
    return both


def kept_names(both: Split) -> list[str]:
    return [value.name for value in both.kept]


def test_the_split_is_the_one_of_its_docstring() -> None:
    def f(x: Any) -> Any:
        a = x * x
        h = jg.tanh(a)
        return h.sum(0)

    both = split_of(f, x=x)
    assert lines_of(both.forward) == [
        "graph(x: f64[3]):",
        "a: f64[3] = mul x x",
        "h: f64[3] = tanh a",
        "v0: f64[] = sum h axes=(0,) keepdims=False",
        "return v0, h",
    ]
    head, *_ = lines_of(both.backward)
    assert {part.split(":")[0] for part in head[len("graph(") : -2].split(", ")} == {"x", "h", "ct"}


def test_a_short_chain_of_cheap_operations_is_computed_again() -> None:
    def f(x: Any) -> Any:
        a = x * 2.0 + 1.0
        return a * a

    both = split_of(f, x=x)
    assert both.kept == ()
    assert "a" in {v.name for node in both.backward.nodes for v in node.outputs}


def test_the_results_of_reductions_and_transcendental_functions_are_kept() -> None:
    def f(x: Any) -> Any:
        s = jg.sum(x * x)
        e = jg.exp(x)
        return e * s

    assert set(kept_names(split_of(f, x=x))) == {"s", "e"}


def test_a_long_chain_of_cheap_operations_is_kept() -> None:
    def f(x: Any) -> Any:
        a = x
        for _ in range(20):
            a = a * x + 1.0
        return a * a

    assert len(split_of(f, x=x).kept) > 0


def test_views_are_never_kept() -> None:
    def f(x: Any) -> Any:
        v = x.reshape(3, 1).T
        return v * v

    assert split_of(f, x=x).kept == ()


def test_what_is_an_output_anyway_costs_no_memory() -> None:
    def f(x: Any) -> Any:
        return jg.tanh(x)

    both = split_of(f, x=x)
    assert len(both.kept) == 1
    assert both.kept_bytes == 0


def test_random_draws_are_not_repeated_by_the_adjoint() -> None:
    def f(x: Any) -> Any:
        r = jg.rand(3)
        return x * r.to(jg.float64)

    assert not any(node.primitive.impure for node in split_of(f, x=x).backward.nodes)
