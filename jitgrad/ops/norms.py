"""Norms of vectors and matrices, whose gradient at zero is zero; `jitgrad.linalg`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitgrad.core.bind import box
from jitgrad.core.dtypes import as_dtype, is_floating
from jitgrad.core.errors import ArgumentError, DtypeError, ShapeError
from jitgrad.core.public import public, publish
from jitgrad.core.shapes import AxisLike, normalize_axes, normalize_axis
from jitgrad.ops.cast import convert
from jitgrad.ops.comparison import ne
from jitgrad.ops.decompositions import svdvals
from jitgrad.ops.extrema import amax, amin
from jitgrad.ops.naming import shown_as
from jitgrad.ops.power import pow, sqrt, square
from jitgrad.ops.reduction import sum, sum_over
from jitgrad.ops.rounding import absolute
from jitgrad.ops.selection import where
from jitgrad.ops.shape import reshape_to

if TYPE_CHECKING:
    import numpy.typing as npt

    from jitgrad.tensor.tensor import ArrayLike, Tensor

_INFINITY = float("inf")


def _floating(operation: str, x: Any, dtype: npt.DTypeLike | None) -> Any:
    value = box(x) if dtype is None else convert(box(x), as_dtype(dtype))
    if not is_floating(value.dtype):
        raise DtypeError(
            f"{operation}: a Tensor of dtype {value.dtype} is not floating",
            do="convert it first: x.to(jitgrad.float32)",
        )
    return value


def _at_nonzero(function: Any, x: Any) -> Any:
    """Return ``function(x)`` where `x` is not zero, and zero, with gradient zero, where it is."""
    some = ne(x, 0.0)
    return where(some, function(where(some, x, 1.0)), 0.0)


def _norm_over(value: Any, order: float, axes: tuple[int, ...], keepdim: bool) -> Any:
    """Return the vector norm over axes."""
    if order == 2:
        return _at_nonzero(sqrt, sum_over(square(value), axes=axes, keepdims=keepdim))
    if order == 0:
        counted = convert(ne(value, 0.0), value.dtype)
        return sum_over(counted, axes=axes, keepdims=keepdim)
    size = absolute(value)
    if not axes:
        return size
    if order == _INFINITY:
        return amax(size, axes, keepdim)
    if order == -_INFINITY:
        return amin(size, axes, keepdim)
    if order == 1:
        return sum_over(size, axes=axes, keepdims=keepdim)
    if order < 0:
        powers = pow(size, order)
        return pow(sum_over(powers, axes=axes, keepdims=keepdim), 1 / order)
    powers = _at_nonzero(lambda x: pow(x, order), size)
    total = sum_over(powers, axes=axes, keepdims=keepdim)
    return _at_nonzero(lambda x: pow(x, 1 / order), total)


def _order(operation: str, order: Any) -> float:
    if isinstance(order, bool) or not isinstance(order, int | float):
        raise ArgumentError(f"{operation}: there is no norm of order {order!r}")
    return float(order)


@public(method=False, namespace="linalg")
def vector_norm(
    x: ArrayLike,
    ord: float = 2,
    dim: AxisLike = None,
    keepdim: bool = False,
    *,
    dtype: npt.DTypeLike | None = None,
) -> Tensor:
    """Return the norm of vectors: ``sum(|x|**ord)**(1/ord)``.

    Parameters
    ----------
    x : array_like, floating
        Any shape.
    ord : float
        Order; infinity for the largest absolute value, minus infinity for the smallest one, 0
        for the number of elements that are not zero.
    dim : int or tuple of int, optional
        Axes to reduce over; all of them where not given.
    keepdim : bool
        Whether the axes stay, with size 1.
    dtype : dtype_like, optional
        Convert `x` to this dtype first.

    Returns
    -------
    Tensor
        Not negative. The gradient at zero is zero.
    """
    value = _floating("vector_norm", x, dtype)
    axes = normalize_axes("vector_norm", dim, value.ndim)
    result = _norm_over(value, _order("vector_norm", ord), axes, keepdim)
    return shown_as("LinalgVectorNormBackward0", result)


@public(method=False, namespace="linalg")
def matrix_norm(
    A: ArrayLike,
    ord: float | str = "fro",
    dim: tuple[int, int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: npt.DTypeLike | None = None,
) -> Tensor:
    """Return the norm of matrices.

    Parameters
    ----------
    A : array_like, floating
        At least two axes.
    ord : {"fro", "nuc", 1, -1, 2, -2, inf, -inf}
        Frobenius norm; sum of the singular values; largest or smallest sum of absolute values of
        a column (1, -1) or row (inf, -inf); largest or smallest singular value (2, -2).
    dim : pair of int
        The axes of rows and columns.
    keepdim : bool
        Whether the axes stay, with size 1.
    dtype : dtype_like, optional
        Convert `A` to this dtype first.

    Returns
    -------
    Tensor
        Not negative.

    Raises
    ------
    ArgumentError
        If there is no such norm.
    """
    value = _floating("matrix_norm", A, dtype)
    if value.ndim < 2 or len(dim) != 2:
        raise ShapeError(
            f"matrix_norm: axes {tuple(dim)} of shape {tuple(value.shape)} make no matrix"
        )
    rows, columns = (normalize_axis("matrix_norm", d, value.ndim) for d in dim)
    if rows == columns:
        raise ShapeError(f"matrix_norm: the axes {tuple(dim)} are the same")
    axes = tuple(sorted((rows, columns)))
    if ord == "fro":
        return shown_as("LinalgVectorNormBackward0", _norm_over(value, 2.0, axes, keepdim))
    if ord in (1, -1, _INFINITY, -_INFINITY):
        assert not isinstance(ord, str)
        summed, other = (rows, columns) if ord in (1, -1) else (columns, rows)
        sums = sum_over(absolute(value), axes=(summed,), keepdims=True)
        reduced: Any = (amax if ord > 0 else amin)(sums, other, True)
    elif ord in (2, -2, "nuc"):
        from jitgrad.ops.rearranging import movedim

        values = svdvals(movedim(value, (rows, columns), (-2, -1)))
        if ord == "nuc":
            reduced = sum(values, -1)
        else:
            reduced = amax(values, -1) if ord == 2 else amin(values, -1)
    else:
        raise ArgumentError(
            f"matrix_norm: there is no norm of order {ord!r}",
            why="the orders are 'fro', 'nuc', 1, -1, 2, -2, inf and -inf",
        )
    shape = [
        1 if axis in axes else size
        for axis, size in enumerate(value.shape)
        if keepdim or axis not in axes
    ]
    result: Tensor = reshape_to(reduced, tuple(shape))
    return result


@public(method=False, namespace="linalg")
def norm(
    x: ArrayLike,
    ord: float | str | None = None,
    dim: AxisLike = None,
    keepdim: bool = False,
    *,
    dtype: npt.DTypeLike | None = None,
) -> Tensor:
    """Return the norm of vectors or matrices.

    Parameters
    ----------
    x : array_like, floating
        Any shape; without `dim` and with `ord` a vector or a matrix.
    ord : float or str, optional
        As of `vector_norm`, or, over two axes, as of `matrix_norm`. Where not given, the root of
        the sum of squares.
    dim : int or tuple of int, optional
        Axes to reduce over; one for vectors, two for matrices.
    keepdim : bool
        Whether the axes stay, with size 1.
    dtype : dtype_like, optional
        Convert `x` to this dtype first.

    Returns
    -------
    Tensor
        Not negative. The gradient at zero is zero.

    Raises
    ------
    ArgumentError
        If there is no such norm.
    ShapeError
        If `x` is neither a vector nor a matrix, and no axes are given.
    """
    value = _floating("norm", x, dtype)
    if ord is None:
        return vector_norm(value, 2, dim, keepdim)
    axes = dim if dim is not None else tuple(range(value.ndim))
    if isinstance(axes, int):
        axes = (axes,)
    if len(axes) == 2:
        return matrix_norm(value, ord, (axes[0], axes[1]), keepdim)
    if len(axes) != 1:
        raise ShapeError(
            f"norm: {len(axes)} axes make neither a vector nor a matrix",
            do="use vector_norm for the norm of all elements",
        )
    if isinstance(ord, str):
        raise ArgumentError(f"norm: {ord!r} is a norm of matrices", why="one axis is a vector")
    return vector_norm(value, ord, axes[0], keepdim)


def _norm_by_order(
    x: ArrayLike,
    p: float | str | None = "fro",
    dim: AxisLike = None,
    keepdim: bool = False,
    dtype: npt.DTypeLike | None = None,
) -> Tensor:
    """Return the norm of the elements over axes, however many.

    Parameters
    ----------
    x : array_like, floating
        Any shape.
    p : float or "fro" or "nuc"
        Order of the norm; ``"fro"`` is 2.
    dim : int or tuple of int, optional
        Axes to reduce over; all of them where not given.
    keepdim : bool
        Whether the axes stay, with size 1.
    dtype : dtype_like, optional
        Convert `x` to this dtype first.

    Returns
    -------
    Tensor
        Not negative. The gradient at zero is zero.
    """
    if p == "nuc":
        return norm(x, "nuc", dim, keepdim, dtype=dtype)
    order = 2.0 if p in ("fro", None) else _order("norm", p)
    return vector_norm(x, order, dim, keepdim, dtype=dtype)


publish(_norm_by_order, "norm")
