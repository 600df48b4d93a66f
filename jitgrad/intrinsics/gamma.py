"""The logarithm of the gamma function, and its derivative."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from jitgrad.intrinsics.declare import Scalar, floating, formula
from jitgrad.intrinsics.logarithm import log
from jitgrad.intrinsics.special_functions import special
from jitgrad.intrinsics.trigonometric import tan

if TYPE_CHECKING:
    from jitgrad.intrinsics.emitter import Emitter
    from jitgrad.intrinsics.value import Value

# from here on Stirling's series is used, below it a polynomial and the recurrence
STIRLING_FROM = 8.5
# lgamma(2 + t) / t, in t
LGAMMA_NEAR_TWO = {
    "float64": (
        0.42278433509846713,
        0.3224670334241132,
        -0.06735230105319617,
        0.020580808427776782,
        -0.007385551028886994,
        0.002890510331454864,
        -0.0011927539024933053,
        0.000509669501948657,
        -0.0002231549551836382,
        9.945787645344218e-05,
        -4.492390813367742e-05,
        2.0503938433623212e-05,
        -9.455474364717418e-06,
        4.392180802315223e-06,
        -1.976230131760588e-06,
        9.023576414398276e-07,
        -5.792827725499549e-07,
        2.9583107348823233e-07,
    ),
    "float32": (
        0.42278432846069336,
        0.32246702909469604,
        -0.06735147535800934,
        0.02058136835694313,
        -0.007401792798191309,
        0.002880201442167163,
        -0.001089190598577261,
        0.0005687864613719285,
        -0.0004409027169458568,
    ),
}
# x (lgamma(x) - (x - 1/2) log(x) + x - log(2 pi) / 2), in 1 / x**2
STIRLING_TAIL = {
    "float64": (
        0.0833333333333332,
        -0.0027777777775171574,
        0.0007936506444066088,
        -0.0005952013971186438,
        0.0008373322840592888,
        -0.0016569103518123854,
    ),
    "float32": (
        0.08333328366279602,
        -0.0027637863531708717,
    ),
}


@floating
def lgamma(x: Scalar) -> Scalar:
    """Logarithm of the magnitude of the gamma function; error at most 6 ulp for positive `x`."""
    return special.gammaln(x)


@formula(lgamma)
def _lgamma(e: Emitter, x: Value) -> Value:
    # to z from 1.5 to 2.5: gamma(x) is gamma(z) times, or divided by, what the recurrence passes
    z, passed = x, x.like(1.0)
    for _ in range(6):
        above = z > 2.5
        lower = z - 1.0
        passed = e.select(above, passed * lower, passed)
        z = e.select(above, lower, z)
    below = x < 1.5
    far_below = x < 0.5
    passed = e.select(below, e.select(far_below, x * (x + 1.0), x), passed)
    t = e.select(far_below, x, e.select(below, x - 1.0, z - 2.0))
    large = x > STIRLING_FROM
    logarithm = e.call(log, e.select(large, x, passed))
    signed = e.select(below, -logarithm, logarithm)
    small = e.multiply_add(t, e.polynomial(t, LGAMMA_NEAR_TWO[x.kind]), signed)
    inverse = 1.0 / x
    tail = inverse * e.polynomial(inverse * inverse, STIRLING_TAIL[x.kind])
    head = (x - 0.5) * (logarithm - 1.0)
    stirling = head + (tail + 0.5 * (math.log(2.0 * math.pi) - 1.0))
    usual = e.select(large, e.select(x < math.inf, stirling, x), small)
    return e.rarely(x <= 0.0, "lgamma_of_negative", _lgamma_of_negative, usual, x)


def _lgamma_of_negative(e: Emitter, x: Value) -> Value:
    return e.libm("lgamma", x)


@floating
def digamma(x: Scalar) -> Scalar:
    """Digamma function, the derivative of `lgamma`; error at most 4 ulp for positive `x`."""
    return special.digamma(x)


# the positive root of digamma
DIGAMMA_ROOT = {
    "float64": (1.4616321449683622, 9.549995429965697e-17),
    "float32": (1.4616321325302124, 1.243815006546356e-08),
}
# digamma(z) / (z - root) from 1 to 2, in z - 1.5
DIGAMMA_NEAR_ROOT = {
    "float64": (
        0.951055876031833,
        -0.4236274212814605,
        0.24054248424072908,
        -0.1484049230538911,
        0.09498872446106844,
        -0.06192213327552081,
        0.040760833491121334,
        -0.02697579662537298,
        0.017907260965814072,
        -0.01190822151607496,
        0.007926815058121546,
        -0.005279910865405153,
        0.0035202025607469147,
        -0.0023457710282335058,
        0.0015498119988397873,
        -0.0010347423145311307,
        0.0007467831997187392,
        -0.0004922348928713613,
        0.00018263100339321195,
        -0.0001322674160400297,
        0.00029568431970938104,
        -0.00018873455262995395,
    ),
    "float32": (
        0.9510558843612671,
        -0.42362746596336365,
        0.2405390441417694,
        -0.1484004259109497,
        0.09510865807533264,
        -0.06203443557024002,
        0.03940526023507118,
        -0.025898106396198273,
        0.023853179067373276,
        -0.016181254759430885,
    ),
}
# x**2 (digamma(x) - log(x) + 1 / (2 x)), in 1 / x**2
DIGAMMA_TAIL = {
    "float64": (
        -0.08333333333333325,
        0.008333333333169634,
        -0.003968253866087388,
        0.004166636467419981,
        -0.0075709619457215785,
        0.02066881715920065,
        -0.06320736735132237,
    ),
    "float32": (
        -0.08333300054073334,
        0.008256557397544384,
    ),
}


@formula(digamma)
def _digamma(e: Emitter, x: Value) -> Value:
    # to z from 1 to 2: digamma(x) is digamma(z) plus a sum of inverses, kept as one fraction
    below = x < 1.0
    z = e.select(below, x + 1.0, x)
    above, under = e.select(below, x.like(-1.0), x.like(0.0)), e.select(below, x, x.like(1.0))
    for _ in range(7):
        more = z > 2.0
        lower = z - 1.0
        above = e.select(more, e.multiply_add(above, lower, under), above)
        under = e.select(more, under * lower, under)
        z = e.select(more, lower, z)
    root, rest = DIGAMMA_ROOT[x.kind]
    near_root = ((z - root) - rest) * e.polynomial(z - 1.5, DIGAMMA_NEAR_ROOT[x.kind])
    small = near_root + above / under
    inverse = 1.0 / x
    square = inverse * inverse
    tail = e.multiply_add(square, e.polynomial(square, DIGAMMA_TAIL[x.kind]), inverse * -0.5)
    large = e.call(log, x) + tail
    usual = e.select(x > STIRLING_FROM, large, small)
    return e.rarely(x <= 0.0, "digamma_of_negative", _digamma_of_negative, usual, x)


def _digamma_of_negative(e: Emitter, x: Value) -> Value:
    """Return ``digamma(1 - x) - pi / tan(pi x)``; nan at whole numbers, infinite at zero."""
    beyond = x - e.rounded(x, "rint")
    reflected = e.call(digamma, 1.0 - x) - math.pi / e.call(tan, beyond * math.pi)
    whole = e.select(x.equals(0.0), e.copysign(math.inf, -x), x.like(math.nan))
    return e.select(beyond.equals(0.0), whole, reflected)
