"""How near to singular matrices are: rank and condition number; matrices of powers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.public import public
from jitgrad.ops.decompositions import svdvals
from jitgrad.ops.extrema import amax
from jitgrad.ops.joining import stack
from jitgrad.ops.linalg import inv, matrices
from jitgrad.ops.norms import matrix_norm
from jitgrad.ops.reduction import sum as total

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


@public(method=False, namespace="linalg")
def cond(A: ArrayLike, p: Any = None) -> Tensor:
    """Return condition numbers of matrices.

    Parameters
    ----------
    A : array_like, shape (..., m, n), floating
        Matrices; square ones where `p` is given as anything but 2 or -2.
    p : {None, 2, -2, 1, -1, inf, -inf, "fro", "nuc"}
        The norm that they belong to; 2 where not given.

    Returns
    -------
    Tensor, shape (...)
        Norm of `A` times norm of its inverse; inf for singular matrices and the norm 2.
    """
    (a,) = matrices("cond", A)
    if p in (None, 2, -2):
        values = svdvals(a)
        largest, smallest = values[..., 0], values[..., -1]
        return smallest / largest if p == -2 else largest / smallest
    return matrix_norm(a, p) * matrix_norm(inv(a), p)


@public(method=False, namespace="linalg")
def matrix_rank(
    A: ArrayLike, tol: Any = None, hermitian: bool = False, *, rtol: Any = None
) -> Tensor:
    """Return how many singular values of matrices are not zero but for rounding.

    Parameters
    ----------
    A : array_like, shape (..., m, n), floating
        Matrices.
    tol : float, optional
        What is not larger counts as zero; `rtol` times the largest one where not given.
    hermitian : bool
        Whether they are symmetric, which makes no difference here.
    rtol : float, optional
        ``max(m, n)`` times the distance of 1 to the next number where not given.

    Returns
    -------
    Tensor, shape (...), dtype int64
        It has no gradient.
    """
    (a,) = matrices("matrix_rank", A)
    values = svdvals(a.detach())
    if tol is None:
        share = max(a.shape[-2:]) * float(np.finfo(a.dtype).eps) if rtol is None else rtol
        tol = amax(values, -1, True) * share
    return total(values > tol, -1)


@public(method=False, namespace="linalg")
def vander(x: ArrayLike, *, N: int | None = None) -> Tensor:
    """Return the powers of numbers, from the power 0 on.

    Parameters
    ----------
    x : array_like, shape (..., n)
        The numbers.
    N : int, optional
        How many powers; `n` where not given.

    Returns
    -------
    Tensor, shape (..., n, N)
    """
    value = box(x)
    count = value.shape[-1] if N is None else N
    return stack([value**k for k in range(count)], -1)
