"""Roots and powers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from jitgrad.intrinsics.declare import Scalar, floating, formula
from jitgrad.intrinsics.exponential import EXP_LIMITS, EXP_TAIL, LOG2_E, LOG_2
from jitgrad.intrinsics.float_bits import power_of_two, scale, shift_to_integer, split_normal
from jitgrad.intrinsics.logarithm import split_exponent

if TYPE_CHECKING:
    from jitgrad.intrinsics.emitter import Emitter
    from jitgrad.intrinsics.value import Value


@floating
def sqrt(x: Scalar) -> Scalar:
    """Square root, correctly rounded; nan below zero; error at most 0.5 ulp."""
    return np.sqrt(x)


@formula(sqrt, in_place=True)
def _sqrt(e: Emitter, x: Value) -> Value:
    return e.sqrt(x)


@floating
def rsqrt(x: Scalar) -> Scalar:
    """One over the square root; error at most 1.5 ulp."""
    return x.dtype.type(1.0) / np.sqrt(x) if isinstance(x, np.generic) else 1.0 / np.sqrt(x)


@formula(rsqrt)
def _rsqrt(e: Emitter, x: Value) -> Value:
    root = e.sqrt(x)
    inverse = 1.0 / root
    # what rounding took from the root, relative to it, and from the quotient
    root_error = e.fma(-root, root, x) * inverse * inverse
    quotient_error = e.fma(-root, inverse, 1.0)
    corrected = e.fma(inverse, e.fma(root_error, -0.5, quotient_error), inverse)
    return e.select((x > 0.0) & (x < math.inf), corrected, inverse)


# m**(-1/3) to about four digits
INVERSE_CBRT = {
    "float64": (
        1.874521359423774,
        -1.861840195043221,
        1.561318993598698,
        -0.7023949456380112,
        0.12837138005967405,
    ),
    "float32": (1.7307101488113403, -1.2857340574264526, 0.71334308385849, -0.15854065120220184),
}


@floating
def cbrt(x: Scalar) -> Scalar:
    """Cube root; error at most 1 ulp."""
    return np.cbrt(x)


@formula(cbrt)
def _cbrt(e: Emitter, x: Value) -> Value:
    magnitude = e.absolute(x)
    k, m = split_exponent(e, magnitude)
    third, whole = shift_to_integer(e, k, 1.0 / 3.0)
    rest = e.fma(whole, -3.0, k)
    below, above = rest < 0.0, rest > 0.0
    guess = e.polynomial(m, INVERSE_CBRT[x.kind])
    guess = guess * e.select(below, 2.0 ** (1 / 3), e.select(above, x.like(2.0 ** (-1 / 3)), 1.0))
    m = m * e.select(below, x.like(0.5), e.select(above, x.like(2.0), x.like(1.0)))
    # inverse cube root by one step of third order, then the cube root by one of Newton's
    miss = e.fma(-m * guess, guess * guess, 1.0)
    inverse = e.fma(guess * miss, e.fma(miss, 2.0 / 9.0, 1.0 / 3.0), guess)
    square = inverse * inverse
    root = m * square
    root = e.fma(e.fma(-(root * root), root, m) * square, 1.0 / 3.0, root)
    scaled = e.copysign(root * power_of_two(e, third), x)
    return e.select((magnitude > 0.0) & (magnitude < math.inf), scaled, x)


# 2 atanh(s) = 2 s + s**3 (2/3 + s**2 P(s**2))
ATANH_TAIL = (
    0.40000000000002256,
    0.2857142857009944,
    0.22222222519967538,
    0.18181784361851736,
    0.15386757625993958,
    0.13256809831101088,
    0.13196410941568607,
)
TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)
# log(2) in two parts; the first has so few bits that its product with k is exact


@floating
def pow(x: Scalar, y: Scalar) -> Scalar:
    """Power; nan for negative `x` and fractional `y`, one for zero `y`; error at most 1.2 ulp."""
    return np.power(x, y)


@formula(pow)
def _pow(e: Emitter, x: Value, y: Value) -> Value:
    magnitude = e.absolute(x)
    # one to the power of nan or infinity is one
    exponent = e.select(magnitude.equals(1.0), x.like(0.0), y)
    if x.kind == "float32":
        power = e.cast(_pow_by_double(e, magnitude, exponent), "float32")
    else:
        power = _pow_by_two_doubles(e, magnitude, exponent)
    whole = e.rounded(y, "trunc").equals(y)
    half = y * 0.5
    odd = whole & ~e.rounded(half, "trunc").equals(half)
    negative = e.copysign(1.0, x) < 0.0
    signed = e.select(negative & odd, -power, power)
    # the root of a negative number; minus infinity has one
    undefined = (x < 0.0) & ~whole & (x > -math.inf)
    defined = e.select(undefined, x.like(math.nan), signed)
    return e.select(y.equals(0.0), x.like(1.0), defined)


def _pow_by_two_doubles(e: Emitter, x: Value, y: Value) -> Value:
    """Return ``exp(y log(x))`` with the logarithm to about 65 bits."""
    high, low = _log_in_two_parts(e, x)
    product = y * high
    rest = e.fma(y, high, -product) + y * low
    # for infinite products the rest is nan; it does not count for any that overflow
    rest = e.select(e.absolute(product) < 1000.0, rest, 0.0)
    lowest, tiny, highest = EXP_LIMITS["float64"]
    product = e.clamp(product, lowest, highest)
    head, tail = LOG_2["float64"]
    shifted, k = shift_to_integer(e, product, LOG2_E)
    r = e.fma(k, -tail, e.fma(k, -head, product)) + rest
    polynomial = e.polynomial(r, [2.0, 2.0, *(2.0 * c for c in EXP_TAIL["float64"])])
    return scale(e, polynomial, shifted, product < tiny)


def _log_in_two_parts(e: Emitter, x: Value) -> tuple[Value, Value]:
    """Return the logarithm of a magnitude, as a sum of which the second part is small."""
    k, m = split_exponent(e, x)
    f = m - 1.0
    total = f + 2.0
    lost = f - (total - 2.0)
    inverse = 1.0 / total
    s = f * inverse
    s_low = (e.fma(-s, total, f) - s * lost) * inverse
    # s**3 (2/3 + s**2 P(s**2)), each product and sum with what rounding took from it
    square = s * s
    square_low = e.fma(s, s, -square) + (s + s) * s_low
    tail = square * e.polynomial(square, ATANH_TAIL)
    factor = tail + TWO_THIRDS[0]
    factor_low = (tail - (factor - TWO_THIRDS[0])) + TWO_THIRDS[1]
    cube = square * s
    cube_low = e.fma(square, s, -cube) + square_low * s + square * s_low
    term = cube * factor
    term_low = e.fma(cube, factor, -term) + cube * factor_low + cube_low * factor
    head, head_low = LOG_2["float64"]
    exponent = k * head
    doubled = s + s
    first = exponent + doubled
    first_low = doubled - (first - exponent)
    high = first + term
    high_low = term - (high - first)
    low = ((high_low + first_low) + (term_low + (s_low + s_low))) + k * head_low
    high = e.select(x.equals(0.0), x.like(-math.inf), e.select(x < math.inf, high, x))
    return high, low


# float32 powers are computed in float64, with polynomials as short as that allows
SHORT_LOG_TAIL = (
    -0.500000002840412,
    0.3333333198275474,
    -0.24999938126122737,
    0.20000096435507755,
    -0.16670327286016387,
    0.14285698704387012,
    -0.12412649570471558,
    0.11021087767493064,
    -0.10870461887567336,
    0.10727001592592263,
    -0.059942032181176656,
)
SHORT_EXP = (
    1.0,
    1.0000000323457618,
    0.49999994157480515,
    0.16666430359822623,
    0.04166801134455952,
    0.008374234330365713,
    0.0013843348757027502,
)


def _pow_by_double(e: Emitter, x: Value, y: Value) -> Value:
    """Return ``exp(y log(x))`` in float64, to float32's precision, of float32 arguments."""
    wide, exponent = e.cast(x, "float64"), e.cast(y, "float64")
    k, m = split_normal(e, wide)
    f = m - 1.0
    logarithm = e.fma(f * f, e.polynomial(f, SHORT_LOG_TAIL), e.fma(k, math.log(2.0), f))
    logarithm = e.select(wide.equals(0.0), wide.like(-math.inf), logarithm)
    logarithm = e.select(wide < math.inf, logarithm, wide)
    # float32 overflows before these, and float64 does not
    product = e.clamp(exponent * logarithm, -160.0, 160.0)
    shifted, k = shift_to_integer(e, product, LOG2_E)
    r = e.fma(k, -math.log(2.0), product)
    return e.polynomial(r, SHORT_EXP) * power_of_two(e, shifted)
