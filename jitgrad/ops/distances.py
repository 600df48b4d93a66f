"""Distances and products of vectors, and matrices put together: made of other operations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from jitgrad.core.bind import box
from jitgrad.core.errors import ShapeError
from jitgrad.core.public import public, publish
from jitgrad.core.shapes import broadcast_shapes, normalize_axis
from jitgrad.ops.arithmetic import add, mul, sub
from jitgrad.ops.joining import cat
from jitgrad.ops.naming import shown_as
from jitgrad.ops.norms import vector_norm
from jitgrad.ops.rearranging import unsqueeze
from jitgrad.ops.repeating import pad, roll
from jitgrad.ops.shape import broadcast_to, reshape_to

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


@public(method=False)
def cdist(x1: ArrayLike, x2: ArrayLike, p: float = 2.0, compute_mode: str | None = None) -> Tensor:
    """Return the distance of each vector of one set to each of another.

    Parameters
    ----------
    x1 : array_like, shape (..., m, d)
        Vectors.
    x2 : array_like, shape (..., n, d)
        Vectors.
    p : float
        Which norm of the difference, from 0 to infinity.
    compute_mode : str, optional
        Accepted as in PyTorch; differences are always taken.

    Returns
    -------
    Tensor, shape (..., m, n)
        The gradient of the distance of equal vectors is zero.

    Raises
    ------
    ShapeError
        If the vectors differ in size, or an input has less than two axes.
    """
    a, b = box(x1), box(x2)
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-1]:
        raise ShapeError(
            f"cdist: shapes {tuple(a.shape)} and {tuple(b.shape)} do not fit",
            why="each needs two axes or more, and the last ones must be equal",
        )
    differences = sub(unsqueeze(a, -2), unsqueeze(b, -3))
    return shown_as("CdistBackward0", vector_norm(differences, p, -1))


@public()
def dist(x: ArrayLike, other: ArrayLike, p: float = 2.0) -> Tensor:
    """Return the norm of the difference of two arrays.

    Parameters
    ----------
    x, other : array_like
        Shapes that broadcast.
    p : float
        Which norm, from 0 to infinity.

    Returns
    -------
    Tensor, 0-d
        Its gradient is zero where it is.
    """
    return shown_as("DistBackward0", vector_norm(sub(x, other), p))


@public(method=False, namespace="nn.functional")
def pairwise_distance(
    x1: ArrayLike, x2: ArrayLike, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """Return the distances of pairs of vectors.

    Parameters
    ----------
    x1, x2 : array_like, shape (..., d)
        Shapes that broadcast.
    p : float
        Which norm of the difference.
    eps : float
        Added to the differences.
    keepdim : bool
        Whether the last axis stays, with size 1.

    Returns
    -------
    Tensor, shape (...)
    """
    return vector_norm(add(sub(x1, x2), eps), p, -1, keepdim)


# -- cross products ------------------------------------------------------------------------------


def _crossed(x: ArrayLike, other: ArrayLike, dim: int) -> Tensor:
    a, b = box(x), box(other)
    shape = broadcast_shapes("cross", tuple(a.shape), tuple(b.shape))
    axis = normalize_axis("cross", dim, len(shape))
    if not shape or shape[axis] != 3:
        raise ShapeError(
            f"cross: axis {axis} of shape {shape} can't be multiplied",
            why="vectors of three elements have a cross product",
        )
    a, b = broadcast_to(a, shape), broadcast_to(b, shape)

    def turned(vector: Any, by: int) -> Any:
        return roll(vector, by, axis)

    left, right = mul(turned(a, -1), turned(b, -2)), mul(turned(a, -2), turned(b, -1))
    return shown_as("LinalgCrossBackward0", sub(left, right))


@public()
def cross(x: ArrayLike, other: ArrayLike, dim: int | None = None) -> Tensor:
    """Return the cross product of vectors of three elements.

    Parameters
    ----------
    x, other : array_like
        Shapes that broadcast.
    dim : int, optional
        The axis of the vectors; the first one of size 3 where not given.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Raises
    ------
    ShapeError
        If the axis has not the size 3.
    """
    shape = broadcast_shapes("cross", tuple(box(x).shape), tuple(box(other).shape))
    if dim is None:
        dim = next((axis for axis, size in enumerate(shape) if size == 3), -1)
    return _crossed(x, other, dim)


def _linalg_cross(input: ArrayLike, other: ArrayLike, *, dim: int = -1) -> Tensor:
    """Return the cross product of vectors of three elements.

    Parameters
    ----------
    input, other : array_like
        Shapes that broadcast.
    dim : int
        The axis of the vectors.

    Returns
    -------
    Tensor
        Of the broadcast shape.

    Raises
    ------
    ShapeError
        If the axis has not the size 3.
    """
    return _crossed(input, other, dim)


publish(_linalg_cross, "cross", method=False, namespace="linalg")


# -- matrices put together -------------------------------------------------------------------------


@public(method=False)
def block_diag(*tensors: ArrayLike) -> Tensor:
    """Return a matrix with the given ones along its diagonal, and zeros elsewhere.

    Parameters
    ----------
    *tensors : array_like
        Matrices; numbers and vectors count as matrices of one row.

    Returns
    -------
    Tensor of two axes

    Raises
    ------
    ShapeError
        If one has more axes.
    """
    blocks = [box(x) for x in tensors] or [reshape_to(box([]), (1, 0))]
    if any(block.ndim > 2 for block in blocks):
        raise ShapeError("block_diag: a block has more than two axes")
    blocks = [b if b.ndim == 2 else reshape_to(b, (1, math.prod(b.shape))) for b in blocks]
    width = sum(b.shape[1] for b in blocks)
    rows, before = [], 0
    for block in blocks:
        after = width - before - block.shape[1]
        rows.append(pad(block, (before, after)))
        before += block.shape[1]
    return cat(rows, 0)
