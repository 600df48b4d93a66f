"""Eigenvalues, singular values, QR, and what is built on them; `jitgrad.linalg`.

Derivatives: [1]_ for eigenvalues, [2]_ for singular values, [3]_ for QR, [4]_ for pseudoinverses.
Those of eigenvectors and singular vectors are not finite where eigenvalues are equal.

References
----------
.. [1] M. B. Giles, Collected matrix derivative results for forward and reverse mode algorithmic
   differentiation, Advances in Automatic Differentiation (2008), 35-44.
.. [2] J. Townsend, Differentiating the singular value decomposition (2016).
.. [3] M. Seeger et al., Auto-differentiating linear algebra, arXiv:1710.08717 (2017).
.. [4] G. H. Golub and V. Pereyra, The differentiation of pseudo-inverses and nonlinear least
   squares problems whose variables separate, SIAM J. Numer. Anal. 10 (1973), 413-432.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.errors import ArgumentError
from jitgrad.core.primitive import External, Primitive, Sample, register, vjps
from jitgrad.core.public import public
from jitgrad.core.spec import Shape, Spec
from jitgrad.ops.arithmetic import add, div, mul, neg, scale_cotangent, sub
from jitgrad.ops.batching import broadcasting
from jitgrad.ops.contraction import matmul, matmul_stack, swap_last_axes
from jitgrad.ops.creation import eye
from jitgrad.ops.diagonal import diag_embed, tril
from jitgrad.ops.joining import cat
from jitgrad.ops.linalg import (
    SQUARE,
    attempt,
    check_square,
    matrices,
    symmetric_part,
    triangular_solve,
)
from jitgrad.ops.selection import where
from jitgrad.ops.shape import reshape_to
from jitgrad.ops.slicing import NEW, slice_primitive, whole_index

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


def _column(x: Any) -> Any:
    """Return vectors as columns."""
    return slice_primitive(x, index=(*whole_index(tuple(x.shape)), NEW))


def _row(x: Any) -> Any:
    """Return vectors as rows."""
    index = whole_index(tuple(x.shape))
    return slice_primitive(x, index=(*index[:-1], NEW, index[-1]))


def _inverse_gaps(x: Any) -> Any:
    """Return ``1 / (x[j] - x[i])`` with zeros on the diagonal, infinite where two are equal."""
    diagonal = eye(x.shape[-1], dtype=np.bool_)
    gaps = where(diagonal, 1.0, sub(_row(x), _column(x)))
    return where(diagonal, 0.0, div(1.0, gaps))


def _first_columns(x: Any, count: int) -> Any:
    index = whole_index(tuple(x.shape))
    return slice_primitive(x, index=(*index[:-1], ("range", 0, 1, count)))


def _first_rows(x: Any, count: int) -> Any:
    index = whole_index(tuple(x.shape))
    return slice_primitive(x, index=(*index[:-2], ("range", 0, 1, count), index[-1]))


_NO_CONVERGENCE = "the iteration did not converge"
_CHECK_FINITE = "check the matrix for nan and infinity"


# -- eigenvalues of symmetric matrices ---------------------------------------------------------


def _eigh_infer(a: Spec) -> tuple[Spec, ...]:
    check_square("eigh", a.shape)
    return Spec(a.shape[:-1], a.dtype), Spec(a.shape, a.dtype)


def _eigh_eager(a: Any) -> Any:
    symmetric = (a + np.swapaxes(a, -1, -2)) * a.dtype.type(0.5)
    return tuple(attempt("eigh", _NO_CONVERGENCE, _CHECK_FINITE, np.linalg.eigh, symmetric))


def _eigh_vjp(ct: Any, out: Any) -> Any:
    values, vectors = out
    ct_values, ct_vectors = ct
    turned = swap_last_axes(vectors)
    inner = scale_cotangent(matmul_stack(turned, ct_vectors), _inverse_gaps(values))
    inner = add(inner, diag_embed(ct_values))
    return symmetric_part(matmul_stack(matmul_stack(vectors, inner), turned))


def _symmetric_samples(rng: np.random.Generator) -> list[Sample]:
    samples = []
    for shape in SQUARE:
        half = rng.uniform(-0.2, 0.2, shape)
        spread = np.diag(np.arange(1.0, shape[-1] + 1))
        matrix = half + np.swapaxes(half, -1, -2) + spread
        samples.append(Sample((matrix,), {}, str(shape).replace(" ", "")))
    return samples


eigh_primitive: Primitive = register(
    Primitive(
        "eigh",
        ("a",),
        eager=_eigh_eager,
        infer=_eigh_infer,
        derivative=vjps(_eigh_vjp),
        lowering=External(),
        samples=_symmetric_samples,
        doc="Eigenvalues, ascending, and eigenvectors of the symmetric part of each matrix.",
        grad_name="LinalgEighBackward0",
        batching=broadcasting,
    )
)


class Eigh(NamedTuple):
    """What `eigh` returns."""

    eigenvalues: Any
    eigenvectors: Any


@public(method=False, namespace="linalg")
def eigh(A: ArrayLike, UPLO: str = "L") -> Eigh:
    """Return eigenvalues and eigenvectors of symmetric matrices.

    Parameters
    ----------
    A : array_like, shape (..., n, n), floating
        Symmetric matrices; their symmetric part is taken, and the gradient is symmetric.
    UPLO : {"L", "U"}
        Accepted as in PyTorch; both triangles are used.

    Returns
    -------
    named tuple (eigenvalues, eigenvectors), shapes (..., n) and (..., n, n)
        In ascending order; the eigenvectors are the columns. Gradients of eigenvectors are not
        finite where eigenvalues are equal.

    Raises
    ------
    LinAlgError
        If the iteration does not converge.
    ShapeError
        If the matrices are not square.
    """
    (a,) = matrices("eigh", A)
    return Eigh(*eigh_primitive(a))


@public(method=False, namespace="linalg")
def eigvalsh(A: ArrayLike, UPLO: str = "L") -> Tensor:
    """Return the eigenvalues of symmetric matrices.

    Parameters
    ----------
    A : array_like, shape (..., n, n), floating
        Symmetric matrices; their symmetric part is taken, and the gradient is symmetric.
    UPLO : {"L", "U"}
        Accepted as in PyTorch; both triangles are used.

    Returns
    -------
    Tensor, shape (..., n)
        In ascending order.

    Raises
    ------
    LinAlgError
        If the iteration does not converge.
    """
    result: Tensor = eigh(A, UPLO).eigenvalues
    return result


# -- singular values ---------------------------------------------------------------------------


def _svd_infer(a: Spec, full: bool) -> tuple[Spec, ...]:
    *batch, m, n = a.shape
    k = min(m, n)
    rows, columns = (m, n) if full else (k, k)
    return (
        Spec((*batch, m, rows), a.dtype),
        Spec((*batch, k), a.dtype),
        Spec((*batch, columns, n), a.dtype),
    )


def _svd_eager(a: Any, full: bool) -> Any:
    return tuple(attempt("svd", _NO_CONVERGENCE, _CHECK_FINITE, np.linalg.svd, a, full))


def _svd_vjp(ct: Any, a_spec: Spec, out: Any) -> Any:
    count = min(a_spec.shape[-2:])
    u, s, vh = _first_columns(out[0], count), out[1], _first_rows(out[2], count)
    ct_u, ct_s, ct_vh = _first_columns(ct[0], count), ct[1], _first_rows(ct[2], count)
    gaps = _inverse_gaps(mul(s, s))

    def twisted(product: Any) -> Any:
        return scale_cotangent(sub(product, swap_last_axes(product)), gaps)

    ut, v = swap_last_axes(u), swap_last_axes(vh)
    ct_v = swap_last_axes(ct_vh)
    ut_ct, vt_ct = matmul_stack(ut, ct_u), matmul_stack(vh, ct_v)
    inner = add(mul(twisted(ut_ct), _row(s)), mul(twisted(vt_ct), _column(s)))
    inner = add(inner, diag_embed(ct_s))
    result = matmul_stack(matmul_stack(u, inner), vh)
    m, n = a_spec.shape[-2:]
    if m > count:
        outside = scale_cotangent(sub(ct_u, matmul_stack(u, ut_ct)), div(1.0, _row(s)))
        result = add(result, matmul_stack(outside, vh))
    if n > count:
        outside = scale_cotangent(sub(ct_v, matmul_stack(v, vt_ct)), div(1.0, _row(s)))
        result = add(result, matmul_stack(u, swap_last_axes(outside)))
    return result


def _rectangular(rng: np.random.Generator, *shapes: Shape) -> list[Any]:
    made = []
    for shape in shapes:
        spread = np.eye(shape[-2], shape[-1]) * np.arange(1.0, shape[-1] + 1)
        made.append(rng.uniform(-0.2, 0.2, shape) + spread)
    return made


def _svd_samples(rng: np.random.Generator) -> list[Sample]:
    shapes: list[Shape] = [(3, 3), (4, 2), (2, 4), (2, 3, 2), (1, 1)]
    return [
        Sample((a,), {"full": False}, str(a.shape).replace(" ", ""))
        for a in _rectangular(rng, *shapes)
    ] + [Sample((a,), {"full": True}, "full") for a in _rectangular(rng, (3, 3))]


svd_primitive: Primitive = register(
    Primitive(
        "svd",
        ("a",),
        eager=_svd_eager,
        infer=_svd_infer,
        derivative=vjps(_svd_vjp),
        lowering=External(),
        samples=_svd_samples,
        doc="Singular values, descending, with left and right singular vectors of each matrix.",
        grad_name="LinalgSvdBackward0",
        batching=broadcasting,
    )
)


class SVD(NamedTuple):
    """What `svd` returns."""

    U: Any
    S: Any
    Vh: Any


@public(method=False, namespace="linalg")
def svd(A: ArrayLike, full_matrices: bool = True) -> SVD:
    """Return the singular value decomposition of each matrix: ``U @ diag(S) @ Vh``.

    Parameters
    ----------
    A : array_like, shape (..., m, n), floating
        Matrices.
    full_matrices : bool
        Whether `U` and `Vh` are square; else they have ``k = min(m, n)`` columns, and rows. No
        gradient comes from what is beyond these.

    Returns
    -------
    named tuple (U, S, Vh), shapes (..., m, m), (..., k), (..., n, n)
        Singular values in descending order. Gradients of singular vectors are not finite where
        singular values are equal.

    Raises
    ------
    LinAlgError
        If the iteration does not converge.
    """
    (a,) = matrices("svd", A)
    return SVD(*svd_primitive(a, full=bool(full_matrices)))


@public(method=False, namespace="linalg")
def svdvals(A: ArrayLike) -> Tensor:
    """Return the singular values of each matrix.

    Parameters
    ----------
    A : array_like, shape (..., m, n), floating
        Matrices.

    Returns
    -------
    Tensor, shape (..., min(m, n))
        In descending order.
    """
    result: Tensor = svd(A, full_matrices=False).S
    return result


# -- QR ----------------------------------------------------------------------------------------


def _qr_infer(a: Spec) -> tuple[Spec, ...]:
    *batch, m, n = a.shape
    return Spec((*batch, m, n), a.dtype), Spec((*batch, n, n), a.dtype)


def _qr_vjp(ct: Any, out: Any) -> Any:
    q, r = out
    ct_q, ct_r = ct
    inner = sub(matmul_stack(r, swap_last_axes(ct_r)), matmul_stack(swap_last_axes(ct_q), q))
    # The lower triangle copied to the upper one.
    both = add(tril(inner), swap_last_axes(tril(inner, -1)))
    whole = add(ct_q, matmul_stack(q, both))
    turned = triangular_solve(r, swap_last_axes(whole), lower=False, transpose=False, unit=False)
    return swap_last_axes(turned)


def _qr_samples(rng: np.random.Generator) -> list[Sample]:
    return [
        Sample((a,), {}, str(a.shape).replace(" ", ""))
        for a in _rectangular(rng, (3, 3), (4, 2), (2, 3, 2), (1, 1))
    ]


qr_primitive: Primitive = register(
    Primitive(
        "qr",
        ("a",),
        eager=lambda a: tuple(np.linalg.qr(a)),
        infer=_qr_infer,
        derivative=vjps(_qr_vjp),
        lowering=External(),
        samples=_qr_samples,
        doc="Orthonormal columns and an upper triangle whose product is the matrix, no wider than"
        " tall.",
        grad_name="LinalgQrBackward0",
        batching=broadcasting,
    )
)


class QR(NamedTuple):
    """What `qr` returns."""

    Q: Any
    R: Any


@public(method=False, namespace="linalg")
def qr(A: ArrayLike, mode: str = "reduced") -> QR:
    """Return the QR decomposition of each matrix: ``Q @ R``.

    Parameters
    ----------
    A : array_like, shape (..., m, n), floating
        Matrices; for gradients their first ``k = min(m, n)`` columns must be independent.
    mode : {"reduced", "complete"}
        ``"complete"`` is possible where m is not larger than n, and the same.

    Returns
    -------
    named tuple (Q, R), shapes (..., m, k) and (..., k, n)
        Orthonormal columns; an upper triangle.

    Raises
    ------
    ArgumentError
        If `mode` is another one.
    """
    (a,) = matrices("qr", A)
    m, n = a.shape[-2:]
    if mode not in ("reduced", "complete") or (mode == "complete" and m > n):
        raise ArgumentError(
            f"qr: mode {mode!r} is not possible for matrices of shape {(m, n)}",
            do="use mode='reduced'",
        )
    if m >= n:
        return QR(*qr_primitive(a))
    index = whole_index(tuple(a.shape))
    q, left = qr_primitive(_first_columns(a, m))
    rest = slice_primitive(a, index=(*index[:-1], ("range", m, 1, n - m)))
    return QR(q, cat([left, matmul_stack(swap_last_axes(q), rest)], -1))


# -- pseudoinverses and least squares ----------------------------------------------------------


def _pinv_infer(a: Spec, rtol: float | None) -> Spec:
    *batch, m, n = a.shape
    return Spec((*batch, n, m), a.dtype)


def _pinv_eager(a: Any, rtol: float | None) -> Any:
    cutoff = max(a.shape[-2:]) * np.finfo(a.dtype).eps if rtol is None else rtol
    return attempt("pinv", _NO_CONVERGENCE, _CHECK_FINITE, np.linalg.pinv, a, cutoff)


def _pinv_vjp(ct: Any, a: Any, out: Any) -> Any:
    turned, ct_turned = swap_last_axes(out), swap_last_axes(ct)
    m, n = a.shape[-2:]
    main = neg(matmul_stack(matmul_stack(turned, ct), turned))
    left = sub(eye(m, dtype=a.dtype), matmul_stack(a, out))
    right = sub(eye(n, dtype=a.dtype), matmul_stack(out, a))
    first = matmul_stack(matmul_stack(matmul_stack(left, ct_turned), out), turned)
    second = matmul_stack(matmul_stack(turned, out), matmul_stack(ct_turned, right))
    return add(main, add(first, second))


pinv_primitive: Primitive = register(
    Primitive(
        "pinv",
        ("a",),
        eager=_pinv_eager,
        infer=_pinv_infer,
        derivative=vjps(_pinv_vjp),
        lowering=External(),
        samples=lambda rng: [
            Sample((a,), {"rtol": None}, str(a.shape).replace(" ", ""))
            for a in _rectangular(rng, (3, 3), (4, 2), (2, 4), (2, 3, 2))
        ],
        doc="Pseudoinverse of each matrix.",
        grad_name="LinalgPinvBackward0",
        batching=broadcasting,
    )
)


@public("pinverse", method=False, namespace="linalg")
def pinv(A: ArrayLike, *, rtol: float | None = None) -> Tensor:
    """Return the pseudoinverse of each matrix.

    Parameters
    ----------
    A : array_like, shape (..., m, n), floating
        Matrices; for gradients their rank must not change nearby.
    rtol : float, optional
        Singular values below this part of the largest one count as zero; the larger of m and n
        times the dtype's precision where not given.

    Returns
    -------
    Tensor, shape (..., n, m)
        The pseudoinverses.
    """
    (a,) = matrices("pinv", A)
    result: Tensor = pinv_primitive(a, rtol=None if rtol is None else float(rtol))
    return result


class LeastSquares(NamedTuple):
    """What `lstsq` returns."""

    solution: Any
    residuals: Any


@public(method=False, namespace="linalg")
def lstsq(A: ArrayLike, B: ArrayLike, rcond: float | None = None) -> LeastSquares:
    """Return the X for which ``A @ X`` is nearest to `B`; of several, the smallest one.

    Parameters
    ----------
    A : array_like, shape (..., m, n), floating
        Matrices.
    B : array_like, shape (m,) or (..., m, k)
        Right-hand sides.
    rcond : float, optional
        As `rtol` of `pinv`.

    Returns
    -------
    named tuple (solution, residuals), solution of shape (n,) or (..., n, k)
        `residuals` are the sums of squares of ``A @ X - B``, one for each right-hand side.
    """
    b = box(B)
    vector = b.ndim == 1
    a, b = matrices("lstsq", A, reshape_to(b, (*b.shape, 1)) if vector else b)
    solution = matmul(pinv(a, rtol=rcond), b)
    rest = sub(matmul(a, solution), b)
    residuals = mul(rest, rest).sum(-2)
    if vector:
        solution = reshape_to(solution, tuple(solution.shape[:-1]))
        residuals = reshape_to(residuals, tuple(residuals.shape[:-1]))
    return LeastSquares(solution, residuals)


@public(method=False, namespace="linalg")
def multi_dot(tensors: Any) -> Tensor:
    """Return the product of several matrices, in the order that costs least.

    Parameters
    ----------
    tensors : sequence of array_like
        Matrices; the first and the last one may be vectors.

    Returns
    -------
    Tensor
        Their product.

    Raises
    ------
    ArgumentError
        If there are fewer than two.
    """
    from jitgrad.ops.einsum import einsum

    values = [box(x) for x in tensors]
    if len(values) < 2:
        raise ArgumentError("multi_dot: needs at least two matrices")
    letters = [chr(ord("a") + n) for n in range(len(values) + 1)]
    parts = [a + b for a, b in itertools.pairwise(letters)]
    if values[0].ndim == 1:
        parts[0] = parts[0][1:]
    if values[-1].ndim == 1:
        parts[-1] = parts[-1][:1]
    joined = "".join(parts)
    output = "".join(c for c in letters if joined.count(c) == 1)
    return einsum(f"{','.join(parts)}->{output}", *values)


@public(method=False, namespace="linalg")
def matrix_power(A: ArrayLike, n: int) -> Tensor:
    """Return each matrix times itself, `n` times; of the inverse for negative `n`.

    Parameters
    ----------
    A : array_like, shape (..., m, m)
        Matrices.
    n : int
        The power.

    Returns
    -------
    Tensor, shape of `A`
        The identity for 0.
    """
    from jitgrad.ops.linalg import inv
    from jitgrad.ops.shape import broadcast_to

    a = box(A)
    check_square("matrix_power", tuple(a.shape))
    if n < 0:
        a, n = inv(a), -n
    if n == 0:
        one: Tensor = broadcast_to(eye(a.shape[-1], dtype=a.dtype), tuple(a.shape)).clone()
        return one
    result = None
    while True:
        if n & 1:
            result = a if result is None else matmul(result, a)
        n >>= 1
        if not n:
            break
        a = matmul(a, a)
    assert result is not None
    power: Tensor = result
    return power
