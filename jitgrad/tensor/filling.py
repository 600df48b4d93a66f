"""New values in place, whatever the old ones are: ``zero_``, ``fill_``, ``copy_``."""

from __future__ import annotations

from jitgrad.core.bind import box
from jitgrad.core.errors import ShapeError
from jitgrad.core.public import public
from jitgrad.ops.cast import convert
from jitgrad.ops.creation import clone_primitive, full_primitive
from jitgrad.ops.indexing import fit_value
from jitgrad.tensor.tensor import ArrayLike, Tensor


@public(method=False, inplace=True, namespace="Tensor")
def zero(x: Tensor) -> Tensor:
    """Return zeros in the shape and dtype of `x`.

    Parameters
    ----------
    x : Tensor
        Gives shape and dtype.

    Returns
    -------
    Tensor
        Without history.
    """
    result: Tensor = full_primitive(shape=tuple(x.shape), value=0, dtype=x.dtype)
    return result


@public(method=False, inplace=True, namespace="Tensor")
def fill(x: Tensor, value: ArrayLike) -> Tensor:
    """Return one number everywhere, in the shape and dtype of `x`.

    Parameters
    ----------
    x : Tensor
        Gives shape and dtype.
    value : number or 0-d Tensor
        The number; a gradient flows back to a Tensor.

    Returns
    -------
    Tensor
        Shape and dtype of `x`.

    Raises
    ------
    ShapeError
        If `value` has axes.
    """
    number = box(value)
    if number.shape:
        raise ShapeError(
            f"fill_: a value of shape {tuple(number.shape)} is not one number",
            do="use x.copy_(values) to write different values",
        )
    return copy(x, number)


@public(method=False, inplace=True, namespace="Tensor")
def copy(x: Tensor, source: ArrayLike) -> Tensor:
    """Return the values of `source` in the shape and dtype of `x`.

    Parameters
    ----------
    x : Tensor
        Gives shape and dtype.
    source : array_like
        Must broadcast to the shape of `x`; a gradient flows back to it.

    Returns
    -------
    Tensor
        Shape and dtype of `x`.

    Raises
    ------
    ShapeError
        If `source` does not broadcast to the shape of `x`.
    """
    value = box(source)
    result: Tensor = convert(fit_value(value, tuple(x.shape), x.dtype), x.dtype)
    # In a trace what is the same value is the same memory.
    return clone_primitive(result) if result is value else result
