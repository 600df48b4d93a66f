"""Roots and powers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jitgrad.intrinsics.declare import Scalar, floating, formula
from jitgrad.intrinsics.exponential import (
    EXP2_LIMITS,
    EXP2_TAIL,
    EXP_LIMITS,
    EXP_TAIL,
    LOG2_E,
    LOG_2,
)
from jitgrad.intrinsics.float_bits import MANTISSA_BITS, ONE_BITS, scale, shift_to_integer
from jitgrad.intrinsics.logarithm import SMALLEST_NORMAL, split_exponent

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


# what centres the error of the guess at a root
CBRT_LEAN = 0.068


@floating
def cbrt(x: Scalar) -> Scalar:
    """Cube root; error at most 1 ulp."""
    return np.cbrt(x)


@formula(cbrt)
def _cbrt(e: Emitter, x: Value) -> Value:
    magnitude = e.absolute(x)
    tiny = magnitude < SMALLEST_NORMAL[x.kind]
    m = e.select(tiny, magnitude * 2.0**54, magnitude)
    inverse = _inverse_cbrt_guess(e, m)
    if x.kind == "float64":
        inverse = _improved_inverse_cbrt(e, m, inverse, (1.0 / 3.0, 2.0 / 9.0))
    inverse = _improved_inverse_cbrt(e, m, inverse, (1.0 / 3.0, 2.0 / 9.0, 14.0 / 81.0))
    # the cube root by one step of Newton's
    square = inverse * inverse
    root = m * square
    root = e.fma(e.fma(-(root * root), root, m) * square, 1.0 / 3.0, root)
    scaled = e.copysign(e.select(tiny, root * 2.0**-18, root), x)
    return e.select((magnitude > 0.0) & (magnitude < math.inf), scaled, x)


def _inverse_cbrt_guess(e: Emitter, x: Value) -> Value:
    """Return ``x**(-1/3)`` to about 4 percent: bits are nearly a logarithm, times minus a third."""
    middle = ONE_BITS[x.kind] * 4.0 / 3.0 - CBRT_LEAN * 2.0 ** MANTISSA_BITS[x.kind]
    if x.kind == "float32":
        bits = e.multiply_add(e.cast(e.bits(x), "float32"), -1.0 / 3.0, middle)
        return e.from_bits(e.cast(bits, "int32"))
    # all but the last bits, as the low bits of 2**52
    two_to_52 = ONE_BITS["float64"] + (52 << 52)
    bits = e.from_bits(e.unsigned_shift(e.bits(x), 12) | two_to_52) - 2.0**52
    shifted = e.multiply_add(bits, -1.0 / 3.0, 2.0**52 + middle * 2.0**-12)
    return e.from_bits(e.bits(shifted) << 12)


def _improved_inverse_cbrt(e: Emitter, x: Value, guess: Value, series: Sequence[float]) -> Value:
    """Return a guess at ``x**(-1/3)`` times a series for ``(1 - miss)**(-1/3)``."""
    miss = e.fma(-x * guess, guess * guess, 1.0)
    return e.multiply_add(guess * miss, e.polynomial(miss, series), guess)


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
    """Power; nan for negative `x` and fractional `y`, one for zero `y`; error at most 1.8 ulp."""
    return np.power(x, y)


@formula(pow)
def _pow(e: Emitter, x: Value, y: Value) -> Value:
    magnitude = e.absolute(x)
    # one to the power of nan or infinity is one
    exponent = e.select(magnitude.equals(1.0), x.like(0.0), y)
    if x.kind == "float32":
        power = _pow_by_two_singles(e, magnitude, exponent)
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
    s, s_low = _half_difference_over_mean(e, m - 1.0)
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
    return _with_ends(e, x, high), low


# log2((1 + s) / (1 - s)) = 2 s / log(2) + s**3 P(s**2); float32
TWO_OVER_LOG_2 = (2.885390043258667, 3.851926067000022e-08)
LOG2_TAIL = (0.9617967009544373, 0.5770788192749023, 0.4119272828102112, 0.33649006485939026)


def _pow_by_two_singles(e: Emitter, x: Value, y: Value) -> Value:
    """Return ``exp2(y log2(x))`` with the logarithm to about 31 bits."""
    high, low = _log2_in_two_parts(e, x)
    product = y * high
    rest = e.fma(y, low, e.fma(y, high, -product))
    # for infinite products the rest is nan; it does not count for any that overflow
    rest = e.select(e.absolute(product) < 200.0, rest, 0.0)
    lowest, tiny, highest = EXP2_LIMITS["float32"]
    product = e.clamp(product, lowest, highest)
    shifted, k = shift_to_integer(e, product)
    r = (product - k) + rest
    polynomial = e.polynomial(r, [2.0, *(2.0 * c for c in EXP2_TAIL["float32"])])
    return scale(e, polynomial, shifted, product < tiny)


def _log2_in_two_parts(e: Emitter, x: Value) -> tuple[Value, Value]:
    """Return the binary logarithm of a magnitude, as a sum of which the second part is small."""
    k, m = split_exponent(e, x)
    s, s_low = _half_difference_over_mean(e, m - 1.0)
    square = s * s
    factor, factor_low = TWO_OVER_LOG_2
    tail = square * s * e.polynomial(square, LOG2_TAIL)
    term = e.fma(s, factor, tail)
    slope = e.fma(square, factor, factor)
    term_low = (e.fma(s, factor, -term) + tail) + e.fma(s_low, slope, s * factor_low)
    high = k + term
    low = (term - (high - k)) + term_low
    return _with_ends(e, x, high), low


def _half_difference_over_mean(e: Emitter, f: Value) -> tuple[Value, Value]:
    """Return ``f / (2 + f)`` as a sum of which the second part is small."""
    total = f + 2.0
    lost = f - (total - 2.0)
    inverse = 1.0 / total
    s = f * inverse
    return s, (e.fma(-s, total, f) - s * lost) * inverse


def _with_ends(e: Emitter, x: Value, logarithm: Value) -> Value:
    """Return the logarithm, with its values at zero, at infinity and for nan."""
    return e.select(x.equals(0.0), x.like(-math.inf), e.select(x < math.inf, logarithm, x))
