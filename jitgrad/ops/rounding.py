"""Signs, magnitudes, rounding and remainders."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.primitive import Template, partials
from jitgrad.core.public import public
from jitgrad.ops.families import elementwise, reals
from jitgrad.ops.naming import shown_as

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


def _floats_only(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return `function` for floating arrays; others are whole already and stay as they are."""

    def rounded(x: Any) -> Any:
        return function(x) if x.dtype.kind == "f" else x.copy()

    return rounded


def _round_to_whole(
    name: str, eager: Callable[[Any], Any], doc: str, published: bool = True
) -> Any:
    return elementwise(
        name,
        eager=_floats_only(eager),
        derivative=partials(lambda: 0.0),
        template=Template(f"{name}({{x}})", integer="{x}", boolean="{x}"),
        samples=reals(-3, 3),
        doc=doc,
        published=published,
    )


floor = _round_to_whole("floor", np.floor, "Largest whole number not above each element.")
ceil = _round_to_whole("ceil", np.ceil, "Smallest whole number not below each element.")
trunc = _round_to_whole("trunc", np.trunc, "Each element rounded towards zero.")
round_half_even = _round_to_whole(
    "round", np.rint, "Nearest whole number, the even one of two that are as near.", False
)

sign = elementwise(
    "sign",
    eager=lambda x: np.sign(x) if x.dtype.kind != "b" else x.copy(),
    derivative=partials(lambda: 0.0),
    template=Template("sign({x})", boolean="{x}"),
    samples=reals(-3, 3),
    doc="Minus one, zero or one, as each element is negative, zero or positive.",
)

heaviside = elementwise(
    "heaviside",
    eager=lambda x, values: np.where(x == 0, values, (x > 0).astype(x.dtype)),
    derivative=partials(lambda: 0.0, lambda: 0.0),
    template="select({x} == 0, {values}, select({x} > 0, {one}, {zero}))",
    samples=reals((0.3, 3), (-1, 1)),
    doc="Zero where an element of `x` is negative, one where it is positive, else of `values`.",
    inputs=("x", "values"),
)

absolute = elementwise(
    "abs",
    eager=np.abs,
    derivative=partials(lambda x: sign(x)),
    template=Template("absolute({x})", boolean="{x}"),
    samples=reals(0.3, 3),
    doc="Magnitude of each element; its derivative at zero is zero.",
)


def _on_numbers(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return `function` with NumPy's int8 for a pair of booleans turned back into bool."""

    def computed(x: Any, y: Any) -> Any:
        result = function(x, y)
        return result if x.dtype.kind != "b" else result.astype(bool)

    return computed


floor_divide = elementwise(
    "floor_divide",
    eager=_on_numbers(np.floor_divide),
    derivative=partials(lambda: 0.0, lambda: 0.0),
    template=Template("floor_divide({x}, {y})", boolean="{x} and {y}", cost=8),
    samples=reals((-9, 9), (0.5, 3)),
    doc="Quotient of each pair of elements, rounded down; whole numbers divided by zero give 0.",
    inputs=("x", "y"),
)

remainder = elementwise(
    "remainder",
    eager=_on_numbers(np.remainder),
    derivative=partials(lambda: 1.0, lambda x, y: -floor_divide(x, y)),
    template=Template("remainder({x}, {y})", boolean="False", cost=8),
    samples=reals((-2.9, -0.1), (3, 5)),
    doc="Remainder of each pair of elements, with the sign of the divisor: Python's ``%``.",
    inputs=("x", "y"),
)

fmod = elementwise(
    "fmod",
    eager=_on_numbers(np.fmod),
    derivative=partials(lambda: 1.0, lambda x, y: -trunc(x / y)),
    template=Template(
        "fmod({x}, {y})",
        integer="select({x} < 0, -remainder(-{x}, absolute({y})), remainder({x}, absolute({y})))",
        boolean="False",
        cost=8,
    ),
    samples=reals((3.1, 5.9), (2, 3)),
    doc="Remainder of each pair of elements, with the sign of the dividend.",
    inputs=("x", "y"),
)

copysign = elementwise(
    "copysign",
    eager=np.copysign,
    derivative=partials(lambda x, out: sign(x) * sign(out), lambda: 0.0),
    template="copysign({x}, {y})",
    samples=reals((0.5, 3), (-3, 3)),
    doc="Magnitudes of the first input with the signs of the second.",
    inputs=("x", "y"),
    result="float",
)


@public(inplace=True)
def round_(x: ArrayLike, *, decimals: int = 0) -> Tensor:
    """Round each element to the nearest number of so many decimals, halves to even.

    Parameters
    ----------
    x : array_like
        Any shape.
    decimals : int
        Places after the decimal point; negative ones before it.

    Returns
    -------
    Tensor, shape and dtype of `x`
        Its derivative is zero everywhere.
    """
    value = box(x)
    if decimals > 0:
        scaled = round_half_even(value * 10.0**decimals) / 10.0**decimals
        return shown_as("RoundBackward1", scaled)
    if decimals < 0:
        scaled = round_half_even(value / 10.0**-decimals) * 10.0**-decimals
        return shown_as("RoundBackward1", scaled)
    result: Tensor = round_half_even(value)
    return result


@public(inplace=True)
def frac(x: ArrayLike) -> Tensor:
    """Return the part of each element behind the decimal point, with the element's sign.

    Parameters
    ----------
    x : array_like, any shape

    Returns
    -------
    Tensor, shape and dtype of `x`
    """
    value = box(x)
    return shown_as("FracBackward0", value - trunc(value))
