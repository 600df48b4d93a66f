"""Trigonometric functions and their inverses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.primitive import Primitive, Template, partials
from jitgrad.core.public import public
from jitgrad.ops.arithmetic import reciprocal
from jitgrad.ops.families import elementwise, reals
from jitgrad.ops.power import rsqrt, square
from jitgrad.ops.selection import select

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor

sin = elementwise(
    "sin",
    eager=np.sin,
    derivative=partials(lambda x: cos(x)),
    template=Template("sin({x})", cost=20),
    samples=reals(-4, 4),
    doc="Sine of each element, in radians.",
    result="float",
)

cos: Primitive = elementwise(
    "cos",
    eager=np.cos,
    derivative=partials(lambda x: -sin(x)),
    template=Template("cos({x})", cost=20),
    samples=reals(-4, 4),
    doc="Cosine of each element, in radians.",
    result="float",
)

tan = elementwise(
    "tan",
    eager=np.tan,
    derivative=partials(lambda out: 1.0 + square(out)),
    template=Template("tan({x})", cost=25),
    samples=reals(-1.2, 1.2),
    doc="Tangent of each element, in radians.",
    result="float",
)

asin = elementwise(
    "asin",
    eager=np.arcsin,
    derivative=partials(lambda x: rsqrt(1.0 - square(x)), singular=True),
    template=Template("asin({x})", cost=25),
    samples=reals(-0.8, 0.8),
    doc="Inverse sine of each element, in [-pi/2, pi/2]; nan outside [-1, 1].",
    result="float",
)

acos = elementwise(
    "acos",
    eager=np.arccos,
    derivative=partials(lambda x: -rsqrt(1.0 - square(x)), singular=True),
    template=Template("acos({x})", cost=25),
    samples=reals(-0.8, 0.8),
    doc="Inverse cosine of each element, in [0, pi]; nan outside [-1, 1].",
    result="float",
)

atan = elementwise(
    "atan",
    eager=np.arctan,
    derivative=partials(lambda x: reciprocal(1.0 + square(x))),
    template=Template("atan({x})", cost=25),
    samples=reals(-4, 4),
    doc="Inverse tangent of each element, in [-pi/2, pi/2].",
    result="float",
)


def _inverse_square_length(y: Any, x: Any) -> Any:
    """Return ``1 / (x**2 + y**2)``, zero at the origin."""
    length = x * x + y * y
    return select(length == 0, 0.0, 1.0 / length)


atan2 = elementwise(
    "atan2",
    eager=np.arctan2,
    derivative=partials(
        lambda y, x: x * _inverse_square_length(y, x),
        lambda y, x: -(y * _inverse_square_length(y, x)),
    ),
    template=Template("atan2({y}, {x})", cost=30),
    samples=reals((0.5, 3), (-3, 3)),
    doc="Angle of each point (x, y), in [-pi, pi]; its derivative at the origin is zero.",
    inputs=("y", "x"),
    result="float",
)

hypot = elementwise(
    "hypot",
    eager=np.hypot,
    derivative=partials(
        lambda x, out: select(out == 0, 0.0, x / out), lambda y, out: select(out == 0, 0.0, y / out)
    ),
    template=Template("hypot({x}, {y})", cost=15),
    samples=reals((-3, 3), (0.5, 3)),
    doc="Length of each vector (x, y), without overflow; its derivative at the origin is zero.",
    inputs=("x", "y"),
    result="float",
)


def _sinc_slope(x: Any, out: Any) -> Any:
    return select(x == 0, 0.0, (cos(x * math.pi) - out) / x)


sinc = elementwise(
    "sinc",
    eager=np.sinc,
    derivative=partials(_sinc_slope),
    template=Template(
        "select({x} == 0, {one}, sin({x} * 3.141592653589793) / ({x} * 3.141592653589793))", cost=26
    ),
    samples=reals(0.2, 2),
    doc="``sin(pi x) / (pi x)`` of each element, 1 at zero.",
    result="float",
)


@public(inplace=True)
def deg2rad(x: ArrayLike) -> Tensor:
    """Convert angles from degrees to radians.

    Parameters
    ----------
    x : array_like, any shape
        Degrees.

    Returns
    -------
    Tensor, shape of `x`
        Radians.
    """
    result: Tensor = box(x) * (math.pi / 180.0)
    return result


@public(inplace=True)
def rad2deg(x: ArrayLike) -> Tensor:
    """Convert angles from radians to degrees.

    Parameters
    ----------
    x : array_like, any shape
        Radians.

    Returns
    -------
    Tensor, shape of `x`
        Degrees.
    """
    result: Tensor = box(x) * (180.0 / math.pi)
    return result
