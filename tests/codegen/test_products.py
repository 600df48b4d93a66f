"""Matrix products take views as they lie in memory and write where the result is wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg

N, H, D = 20, 3, 8


def _heads(x: Any) -> Any:
    parts = x.reshape(2, N, 3, H, D)
    q, k, v = [parts[:, :, n].permute(0, 2, 1, 3) for n in range(3)]
    scores = jg.tanh(q @ k.mT)
    return (scores @ v).permute(0, 2, 1, 3).reshape(2 * N, H * D)


def _block(x: Any) -> Any:
    return x[2:, 1:17] @ x[2:18, 3:]


def _columns(x: Any) -> Any:
    return x[:, ::2] @ x[:8, 1:]


def _stacked_weight(x: Any) -> Any:
    return jg.einsum("kij,nkj->nki", x[:4].reshape(4, 12, 12), x.reshape(N, 6, 24)[:, :4, :12])


def _transposed_twice(x: Any) -> Any:
    return (x.mT @ x).mT * 2.0


def _one_row(x: Any) -> Any:
    return x.reshape(N, 1, 144).permute(1, 0, 2)[:, :, 5:] @ x[:5].reshape(-1)[:139].reshape(139, 1)


def _mixture(x: Any) -> Any:
    # a matrix for each component, as in the log-density of a Gaussian mixture
    factors = x[:12].reshape(3, 12, 12)
    centred = x[:, None, :12] - x[None, :3, 12:24]
    whitened = jg.einsum("kij,nkj->nki", factors, centred)
    return jg.logsumexp(-0.5 * (whitened * whitened).sum(2), 1)


CASES: list[tuple[Callable[[Any], Any], tuple[int, ...], bool]] = [
    (_heads, (2 * N, 3 * H * D), True),
    (_block, (22, 20), True),
    (_columns, (30, 16), False),
    (_stacked_weight, (N, 144), True),
    (_transposed_twice, (30, 20), True),
    (_one_row, (N, 144), False),
    (_mixture, (40, 36), True),
]


@pytest.mark.parametrize(("function", "shape", "in_place"), CASES)
def test_products_of_views_and_their_gradients_equal_eager_ones(
    function: Callable[[Any], Any], shape: tuple[int, ...], in_place: bool
) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    weight = np.random.default_rng(1).normal(size=jg.tensor(function(jg.tensor(x))).shape)

    def loss(x: Any) -> Any:
        return (function(x) * weight).sum()

    compiled = jg.compile(function)
    np.testing.assert_allclose(compiled(x), function(jg.tensor(x)), rtol=1e-12, atol=1e-12)
    if in_place:
        assert "gemm(" in compiled.source(x)
    got = jg.compile(jg.grad(loss))(x)
    np.testing.assert_allclose(got, jg.grad(loss)(x), rtol=1e-11, atol=1e-11)


def test_attention_heads_are_not_copied() -> None:
    x = np.ones((2 * N, 3 * H * D))
    source = jg.compile(_heads).source(x)
    code = "\n".join(line for line in source.splitlines() if "#" not in line)
    assert code.count("gemm(") == 2
    # one nest for both and what is between them; no other moves elements
    assert code.count("for ") == 4


def test_what_is_done_with_a_stack_of_matrices_stands_in_one_loop_over_it() -> None:
    def f(factors: Any, mean: Any, x: Any) -> Any:
        whitened = jg.einsum("kij,nkj->nki", factors, x[:, None] - mean)
        return jg.logsumexp(-0.5 * (whitened * whitened).sum(2), 1)

    source = jg.compile(f).source(np.ones((3, 12, 12)), np.ones((3, 12)), np.ones((40, 12)))
    code = [line for line in source.splitlines() if "#" not in line]
    (product,) = [n for n, line in enumerate(code) if "gemm(" in line]
    before = max(n for n in range(product) if code[n].startswith("    for "))
    after = min(n for n in range(product, len(code)) if code[n].startswith("    for "))
    nest = "\n".join(code[before:after])
    assert " - mean[" in nest
    assert "accumulate_sum(" in nest
