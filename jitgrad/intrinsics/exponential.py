"""Exponential functions.

All three split ``x = k log(2) + r`` with a whole `k` and ``|r| <= log(2) / 2``, so that
``exp(x) = 2**k exp(r)``, where ``exp(r)`` is a polynomial and ``2**k`` is made of exponent bits.
The polynomials are minimax fits of `tests/intrinsics/fit_polynomials.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jitgrad.intrinsics.declare import Scalar, floating, formula

if TYPE_CHECKING:
    from jitgrad.intrinsics.emitter import Emitter, Value

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

# beyond the first and the last exp is zero or infinite, below the second not normal
EXP_LIMITS = {"float64": (-746.0, -708.0, 710.0), "float32": (-104.0, -87.0, 89.0)}


@floating
def exp(x: Scalar) -> Scalar:
    """Exponential."""
    return np.exp(x)


@formula(exp)
def _exp(e: Emitter, x: Value) -> Value:
    lowest, tiny, highest = EXP_LIMITS[x.kind]
    x = e.clamp(x, lowest, highest)
    shifted, r = split_by_log2(e, x)
    tail = e.polynomial(r, [2.0 * c for c in EXP_TAIL[x.kind]])
    doubled = e.polynomial_from(tail, r, (2.0, 2.0))
    return e.scale(doubled, shifted, x < tiny)


def split_by_log2(e: Emitter, x: Value) -> tuple[Value, Value]:
    """Return `k`, shifted into the low bits of a float, and `r` in ``x = k log(2) + r``."""
    high, low = LOG_2[x.kind]
    shifted, k = e.shift_to_integer(x, LOG2_E)
    return shifted, e.fma(k, -low, e.fma(k, -high, x))
