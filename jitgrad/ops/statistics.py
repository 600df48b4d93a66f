"""Averages with deviations, covariances, and which things can be combined."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.errors import ShapeError
from jitgrad.core.public import public
from jitgrad.core.shapes import AxisLike, normalize_axis
from jitgrad.ops.composite import mean, std, var
from jitgrad.ops.contraction import outer
from jitgrad.ops.indexing import get_item
from jitgrad.ops.joining import stack
from jitgrad.ops.norms import vector_norm
from jitgrad.ops.numpy_compositions import corrcoef as numpy_corrcoef
from jitgrad.ops.numpy_compositions import cov as numpy_cov
from jitgrad.ops.rearranging import broadcast_tensors, ravel
from jitgrad.ops.repeating import meshgrid
from jitgrad.ops.selection import select

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


@public(method=False)
def std_mean(
    x: ArrayLike, dim: AxisLike = None, keepdim: bool = False, *, correction: float | None = None
) -> tuple[Tensor, Tensor]:
    """Return standard deviation and mean of the elements over axes.

    Parameters
    ----------
    x : array_like, floating
        Any shape.
    dim : int or tuple of int, optional
        Axes to look along; all of them where not given.
    keepdim : bool
        Whether the axes stay, with size 1.
    correction : number, optional
        As in `std`.

    Returns
    -------
    tuple of two Tensors, dtype of `x`
    """
    return std(x, dim, keepdim, correction=correction), mean(x, dim, keepdim)


@public(method=False)
def var_mean(
    x: ArrayLike, dim: AxisLike = None, keepdim: bool = False, *, correction: float | None = None
) -> tuple[Tensor, Tensor]:
    """Return variance and mean of the elements over axes.

    Parameters
    ----------
    x : array_like, floating
        Any shape.
    dim : int or tuple of int, optional
        Axes to look along; all of them where not given.
    keepdim : bool
        Whether the axes stay, with size 1.
    correction : number, optional
        As in `var`.

    Returns
    -------
    tuple of two Tensors, dtype of `x`
    """
    return var(x, dim, keepdim, correction=correction), mean(x, dim, keepdim)


def _rows(operation: str, x: ArrayLike) -> Any:
    value = box(x)
    if value.ndim > 2:
        raise ShapeError(
            f"{operation}: an input of shape {tuple(value.shape)}",
            why="rows are variables, columns observations",
        )
    return value


@public()
def cov(x: ArrayLike, *, correction: int = 1) -> Tensor:
    """Return the covariances of variables.

    Parameters
    ----------
    x : array_like, shape (n, m) or (m,)
        One row of observations for each variable.
    correction : int
        Subtracted from the number of observations, by which sums are divided.

    Returns
    -------
    Tensor, shape (n, n) or ()

    Raises
    ------
    ShapeError
        If there are more than two axes.
    """
    result: Tensor = numpy_cov(_rows("cov", x), ddof=correction)
    return result


@public()
def corrcoef(x: ArrayLike) -> Tensor:
    """Return the correlation coefficients of variables.

    Parameters
    ----------
    x : array_like, shape (n, m) or (m,)
        One row of observations for each variable.

    Returns
    -------
    Tensor, shape (n, n) or ()

    Raises
    ------
    ShapeError
        If there are more than two axes.
    """
    result: Tensor = numpy_corrcoef(_rows("corrcoef", x))
    return result


@public(method=False)
def cartesian_prod(*tensors: ArrayLike) -> Tensor:
    """Return all tuples of an element of each vector.

    Parameters
    ----------
    *tensors : array_like, one axis
        At least one.

    Returns
    -------
    Tensor, shape (number of tuples, number of vectors)
        The last vector's elements change fastest; of a single vector, the vector.
    """
    given = [box(t) for t in tensors]
    if len(given) == 1:
        only: Tensor = given[0]
        return only
    return stack([ravel(t) for t in broadcast_tensors(*meshgrid(*given, indexing="ij"))], 1)


@public()
def combinations(x: ArrayLike, r: int = 2, with_replacement: bool = False) -> Tensor:
    """Return all ways to choose so many elements of a vector, in their order.

    Parameters
    ----------
    x : array_like, shape (n,)
        The vector.
    r : int
        How many.
    with_replacement : bool
        Whether an element can be chosen several times.

    Returns
    -------
    Tensor, shape (number of ways, r)
    """
    value = box(x)
    ways = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = np.array(list(ways(range(value.shape[0]), r)), dtype=np.int64).reshape(-1, r)
    result: Tensor = get_item(value, places)
    return result


@public()
def addr(
    x: ArrayLike, vec1: ArrayLike, vec2: ArrayLike, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """Return ``beta * x + alpha * outer(vec1, vec2)``.

    Parameters
    ----------
    x : array_like
        Broadcasts to the shape of the product.
    vec1, vec2 : array_like, shapes (n,) and (m,)
        The vectors.
    beta, alpha : number
        Factors; with a `beta` of 0 nan and inf in `x` do not count.

    Returns
    -------
    Tensor, shape (n, m)
    """
    product: Any = outer(vec1, vec2)
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        return product  # type: ignore[no-any-return]
    result: Tensor = product + (box(x) if beta == 1 else box(x) * beta)
    return result


@public(inplace=True)
def renorm(x: ArrayLike, p: float, dim: int, maxnorm: float) -> Tensor:
    """Return the parts of `x` along an axis, scaled down to a norm where theirs is larger.

    Parameters
    ----------
    x : array_like, floating
        At least two axes.
    p : float
        Which norm.
    dim : int
        The axis that counts the parts.
    maxnorm : float
        The largest norm.

    Returns
    -------
    Tensor, shape and dtype of `x`
    """
    value = box(x)
    axis = normalize_axis("renorm", dim, value.ndim)
    others = tuple(k for k in range(value.ndim) if k != axis)
    norm = vector_norm(value, p, others, True)
    result: Tensor = value * select(norm > maxnorm, maxnorm / (norm + 1e-7), 1.0)
    return result


@public()
def is_nonzero(x: ArrayLike) -> bool:
    """Return whether a single number is not zero.

    Parameters
    ----------
    x : array_like, one element

    Returns
    -------
    bool
    """
    return bool(box(x).item())
