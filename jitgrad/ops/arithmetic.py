"""Sums, products, quotients, and how a cotangent is multiplied by a partial derivative."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.dtypes import is_floating, promote_dtypes
from jitgrad.core.errors import ArgumentError
from jitgrad.core.primitive import Primitive, Template, partials
from jitgrad.core.public import public
from jitgrad.core.spec import Spec
from jitgrad.ops.cast import convert
from jitgrad.ops.families import elementwise, reals
from jitgrad.ops.naming import shown_as
from jitgrad.ops.rounding import absolute, floor_divide, sign, trunc

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor

_NUMBERS = (bool, int, float)

add = elementwise(
    "add",
    eager=np.add,
    derivative=partials(lambda: 1.0, lambda: 1.0),
    template=Template("{x} + {y}", boolean="{x} or {y}", adds=True),
    samples=reals((-3, 3), (-3, 3)),
    doc="Sum of each pair of elements.",
    inputs=("x", "y"),
    published=False,
)

sub = elementwise(
    "sub",
    eager=np.subtract,
    derivative=partials(lambda: 1.0, lambda: -1.0),
    template="{x} - {y}",
    samples=reals((-3, 3), (-3, 3)),
    doc="Difference of each pair of elements.",
    inputs=("x", "y"),
    refuse_bool="use x ^ y, or logical_xor",
    published=False,
)

mul = elementwise(
    "mul",
    eager=np.multiply,
    derivative=partials(lambda y: y, lambda x: x),
    template=Template("{x} * {y}", boolean="{x} and {y}", multiplies=True),
    samples=reals((-3, 3), (-3, 3)),
    doc="Product of each pair of elements.",
    inputs=("x", "y"),
    neutral={0: 1, 1: 1},
)

reciprocal = elementwise(
    "reciprocal",
    eager=np.reciprocal,
    derivative=partials(lambda out: -out * out, singular=True),
    template=Template("{one} / {x}", cost=4),
    samples=reals(0.5, 3),
    doc="One divided by each element.",
    result="float",
)


def in_precision_of(value: Any, other: Spec) -> Any:
    """Return `value` in the wider dtype of its own and another input's; numbers as they are.

    Derivatives of a function of one input alone (``1 / y``, ``log(y)``) are as precise as the
    output that way, when the inputs have different dtypes.
    """
    if isinstance(value, _NUMBERS):
        return value
    return convert(value, promote_dtypes(value.dtype, other.dtype))


def _inverse(y: Any, x_spec: Spec) -> Any:
    if isinstance(y, _NUMBERS):
        return 1.0 / y if y else math.copysign(math.inf, y)
    return reciprocal(in_precision_of(y, x_spec))


div = elementwise(
    "div",
    eager=np.true_divide,
    # the same reciprocal in both, which is then computed once
    derivative=partials(_inverse, lambda y, out, x_spec: -out * _inverse(y, x_spec), singular=True),
    template=Template("{x} / {y}", cost=4),
    samples=reals((-3, 3), (0.5, 3)),
    doc="Quotient of each pair of elements.",
    inputs=("x", "y"),
    result="float",
    published=False,
    neutral={1: 1},
)

neg = elementwise(
    "neg",
    eager=np.negative,
    derivative=partials(lambda: -1.0),
    template="-{x}",
    samples=reals(-3, 3),
    doc="Each element with the other sign.",
    refuse_bool="use ~x, or logical_not",
)


@public(inplace=True)
def add_(x: ArrayLike, y: ArrayLike, *, alpha: float = 1) -> Tensor:
    """Return ``x + alpha * y``.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast.
    alpha : number
        Factor of `y`.

    Returns
    -------
    Tensor
        Of the broadcast shape and promoted dtype.
    """
    result: Tensor = add(x, y) if alpha == 1 else add(x, mul(y, alpha))
    return result


@public(inplace=True)
def sub_(x: ArrayLike, y: ArrayLike, *, alpha: float = 1) -> Tensor:
    """Return ``x - alpha * y``.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast.
    alpha : number
        Factor of `y`.

    Returns
    -------
    Tensor
        Of the broadcast shape and promoted dtype.

    Raises
    ------
    DtypeError
        If both are boolean.
    """
    result: Tensor = sub(x, y) if alpha == 1 else sub(x, mul(y, alpha))
    return result


@public(inplace=True)
def div_(x: ArrayLike, y: ArrayLike, *, rounding_mode: str | None = None) -> Tensor:
    """Return ``x / y``, rounded on request.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast.
    rounding_mode : {None, "trunc", "floor"}
        None divides exactly; ``"trunc"`` rounds towards zero, ``"floor"`` down.

    Returns
    -------
    Tensor
        Floating; with a rounding mode of the promoted dtype.

    Raises
    ------
    ArgumentError
        If there is no such rounding mode.
    """
    result: Tensor
    if rounding_mode is None:
        result = div(x, y)
    elif rounding_mode == "floor":
        result = shown_as("DivBackward2", floor_divide(x, y))
    elif rounding_mode == "trunc":
        result = shown_as("DivBackward2", _divide_towards_zero(x, y))
    else:
        raise ArgumentError(
            f"div: there is no rounding mode {rounding_mode!r}",
            do="pass None, 'trunc' or 'floor'",
        )
    return result


def _divide_towards_zero(x: Any, y: Any) -> Any:
    downwards = floor_divide(x, y)
    if is_floating(downwards.dtype):
        return trunc(div(x, y))
    # Whole numbers without the detour over floats, which would round large ones.
    return mul(mul(sign(x), sign(y)), floor_divide(absolute(x), absolute(y)))


def _scale_eager(g: Any, partial: Any) -> Any:
    product = g * partial
    return np.where((g == 0) & ~np.isfinite(partial), np.zeros_like(product), product)


# Their inputs are not called ct: in a rule that name means the cotangent of the output.
scale_cotangent = elementwise(
    "scale_cotangent",
    eager=_scale_eager,
    derivative=partials(lambda g, partial: finite_or_zero(partial, g), lambda g: g),
    template=Template("select({g} == 0, {zero}, {g} * {partial})", cost=2),
    samples=reals((-3, 3), (-3, 3)),
    doc="Cotangent times partial derivative, where a cotangent of zero beats an infinite partial.",
    inputs=("g", "partial"),
    grad_name="MulBackward0",
    published=False,
    neutral={0: 1, 1: 1},
)

finite_or_zero: Primitive = elementwise(
    "finite_or_zero",
    eager=lambda partial, g: np.where(
        (g == 0) & ~np.isfinite(partial), np.zeros_like(partial), partial
    ),
    derivative=partials(lambda: 1.0, None),
    template=Template("select({g} == 0 and not isfinite({partial}), {zero}, {partial})"),
    samples=reals((-3, 3), (-3, 3)),
    doc="The partial derivative, or zero where it is infinite and the cotangent zero.",
    inputs=("partial", "g"),
    grad_name="MulBackward0",
    published=False,
)
