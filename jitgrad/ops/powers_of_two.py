"""Functions to the base of two, and powers in double precision."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from jitgrad.core.bind import box
from jitgrad.core.dtypes import float64
from jitgrad.core.public import public
from jitgrad.ops.cast import convert
from jitgrad.ops.exponential import logaddexp
from jitgrad.ops.naming import shown_as
from jitgrad.ops.power import pow

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor

_LOG_2 = math.log(2.0)


@public()
def logaddexp2(x: ArrayLike, other: ArrayLike) -> Tensor:
    """Return ``log2(2**x + 2**other)`` without overflow.

    Parameters
    ----------
    x, other : array_like
        Shapes that broadcast.

    Returns
    -------
    Tensor
        Of the broadcast shape.
    """
    result = logaddexp(box(x) * _LOG_2, box(other) * _LOG_2) / _LOG_2
    return shown_as("Logaddexp2Backward0", result)


@public()
def ldexp(x: ArrayLike, other: ArrayLike) -> Tensor:
    """Return ``x * 2**other``.

    Parameters
    ----------
    x, other : array_like
        Shapes that broadcast.

    Returns
    -------
    Tensor
        Of the broadcast shape.
    """
    return shown_as("MulBackward0", box(x) * 2.0 ** box(other))


@public()
def float_power(x: ArrayLike, exponent: ArrayLike) -> Tensor:
    """Return powers, computed in double precision.

    Parameters
    ----------
    x, exponent : array_like
        Shapes that broadcast.

    Returns
    -------
    Tensor, dtype float64
        Of the broadcast shape.
    """
    return pow(convert(box(x), float64), convert(box(exponent), float64))
