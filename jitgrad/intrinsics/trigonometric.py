"""Sine, cosine and tangent.

All take from `x` the nearest multiple of pi / 2, in three parts with fused products, which leaves
`r` with little more than its own rounding error; sine and cosine of `r` are minimax polynomials of
`tests/intrinsics/fit_polynomials.py`. Arguments too large for the three parts go to the C library,
one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jitgrad.intrinsics.declare import Scalar, floating, formula
from jitgrad.intrinsics.float_bits import shift_to_integer

if TYPE_CHECKING:
    from jitgrad.intrinsics.emitter import Emitter
    from jitgrad.intrinsics.value import Value

TWO_OVER_PI = 0.6366197723675814
# pi / 2: to the precision of the type, what is left of it, and again
HALF_PI_PARTS = {
    "float64": (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591833e-33),
    "float32": (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
}
# up to here the multiple of pi / 2 is right to within a few hundredths
LARGEST_REDUCED = {"float64": 2.0**30, "float32": 2.0**17}
# (sin(r) / r - 1) / r**2, in r**2
SIN_TAIL = {
    "float64": (
        -0.1666666666666663,
        0.008333333333321842,
        -0.00019841269829360496,
        2.7557313539316577e-06,
        -2.5050734528792917e-08,
        1.589544204657141e-10,
    ),
    "float32": (
        -0.16666655242443085,
        0.008332189172506332,
        -0.00019518285989761353,
    ),
}
# (cos(r) - 1 + r**2 / 2) / r**4, in r**2
COS_TAIL = {
    "float64": (
        0.041666666666666595,
        -0.001388888888887334,
        2.4801587288999633e-05,
        -2.755731421607141e-07,
        2.087570523445017e-09,
        -1.1358739529593803e-11,
    ),
    "float32": (
        0.04166664555668831,
        -0.0013887309469282627,
        2.4432327336398885e-05,
    ),
}
# (tan(r) / r - 1) / r**2, in r**2; float32
TAN_TAIL = (
    0.33333349227905273,
    0.1333267241716385,
    0.05405944213271141,
    0.021282797679305077,
    0.01083759218454361,
    8.404829713981599e-05,
    0.004380254540592432,
)


@floating
def sin(x: Scalar) -> Scalar:
    """Sine; error at most 1.6 ulp."""
    return np.sin(x)


@formula(sin)
def _sin(e: Emitter, x: Value) -> Value:
    quadrant, sine, cosine = _sin_cos(e, x)
    usual = _in_quadrant(e, quadrant, sine, cosine)
    # the sum of a zero and its corrections has no sign
    usual = e.select(x.equals(0.0), x, usual)
    return e.rarely(_is_large(e, x), "sin_of_large", _sin_of_large, usual, x)


def _sin_of_large(e: Emitter, x: Value) -> Value:
    return e.libm("sin", x)


@floating
def cos(x: Scalar) -> Scalar:
    """Cosine; error at most 1.6 ulp."""
    return np.cos(x)


@formula(cos)
def _cos(e: Emitter, x: Value) -> Value:
    quadrant, sine, cosine = _sin_cos(e, x)
    usual = _in_quadrant(e, quadrant + 1, sine, cosine)
    return e.rarely(_is_large(e, x), "cos_of_large", _cos_of_large, usual, x)


def _cos_of_large(e: Emitter, x: Value) -> Value:
    return e.libm("cos", x)


@floating
def tan(x: Scalar) -> Scalar:
    """Tangent; error at most 3.1 ulp."""
    return np.tan(x)


@formula(tan)
def _tan(e: Emitter, x: Value) -> Value:
    if x.kind == "float32":
        quadrant, r = _subtract_right_angles(e, x)
        square = r * r
        tangent = e.multiply_add(square * r, e.polynomial(square, TAN_TAIL), r)
        odd = _is_odd(quadrant)
        usual = e.select(odd, x.like(-1.0), tangent) / e.select(odd, tangent, x.like(1.0))
    else:
        quadrant, sine, cosine = _sin_cos(e, x)
        odd = _is_odd(quadrant)
        usual = e.select(odd, -cosine, sine) / e.select(odd, sine, cosine)
    usual = e.select(x.equals(0.0), x, usual)
    return e.rarely(_is_large(e, x), "tan_of_large", _tan_of_large, usual, x)


def _tan_of_large(e: Emitter, x: Value) -> Value:
    return e.libm("tan", x)


def _is_large(e: Emitter, x: Value) -> Value:
    return e.absolute(x) > LARGEST_REDUCED[x.kind]


def _subtract_right_angles(e: Emitter, x: Value) -> tuple[Value, Value]:
    """Return `n`, in the low bits, and ``x - n pi / 2``."""
    high, middle, low = HALF_PI_PARTS[x.kind]
    shifted, n = shift_to_integer(e, x, TWO_OVER_PI)
    # exact: both are multiples of the last bit of `high`, and their difference is small
    r = e.fma(n, -high, x)
    # where these cancel, they are exact too
    return e.bits(shifted), e.fma(n, -low, e.fma(n, -middle, r))


def _sin_cos(e: Emitter, x: Value) -> tuple[Value, Value, Value]:
    """Return `n`, in the low bits, and sine and cosine of ``x - n pi / 2``."""
    quadrant, r = _subtract_right_angles(e, x)
    square = r * r
    sine = e.multiply_add(square * r, e.polynomial(square, SIN_TAIL[x.kind]), r)
    cosine = e.polynomial_from(e.polynomial(square, COS_TAIL[x.kind]), square, (1.0, -0.5))
    return quadrant, sine, cosine


def _is_odd(quadrant: Value) -> Value:
    return (quadrant & 1).equals(1)


def _in_quadrant(e: Emitter, quadrant: Value, sine: Value, cosine: Value) -> Value:
    magnitude = e.select(_is_odd(quadrant), cosine, sine)
    sign = (quadrant & 2) << (62 if sine.kind == "float64" else 30)
    return e.from_bits(e.bits(magnitude) ^ sign)
