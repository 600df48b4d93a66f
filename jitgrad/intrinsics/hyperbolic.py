"""Hyperbolic functions, their inverses and the logistic function."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from jitgrad.intrinsics.declare import Scalar, floating, formula
from jitgrad.intrinsics.exponential import EXP_TAIL, TINY, exp, split_by_log2
from jitgrad.intrinsics.float_bits import (
    EXPONENT_BITS,
    MANTISSA_BITS,
    ROOT_HALF_BITS,
    SHIFT,
    inverse_power_of_two,
    nearest_power_of_two,
    power_of_two,
    power_of_two_of,
)
from jitgrad.intrinsics.logarithm import add_multiple_of_log2, atanh_tail

if TYPE_CHECKING:
    from jitgrad.intrinsics.emitter import Emitter
    from jitgrad.intrinsics.value import Value


@floating
def sigmoid(x: Scalar) -> Scalar:
    """Logistic function, ``1 / (1 + exp(-x))``; error at most 2.5 ulp."""
    # SciPy's expit is zero below the normal range
    small = np.exp(-np.absolute(x))
    return (small if x < 0.0 else np.ones_like(small)) / (1.0 + small)


@formula(sigmoid)
def _sigmoid(e: Emitter, x: Value) -> Value:
    small = e.call(exp, -e.absolute(x))
    return e.select(x < 0.0, small, x.like(1.0)) / (small + 1.0)


# beyond these sinh and cosh are infinite
HYPERBOLIC_LIMIT = {"float64": 710.6, "float32": 89.6}
# from here on x**2 + 1 is x**2
HUGE = 2.0**28
# (sinh(r) / r - 1) / r**2, in r**2
SINH_TAIL = {
    "float64": (
        0.16666666666666677,
        0.008333333333321376,
        0.00019841269886867557,
        2.755724337562669e-06,
        2.5109355473647104e-08,
    ),
    "float32": (
        0.1666666716337204,
        0.00833317544311285,
        0.00019974082533735782,
    ),
}
# (cosh(r) - 1) / r**2, in r**2
COSH_TAIL = {
    "float64": (
        0.5,
        0.041666666666666685,
        0.0013888888888873283,
        2.4801587349200697e-05,
        2.7557251821122635e-07,
        2.0921769443118826e-09,
    ),
    "float32": (
        0.5,
        0.041666459292173386,
        0.0013935437891632318,
    ),
}


@floating
def tanh(x: Scalar) -> Scalar:
    """Hyperbolic tangent; error at most 2.7 ulp."""
    return np.tanh(x)


# from here on tanh is one
TANH_LIMIT = {"float64": 20.0, "float32": 9.02}


@formula(tanh)
def _tanh(e: Emitter, x: Value) -> Value:
    limit = TANH_LIMIT[x.kind]
    magnitude = e.absolute(x)
    a = e.select(magnitude > limit, x.like(limit), magnitude)
    shifted, r = split_by_log2(e, a + a)
    # expm1(2 |x|)
    power = power_of_two(e, shifted)
    growth = e.multiply_add(
        r * r * e.polynomial(r, EXP_TAIL[x.kind]), power, e.multiply_add(r, power, power - 1.0)
    )
    return e.copysign(growth / (growth + 2.0), x)


def _half_cosh_sinh(e: Emitter, x: Value) -> tuple[Value, Value, Value, Value]:
    """Return what makes ``sinh(|x|) / 2`` and ``cosh(x) / 2``.

    With ``|x| = k log(2) + r``: the half sum and half difference of ``2**k / 2`` and
    ``2**-k / 2``, and ``sinh(r)`` and ``cosh(r) - 1``.
    """
    shifted, r = split_by_log2(e, e.clamp(e.absolute(x), 0.0, HYPERBOLIC_LIMIT[x.kind]))
    k = shifted - SHIFT[x.kind]
    up = power_of_two(e, shifted, minus=2)
    # where 2**-k would be no normal number it does not count
    largest = 2.0 ** (EXPONENT_BITS[x.kind] - 1) - 8
    down = power_of_two_of(e, -e.select(k > largest, x.like(largest), k)) * 0.25
    square = r * r
    sine = e.multiply_add(square * r, e.polynomial(square, SINH_TAIL[x.kind]), r)
    cosine = square * e.polynomial(square, COSH_TAIL[x.kind])
    return up + down, up - down, sine, cosine


@floating
def sinh(x: Scalar) -> Scalar:
    """Hyperbolic sine; error at most 2.3 ulp."""
    return np.sinh(x)


@formula(sinh)
def _sinh(e: Emitter, x: Value) -> Value:
    total, difference, sine, cosine = _half_cosh_sinh(e, x)
    half = difference + e.multiply_add(cosine, difference, sine * total)
    return e.select(e.absolute(x) < TINY, x, e.copysign(half * 2.0, x))


@floating
def cosh(x: Scalar) -> Scalar:
    """Hyperbolic cosine; error at most 2 ulp."""
    return np.cosh(x)


@formula(cosh)
def _cosh(e: Emitter, x: Value) -> Value:
    total, difference, sine, cosine = _half_cosh_sinh(e, x)
    return (total + e.multiply_add(cosine, total, sine * difference)) * 2.0


@floating
def asinh(x: Scalar) -> Scalar:
    """Inverse of `sinh`; error at most 2.6 ulp."""
    return np.arcsinh(x)


@formula(asinh)
def _asinh(e: Emitter, x: Value) -> Value:
    sine = e.absolute(x)
    huge = sine > HUGE
    cosine = e.sqrt(e.multiply_add(sine, sine, 1.0))
    angle = _angle(e, huge, e.select(huge, sine * 0.25, sine), e.select(huge, 0.0, cosine))
    return e.select(sine < math.inf, e.copysign(angle, x), x)


def _angle(e: Emitter, huge: Value, sine: Value, cosine: Value) -> Value:
    """Return `y`, not negative, of hyperbolic sine and cosine.

    Where they are huge, which makes them equal, one is given as zero and the other divided by four:
    an eighth of their sum ``exp(y)`` is far from overflow.
    """
    # k is zero up to exp(y) = 3/2, as far as the polynomial goes: with k terms of it cancel
    k, power = nearest_power_of_two(e, (sine + cosine) * (math.sqrt(2.0) / 1.5))
    # (exp(y) - 2**k) / (exp(y) + 2**k); without k the square of this, which is accurate near zero
    near = power.equals(1.0)
    part = e.select(near, 0.0, sine)
    # in this order, as the cosine is near the power where the sum loses digits
    above = cosine - power + part
    quotient = above / (cosine + power + part)
    f = e.select(near, sine, above * inverse_power_of_two(e, power))
    # exp(y) = 2**k (1 + f), or f is the sine; twice the tangent of half of y is f - f * quotient
    total, rest = add_multiple_of_log2(e, e.select(huge, k + 3.0, k), f)
    rest = e.multiply_add(-f, quotient, rest)
    return total + atanh_tail(e, e.multiply_add(-f, quotient, f) * 0.5, rest)


@floating
def acosh(x: Scalar) -> Scalar:
    """Inverse of `cosh`; nan below one; error at most 2.3 ulp."""
    return np.arccosh(x)


@formula(acosh)
def _acosh(e: Emitter, x: Value) -> Value:
    huge = x > HUGE
    sine = e.sqrt((x - 1.0) * (x + 1.0))
    angle = _angle(e, huge, e.select(huge, 0.0, sine), e.select(huge, x * 0.25, x))
    return e.select(x < 1.0, x.like(math.nan), e.select(x < math.inf, angle, x))


@floating
def atanh(x: Scalar) -> Scalar:
    """Inverse of `tanh`; nan outside [-1, 1]; error at most 2.4 ulp."""
    return np.arctanh(x)


@formula(atanh)
def _atanh(e: Emitter, x: Value) -> Value:
    a = e.absolute(x)
    # half the logarithm of (1 + a) / (1 - a); the difference of the bits of these is near enough
    # to the bits of their quotient, of which the exponent then changes in the middle
    middle = ROOT_HALF_BITS[x.kind] + (1 << (MANTISSA_BITS[x.kind] - 1))
    bits = e.bits(a + 1.0) - e.bits(1.0 - a) + middle
    k, power = nearest_power_of_two(e, e.from_bits(bits))
    # (1 + a) - 2**k (1 - a) to within its last digit, and with a plus between
    remainder = 1.0 - a
    far = e.multiply_add(-power, remainder, 1.0)
    above = e.select(a < 0.5, e.multiply_add(a, power, 1.0 - power), far) + a
    below = e.multiply_add(power, remainder, 1.0) + a
    half = above / below
    total, rest = add_multiple_of_log2(e, k, half + half)
    usual = e.copysign((total + atanh_tail(e, half, rest)) * 0.5, x)
    outside = e.select(a.equals(1.0), e.copysign(math.inf, x), x.like(math.nan))
    return e.select(a < 1.0, usual, outside)
