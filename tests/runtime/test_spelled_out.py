"""Small calls of NumPy's that are spelled out in kernels: the same results, and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.ops.linalg import LinAlgError

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def _close(found: Any, expected: Any, dtype: Any) -> None:
    scale = np.abs(expected).max()
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, atol=2e3 * np.finfo(dtype).eps * scale, rtol=0)


@DTYPES
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_small_systems_are_solved_in_the_kernel(n: int, dtype: Any) -> None:
    def f(a: Any, b: Any) -> Any:
        return np.linalg.inv(a), np.linalg.solve(a, b)

    def loss(a: Any, b: Any) -> Any:
        inverse, x = f(a, b)
        return (inverse * inverse).sum() + (x * x).sum()

    rng = np.random.default_rng(n)
    compiled, gradient = jg.compile(f), jg.compile(jg.grad(loss, argnums=(0, 1)))
    for zeros in (0, 1):
        a, b = rng.uniform(-1, 1, (n, n)) + np.eye(n), rng.uniform(-1, 1, (n, 2))
        if zeros and n > 1:
            a[0, 0] = 0.0  # rows are to be exchanged
        a, b = a.astype(dtype), b.astype(dtype)
        for found, expected in zip(compiled(a, b), f(a, b), strict=True):
            _close(found, expected, dtype)
        for found, expected in zip(
            gradient(a, b), jg.grad(loss, argnums=(0, 1))(a, b), strict=True
        ):
            _close(found, expected, dtype)
    assert compiled.explain().external == ()


def test_a_singular_matrix_is_told_as_ever() -> None:
    singular = np.array([[1.0, 2.0], [2.0, 4.0]])
    compiled = jg.compile(lambda a: np.linalg.inv(a))
    for _ in range(3):
        with pytest.raises(np.linalg.LinAlgError):
            compiled(singular)
    np.testing.assert_array_equal(compiled(2.0 * np.eye(2)), 0.5 * np.eye(2))
    with pytest.raises(LinAlgError, match="singular"):
        jg.fori_loop(0, 6, lambda _, a: jg.linalg.inv(a), jg.tensor(singular))


def test_larger_systems_are_left_to_lapack() -> None:
    compiled = jg.compile(lambda a: jg.linalg.inv(a))
    np.testing.assert_allclose(compiled(2.0 * jg.eye(5)).numpy(), 0.5 * np.eye(5))
    assert compiled.explain().external == ("inv",)


@pytest.mark.parametrize(
    "x",
    [
        np.array([3.0, np.nan, 1.0, np.nan]),
        np.array([[2, 2, 1], [1, 1, 5]]),
        np.array([[1.0, -np.inf, 2.0], [np.inf, 0.0, np.inf]], np.float32),
        np.array([True, False, True]),
        np.array([[0.5]]),
    ],
    ids=str,
)
def test_indices_of_extrema_are_the_first(x: Any) -> None:
    for axis in range(-x.ndim, x.ndim):

        def f(x: Any, axis: int = axis) -> Any:
            return np.argmin(x, axis=axis), np.argmax(x, axis=axis, keepdims=True)

        compiled = jg.compile(f)
        for found, expected in zip(compiled(x), f(x), strict=True):
            np.testing.assert_array_equal(found, expected)
        assert compiled.explain().external == ()
