"""Sparse Jacobians and Hessians hold what dense ones do, and no more than their patterns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad import sparse
from jitgrad.core.errors import ArgumentError, DtypeError, GradientError, JitgradError

N = 12
X = np.linspace(0.3, 1.7, N)
BAND = np.diag(np.ones(N)) + np.diag(np.full(N - 1, 2.0), 1)
PLACES = np.array([3, 4, 3, 0])


def _laplacian(u: Any) -> Any:
    inner = u[:-2] - 2 * u[1:-1] + u[2:]
    return jg.cat([u[:1], inner * jg.exp(u[1:-1]), u[-1:] ** 2])


def _in_a_loop(u: Any) -> Any:
    r = jg.zeros(N, dtype=jg.float64)
    r[0] = u[0]
    for i in range(1, N - 1):
        r[i] = u[i - 1] - 2 * u[i] * u[i] + u[i + 1]
    return r


def _branches(u: Any) -> Any:
    return jg.cond(u[0] > 0, lambda v: v[1:] * v[:-1], lambda v: v[1:], u)


def _recurrence(u: Any) -> Any:
    return jg.scan(lambda c, v: (0.5 * c + v, c * c), jg.tensor(0.0, dtype=jg.float64), u)[1]


# Each with the number of elements that may differ from zero.
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "elementwise": (lambda u: jg.sin(u) * u, N),
    "laplacian": (_laplacian, 3 * N - 4),
    "in a loop": (_in_a_loop, 3 * N - 5),
    "branches": (_branches, 2 * (N - 1)),
    "recurrence": (_recurrence, N * (N - 1) // 2),
    "places": (lambda u: u[PLACES] * u[:4], 8),
    "added to places": (lambda u: jg.zeros(5).double().index_add(0, jg.tensor(PLACES), u[:4]), 4),
    "written to places": (lambda u: u.clone().index_put_((jg.tensor([1, 2]),), 2 * u[:2]) * 3, N),
    "band": (lambda u: jg.tensor(BAND) @ (u * u), 2 * N - 1),
    "from the right": (lambda u: u @ jg.tensor(BAND), 2 * N - 1),
    "rows of a product": (lambda u: u.reshape(3, 4) @ u.reshape(4, 3), 60),
    "sums of rows": (lambda u: (u.reshape(3, 4) ** 2).sum(1), N),
    "turned": (lambda u: u.reshape(3, 4).T.flip(0) * 2, N),
    "diagonal": (lambda u: jg.diag(u), N),
    "chosen": (lambda u: jg.where(u > 1, u * u, jg.roll(u, 1)), 2 * N),
    "whole": (lambda u: jg.linalg.solve(jg.diag(u) + 1.0, u), N * N),
    "constant": (lambda u: jg.ones(3, dtype=jg.float64), 0),
    "detached": (lambda u: u * jg.roll(u, 1).detach(), N),
    "integers": (lambda u: u * jg.floor(u).long(), N),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_jacobians_are_the_dense_ones_within_their_pattern(name: str) -> None:
    function, count = FUNCTIONS[name]
    found = sparse.jacobian(function)(X)
    dense = jg.jacrev(function)(jg.tensor(X)).numpy().reshape(-1, N)
    assert found.nnz == count
    np.testing.assert_allclose(found.toarray(), dense, rtol=1e-12, atol=1e-12)


ENERGIES: dict[str, tuple[Callable[[Any], Any], int]] = {
    "rosenbrock": (
        lambda x: (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum(),
        3 * N - 2,
    ),
    "separate": (lambda x: jg.exp(x).sum(), N),
    "linear": (lambda x: x.sum(), 0),
    "all": (lambda x: x.sum() ** 2, N * N),
}


@pytest.mark.parametrize("name", ENERGIES)
def test_hessians_are_the_dense_ones_within_their_pattern(name: str) -> None:
    function, count = ENERGIES[name]
    found = sparse.hessian(function)(X)
    assert found.nnz == count
    dense = jg.hessian(function)(jg.tensor(X)).numpy()
    np.testing.assert_allclose(found.toarray(), dense, rtol=1e-10, atol=1e-10)


def test_columns_without_a_common_row_are_computed_together() -> None:
    large = np.linspace(0, 1, 100_000)
    groups = sparse.jacobian(_laplacian)
    found = groups(large)
    assert found.shape == (100_000, 100_000)
    assert found.nnz == 299_996
    row = found[[500]].toarray()[0]
    factor = np.exp(large[500])
    outer = large[499] - 2 * large[500] + large[501]
    np.testing.assert_allclose(row[499:502], [factor, factor * (outer - 2), factor], rtol=1e-12)


def test_the_shorter_way_is_taken() -> None:
    weights = jg.tensor(X)
    found = sparse.jacobian(lambda u: (weights * u).sum().reshape(1))(X)
    np.testing.assert_allclose(found.toarray(), X[None])


@pytest.mark.parametrize("function", [lambda u: u * 2, lambda u: u.sum(0), lambda u: u[:, :0]])
@pytest.mark.parametrize("shape", [(0, 2), (2, 0), (1, 2)])
def test_arrays_without_elements_have_matrices_without_elements(
    function: Callable[[Any], Any], shape: tuple[int, int]
) -> None:
    u = np.ones(shape)
    size = function(jg.tensor(u)).numel()
    assert sparse.jacobian(function)(u).shape == (size, u.size)


def test_patterns_follow_what_they_depend_on() -> None:
    def sorted_pairs(u: Any) -> Any:
        order = jg.argsort(u)
        return u[order][1:] * u[order][:-1]

    jacobian = sparse.jacobian(sorted_pairs)
    for x in (X, X[::-1].copy(), np.roll(X, 3)):
        dense = jg.jacrev(sorted_pairs)(jg.tensor(x)).numpy()
        np.testing.assert_allclose(jacobian(x).toarray(), dense)


def test_other_arguments_and_closures_are_read_at_each_call() -> None:
    factor = [2.0]
    jacobian = sparse.jacobian(lambda a, u: a * factor[0] * u, argnums=1)
    np.testing.assert_allclose(jacobian(3.0, X).diagonal(), np.full(N, 6.0))
    factor[0] = 5.0
    np.testing.assert_allclose(jacobian(3.0, X).diagonal(), np.full(N, 15.0))
    np.testing.assert_allclose(jacobian(1.0, X[:3]).diagonal(), np.full(3, 5.0))


def test_misuse_is_named() -> None:
    with pytest.raises(ArgumentError, match="argnums is 1"):
        sparse.jacobian(jg.sin, argnums=1)(X)
    with pytest.raises(DtypeError, match="int64"):
        sparse.jacobian(jg.sin)(np.arange(3))
    with pytest.raises(GradientError, match="must return one Tensor"):
        sparse.jacobian(lambda u: (u, u))(X)
    with pytest.raises(GradientError):
        sparse.hessian(jg.sin)(X)
    with pytest.raises(JitgradError, match="not sparse"):
        sparse.jacobian(lambda u: jg.cumsum(u, 0))(np.zeros(20_000))
    with pytest.raises(JitgradError, match="random"):
        sparse.jacobian(lambda u: u * jg.rand(N))(X)
