"""Inverses of the trigonometric functions, and the angle and length of a vector."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from jitgrad.intrinsics.declare import Scalar, floating, formula

if TYPE_CHECKING:
    from jitgrad.intrinsics.emitter import Emitter
    from jitgrad.intrinsics.value import Value

# pi / 2: to the precision of the type, and what is left of it
HALF_PI = {
    "float64": (1.5707963267948966, 6.123233995736766e-17),
    "float32": (1.5707963705062866, -4.371138828673793e-08),
}
# (atan(t) / t - 1) / t**2, in t**2
ATAN_TAIL = {
    "float64": (
        -0.3333333333333307,
        0.19999999999951745,
        -0.14285714282587825,
        0.11111111007334432,
        -0.09090907007665275,
        0.07692279887330697,
        -0.06666404410092094,
        0.0588052972772468,
        -0.05253526420193002,
        0.047223471406076134,
        -0.04219240423229831,
        0.036643097249629095,
        -0.02990565088384748,
        0.021986962714961887,
        -0.01390247169005163,
        0.007197810480816819,
        -0.0028855706037024444,
        0.0008315456769668045,
        -0.00015220809997167702,
        1.3229694166222914e-05,
    ),
    "float32": (
        -0.33333298563957214,
        0.1999852955341339,
        -0.14264017343521118,
        0.10950899124145508,
        -0.08399417251348495,
        0.05788460373878479,
        -0.03110186755657196,
        0.01087240595370531,
        -0.0017839416395872831,
    ),
}
# (asin(t) / t - 1) / t**2, in t**2
ASIN_TAIL = {
    "float64": (
        0.16666666666665408,
        0.07500000000337165,
        0.04464285682818292,
        0.030381959143539746,
        0.022371757883438904,
        0.017359707385688837,
        0.013885208746016946,
        0.01216939170025695,
        0.0065271781234539795,
        0.01953049519674484,
        -0.01622782698358784,
        0.031914770725694624,
    ),
    "float32": (
        0.16666752099990845,
        0.074953094124794,
        0.04546914994716644,
        0.024184780195355415,
        0.04215828701853752,
    ),
}


@floating
def atan(x: Scalar) -> Scalar:
    """Inverse of `tan`; error at most 1.8 ulp."""
    return np.arctan(x)


@formula(atan)
def _atan(e: Emitter, x: Value) -> Value:
    magnitude = e.absolute(x)
    steep = magnitude > 1.0
    t = e.select(steep, -1.0 / magnitude, magnitude)
    return e.copysign(_angle(e, t, e.select(steep, x.like(1.0), x.like(0.0))), x)


def _angle(e: Emitter, t: Value, right_angles: Value) -> Value:
    """Return ``right_angles * pi / 2 + atan(t)`` for `t` from -1 to 1."""
    high, low = HALF_PI[t.kind]
    square = t * t
    tail = e.multiply_add(square * t, e.polynomial(square, ATAN_TAIL[t.kind]), right_angles * low)
    head = e.multiply_add(right_angles, high, t)
    lost = t - (head - right_angles * high)
    return head + (tail + lost)


@floating
def atan2(y: Scalar, x: Scalar) -> Scalar:
    """Angle of the point (x, y), in [-pi, pi]; error at most 2 ulp."""
    return np.arctan2(y, x)


@formula(atan2)
def _atan2(e: Emitter, y: Value, x: Value) -> Value:
    across, along = e.absolute(y), e.absolute(x)
    steep = across > along
    longer, shorter = e.select(steep, across, along), e.select(steep, along, across)
    quotient = shorter / longer
    # both zero, or both infinite
    quotient = e.select(longer.equals(0.0), longer, quotient)
    quotient = e.select(shorter.equals(math.inf), x.like(1.0), quotient)
    # the sign bit counts, also that of zero
    backwards = e.copysign(1.0, x) < 0.0
    turned = e.copysign(1.0, y)
    t = e.select(steep ^ backwards, -quotient, quotient)
    right_angles = e.select(steep, x.like(1.0), e.select(backwards, x.like(2.0), x.like(0.0)))
    angle = e.copysign(_angle(e, t, right_angles), turned)
    return e.select(e.is_nan(x) | e.is_nan(y), x + y, angle)


@floating
def asin(x: Scalar) -> Scalar:
    """Inverse of `sin`; nan outside [-1, 1]; error at most 1.8 ulp."""
    return np.arcsin(x)


@formula(asin)
def _asin(e: Emitter, x: Value) -> Value:
    high, low = HALF_PI[x.kind]
    large, t, tail = _asin_parts(e, x)
    # asin(x) = pi / 2 - 2 asin(sqrt((1 - x) / 2))
    from_right_angle = high - (t + (tail - low * 0.5)) * 2.0
    return e.copysign(e.select(large, from_right_angle, t + tail), x)


def _asin_parts(e: Emitter, x: Value) -> tuple[Value, Value, Value]:
    """Return whether ``|x| > 1/2``, and `t`, and ``asin(t) - t``."""
    magnitude = e.absolute(x)
    large = magnitude > 0.5
    half = (1.0 - magnitude) * 0.5
    square = e.select(large, half, x * x)
    t = e.select(large, e.sqrt(half), magnitude)
    return large, t, square * t * e.polynomial(square, ASIN_TAIL[x.kind])


@floating
def acos(x: Scalar) -> Scalar:
    """Inverse of `cos`; nan outside [-1, 1]; error at most 1.3 ulp."""
    return np.arccos(x)


@formula(acos)
def _acos(e: Emitter, x: Value) -> Value:
    high, low = HALF_PI[x.kind]
    large, t, tail = _asin_parts(e, x)
    near = (t + tail) * 2.0
    far = (high - (t + (tail - low))) * 2.0
    signed, signed_tail = e.copysign(t, x), e.copysign(tail, x)
    middle = high - (signed - (low - signed_tail))
    return e.select(large, e.select(x < 0.0, far, near), middle)


@floating
def hypot(x: Scalar, y: Scalar) -> Scalar:
    """Length of the vector (x, y), without overflow on the way; error at most 1 ulp."""
    return np.hypot(x, y)


@formula(hypot)
def _hypot(e: Emitter, x: Value, y: Value) -> Value:
    a, b = e.absolute(x), e.absolute(y)
    longer, shorter = e.select(a < b, b, a), e.select(a < b, a, b)
    # powers of two that bring both to where squares neither overflow nor vanish
    big, tiny, up, down = HYPOT_SCALES[x.kind]
    scale = e.select(longer > big, x.like(down), e.select(longer < tiny, x.like(up), x.like(1.0)))
    back = e.select(
        longer > big, x.like(1.0 / down), e.select(longer < tiny, x.like(1.0 / up), x.like(1.0))
    )
    longer, shorter = longer * scale, shorter * scale
    length = e.sqrt(e.fma(longer, longer, shorter * shorter)) * back
    infinite = a.equals(math.inf) | b.equals(math.inf)
    return e.select(infinite, x.like(math.inf), length)


# above, below, factor for those below, factor for those above
HYPOT_SCALES = {
    "float64": (2.0**500, 2.0**-450, 2.0**600, 2.0**-600),
    "float32": (2.0**60, 2.0**-40, 2.0**90, 2.0**-70),
}
