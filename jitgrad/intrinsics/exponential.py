"""Exponential functions.

All three split ``x = k log(2) + r`` with a whole `k` and ``|r| <= log(2) / 2``, so that
``exp(x) = 2**k exp(r)``, where ``exp(r)`` is a polynomial and ``2**k`` is made of exponent bits.
The polynomials are minimax fits of `tests/intrinsics/fit_polynomials.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jitgrad.intrinsics.declare import Scalar, floating, formula
from jitgrad.intrinsics.float_bits import power_of_two, scale, shift_to_integer

if TYPE_CHECKING:
    from jitgrad.intrinsics.emitter import Emitter
    from jitgrad.intrinsics.value import Value

LOG2_E = 1.4426950408889634
# log(2) in two parts; the first has so few bits that its product with k is exact
LOG_2 = {
    "float64": (0.6931471805598903, 5.497923018708371e-14),
    "float32": (0.693145751953125, 1.4286068203094173e-06),
}

# (exp(r) - 1 - r) / r**2
EXP_TAIL = {
    "float64": (
        0.5000000000000011,
        0.1666666666666643,
        0.041666666666525666,
        0.008333333333479681,
        0.001388888894492044,
        0.0001984126954647742,
        2.4801491662875684e-05,
        2.755754381393979e-06,
        2.763079216948944e-07,
        2.5015683745778075e-08,
    ),
    "float32": (
        0.4999999403953552,
        0.16666516661643982,
        0.041668105870485306,
        0.008369146846234798,
        0.0013836800353601575,
    ),
}

# At the first the power of two in `scale` is zero itself: that exp is zero there, as beyond the
# last it is infinite, comes of no underflow, which would take processors some 150 cycles. Below the
# second it is not normal.
EXP_LIMITS = {"float64": (-780.5, -707.0, 710.0), "float32": (-119.25, -86.0, 89.0)}


@floating
def exp(x: Scalar) -> Scalar:
    """Exponential; error at most 1 ulp."""
    return np.exp(x)


@formula(exp)
def _exp(e: Emitter, x: Value) -> Value:
    lowest, tiny, highest = EXP_LIMITS[x.kind]
    x = e.clamp(x, lowest, highest)
    shifted, r = split_by_log2(e, x)
    tail = e.polynomial(r, [2.0 * c for c in EXP_TAIL[x.kind]])
    doubled = e.polynomial_from(tail, r, (2.0, 2.0))
    return scale(e, doubled, shifted, x < tiny)


def split_by_log2(e: Emitter, x: Value) -> tuple[Value, Value]:
    """Return `k`, shifted into the low bits of a float, and `r` in ``x = k log(2) + r``."""
    high, low = LOG_2[x.kind]
    shifted, k = shift_to_integer(e, x, LOG2_E)
    return shifted, e.multiply_add(k, -low, e.multiply_add(k, -high, x))


@floating
def exp2(x: Scalar) -> Scalar:
    """Two to the power `x`; error at most 1 ulp."""
    return np.exp2(x)


# (2**r - 1) / r
EXP2_TAIL = {
    "float64": (
        0.6931471805599453,
        0.24022650695910108,
        0.05550410866482173,
        0.009618129107601599,
        0.0013333558146545387,
        0.00015403530449044695,
        1.5252733634795675e-05,
        1.321543883156307e-06,
        1.017815972589167e-07,
        7.073233762609282e-09,
        4.4389084103929296e-10,
    ),
    "float32": (
        0.6931471824645996,
        0.24022647738456726,
        0.05550359934568405,
        0.009618504904210567,
        0.00133908586576581,
        0.00015326772700063884,
    ),
}
EXP2_LIMITS = {"float64": (-1126.0, -1021.0, 1025.0), "float32": (-172.0, -125.0, 129.0)}


@formula(exp2)
def _exp2(e: Emitter, x: Value) -> Value:
    lowest, tiny, highest = EXP2_LIMITS[x.kind]
    x = e.clamp(x, lowest, highest)
    shifted, k = shift_to_integer(e, x)
    r = x - k
    tail = e.polynomial(r, [2.0 * c for c in EXP2_TAIL[x.kind]])
    return scale(e, e.polynomial_from(tail, r, (2.0,)), shifted, x < tiny)


@floating
def expm1(x: Scalar) -> Scalar:
    """Exponential minus one, accurate near zero; error at most 1.6 ulp."""
    return np.expm1(x)


# expm1(x) is x below this
TINY = 2.0**-60
# below the first, expm1 is -1
EXPM1_LIMITS = {"float64": (-40.0, 710.0), "float32": (-20.0, 89.0)}


@formula(expm1)
def _expm1(e: Emitter, x: Value) -> Value:
    clamped = e.clamp(x, *EXPM1_LIMITS[x.kind])
    shifted, r = split_by_log2(e, clamped)
    # 2**k exp(r) - 1, with half of 2**k so that the largest results do not overflow on the way
    half = power_of_two(e, shifted, minus=1)
    head = e.multiply_add(r, half, half - 0.5)
    doubled = e.multiply_add(r * r * e.polynomial(r, EXP_TAIL[x.kind]), half, head) * 2.0
    # the sum has no sign of zero, and lacks the last bit of subnormal numbers
    return e.select(e.absolute(x) < TINY, x, doubled)


def expm1_of_remainder(e: Emitter, r: Value) -> Value:
    """Return ``exp(r) - 1`` for ``|r| <= log(2) / 2``."""
    return e.multiply_add(r * r, e.polynomial(r, EXP_TAIL[r.kind]), r)
