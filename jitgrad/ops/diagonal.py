"""Diagonals and triangles of matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.affine import Affine
from jitgrad.core.bind import box
from jitgrad.core.errors import ShapeError
from jitgrad.core.primitive import (
    IndexMap,
    Piece,
    Pieces,
    Primitive,
    Sample,
    register,
    transposes,
    vjps,
)
from jitgrad.core.public import public
from jitgrad.core.shapes import normalize_axis
from jitgrad.core.spec import Shape, Spec
from jitgrad.ops.batching import along
from jitgrad.ops.comparison import ge, le
from jitgrad.ops.creation import arange, clone_primitive, full_primitive
from jitgrad.ops.naming import shown_as
from jitgrad.ops.reduction import sum
from jitgrad.ops.selection import where
from jitgrad.ops.shape import reshape_to

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor

# The operations take the two axes of the matrices, in order, and the number of the diagonal
# above the main one; the diagonal becomes the last axis.
Axes = tuple[int, int]


def _length(shape: Shape, axes: Axes, offset: int) -> int:
    rows, columns = shape[axes[0]], shape[axes[1]]
    return max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)


def _diagonal_shape(shape: Shape, axes: Axes, offset: int) -> Shape:
    rest = tuple([n for a, n in enumerate(shape) if a not in axes])
    return (*rest, _length(shape, axes, offset))


def _diagonal_view(x: Any, axes: Axes, offset: int) -> Any:
    shown = np.diagonal(x, offset, *axes)
    if x.flags.writeable:
        # NumPy returns it read-only out of caution alone: it shows the memory of x.
        shown.flags.writeable = True
    return shown


def _diagonal_index(
    index: tuple[Affine, ...], x_spec: Spec, axes: Axes, offset: int
) -> tuple[Affine, ...]:
    rest = iter(index[:-1])
    starts = {axes[0]: max(-offset, 0), axes[1]: max(offset, 0)}
    return tuple([index[-1] + starts[a] if a in starts else next(rest) for a in range(x_spec.ndim)])


def _pieces(base: int | None, shape: Shape, part: int, axes: Axes, offset: int) -> list[Piece]:
    """Return a whole array, zeros or the input `base`, and what then goes on its diagonal."""

    def place(index: tuple[Affine, ...]) -> tuple[Affine, ...]:
        return _diagonal_index(index, Spec(shape, np.dtype(bool)), axes, offset)

    diagonal = Piece(_diagonal_shape(shape, axes, offset), place, part, overwrites=True)
    return [Piece(shape, lambda index: index, base), diagonal]


def _transpose_eager(ct: Any, shape: Shape, axes: Axes, offset: int) -> Any:
    result = np.zeros(shape, ct.dtype)
    _diagonal_view(result, axes, offset)[...] = ct
    return result


def _update_eager(base: Any, part: Any, axes: Axes, offset: int) -> Any:
    result = np.array(base, order="C")
    _diagonal_view(result, axes, offset)[...] = part
    return result


def _update_infer(base: Spec, part: Spec, axes: Axes, offset: int) -> Spec:
    expected = _diagonal_shape(base.shape, axes, offset)
    if part.shape != expected:
        raise ShapeError(
            f"diagonal: values of shape {part.shape} do not fit",
            why=f"the diagonal has shape {expected}",
        )
    return Spec(base.shape, base.dtype)


_CASES: list[tuple[Shape, Axes, int]] = [
    ((3, 3), (0, 1), 0),
    ((2, 4), (0, 1), 1),
    ((4, 2), (0, 1), -1),
    ((3, 3), (1, 0), 1),
    ((2, 3, 4), (0, 2), 0),
    ((2, 3), (0, 1), 5),
    ((0, 3), (0, 1), 0),
]


def _samples(kind: str) -> Any:
    def make(rng: np.random.Generator) -> list[Sample]:
        made = []
        for shape, axes, offset in _CASES:
            params: dict[str, Any] = {"axes": axes, "offset": offset}
            whole = rng.uniform(-3, 3, shape)
            part = rng.uniform(-3, 3, _diagonal_shape(shape, axes, offset))
            args: tuple[Any, ...] = (whole,)
            if kind == "transpose":
                args, params = (part,), {"shape": shape, **params}
            elif kind == "update":
                args = (whole, part)
            made.append(Sample(args, params, f"{shape}-axes{axes}-{offset}".replace(" ", "")))
        return made

    return make


diagonal_primitive: Primitive = register(
    Primitive(
        "diagonal",
        ("x",),
        eager=_diagonal_view,
        infer=lambda x, axes, offset: Spec(_diagonal_shape(x.shape, axes, offset), x.dtype),
        derivative=transposes(
            lambda ct, x_spec, axes, offset: diagonal_transpose(
                ct, shape=x_spec.shape, axes=axes, offset=offset
            )
        ),
        lowering=IndexMap(_diagonal_index),
        samples=_samples("read"),
        doc="A diagonal of each matrix that two axes make.",
        grad_name="DiagonalBackward0",
        batching=along("axes"),
        view=True,
        write_view=lambda base, part, axes, offset: diagonal_update(
            base, part, axes=axes, offset=offset
        ),
    )
)

diagonal_transpose: Primitive = register(
    Primitive(
        "diagonal_transpose",
        ("ct",),
        eager=_transpose_eager,
        infer=lambda ct, shape, axes, offset: Spec(shape, ct.dtype),
        derivative=transposes(
            lambda ct, axes, offset: diagonal_primitive(ct, axes=axes, offset=offset)
        ),
        lowering=Pieces(lambda ct, shape, axes, offset: _pieces(None, shape, 0, axes, offset)),
        samples=_samples("transpose"),
        doc="Zeros of a shape with the input on a diagonal.",
        grad_name="DiagEmbedBackward0",
        batching=along("axes", shape="shape"),
    )
)

diagonal_update: Primitive = register(
    Primitive(
        "diagonal_update",
        ("base", "part"),
        eager=_update_eager,
        infer=_update_infer,
        # Linear in both inputs together, but not in one with the other fixed.
        derivative=vjps(
            lambda ct, part_spec, axes, offset: diagonal_update(
                ct,
                full_primitive(shape=part_spec.shape, value=0, dtype=ct.dtype),
                axes=axes,
                offset=offset,
            ),
            lambda ct, axes, offset: diagonal_primitive(ct, axes=axes, offset=offset),
        ),
        lowering=Pieces(lambda base, part, axes, offset: _pieces(0, base.shape, 1, axes, offset)),
        samples=_samples("update"),
        doc="The first input with a diagonal replaced by the second.",
        grad_name="CopySlices",
        batching=along("axes"),
    )
)


@public()
def diagonal(x: ArrayLike, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """Return a diagonal of a matrix, or of each matrix of a stack.

    Parameters
    ----------
    x : array_like
        At least two axes.
    offset : int
        How far above the main diagonal; below it where negative.
    dim1, dim2 : int
        The axes of the rows and the columns.

    Returns
    -------
    Tensor
        A view of `x`; the other axes first, the diagonal as the last one.

    Raises
    ------
    ShapeError
        If there are fewer than two axes, or the two are the same.
    """
    value = box(x)
    if value.ndim < 2:
        raise ShapeError(f"diagonal: an input of shape {tuple(value.shape)} is no matrix")
    axes = (
        normalize_axis("diagonal", dim1, value.ndim),
        normalize_axis("diagonal", dim2, value.ndim),
    )
    if axes[0] == axes[1]:
        raise ShapeError(f"diagonal: the axes {dim1} and {dim2} are the same")
    result: Tensor = diagonal_primitive(value, axes=axes, offset=int(offset))
    return result


@public()
def diag(x: ArrayLike, diagonal: int = 0) -> Tensor:
    """Return the matrix with a vector on a diagonal, or the diagonal of a matrix.

    Parameters
    ----------
    x : array_like
        A vector or a matrix.
    diagonal : int
        How far above the main diagonal; below it where negative.

    Returns
    -------
    Tensor
        A matrix for a vector, a vector for a matrix.

    Raises
    ------
    ShapeError
        If `x` is neither.
    """
    value = box(x)
    if value.ndim == 1:
        return diag_embed(value, diagonal)
    if value.ndim == 2:
        shown = diagonal_primitive(value, axes=(0, 1), offset=int(diagonal))
        result: Tensor = clone_primitive(shown)
        return result
    raise ShapeError(
        f"diag: an input of shape {tuple(value.shape)} is neither a vector nor a matrix",
        do="use diagonal or diag_embed for stacks",
    )


@public()
def diag_embed(x: ArrayLike, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Return matrices that have the last axis of `x` on a diagonal and zeros elsewhere.

    Parameters
    ----------
    x : array_like
        At least one axis.
    offset : int
        How far above the main diagonal; below it where negative.
    dim1, dim2 : int
        The axes of the result for rows and columns.

    Returns
    -------
    Tensor
        One axis more than `x`.
    """
    value = box(x)
    if not value.shape:
        raise ShapeError("diag_embed: a 0-d input can't be a diagonal")
    axes = (
        normalize_axis("diag_embed", dim1, value.ndim + 1),
        normalize_axis("diag_embed", dim2, value.ndim + 1),
    )
    if axes[0] == axes[1]:
        raise ShapeError(f"diag_embed: the axes {dim1} and {dim2} are the same")
    size = value.shape[-1] + abs(int(offset))
    rest = list(value.shape[:-1])
    for axis in sorted(axes):
        rest.insert(axis, size)
    result: Tensor = diagonal_transpose(value, shape=tuple(rest), axes=axes, offset=int(offset))
    return result


@public()
def trace(x: ArrayLike) -> Tensor:
    """Return the sum of the diagonal of a matrix.

    Parameters
    ----------
    x : array_like
        Two axes.

    Returns
    -------
    Tensor, 0-d
        In the dtype of a sum.

    Raises
    ------
    ShapeError
        If `x` is no matrix.
    """
    value = box(x)
    if value.ndim != 2:
        raise ShapeError(f"trace: an input of shape {tuple(value.shape)} is no matrix")
    return shown_as("TraceBackward0", sum(diagonal_primitive(value, axes=(0, 1), offset=0)))


def _triangle(operation: str, x: Any, offset: int) -> Any:
    """Return `x`, and how far right of the diagonal number `offset` each of its elements is."""
    value = box(x)
    if value.ndim < 2:
        raise ShapeError(f"{operation}: an input of shape {tuple(value.shape)} is no matrix")
    rows, columns = value.shape[-2:]
    return value, arange(columns), reshape_to(arange(offset, rows + offset), (rows, 1))


@public(inplace=True)
def tril(x: ArrayLike, diagonal: int = 0) -> Tensor:
    """Return the lower triangle of each matrix, zeros above it.

    Parameters
    ----------
    x : array_like
        At least two axes, the last of which make the matrices.
    diagonal : int
        The highest diagonal that is kept, counted from the main one upwards.

    Returns
    -------
    Tensor
        Shape and dtype of `x`.
    """
    value, column, row = _triangle("tril", x, int(diagonal))
    return shown_as("TrilBackward0", where(le(column, row), value, zero_of(value)))


@public(inplace=True)
def triu(x: ArrayLike, diagonal: int = 0) -> Tensor:
    """Return the upper triangle of each matrix, zeros below it.

    Parameters
    ----------
    x : array_like
        At least two axes, the last of which make the matrices.
    diagonal : int
        The lowest diagonal that is kept, counted from the main one upwards.

    Returns
    -------
    Tensor
        Shape and dtype of `x`.
    """
    value, column, row = _triangle("triu", x, int(diagonal))
    return shown_as("TriuBackward0", where(ge(column, row), value, zero_of(value)))


def zero_of(value: Any) -> bool | int:
    """Return zero as a number that changes no dtype."""
    return False if value.dtype.kind == "b" else 0


def _triangle_indices(lower: bool, row: int, col: int, offset: int) -> Any:
    found = np.tril_indices(row, offset, col) if lower else np.triu_indices(row, offset, col)
    return box(np.stack(found))


@public(method=False)
def tril_indices(row: int, col: int, offset: int = 0) -> Tensor:
    """Return row and column numbers of the lower triangle of a matrix.

    Parameters
    ----------
    row, col : int
        Sizes of the matrix.
    offset : int
        The highest diagonal that is kept, counted from the main one upwards.

    Returns
    -------
    Tensor of int64, shape (2, count)
        Rows, then columns.
    """
    result: Tensor = _triangle_indices(True, row, col, offset)
    return result


@public(method=False)
def triu_indices(row: int, col: int, offset: int = 0) -> Tensor:
    """Return row and column numbers of the upper triangle of a matrix.

    Parameters
    ----------
    row, col : int
        Sizes of the matrix.
    offset : int
        The lowest diagonal that is kept, counted from the main one upwards.

    Returns
    -------
    Tensor of int64, shape (2, count)
        Rows, then columns.
    """
    result: Tensor = _triangle_indices(False, row, col, offset)
    return result
