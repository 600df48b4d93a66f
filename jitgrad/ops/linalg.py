"""Linear systems, inverses and the Cholesky factor; `jitgrad.linalg`.

All of them take stacks of matrices. Derivatives: [1]_, for the Cholesky factor [2]_.

References
----------
.. [1] M. B. Giles, Collected matrix derivative results for forward and reverse mode algorithmic
   differentiation, Advances in Automatic Differentiation (2008), 35-44.
.. [2] I. Murray, Differentiation of the Cholesky decomposition, arXiv:1602.07527 (2016).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.dtypes import is_floating, promote_dtypes
from jitgrad.core.errors import DtypeError, JitgradError, ShapeError
from jitgrad.core.primitive import External, Primitive, Sample, register, vjps
from jitgrad.core.public import public
from jitgrad.core.shapes import broadcast_shapes
from jitgrad.core.spec import Shape, Spec
from jitgrad.ops.arithmetic import add, mul, neg, sub
from jitgrad.ops.batching import broadcasting
from jitgrad.ops.cast import convert
from jitgrad.ops.contraction import matmul_stack, swap_last_axes
from jitgrad.ops.diagonal import diagonal_primitive, diagonal_transpose, tril, triu
from jitgrad.ops.naming import shown_as
from jitgrad.ops.shape import reshape_to
from jitgrad.ops.small_matrices import inverse_of_elements, is_spelled_out, solution_of_elements

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


class LinAlgError(JitgradError, np.linalg.LinAlgError):
    """A matrix for which the problem has no solution: singular, or not positive definite."""


# -- what all of them share --------------------------------------------------------------------


def matrices(operation: str, *inputs: Any) -> list[Any]:
    """Return the inputs as stacks of matrices of one floating dtype.

    Raises
    ------
    ShapeError
        If one has fewer than two axes.
    DtypeError
        If one is not floating.
    """
    values = [box(x) for x in inputs]
    dtype = values[0].dtype
    for value in values:
        if not is_floating(value.dtype):
            raise DtypeError(
                f"{operation}: a Tensor of dtype {value.dtype} is no floating matrix",
                do="convert it first: x.to(jitgrad.float32)",
            )
        if value.ndim < 2:
            raise ShapeError(f"{operation}: an input of shape {tuple(value.shape)} is no matrix")
        dtype = promote_dtypes(dtype, value.dtype)
    return [convert(value, dtype) for value in values]


def check_square(operation: str, shape: Shape) -> None:
    """Check that the last two sizes of `shape` are equal.

    Raises
    ------
    ShapeError
        If they are not.
    """
    if shape[-1] != shape[-2]:
        raise ShapeError(
            f"{operation}: matrices of shape {shape[-2:]} are not square",
            why="the last two axes must have the same size",
        )


def attempt(operation: str, problem: str, do: str, function: Callable[..., Any], *args: Any) -> Any:
    """Return what a function of NumPy gives.

    Raises
    ------
    LinAlgError
        In place of NumPy's.
    """
    try:
        return function(*args)
    except np.linalg.LinAlgError as error:
        raise LinAlgError(f"{operation}: {problem}", why=str(error), do=do) from None


def symmetric_part(x: Any) -> Any:
    """Return the mean of each matrix and its transpose."""
    return mul(add(x, swap_last_axes(x)), 0.5)


def _well_conditioned(rng: np.random.Generator, shape: Shape) -> Any:
    return rng.uniform(-1, 1, shape) + 2 * shape[-1] * np.eye(shape[-2], shape[-1])


def matrix_samples(*shapes: Shape) -> Any:
    """Return samples: stacks of square matrices far from singular."""

    def make(rng: np.random.Generator) -> list[Sample]:
        return [
            Sample((_well_conditioned(rng, shape),), {}, str(shape).replace(" ", ""))
            for shape in shapes
        ]

    return make


SQUARE: tuple[Shape, ...] = ((1, 1), (3, 3), (2, 3, 3), (0, 2, 2), (0, 0))


# -- linear systems ----------------------------------------------------------------------------


def _solve_infer(a: Spec, b: Spec) -> Spec:
    check_square("solve", a.shape)
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(
            f"solve: shapes {a.shape} and {b.shape} do not fit",
            why=f"the system has {a.shape[-1]} equations, the right-hand side {b.shape[-2]} rows",
        )
    batch = broadcast_shapes("solve", a.shape[:-2], b.shape[:-2])
    return Spec((*batch, *b.shape[-2:]), promote_dtypes(a.dtype, b.dtype))


def _solve_eager(a: Any, b: Any) -> Any:
    return attempt(
        "solve",
        "the matrix is singular",
        "use jitgrad.linalg.lstsq or pinv, or add a multiple of the identity",
        np.linalg.solve,
        a,
        b,
    )


def _system_samples(rng: np.random.Generator) -> list[Sample]:
    cases: list[tuple[Shape, Shape]] = [
        ((3, 3), (3, 1)),
        ((3, 3), (3, 4)),
        ((2, 3, 3), (2, 3, 2)),
        ((3, 3), (2, 3, 2)),
        ((2, 2, 2), (2, 1)),
        ((2, 2), (2, 0)),
    ]
    return [
        Sample((_well_conditioned(rng, a), rng.uniform(-2, 2, b)), {}, f"{a}x{b}".replace(" ", ""))
        for a, b in cases
    ]


solve_primitive: Primitive = register(
    Primitive(
        "solve",
        ("a", "b"),
        eager=_solve_eager,
        infer=_solve_infer,
        derivative=vjps(
            lambda ct, a, out: neg(
                matmul_stack(solve_primitive(swap_last_axes(a), ct), swap_last_axes(out))
            ),
            lambda ct, a: solve_primitive(swap_last_axes(a), ct),
        ),
        lowering=External(solution_of_elements, is_spelled_out),
        samples=_system_samples,
        doc="Solutions x of linear systems a @ x = b, one for each column of b.",
        grad_name="LinalgSolveExBackward0",
        batching=broadcasting,
    )
)


@public(method=False, namespace="linalg")
def solve(A: ArrayLike, B: ArrayLike, *, left: bool = True) -> Tensor:
    """Return the solution X of the linear system ``A @ X = B``.

    Parameters
    ----------
    A : array_like, shape (..., n, n), floating
        Matrices.
    B : array_like, shape (n,), (..., n) or (..., n, k)
        Right-hand sides: a vector, a stack of vectors with the leading axes of `A`, or matrices.
    left : bool
        False solves ``X @ A = B``.

    Returns
    -------
    Tensor, shape of B broadcast
        The solution.

    Raises
    ------
    LinAlgError
        If a matrix is singular.
    ShapeError
        If the matrices are not square, or the shapes do not fit.
    """
    b = box(B)
    a_shape = tuple(box(A).shape)
    vector = b.ndim == 1 or (b.ndim == len(a_shape) - 1 and tuple(b.shape) == a_shape[:-1])
    a, b = matrices("solve", A, reshape_to(b, (*b.shape, 1)) if vector and b.shape else b)
    if not left:
        if vector:
            a = swap_last_axes(a)
        else:
            turned = solve_primitive(swap_last_axes(a), swap_last_axes(b))
            result: Tensor = swap_last_axes(turned)
            return result
    result = solve_primitive(a, b)
    if vector:
        result = reshape_to(result, tuple(result.shape[:-1]))
    return shown_as("LinalgSolveExBackward0", result)


def _invert(a: Any) -> Any:
    return attempt(
        "inv",
        "the matrix is singular",
        "use jitgrad.linalg.pinv, or add a multiple of the identity",
        np.linalg.inv,
        a,
    )


def _inv_eager(a: Any, strict: bool) -> Any:
    if strict:
        return _invert(a)
    try:
        return np.linalg.inv(a)
    except np.linalg.LinAlgError:
        singular = np.linalg.det(a) == 0
        patched = np.where(singular[..., None, None], np.eye(a.shape[-1], dtype=a.dtype), a)
        inverse = np.linalg.inv(patched)
        return np.where(singular[..., None, None], a.dtype.type(np.inf), inverse)


def square_infer(operation: str) -> Callable[..., Spec]:
    """Return the spec rule of an operation from square matrices to matrices of the same shape."""

    def infer(a: Spec, **params: Any) -> Spec:
        check_square(operation, a.shape)
        return Spec(a.shape, a.dtype)

    return infer


def _inv_samples(rng: np.random.Generator) -> list[Sample]:
    return [
        Sample(sample.args, {"strict": True}, sample.label)
        for sample in matrix_samples(*SQUARE)(rng)
    ]


def _inverse_vjp(ct: Any, out: Any) -> Any:
    turned = swap_last_axes(out)
    return neg(matmul_stack(matmul_stack(turned, ct), turned))


inv_primitive: Primitive = register(
    Primitive(
        "inv",
        ("a",),
        eager=_inv_eager,
        infer=square_infer("inv"),
        derivative=vjps(_inverse_vjp),
        lowering=External(inverse_of_elements, is_spelled_out),
        samples=_inv_samples,
        doc="Inverse of each matrix; where not strict, infinities for a singular one.",
        grad_name="LinalgInvExBackward0",
        batching=broadcasting,
    )
)


@public(method=False, namespace="linalg")
def inv(A: ArrayLike) -> Tensor:
    """Return the inverse of each matrix; to solve a linear system, `solve` is better.

    Parameters
    ----------
    A : array_like, shape (..., n, n), floating
        Matrices.

    Returns
    -------
    Tensor, shape of `A`
        Their inverses.

    Raises
    ------
    LinAlgError
        If a matrix is singular.
    ShapeError
        If the matrices are not square.
    """
    (a,) = matrices("inv", A)
    result: Tensor = inv_primitive(a, strict=True)
    return result


# -- triangular systems ------------------------------------------------------------------------


def _triangular_infer(a: Spec, b: Spec, lower: bool, transpose: bool, unit: bool) -> Spec:
    return _solve_infer(a, b)


def _triangular_eager(a: Any, b: Any, lower: bool, transpose: bool, unit: bool) -> Any:
    from scipy.linalg import solve_triangular

    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    wide_a = np.broadcast_to(a, batch + a.shape[-2:])
    wide_b = np.broadcast_to(b, batch + b.shape[-2:])
    result = np.empty(wide_b.shape, np.result_type(a, b))
    if result.size == 0:
        return result
    for place in np.ndindex(batch):
        result[place] = attempt(
            "solve_triangular",
            "the matrix is singular",
            "its diagonal must have no zero",
            lambda left, right: solve_triangular(
                left,
                right,
                lower=lower,
                trans=1 if transpose else 0,
                unit_diagonal=unit,
                check_finite=False,
            ),
            wide_a[place],
            wide_b[place],
        )
    return result


def _triangular_ct_b(ct: Any, a: Any, lower: bool, transpose: bool, unit: bool) -> Any:
    return triangular_solve(a, ct, lower=lower, transpose=not transpose, unit=unit)


def _triangular_ct_a(ct: Any, a: Any, out: Any, lower: bool, transpose: bool, unit: bool) -> Any:
    ct_b = _triangular_ct_b(ct, a, lower, transpose, unit)
    left, right = (out, ct_b) if transpose else (ct_b, out)
    whole = neg(matmul_stack(left, swap_last_axes(right)))
    return tril(whole, -1 if unit else 0) if lower else triu(whole, 1 if unit else 0)


def _triangular_samples(rng: np.random.Generator) -> list[Sample]:
    samples = []
    for sample in _system_samples(rng):
        for lower, transpose, unit in [(True, False, False), (False, True, False)]:
            params = {"lower": lower, "transpose": transpose, "unit": unit}
            samples.append(
                Sample(sample.args, params, f"{sample.label}-{'lower' if lower else 'upper'}")
            )
    params = {"lower": True, "transpose": True, "unit": True}
    samples.append(Sample((rng.uniform(-1, 1, (3, 3)), rng.uniform(-1, 1, (3, 2))), params, "unit"))
    return samples


triangular_solve: Primitive = register(
    Primitive(
        "triangular_solve",
        ("a", "b"),
        eager=_triangular_eager,
        infer=_triangular_infer,
        derivative=vjps(_triangular_ct_a, _triangular_ct_b),
        lowering=External(),
        samples=_triangular_samples,
        doc="Solutions of linear systems with one triangle of a matrix, or of its transpose.",
        grad_name="LinalgSolveTriangularBackward0",
        batching=broadcasting,
    )
)


@public(method=False, namespace="linalg")
def solve_triangular(
    A: ArrayLike, B: ArrayLike, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """Return the solution X of ``A @ X = B`` for triangular matrices.

    Parameters
    ----------
    A : array_like, shape (..., n, n), floating
        Matrices, of which one triangle is read.
    B : array_like, shape (..., n, k)
        Right-hand sides.
    upper : bool
        Whether it is the upper triangle.
    left : bool
        False solves ``X @ A = B``.
    unitriangular : bool
        Whether the diagonal is taken to be ones, and not read.

    Returns
    -------
    Tensor, shape of B broadcast
        The solution.

    Raises
    ------
    LinAlgError
        If a diagonal element is zero.
    """
    a, b = matrices("solve_triangular", A, B)
    if left:
        result: Tensor = triangular_solve(
            a, b, lower=not upper, transpose=False, unit=unitriangular
        )
        return result
    turned = triangular_solve(
        a, swap_last_axes(b), lower=not upper, transpose=True, unit=unitriangular
    )
    back: Tensor = swap_last_axes(turned)
    return back


# -- Cholesky ----------------------------------------------------------------------------------


def _cholesky_eager(a: Any) -> Any:
    symmetric = (a + np.swapaxes(a, -1, -2)) * a.dtype.type(0.5)
    return attempt(
        "cholesky",
        "the matrix is not positive definite",
        "check that it is symmetric; add a small multiple of the identity",
        np.linalg.cholesky,
        symmetric,
    )


def _cholesky_vjp(ct: Any, out: Any) -> Any:
    product = matmul_stack(swap_last_axes(out), ct)
    n = product.ndim
    diagonal = diagonal_primitive(product, axes=(n - 2, n - 1), offset=0)
    half = diagonal_transpose(
        mul(diagonal, 0.5), shape=tuple(product.shape), axes=(n - 2, n - 1), offset=0
    )
    lower = sub(tril(product), half)
    left = triangular_solve(out, lower, lower=True, transpose=True, unit=False)
    both = triangular_solve(out, swap_last_axes(left), lower=True, transpose=True, unit=False)
    return symmetric_part(both)


def _positive_samples(rng: np.random.Generator) -> list[Sample]:
    samples = []
    for shape in SQUARE:
        root = rng.uniform(-1, 1, shape)
        matrix = root @ np.swapaxes(root, -1, -2) + np.eye(shape[-1])
        samples.append(Sample((matrix,), {}, str(shape).replace(" ", "")))
    return samples


cholesky_primitive: Primitive = register(
    Primitive(
        "cholesky",
        ("a",),
        eager=_cholesky_eager,
        infer=square_infer("cholesky"),
        derivative=vjps(_cholesky_vjp),
        lowering=External(),
        samples=_positive_samples,
        doc="Lower triangular factor L of the symmetric part of each matrix: L @ L.T.",
        grad_name="LinalgCholeskyExBackward0",
        batching=broadcasting,
    )
)


@public(method=False, namespace="linalg")
def cholesky(A: ArrayLike, *, upper: bool = False) -> Tensor:
    """Return the Cholesky factor L of each matrix: ``L @ L.mT`` is the matrix.

    Parameters
    ----------
    A : array_like, shape (..., n, n), floating
        Symmetric positive definite matrices; their symmetric part is taken, and the gradient is
        symmetric.
    upper : bool
        Return the transpose of L.

    Returns
    -------
    Tensor, shape of `A`
        Lower triangular, upper triangular if `upper`.

    Raises
    ------
    LinAlgError
        If a matrix is not positive definite.
    ShapeError
        If the matrices are not square.
    """
    (a,) = matrices("cholesky", A)
    factor = cholesky_primitive(a)
    result: Tensor = swap_last_axes(factor) if upper else factor
    return result


@public()
def cholesky_solve(B: ArrayLike, L: ArrayLike, upper: bool = False) -> Tensor:
    """Return the solution X of ``A @ X = B`` from the Cholesky factor of A.

    Parameters
    ----------
    B : array_like, shape (..., n, k)
        Right-hand sides.
    L : array_like, shape (..., n, n)
        What `cholesky` gives.
    upper : bool
        Whether it is the upper factor.

    Returns
    -------
    Tensor, shape (..., n, k)
        The solution.
    """
    b, factor = matrices("cholesky_solve", B, L)
    halfway = triangular_solve(factor, b, lower=not upper, transpose=upper, unit=False)
    result: Tensor = triangular_solve(
        factor, halfway, lower=not upper, transpose=not upper, unit=False
    )
    return result
