"""Logarithms, and functions made of an exponential and a logarithm.

All split ``x = 2**k (1 + f)`` with a whole `k` and ``1 + f`` between the square roots of one half
and of two, so that ``log(x) = k log(2) + log(1 + f)``. The polynomials in the last term are minimax
fits of `tests/intrinsics/fit_polynomials.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jitgrad.intrinsics.declare import Scalar, floating, formula
from jitgrad.intrinsics.exponential import LOG_2, exp
from jitgrad.intrinsics.float_bits import MANTISSA_BITS, ONE_BITS, split_normal

if TYPE_CHECKING:
    from jitgrad.intrinsics.emitter import Emitter
    from jitgrad.intrinsics.value import Value

# (log(1 + f) - f) / f**2; float32
LOG_TAIL = (
    -0.5,
    0.3333333134651184,
    -0.2500081956386566,
    0.20001240074634552,
    -0.1662340760231018,
    0.14201639592647552,
    -0.13159695267677307,
    0.1276182383298874,
    -0.07635720074176788,
)
# (2 atanh(s) / s - 2) / s**2, in s**2, for `s` that make logarithms up to 0.41
TWICE_ATANH_TAIL = {
    "float64": (
        0.6666666666667325,
        0.3999999999587037,
        0.28571429447350316,
        0.22222134267804108,
        0.18186528688731424,
        0.1524675051449781,
        0.1539480752183188,
    ),
    "float32": (
        0.6666696071624756,
        0.39956486225128174,
        0.30389195680618286,
    ),
}
# the same for `s` up to one third, of the logarithm of one to two
FRACTION_ATANH_TAIL = {
    "float64": (
        0.6666666666666631,
        0.40000000000155916,
        0.2857142854801003,
        0.22222223960731272,
        0.18181744217553084,
        0.1538655419673799,
        0.133010423383521,
        0.1210559117445954,
        0.08342061017965588,
        0.17015303638768894,
    ),
    "float32": (
        0.666664183139801,
        0.40021440386772156,
        0.28002941608428955,
        0.280073344707489,
    ),
}
SMALLEST_NORMAL = {"float64": 2.0**-1022, "float32": 2.0**-126}


@floating
def log(x: Scalar) -> Scalar:
    """Natural logarithm; error at most 1 ulp."""
    return np.log(x)


@formula(log)
def _log(e: Emitter, x: Value) -> Value:
    k, m = split_exponent(e, x)
    return with_log_domain(e, x, log_of_parts(e, k, m - 1.0))


def split_exponent(e: Emitter, x: Value) -> tuple[Value, Value]:
    """Return whole `k` and ``m`` between the roots of one half and two in ``x = 2**k m``.

    For positive `x`, also below the normal range.
    """
    tiny = x < SMALLEST_NORMAL[x.kind]
    lift = 2.0 ** (64 if x.kind == "float64" else 32)
    k, m = split_normal(e, e.select(tiny, x * lift, x))
    return e.select(tiny, k - math.log2(lift), k), m


def log_of_parts(e: Emitter, k: Value, f: Value) -> Value:
    """Return ``k log(2) + log(1 + f)``."""
    total, rest = add_multiple_of_log2(e, k, f)
    return total + log1p_tail(e, f, rest)


def add_multiple_of_log2(e: Emitter, k: Value, f: Value) -> tuple[Value, Value]:
    """Return ``k log(2) + f`` as a sum of which the second part is small, for ``|f| < log(2)``."""
    high, low = LOG_2[f.kind]
    total = e.multiply_add(k, high, f)
    # what rounding that sum left out; |k log(2)| > |f|, or k = 0
    lost = f + e.multiply_add(k, high, -total)
    return total, e.multiply_add(k, low, lost)


def log1p_tail(e: Emitter, f: Value, rest: Value) -> Value:
    """Return ``log(1 + f) - f + rest`` for ``1 + f`` between the roots of one half and two."""
    if f.kind == "float32":
        return e.multiply_add(f * f, e.polynomial(f, LOG_TAIL), rest)
    # a polynomial in `f` would have twenty terms; the division is done beside other things
    return _log1p_by_atanh(e, f, TWICE_ATANH_TAIL[f.kind], rest)


def _log1p_by_atanh(e: Emitter, f: Value, tail: Sequence[float], rest: Value) -> Value:
    # log(1 + f) = 2 atanh(s), and 2 s = f - s f
    s = f / (f + 2.0)
    square = s * s
    return e.multiply_add(-s, e.multiply_add(-square, e.polynomial(square, tail), f), rest)


def atanh_tail(e: Emitter, s: Value, rest: Value) -> Value:
    """Return ``2 atanh(s) - 2 s + rest`` for `s` that makes logarithms up to 0.41."""
    square = s * s
    return e.multiply_add(square * s, e.polynomial(square, TWICE_ATANH_TAIL[s.kind]), rest)


def with_log_domain(e: Emitter, x: Value, logarithm: Value) -> Value:
    """Return the logarithm, with its values at zero, below zero, at infinity and for nan."""
    finite = e.select(x < math.inf, logarithm, x)
    below = e.select(x.equals(0.0), x.like(-math.inf), x.like(math.nan))
    return e.select(x <= 0.0, below, finite)


@floating
def log2(x: Scalar) -> Scalar:
    """Logarithm to base two; error at most 1.6 ulp."""
    return np.log2(x)


@formula(log2)
def _log2(e: Emitter, x: Value) -> Value:
    k, m = split_exponent(e, x)
    f = m - 1.0
    high, low = LOG2_E_PARTS[x.kind]
    natural = log1p_tail(e, f, f)
    return with_log_domain(e, x, e.multiply_add(natural, high, e.multiply_add(natural, low, k)))


LOG2_E_PARTS = {
    "float64": (1.4426950408889634, 2.0355273740931033e-17),
    "float32": (1.4426950216293335, 1.925963033500011e-08),
}
LOG10_E_PARTS = {
    "float64": (0.4342944819032518, 1.098319650216765e-17),
    "float32": (0.4342944920063019, -1.0103049952192578e-08),
}
# the first part has so few bits that its product with k is exact
LOG10_2_PARTS = {
    "float64": (0.30102999566395283, 2.8363394551044964e-14),
    "float32": (0.301025390625, 4.605039066518657e-06),
}


@floating
def log10(x: Scalar) -> Scalar:
    """Logarithm to base ten; error at most 1.7 ulp."""
    return np.log10(x)


@formula(log10)
def _log10(e: Emitter, x: Value) -> Value:
    k, m = split_exponent(e, x)
    f = m - 1.0
    high, low = LOG10_E_PARTS[x.kind]
    two_high, two_low = LOG10_2_PARTS[x.kind]
    natural = log1p_tail(e, f, f)
    rest = e.multiply_add(natural, low, k * two_low)
    return with_log_domain(e, x, e.multiply_add(k, two_high, e.multiply_add(natural, high, rest)))


@floating
def log1p(x: Scalar) -> Scalar:
    """Logarithm of ``1 + x``, accurate near zero; error at most 1.6 ulp."""
    return np.log1p(x)


@formula(log1p)
def _log1p(e: Emitter, x: Value) -> Value:
    u = x + 1.0
    k, f = split_sum(e, u, x - (u - 1.0))
    # the sign: log1p(-0) is -0
    logarithm = e.copysign(log_of_parts(e, k, f), x)
    finite = e.select(x < math.inf, logarithm, x)
    below = e.select(u.equals(0.0), x.like(-math.inf), x.like(math.nan))
    return e.select(u <= 0.0, below, finite)


def split_sum(e: Emitter, high: Value, low: Value) -> tuple[Value, Value]:
    """Return `k` and `f` in ``high + low = 2**k (1 + f)``, for positive normal `high`."""
    k, m = split_normal(e, high)
    # m / high is a power of two, which may be below the normal range; this multiple is not
    lift = MANTISSA_BITS[high.kind]
    bits = e.bits(m) - e.bits(high) + (ONE_BITS[high.kind] + (lift << lift))
    lifted = low * e.from_bits(bits)
    return k, e.multiply_add(lifted, 2.0**-lift, m - 1.0)


@floating
def softplus(x: Scalar) -> Scalar:
    """Logarithm of ``1 + exp(x)``, finite for all finite `x`; error at most 2 ulp."""
    return np.logaddexp(x, np.zeros_like(x))


@formula(softplus)
def _softplus(e: Emitter, x: Value) -> Value:
    small = log1p_of_fraction(e, e.call(exp, -e.absolute(x)))
    return e.select(x < 0.0, 0.0, x) + small


def log1p_of_fraction(e: Emitter, y: Value) -> Value:
    """Return ``log(1 + y)`` for `y` from zero to one."""
    return _log1p_by_atanh(e, y, FRACTION_ATANH_TAIL[y.kind], y)


@floating
def logaddexp(x: Scalar, y: Scalar) -> Scalar:
    """Logarithm of ``exp(x) + exp(y)``, finite for all finite arguments."""
    return np.logaddexp(x, y)


@formula(logaddexp)
def _logaddexp(e: Emitter, x: Value, y: Value) -> Value:
    larger = e.select(x > y, x, y)
    usual = larger + log1p_of_fraction(e, e.call(exp, -e.absolute(x - y)))
    # equal infinities have no difference
    return e.select(x.equals(y), x + math.log(2.0), usual)
