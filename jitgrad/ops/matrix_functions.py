"""The exponential of matrices, and their LU decomposition; `jitgrad.linalg`.

References
----------
.. [1] N. J. Higham, Functions of Matrices (2008), section 3.2, for the derivative of the
   exponential: a block of the exponential of a matrix of twice the size.
.. [2] M. Seeger et al., Auto-differentiating linear algebra, arXiv:1710.08717 (2017).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.dtypes import int32, int64
from jitgrad.core.errors import ArgumentError
from jitgrad.core.primitive import External, Primitive, register, vjps
from jitgrad.core.public import public, publish
from jitgrad.core.spec import Spec
from jitgrad.ops.arithmetic import add, mul
from jitgrad.ops.batching import broadcasting
from jitgrad.ops.contraction import matmul_stack, swap_last_axes
from jitgrad.ops.creation import eye
from jitgrad.ops.diagonal import tril, triu
from jitgrad.ops.joining import cat
from jitgrad.ops.linalg import (
    check_square,
    matrices,
    matrix_samples,
    square_infer,
    triangular_solve,
)
from jitgrad.ops.ordering import argsort
from jitgrad.ops.shape import broadcast_to, reshape_to
from jitgrad.ops.slicing import slice_primitive, whole_index
from jitgrad.ops.taking import gather_primitive

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor

# -- exponential -------------------------------------------------------------------------------


def _exp_eager(a: Any) -> Any:
    from scipy import linalg

    return np.asarray(linalg.expm(a), a.dtype) if a.size else a.copy()


def _exp_vjp(ct: Any, a: Any) -> Any:
    n = a.shape[-1]
    turned = swap_last_axes(a)
    upper = cat([turned, ct], -1)
    lower = cat([mul(turned, 0.0), turned], -1)
    whole = matrix_exp_primitive(cat([upper, lower], -2))
    index = whole_index(tuple(whole.shape))
    return slice_primitive(whole, index=(*index[:-2], ("range", 0, 1, n), ("range", n, 1, n)))


matrix_exp_primitive: Primitive = register(
    Primitive(
        "matrix_exp",
        ("a",),
        eager=_exp_eager,
        infer=square_infer("matrix_exp"),
        derivative=vjps(_exp_vjp),
        lowering=External(),
        samples=matrix_samples((3, 3), (1, 1), (2, 2, 2)),
        doc="Exponential of each matrix.",
        grad_name="LinalgMatrixExpBackward0",
        batching=broadcasting,
    )
)


@public(method=False, namespace="linalg")
def matrix_exp(A: ArrayLike) -> Tensor:
    """Return the exponential of each matrix: ``I + A + A @ A / 2 + ...``.

    Parameters
    ----------
    A : array_like, shape (..., n, n), floating
        Matrices.

    Returns
    -------
    Tensor, shape of `A`

    Raises
    ------
    ShapeError
        If the matrices are not square.
    """
    (a,) = matrices("matrix_exp", A)
    result: Tensor = matrix_exp_primitive(a)
    return result


publish(matrix_exp, "matrix_exp")


# -- LU ----------------------------------------------------------------------------------------


def _lu_infer(a: Spec) -> tuple[Spec, ...]:
    check_square("lu_factor", a.shape)
    rows = a.shape[:-1]
    return Spec(a.shape, a.dtype), Spec(rows, int32), Spec(rows, int64)


def _lu_eager(a: Any) -> Any:
    from scipy import linalg

    packed = np.empty_like(a)
    pivots, order = np.empty(a.shape[:-1], np.int32), np.empty(a.shape[:-1], np.int64)
    (factor,) = linalg.get_lapack_funcs(("getrf",), (a,))
    for place in np.ndindex(a.shape[:-2]):
        packed[place], swaps, _ = factor(a[place])
        rows = np.arange(a.shape[-1])
        for row, other in enumerate(swaps):
            rows[[row, other]] = rows[[other, row]]
        pivots[place], order[place] = swaps + 1, rows
    return packed, pivots, order


def _lu_vjp(ct: Any, out: Any) -> Any:
    packed, _, order = out
    identity = eye(packed.shape[-1], dtype=packed.dtype)
    lower, upper = add(tril(packed, -1), identity), triu(packed)
    below = tril(matmul_stack(swap_last_axes(lower), tril(ct[0], -1)), -1)
    above = triu(matmul_stack(triu(ct[0]), swap_last_axes(upper)))
    # inv(L.T) @ inner @ inv(U.T); the triangles of the other factor are not read
    inner = triangular_solve(packed, add(below, above), lower=True, transpose=True, unit=True)
    inner = swap_last_axes(
        triangular_solve(packed, swap_last_axes(inner), lower=False, transpose=False, unit=False)
    )
    back = argsort(order, -1)
    places = broadcast_to(reshape_to(back, (*back.shape, 1)), tuple(packed.shape))
    return gather_primitive(inner, places, axis=inner.ndim - 2)


lu_primitive: Primitive = register(
    Primitive(
        "lu_factor",
        ("a",),
        eager=_lu_eager,
        infer=_lu_infer,
        derivative=vjps(_lu_vjp),
        lowering=External(),
        samples=matrix_samples((3, 3), (1, 1), (2, 2, 2)),
        doc="Both triangles of the LU decomposition in one matrix, the rows that were exchanged,"
        " and the order of rows that follows.",
        grad_name="LinalgLuFactorBackward0",
        batching=broadcasting,
    )
)


class LUFactor(NamedTuple):
    """What `lu_factor` returns."""

    LU: Any
    pivots: Any


class LU(NamedTuple):
    """What `lu` returns."""

    P: Any
    L: Any
    U: Any


@public(method=False, namespace="linalg")
def lu_factor(A: ArrayLike, *, pivot: bool = True) -> LUFactor:
    """Return the LU decomposition of square matrices with both factors in one matrix.

    Parameters
    ----------
    A : array_like, shape (..., n, n), floating
        Matrices.
    pivot : bool
        Rows are always exchanged; False is an error.

    Returns
    -------
    named tuple (LU, pivots), shapes (..., n, n) and (..., n)
        The upper triangle and, below its diagonal, the lower one, whose diagonal is one; with
        which row, counted from 1, each was exchanged.

    Raises
    ------
    ShapeError
        If the matrices are not square.
    ArgumentError
        If `pivot` is False.
    """
    _check_pivot("lu_factor", pivot)
    (a,) = matrices("lu_factor", A)
    packed, pivots, _ = lu_primitive(a)
    return LUFactor(packed, pivots)


def _check_pivot(operation: str, pivot: bool) -> None:
    if not pivot:
        raise ArgumentError(f"{operation}: pivot=False is not possible", do="leave it out")


@public(method=False, namespace="linalg")
def lu(A: ArrayLike, *, pivot: bool = True) -> LU:
    """Return the LU decomposition of square matrices: ``P @ L @ U``.

    Parameters
    ----------
    A : array_like, shape (..., n, n), floating
        Matrices.
    pivot : bool
        Rows are always exchanged; False is an error.

    Returns
    -------
    named tuple (P, L, U), each of the shape of `A`
        A permutation of rows, a lower triangle with ones on its diagonal, an upper triangle.

    Raises
    ------
    ShapeError
        If the matrices are not square.
    ArgumentError
        If `pivot` is False.
    """
    _check_pivot("lu", pivot)
    (a,) = matrices("lu", A)
    packed, _, order = lu_primitive(a)
    identity = eye(a.shape[-1], dtype=a.dtype)
    places = broadcast_to(reshape_to(argsort(order, -1), (*order.shape, 1)), tuple(a.shape))
    whole = broadcast_to(identity, tuple(a.shape))
    exchange = gather_primitive(whole, places, axis=a.ndim - 2)
    return LU(exchange, add(tril(packed, -1), identity), triu(packed))


@public(method=False, namespace="linalg")
def lu_solve(LU: ArrayLike, pivots: ArrayLike, B: ArrayLike) -> Tensor:
    """Return the solutions of systems whose matrices `lu_factor` has decomposed.

    Parameters
    ----------
    LU : array_like, shape (..., n, n), floating
        As `lu_factor` returns it.
    pivots : array_like of int, shape (..., n)
        As `lu_factor` returns it. In a compiled function its values are asked for.
    B : array_like, shape (..., n, k)
        Right-hand sides.

    Returns
    -------
    Tensor, shape of `B`
    """
    packed, b = matrices("lu_solve", LU, B)
    swaps = box(pivots).detach().numpy() - 1
    order = np.broadcast_to(np.arange(swaps.shape[-1]), swaps.shape).copy()
    for place in np.ndindex(swaps.shape[:-1]):
        for row, other in enumerate(swaps[place]):
            order[(*place, [row, other])] = order[(*place, [other, row])]
    rows = np.broadcast_to(order[..., None], b.shape)
    exchanged = gather_primitive(b, np.ascontiguousarray(rows), axis=b.ndim - 2)
    half = triangular_solve(packed, exchanged, lower=True, transpose=False, unit=True)
    result: Tensor = triangular_solve(packed, half, lower=False, transpose=False, unit=False)
    return result
