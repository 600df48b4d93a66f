"""Loops with short rows run in strips, where costly scalars are a loop of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.codegen.tiling import STRIP

ROWS = 2 * STRIP + 37


def _logistic(w: Any, x: Any) -> Any:
    z = x @ w
    return jg.log1p(jg.exp(-z)).sum()


def _row_by_row(w: Any, x: Any) -> Any:
    norms = jg.sqrt((x * x).sum(1) + 1.0)
    return (jg.tanh(x / norms[:, None]) * w).sum() + jg.exp(-norms).sum()


def _softmax_of_rows(w: Any, x: Any) -> Any:
    return (jg.log_softmax(x * w, 1) * jg.sigmoid(x)).sum()


def _two_products(w: Any, x: Any) -> Any:
    hidden = jg.sin(x @ w)
    again = jg.tanh(hidden * (x @ (w * w)))
    return (again @ x).sum()


FUNCTIONS = [_logistic, _row_by_row, _softmax_of_rows, _two_products]


@pytest.mark.parametrize("rows", [ROWS, 2 * STRIP, 40])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_values_and_gradients_in_strips_equal_eager_ones(
    function: Callable[..., Any], rows: int
) -> None:
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=5), rng.normal(size=(rows, 5))
    found = jg.compile(jg.value_and_grad(function, argnums=(0, 1)))(w, x)
    expected = jg.value_and_grad(function, argnums=(0, 1))(w, x)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
    for ours, reference in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(ours, reference, rtol=1e-10, atol=1e-12)


def test_a_function_of_a_matrix_times_a_vector_reads_the_matrix_once() -> None:
    step = jg.compile(jg.value_and_grad(_logistic))
    source = step.source(np.ones(5), np.ones((ROWS, 5)))
    assert source.count(f", {STRIP}):") == 1
    assert "gemm" not in source
    assert source.count("in range(i0, min(") == 3


def test_short_arrays_are_not_divided() -> None:
    step = jg.compile(jg.value_and_grad(_logistic))
    assert f", {STRIP}):" not in step.source(np.ones(5), np.ones((STRIP, 5)))
