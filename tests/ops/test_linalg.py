"""`jitgrad.linalg`: values of NumPy, gradients at the points where care is needed, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import ArgumentError, DtypeError, ShapeError, Tensor, linalg
from jitgrad.ops.linalg import LinAlgError
from jitgrad.testing import assert_close, check_grads
from tests.messages import message_of

RNG = np.random.default_rng(0)
M = RNG.normal(size=(3, 3)) + 3 * np.eye(3)
B = RNG.normal(size=(3, 2))
STACK = RNG.normal(size=(4, 3, 3)) + 3 * np.eye(3)
SPD = M @ M.T
TALL, WIDE = RNG.normal(size=(4, 2)), RNG.normal(size=(2, 4))
V = np.array([3.0, -4.0, 0.0])
INF = float("inf")


def leaf(values: Any) -> Tensor:
    return jitgrad.tensor(np.asarray(values, np.float64), requires_grad=True)


def gradient(function: Callable[[Tensor], Tensor], values: Any) -> Tensor:
    x = leaf(values)
    function(x).backward()
    assert x.grad is not None
    return x.grad


# -- systems -----------------------------------------------------------------------------------


def test_solve_takes_vectors_matrices_and_stacks() -> None:
    assert_close(linalg.solve(M, B), np.linalg.solve(M, B))
    assert_close(linalg.solve(M, B[:, 0]), np.linalg.solve(M, B[:, 0]))
    assert_close(linalg.solve(STACK, B), np.linalg.solve(STACK, B[None]))
    vectors = RNG.normal(size=(4, 3))
    expected = np.linalg.solve(STACK, vectors[..., None])[..., 0]
    assert_close(linalg.solve(STACK, vectors), expected)
    assert_close(linalg.solve(M, B.T, left=False), B.T @ np.linalg.inv(M))


def test_inverses_and_pseudoinverses_equal_numpy() -> None:
    assert_close(linalg.inv(STACK), np.linalg.inv(STACK))
    assert_close(linalg.pinv(TALL), np.linalg.pinv(TALL))
    assert_close(linalg.pinv(WIDE), np.linalg.pinv(WIDE))


def test_triangular_systems_read_one_triangle() -> None:
    lower, upper = np.tril(M), np.triu(M)
    unit = np.tril(M, -1) + np.eye(3)
    assert_close(linalg.solve_triangular(M, B, upper=False), np.linalg.solve(lower, B))
    assert_close(linalg.solve_triangular(M, B, upper=True), np.linalg.solve(upper, B))
    assert_close(
        linalg.solve_triangular(M, B, upper=False, unitriangular=True), np.linalg.solve(unit, B)
    )
    assert_close(
        linalg.solve_triangular(M, B.T, upper=True, left=False), B.T @ np.linalg.inv(upper)
    )
    stacked = linalg.solve_triangular(STACK, B, upper=True)
    assert_close(stacked, np.linalg.solve(np.triu(STACK), B[None]))


def test_cholesky_gives_the_lower_factor_or_the_upper_one() -> None:
    assert_close(linalg.cholesky(SPD), np.linalg.cholesky(SPD))
    assert_close(linalg.cholesky(SPD, upper=True), np.linalg.cholesky(SPD).T)
    factor = linalg.cholesky(SPD)
    assert_close(jitgrad.cholesky_solve(B, factor), np.linalg.solve(SPD, B))
    assert_close(jitgrad.cholesky_solve(B, factor.T, upper=True), np.linalg.solve(SPD, B))


def test_least_squares_solves_tall_and_wide_systems() -> None:
    b = RNG.normal(size=4)
    solution, residuals = linalg.lstsq(TALL, b)
    expected = np.linalg.lstsq(TALL, b)
    assert_close(solution, expected[0])
    assert_close(residuals, np.asarray(expected[1][0]))
    assert_close(linalg.lstsq(WIDE, B[:2]).solution, np.linalg.lstsq(WIDE, B[:2])[0])


def test_the_gradient_of_cholesky_is_symmetric() -> None:
    found = gradient(lambda a: linalg.cholesky(a).sum(), SPD)
    assert_close(found, found.T)


# -- determinants ------------------------------------------------------------------------------


def test_determinants_equal_numpy() -> None:
    assert_close(linalg.det(STACK), np.linalg.det(STACK))
    assert_close(linalg.slogdet(-STACK), tuple(np.linalg.slogdet(-STACK)))
    assert_close(jitgrad.logdet(SPD), np.asarray(np.linalg.slogdet(SPD)[1]))
    assert np.isnan(jitgrad.logdet(np.diag([1.0, -1.0])).item())


def test_the_gradient_of_a_determinant_is_the_cofactors_even_of_a_singular_matrix() -> None:
    found = gradient(linalg.det, [[1.0, 2.0], [2.0, 4.0]])
    assert_close(found, np.array([[4.0, -2.0], [-2.0, 1.0]]), rtol=1e-12, atol=1e-12)
    assert_close(gradient(linalg.det, np.zeros((2, 2))), np.zeros((2, 2)))
    assert_close(gradient(linalg.det, [[0.0]]), np.array([[1.0]]))


def test_the_gradient_of_slogdet_of_a_singular_matrix_is_infinite() -> None:
    found = gradient(lambda a: linalg.slogdet(a).logabsdet, [[1.0, 2.0], [2.0, 4.0]])
    assert np.isinf(found.numpy()).all()


# -- decompositions ----------------------------------------------------------------------------


def test_decompositions_multiply_to_the_matrix() -> None:
    for a in (M, TALL, WIDE, STACK):
        u, s, vh = linalg.svd(a, full_matrices=False)
        assert_close((u * s.unsqueeze(-2)) @ vh, a)
        q, r = linalg.qr(a)
        assert_close(q @ r, a)
        assert_close(q.mT @ q, np.broadcast_to(np.eye(q.shape[-1]), (q.mT @ q).shape))
        assert_close(r.triu(), r)
    assert linalg.svd(TALL).U.shape == (4, 4)
    values, vectors = linalg.eigh(SPD)
    assert_close(vectors @ jitgrad.diag(values) @ vectors.T, SPD)
    assert_close(linalg.eigvalsh(SPD), np.linalg.eigvalsh(SPD))
    assert_close(linalg.svdvals(WIDE), np.linalg.svd(WIDE, compute_uv=False))


def test_gradients_of_compositions_equal_finite_differences() -> None:
    symmetric = SPD + np.diag([0.0, 5.0, 10.0])
    check_grads(lambda a, b: linalg.solve(a, b), [M, B], order=2)
    check_grads(lambda a: linalg.eigh(a).eigenvectors ** 2, [symmetric])
    check_grads(lambda a: linalg.svd(a, full_matrices=False).U ** 2, [TALL])
    check_grads(lambda a: linalg.svd(a, full_matrices=False).Vh ** 2, [WIDE])
    check_grads(lambda a: linalg.qr(a).Q, [WIDE])
    check_grads(lambda a: linalg.qr(a).R, [WIDE])
    check_grads(lambda a, b: linalg.lstsq(a, b).solution, [TALL, RNG.normal(size=4)])
    check_grads(lambda a: linalg.matrix_power(a, -3), [M])
    check_grads(lambda a, b: jitgrad.cholesky_solve(b, linalg.cholesky(a)), [SPD, B])


def test_sums_of_equal_eigenvalues_have_a_finite_gradient() -> None:
    assert_close(gradient(lambda a: linalg.eigvalsh(a).sum(), np.eye(2)), np.eye(2))
    assert_close(gradient(lambda a: linalg.svdvals(a).sum(), np.eye(2)), np.eye(2))


def test_the_gradient_of_eigenvectors_of_equal_eigenvalues_is_not_finite() -> None:
    found = gradient(lambda a: (linalg.eigh(a).eigenvectors * M[:2, :2]).sum(), np.eye(2))
    assert not np.isfinite(found.numpy()).any()


def test_products_and_powers_of_matrices() -> None:
    assert_close(linalg.multi_dot([WIDE, TALL, B[:2]]), WIDE @ TALL @ B[:2])
    assert_close(linalg.multi_dot([V, M, V]), np.asarray(V @ M @ V))
    assert_close(linalg.matrix_power(M, 5), np.linalg.matrix_power(M, 5))
    assert_close(linalg.matrix_power(M, 0), np.eye(3))
    assert_close(linalg.matrix_power(M, -2), np.linalg.matrix_power(M, -2))


# -- norms -------------------------------------------------------------------------------------

ORDERS = [None, 1, 2, 3, 0.5, INF, -INF, 0, -1]


@pytest.mark.parametrize("order", ORDERS)
def test_norms_of_vectors_equal_numpy(order: Any) -> None:
    x = V if order != -1 else V[:2]
    assert_close(linalg.norm(x, order), np.asarray(np.linalg.norm(x, order)))
    matrix = M if order is not None else M[0]
    axis = 1 if order is not None else 0
    expected = np.linalg.norm(matrix, order, axis, keepdims=True)
    assert_close(linalg.norm(matrix, order, axis, keepdim=True), expected)


@pytest.mark.parametrize("order", [None, "fro", "nuc", 1, -1, 2, -2, INF, -INF])
def test_norms_of_matrices_equal_numpy(order: Any) -> None:
    assert_close(linalg.norm(WIDE, order), np.asarray(np.linalg.norm(WIDE, order)))
    expected = np.linalg.norm(STACK, order, (0, 2), keepdims=True)
    assert_close(linalg.norm(STACK, order, (0, 2), keepdim=True), expected)
    if order is not None:
        assert_close(linalg.matrix_norm(STACK, order), np.linalg.norm(STACK, order, (1, 2)))


def test_norms_of_all_elements() -> None:
    x = jitgrad.tensor(STACK)
    assert_close(x.norm(), np.asarray(np.linalg.norm(STACK.ravel())))
    assert_close(x.norm(1, dim=(0, 1)), np.abs(STACK).sum((0, 1)))
    assert_close(linalg.vector_norm(x, 3), np.asarray(np.linalg.norm(STACK.ravel(), 3)))
    assert_close(linalg.norm(jitgrad.tensor(-2.0)), jitgrad.tensor(2.0))


@pytest.mark.parametrize("order", [1, 2, 3, 1.5, INF])
def test_the_gradient_of_a_norm_at_zero_is_zero(order: Any) -> None:
    assert_close(gradient(lambda x: linalg.vector_norm(x, order), np.zeros(3)), np.zeros(3))
    assert_close(gradient(lambda x: linalg.norm(x, "fro"), np.zeros((2, 2))), np.zeros((2, 2)))


def test_the_gradient_of_a_norm_at_zero_elements_is_zero() -> None:
    assert_close(gradient(lambda x: linalg.norm(x, 1), V), np.array([1.0, -1.0, 0.0]))
    assert_close(gradient(lambda x: linalg.norm(x), V), np.array([0.6, -0.8, 0.0]))
    assert_close(gradient(lambda x: linalg.norm(x, 0.5), [0.0, 4.0]), np.array([0.0, 1.0]))
    ties = gradient(lambda x: linalg.norm(x, INF), [2.0, -2.0, 1.0])
    assert_close(ties, np.array([0.5, -0.5, 0.0]))


def test_gradients_of_norms_equal_finite_differences() -> None:
    for order in (1, 2, 3, 1.5, INF, -INF):
        check_grads(lambda x, p=order: linalg.vector_norm(x, p, 1), [M])
    for order in ("fro", "nuc", 1, 2, -2, INF):
        check_grads(lambda x, p=order: linalg.matrix_norm(x, p), [WIDE])
    check_grads(lambda x: linalg.norm(x), [M], order=2)


def test_nan_stays_nan() -> None:
    assert np.isnan(linalg.norm(np.array([np.nan, 1.0])).item())


# -- errors ------------------------------------------------------------------------------------

SINGULAR = np.ones((2, 2))


def test_a_singular_system_is_refused() -> None:
    def provoke() -> Any:
        return linalg.solve(SINGULAR, V[:2])

    assert message_of(LinAlgError, provoke) == (
        "solve: the matrix is singular\n"
        "  why:   Singular matrix\n"
        "  do:    use jitgrad.linalg.lstsq or pinv, or add a multiple of the identity"
    )


def test_a_matrix_that_is_not_positive_definite_is_refused() -> None:
    def provoke() -> Any:
        return linalg.cholesky(-SPD)

    assert message_of(LinAlgError, provoke) == (
        "cholesky: the matrix is not positive definite\n"
        "  why:   Matrix is not positive definite\n"
        "  do:    check that it is symmetric; add a small multiple of the identity"
    )


def test_singular_matrices_have_no_inverse() -> None:
    with pytest.raises(np.linalg.LinAlgError, match="inv: the matrix is singular"):
        linalg.inv(SINGULAR)
    with pytest.raises(LinAlgError, match="solve_triangular: the matrix is singular"):
        linalg.solve_triangular(np.zeros((2, 2)), SINGULAR, upper=True)


REFUSED: list[tuple[Callable[[], Any], type[Exception]]] = [
    (lambda: linalg.solve(TALL, B), ShapeError),
    (lambda: linalg.solve(M, TALL), ShapeError),
    (lambda: linalg.inv(V), ShapeError),
    (lambda: linalg.det(TALL), ShapeError),
    (lambda: linalg.cholesky(TALL), ShapeError),
    (lambda: linalg.inv(np.eye(2, dtype=int)), DtypeError),
    (lambda: linalg.norm(np.array([1, 2])), DtypeError),
    (lambda: linalg.norm(STACK, 2), ShapeError),
    (lambda: linalg.norm(M, 3), ArgumentError),
    (lambda: linalg.norm(V, "fro"), ArgumentError),
    (lambda: linalg.vector_norm(V, "fro"), ArgumentError),
    (lambda: linalg.matrix_norm(V), ShapeError),
    (lambda: linalg.matrix_norm(M, dim=(0, 0)), ShapeError),
    (lambda: linalg.qr(TALL, "complete"), ArgumentError),
    (lambda: linalg.multi_dot([M]), ArgumentError),
]


@pytest.mark.parametrize(("call", "error"), REFUSED)
def test_arguments_that_do_not_fit_are_refused(
    call: Callable[[], Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        call()
