"""Products of matrices."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.dtypes import result_dtype
from jitgrad.core.errors import ShapeError
from jitgrad.core.extents import may_be_equal
from jitgrad.core.primitive import (
    Contraction,
    Examples,
    Primitive,
    Sample,
    Summed,
    register,
    transposes,
)
from jitgrad.core.public import public
from jitgrad.core.shapes import broadcast_shapes, normalize_axis
from jitgrad.core.spec import Shape, Spec
from jitgrad.ops.arithmetic import add, mul
from jitgrad.ops.batching import broadcasting
from jitgrad.ops.naming import shown_as
from jitgrad.ops.shape import permute_axes, reshape_primitive, reshape_to

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


def swap_last_axes(x: Any) -> Any:
    """Return the transpose of each matrix of a stack."""
    n = len(x.shape)
    return permute_axes(x, (*range(n - 2), n - 1, n - 2))


def _check_inner(operation: str, x: Shape, y: Shape) -> None:
    """Check that the last axis of `x` is as long as the one of `y` that it is summed with."""
    inner = y[-2] if len(y) > 1 else y[-1]
    if may_be_equal(x[-1], inner):
        return
    place = "the axis before the last" if len(y) > 1 else "the only axis"
    turned = len(y) > 1 and y[-1] == x[-1]
    raise ShapeError(
        f"{operation}: shapes {x} and {y} do not fit",
        why=f"the last axis of the first is {x[-1]}, {place} of the second is {inner}; they must"
        " be equal",
        do="transpose the second: x @ y.mT" if turned else "transpose or reshape one of them",
    )


def _infer(x: Spec, y: Spec) -> Spec:
    _check_inner("matmul", x.shape, y.shape)
    batch = broadcast_shapes("matmul", x.shape[:-2], y.shape[:-2])
    dtype = result_dtype([(x.dtype, x.ndim, False), (y.dtype, y.ndim, False)])
    return Spec((*batch, x.shape[-2], y.shape[-1]), dtype)


def _eager(x: Any, y: Any) -> Any:
    dtype = result_dtype([(x.dtype, x.ndim, False), (y.dtype, y.ndim, False)])
    return np.matmul(x.astype(dtype, copy=False), y.astype(dtype, copy=False))


def _samples(rng: np.random.Generator) -> list[Sample]:
    shapes = [
        ((2, 3), (3, 4)),
        ((1, 3), (3, 1)),
        ((0, 3), (3, 2)),
        ((2, 0), (0, 3)),
        ((5, 2, 3), (5, 3, 4)),
        ((5, 2, 3), (3, 4)),
        ((2, 1, 2, 3), (4, 3, 2)),
        ((40, 50), (50, 30)),
    ]
    return [
        Sample((rng.uniform(-2, 2, a), rng.uniform(-2, 2, b)), {}, f"{a}@{b}") for a, b in shapes
    ]


def _batched(examples: Examples, x: Any, y: Any) -> Any:
    """Batch a product: with a matrix that is the same for all examples it is one of matrices."""
    (output,) = examples.outputs
    shape = (examples.count, *output.shape)
    of_x, of_y = examples.specs
    if examples.batched == (True, False) and of_y.ndim == 2:
        rows = reshape_to(x, (examples.count * math.prod(of_x.shape[:-1]), of_x.shape[-1]))
        return reshape_to(matmul_stack(rows, y), shape)
    if examples.batched == (False, True) and of_x.ndim == 2 and of_y.shape[1:] == (1,):
        rows = reshape_to(y, (examples.count, of_y.shape[0]))
        return reshape_to(matmul_stack(rows, swap_last_axes(x)), shape)
    return broadcasting(examples, x, y)


# Matrices and stacks of matrices only; vectors get their axes in `matmul`.
matmul_stack: Primitive = register(
    Primitive(
        "matmul",
        ("x", "y"),
        eager=_eager,
        infer=_infer,
        derivative=transposes(
            lambda ct, y: matmul_stack(ct, swap_last_axes(y)),
            lambda ct, x: matmul_stack(swap_last_axes(x), ct),
        ),
        lowering=Contraction(),
        samples=_samples,
        doc="Product of matrices, or of stacks of matrices whose leading axes broadcast.",
        grad_name="MmBackward0",
        batching=_batched,
        # x1 y1 + x2 y2 = [x1 x2] [y1; y2]
        summed=Summed(
            lambda x, y: np.matmul(
                x.transpose(1, 0, 2).reshape(x.shape[1], -1), y.reshape(-1, y.shape[2])
            ),
            lambda x, y: x.ndim == 2 and y.ndim == 2,
        ),
    )
)


# -- functions -------------------------------------------------------------------------------


@public()
def matmul(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Return the product of matrices, vectors, or stacks of matrices: ``x @ y``.

    Parameters
    ----------
    x, y : array_like
        At least one axis each. A vector on the left is a row, on the right a column; leading
        axes broadcast.

    Returns
    -------
    Tensor
        In the promoted dtype; without the axis that a vector was given.

    Raises
    ------
    ShapeError
        If one is 0-d, or the shapes do not fit.
    """
    a, b = box(x), box(y)
    if not a.shape or not b.shape:
        raise ShapeError(
            f"matmul: shapes {tuple(a.shape)} and {tuple(b.shape)} do not fit",
            why="both must have at least one axis",
            do="multiply by a number with *",
        )
    _check_inner("matmul", tuple(a.shape), tuple(b.shape))
    result: Tensor = _product(a, b)
    return result


def _product(a: Any, b: Any) -> Any:
    left, right = tuple(a.shape), tuple(b.shape)
    if len(right) == 1:
        column = _product(a, reshape_to(b, (right[0], 1)))
        name = "DotBackward0" if len(left) == 1 else "MvBackward0"
        return shown_as(name, reshape_primitive(column, shape=left[:-1]))
    if len(left) == 1:
        row = matmul_stack(reshape_to(a, (1, left[0])), b)
        return shown_as("SqueezeBackward4", reshape_primitive(row, shape=(*right[:-2], right[-1])))
    if len(left) > 2 and len(right) == 2:
        # One tall product is faster than a stack, and so is the gradient of the right factor.
        rows = 1
        for size in left[:-1]:
            rows *= size
        tall = matmul_stack(reshape_to(a, (rows, left[-1])), b)
        shape = (*left[:-1], right[-1])
        return shown_as("UnsafeViewBackward0", reshape_primitive(tall, shape=shape))
    product = matmul_stack(a, b)
    return shown_as("BmmBackward0", product) if len(product.shape) > 2 else product


def _of_rank(operation: str, ranks: tuple[int, ...], *inputs: Any) -> list[Any]:
    """Return the inputs as Tensors, which must have these numbers of axes."""
    values = [box(x) for x in inputs]
    if tuple(v.ndim for v in values) != ranks:
        shapes = " and ".join(str(tuple(v.shape)) for v in values)
        wanted = " and ".join(map(str, ranks))
        raise ShapeError(
            f"{operation}: shapes {shapes} do not fit",
            why=f"the inputs must have {wanted} axes",
            do="use matmul, which takes any number",
        )
    return values


@public()
def mm(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Return the product of two matrices.

    Parameters
    ----------
    x, y : array_like
        Shapes (n, k) and (k, m).

    Returns
    -------
    Tensor, shape (n, m)
        In the promoted dtype.
    """
    a, b = _of_rank("mm", (2, 2), x, y)
    _check_inner("mm", tuple(a.shape), tuple(b.shape))
    result: Tensor = matmul_stack(a, b)
    return result


@public()
def mv(x: ArrayLike, vec: ArrayLike) -> Tensor:
    """Return the product of a matrix and a vector.

    Parameters
    ----------
    x, vec : array_like
        Shapes (n, k) and (k,).

    Returns
    -------
    Tensor, shape (n,)
        In the promoted dtype.
    """
    a, b = _of_rank("mv", (2, 1), x, vec)
    _check_inner("mv", tuple(a.shape), tuple(b.shape))
    result: Tensor = _product(a, b)
    return result


@public("vdot")
def dot(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Return the scalar product of two vectors.

    Parameters
    ----------
    x, y : array_like
        One axis each, of the same size.

    Returns
    -------
    Tensor, 0-d
        In the promoted dtype.
    """
    a, b = _of_rank("dot", (1, 1), x, y)
    _check_inner("dot", tuple(a.shape), tuple(b.shape))
    result: Tensor = _product(a, b)
    return result


@public()
def bmm(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Return the products of two stacks of matrices.

    Parameters
    ----------
    x, y : array_like
        Shapes (b, n, k) and (b, k, m).

    Returns
    -------
    Tensor, shape (b, n, m)
        In the promoted dtype.
    """
    a, b = _of_rank("bmm", (3, 3), x, y)
    _check_inner("bmm", tuple(a.shape), tuple(b.shape))
    if a.shape[0] != b.shape[0]:
        raise ShapeError(
            f"bmm: shapes {tuple(a.shape)} and {tuple(b.shape)} do not fit",
            why="the stacks must have equally many matrices",
            do="use matmul, which broadcasts",
        )
    return shown_as("BmmBackward0", matmul_stack(a, b))


@public("ger")
def outer(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Return the products of each element of one vector with each of another.

    Parameters
    ----------
    x, y : array_like
        One axis each.

    Returns
    -------
    Tensor, shape (size of x, size of y)
        In the promoted dtype.
    """
    a, b = _of_rank("outer", (1, 1), x, y)
    result: Tensor = mul(reshape_to(a, (a.shape[0], 1)), b)
    return result


@public()
def inner(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Return the sums of products over the last axes of both.

    Parameters
    ----------
    x, y : array_like
        Last axes of the same size; or one of them 0-d.

    Returns
    -------
    Tensor
        The other axes of `x`, then those of `y`.
    """
    a, b = box(x), box(y)
    if not a.shape or not b.shape:
        product: Tensor = mul(a, b)
        return product
    return tensordot(a, b, ((-1,), (-1,)))


@public()
def tensordot(x: ArrayLike, y: ArrayLike, dims: Any = 2) -> Tensor:
    """Return the sums of products over pairs of axes.

    Parameters
    ----------
    x, y : array_like
        Any shapes.
    dims : int, or pair of tuples of int
        The last `dims` axes of `x` with the first ones of `y`; or the axes of `x` and, in the
        same order, those of `y`.

    Returns
    -------
    Tensor
        The other axes of `x`, then those of `y`.

    Raises
    ------
    ShapeError
        If paired axes differ in size.
    """
    a, b = box(x), box(y)
    if isinstance(dims, int):
        left = list(range(a.ndim - dims, a.ndim))
        right = list(range(dims))
    else:
        given = [[d] if isinstance(d, int) else list(d) for d in dims]
        left, right = given
    left = [normalize_axis("tensordot", d, a.ndim) for d in left]
    right = [normalize_axis("tensordot", d, b.ndim) for d in right]
    summed_a = [a.shape[d] for d in left]
    summed_b = [b.shape[d] for d in right]
    if summed_a != summed_b:
        raise ShapeError(
            f"tensordot: shapes {tuple(a.shape)} and {tuple(b.shape)} do not fit",
            why=f"the paired axes have sizes {summed_a} and {summed_b}; they must be equal",
        )
    free_a = [d for d in range(a.ndim) if d not in left]
    free_b = [d for d in range(b.ndim) if d not in right]
    rows, columns, inner_size = (
        _product_of(a.shape[d] for d in free_a),
        _product_of(b.shape[d] for d in free_b),
        _product_of(summed_a),
    )
    flat_a = reshape_to(permute_axes(a, (*free_a, *left)), (rows, inner_size))
    flat_b = reshape_to(permute_axes(b, (*right, *free_b)), (inner_size, columns))
    shape = (*[a.shape[d] for d in free_a], *[b.shape[d] for d in free_b])
    result: Tensor = reshape_to(matmul_stack(flat_a, flat_b), shape)
    return result


def _product_of(sizes: Iterable[int]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result


def _scaled(x: Any, factor: float) -> Any:
    return x if factor == 1 else mul(x, factor)


@public(inplace=True)
def addmm(
    input: ArrayLike, mat1: ArrayLike, mat2: ArrayLike, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """Return ``beta * input + alpha * (mat1 @ mat2)``.

    Parameters
    ----------
    input : array_like
        Broadcasts to the shape of the product.
    mat1, mat2 : array_like
        Shapes (n, k) and (k, m).
    beta, alpha : number
        Factors; with ``beta=0`` the values of `input`, nan or not, don't matter.

    Returns
    -------
    Tensor, shape (n, m)
        In the promoted dtype.
    """
    product = _scaled(mm(mat1, mat2), alpha)
    if beta == 0:
        return product  # type: ignore[no-any-return]
    return shown_as("AddmmBackward0", add(_scaled(input, beta), product))


@public(inplace=True)
def addmv(
    input: ArrayLike, mat: ArrayLike, vec: ArrayLike, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """Return ``beta * input + alpha * (mat @ vec)``.

    Parameters
    ----------
    input : array_like
        Broadcasts to the shape of the product.
    mat, vec : array_like
        Shapes (n, k) and (k,).
    beta, alpha : number
        Factors; with ``beta=0`` the values of `input`, nan or not, don't matter.

    Returns
    -------
    Tensor, shape (n,)
        In the promoted dtype.
    """
    product = _scaled(mv(mat, vec), alpha)
    if beta == 0:
        return product  # type: ignore[no-any-return]
    return shown_as("AddmvBackward0", add(_scaled(input, beta), product))


@public(inplace=True)
def baddbmm(
    input: ArrayLike, batch1: ArrayLike, batch2: ArrayLike, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """Return ``beta * input + alpha * bmm(batch1, batch2)``.

    Parameters
    ----------
    input : array_like
        Broadcasts to the shape of the product.
    batch1, batch2 : array_like
        Shapes (b, n, k) and (b, k, m).
    beta, alpha : number
        Factors; with ``beta=0`` the values of `input`, nan or not, don't matter.

    Returns
    -------
    Tensor, shape (b, n, m)
        In the promoted dtype.
    """
    product = _scaled(bmm(batch1, batch2), alpha)
    if beta == 0:
        return product  # type: ignore[no-any-return]
    return shown_as("BaddbmmBackward0", add(_scaled(input, beta), product))


@public()
def kron(x: ArrayLike, y: ArrayLike) -> Tensor:
    """Return the Kronecker product: each element of `x` times all of `y`, as blocks.

    Parameters
    ----------
    x, y : array_like
        Any shapes; the smaller one is given leading axes of size 1.

    Returns
    -------
    Tensor
        Each axis as long as the product of the sizes.
    """
    a, b = box(x), box(y)
    ndim = max(a.ndim, b.ndim)
    left = (*[1] * (ndim - a.ndim), *a.shape)
    right = (*[1] * (ndim - b.ndim), *b.shape)
    wide_a = reshape_to(a, tuple([n for size in left for n in (size, 1)]))
    wide_b = reshape_to(b, tuple([n for size in right for n in (1, size)]))
    shape = tuple([n * m for n, m in zip(left, right, strict=True)])
    result: Tensor = reshape_to(mul(wide_a, wide_b), shape)
    return result
