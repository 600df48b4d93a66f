"""How many kernels and outer loops functions take: what fuses with what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.codegen.nests import ExternalCall
from jitgrad.codegen.text import KernelText
from jitgrad.ir.graph import Graph
from jitgrad.transforms.residuals import split
from jitgrad.transforms.simplify import simplify
from tests.codegen.graphs import graph_of, joint_of
from tests.codegen.plain import text_of

matrix = np.linspace(-1, 1, 35).reshape(5, 7)
row = np.linspace(0.5, 1, 7)


def kernels_of(graph: Graph) -> list[KernelText]:
    parts = text_of(simplify(graph, differentiated=False)).parts
    assert not any(isinstance(part, ExternalCall) for part in parts)
    return [part for part in parts if isinstance(part, KernelText)]


def nests_of(function: Callable[..., Any], **arrays: Any) -> list[int]:
    """Return how many outer loops each kernel has: those of the outputs, those of gradients."""
    both = split(joint_of(graph_of(function, **arrays)))
    return [k.nests for graph in (both.forward, both.backward) for k in kernels_of(graph)]


def layer_norm(x: Any, weight: Any, bias: Any) -> Any:
    centred = x - x.mean(-1, keepdim=True)
    variance = (centred * centred).mean(-1, keepdim=True)
    return centred * jg.rsqrt(variance + 1e-5) * weight + bias


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jg.softmax(x, 1),
        lambda x: jg.log_softmax(x, 1),
        lambda x: jg.logsumexp(x, 1),
        lambda x: x.var(1),
        lambda x: layer_norm(x, 1.0, 0.0),
    ],
    ids=["softmax", "log_softmax", "logsumexp", "var", "layer_norm"],
)
def test_a_row_wise_pattern_is_one_outer_loop_each_way(function: Callable[..., Any]) -> None:
    assert nests_of(function, x=matrix) == [1, 1]


def test_layer_norm_with_weights_is_one_kernel_each_way() -> None:
    assert len(nests_of(layer_norm, x=matrix, weight=row, bias=row)) == 2


def test_twelve_elementwise_operations_are_one_kernel_with_one_loop_each_way() -> None:
    @jg.compile
    def chain(x: Any) -> Any:
        y = jg.tanh(x) * 2.0 + 1.0
        y = jg.exp(-y * y) + jg.sin(x)
        y = jg.sqrt(y * y + 1.0) / (1.0 + x * x)
        return jg.sigmoid(y)

    x = jg.zeros(1_000_000, dtype=jg.float64).requires_grad_()
    y = chain(x)
    jg.autograd.grad(y, x, jg.ones_like(y))
    kernels = chain.explain().kernels
    assert [kernel.nests for kernel in kernels] == [1, 1]
    assert [kernel.name.split()[-1] for kernel in kernels] == ["forward", "adjoint"]


def test_reductions_over_the_same_data_share_a_pass() -> None:
    def f(x: Any) -> Any:
        return jg.sum(x), jg.sum(x * x), jg.amax(x), jg.sum(jg.sin(x))

    (kernel,) = kernels_of(graph_of(f, x=matrix))
    assert kernel.nests == 1
    assert kernel.source.count("for ") == 2


def test_a_reduction_and_its_producers_are_one_pass() -> None:
    def f(x: Any) -> Any:
        return jg.sum(jg.tanh(x) * x + 1.0)

    (kernel,) = kernels_of(graph_of(f, x=matrix))
    assert kernel.nests == 1
    assert kernel.arena_bytes == 0


def test_a_nest_may_have_several_outputs() -> None:
    def f(x: Any) -> Any:
        h = jg.tanh(x)
        return h, h * x, jg.exp(h)

    (kernel,) = kernels_of(graph_of(f, x=matrix))
    assert kernel.nests == 1
    assert len(kernel.written) == 3


def test_views_and_broadcasts_take_no_loop_of_their_own() -> None:
    def f(x: Any, r: Any) -> Any:
        return jg.tanh(x.T[::-1] + r[:, None]) * jg.broadcast_to(r[:, None], (7, 5))

    (kernel,) = kernels_of(graph_of(f, x=matrix, r=row))
    assert kernel.nests == 1
    assert kernel.arena_bytes == 0


def test_what_needs_another_iteration_first_is_not_fused_with_it() -> None:
    def f(x: Any) -> Any:
        h = jg.tanh(x)
        return h + h[::-1]

    (kernel,) = kernels_of(graph_of(f, x=row))
    assert kernel.nests == 2


def test_what_follows_from_arguments_alone_is_computed_where_it_is_read() -> None:
    wide = np.ones((40, 40))

    def step(mean: Any, x: Any, w: Any) -> Any:
        kept = 0.9 * mean
        return kept + x @ w

    (kernel,) = kernels_of(graph_of(step, mean=wide, x=wide, w=wide))
    assert kernel.nests == 1
    assert "kept = 0.9 * mean[i, j]" in kernel.source.partition("gemm")[2]


def test_very_long_chains_on_arguments_alone_are_no_recursion() -> None:
    def chain(x: Any) -> Any:
        for _ in [None] * 1200:
            x = x * 1.01
        return x

    (kernel,) = kernels_of(graph_of(chain, x=row))
    assert kernel.statements == 1200
