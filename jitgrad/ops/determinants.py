"""Determinants, whose gradients are right for singular matrices too; `jitgrad.linalg`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jitgrad.core.primitive import External, Primitive, register, vjps
from jitgrad.core.public import public
from jitgrad.core.spec import Spec
from jitgrad.ops.arithmetic import mul, sub
from jitgrad.ops.batching import broadcasting
from jitgrad.ops.comparison import lt
from jitgrad.ops.contraction import matmul_stack, swap_last_axes
from jitgrad.ops.linalg import (
    SQUARE,
    check_square,
    inv_primitive,
    matrices,
    matrix_samples,
    square_infer,
)
from jitgrad.ops.reduction import sum_over
from jitgrad.ops.selection import where
from jitgrad.ops.shape import reshape_to

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


def _scalar_infer(operation: str) -> Callable[..., Spec]:
    def infer(a: Spec) -> Spec:
        check_square(operation, a.shape)
        return Spec(a.shape[:-2], a.dtype)

    return infer


def _as_matrix(scalar: Any) -> Any:
    """Return one number for each matrix with two axes of size 1 behind."""
    return reshape_to(scalar, (*scalar.shape, 1, 1))


def _cofactor_eager(a: Any) -> Any:
    """Return the cofactors, which exist for singular matrices too: from the singular values."""
    u, s, vh = np.linalg.svd(a)
    before = np.cumprod(s, axis=-1)
    after = np.cumprod(s[..., ::-1], axis=-1)[..., ::-1]
    others = np.ones_like(s)
    others[..., 1:] *= before[..., :-1]
    others[..., :-1] *= after[..., 1:]
    sign = np.linalg.det(u) * np.linalg.det(vh)
    return (sign[..., None, None] * ((u * others[..., None, :]) @ vh)).astype(a.dtype)


def _cofactor_vjp(ct: Any, a: Any, out: Any) -> Any:
    turned = swap_last_axes(inv_primitive(a, strict=False))
    n = out.ndim
    inner = sum_over(mul(ct, out), axes=(n - 2, n - 1), keepdims=True)
    crossed = matmul_stack(matmul_stack(turned, swap_last_axes(ct)), out)
    return sub(mul(inner, turned), crossed)


cofactor: Primitive = register(
    Primitive(
        "cofactor",
        ("a",),
        eager=_cofactor_eager,
        infer=square_infer("cofactor"),
        derivative=vjps(_cofactor_vjp),
        lowering=External(),
        samples=matrix_samples(*SQUARE),
        doc="Cofactors of each matrix: the derivative of its determinant.",
        grad_name="LinalgDetBackward0",
        batching=broadcasting,
    )
)

det_primitive: Primitive = register(
    Primitive(
        "det",
        ("a",),
        eager=np.linalg.det,
        infer=_scalar_infer("det"),
        derivative=vjps(lambda ct, a: mul(_as_matrix(ct), cofactor(a))),
        lowering=External(),
        samples=matrix_samples(*SQUARE),
        doc="Determinant of each matrix.",
        grad_name="LinalgDetBackward0",
        batching=broadcasting,
    )
)


@public(method=False, namespace="linalg")
def det(A: ArrayLike) -> Tensor:
    """Return the determinant of each matrix.

    Parameters
    ----------
    A : array_like, shape (..., n, n), floating
        Matrices.

    Returns
    -------
    Tensor, shape (...)
        The gradient is right for singular matrices too.

    Raises
    ------
    ShapeError
        If the matrices are not square.
    """
    (a,) = matrices("det", A)
    result: Tensor = det_primitive(a)
    return result


def _slogdet_infer(a: Spec) -> tuple[Spec, ...]:
    check_square("slogdet", a.shape)
    return Spec(a.shape[:-2], a.dtype), Spec(a.shape[:-2], a.dtype)


slogdet_primitive: Primitive = register(
    Primitive(
        "slogdet",
        ("a",),
        eager=lambda a: tuple(np.linalg.slogdet(a)),
        infer=_slogdet_infer,
        derivative=vjps(
            lambda ct, a: mul(_as_matrix(ct[1]), swap_last_axes(inv_primitive(a, strict=False)))
        ),
        lowering=External(),
        samples=matrix_samples(*SQUARE),
        doc="Sign, and logarithm of the absolute value, of each matrix's determinant.",
        grad_name="LinalgSlogdetBackward0",
        batching=broadcasting,
    )
)


class Slogdet(NamedTuple):
    """What `slogdet` returns."""

    sign: Any
    logabsdet: Any


@public(method=False, namespace="linalg")
def slogdet(A: ArrayLike) -> Slogdet:
    """Return sign and logarithm of the determinant, which itself may be too large or too small.

    Parameters
    ----------
    A : array_like, shape (..., n, n), floating
        Matrices.

    Returns
    -------
    named tuple (sign, logabsdet), each of shape (...)
        Zero and minus infinity for a singular matrix.

    Raises
    ------
    ShapeError
        If the matrices are not square.
    """
    (a,) = matrices("slogdet", A)
    return Slogdet(*slogdet_primitive(a))


@public()
def logdet(A: ArrayLike) -> Tensor:
    """Return the logarithm of the determinant of each matrix.

    Parameters
    ----------
    A : array_like, shape (..., n, n), floating
        Matrices.

    Returns
    -------
    Tensor, shape (...)
        nan where the determinant is negative.
    """
    sign, logarithm = slogdet(A)
    result: Any = where(lt(sign, 0.0), float("nan"), logarithm)
    named: Tensor = result
    return named
