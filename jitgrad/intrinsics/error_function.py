"""The error function, its complement and its inverse."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from jitgrad.intrinsics.declare import Scalar, floating, formula
from jitgrad.intrinsics.exponential import EXP_LIMITS, EXP_TAIL, exp, split_by_log2
from jitgrad.intrinsics.float_bits import scale
from jitgrad.intrinsics.logarithm import log
from jitgrad.intrinsics.special_functions import special

if TYPE_CHECKING:
    from jitgrad.intrinsics.emitter import Emitter
    from jitgrad.intrinsics.value import Value

# (1 - erfc(x)**(1/4)) / x, in x, for positive x: its first coefficient, and what is left of that
# with all others
ERF_ROOT_FIRST = {"float64": 0.28209479177387814, "float32": 0.282094806432724}
ERF_ROOT_REST = {
    "float64": (
        3.83386490329147e-18,
        0.11936620731892207,
        -0.015462231328237569,
        -0.018626447010199238,
        0.0012220129607296037,
        0.0019462407427041075,
        -0.00021675651389981734,
        -0.00012169108562990853,
        2.9443036167379962e-05,
        -5.469083297712942e-07,
        -1.0618802465844255e-06,
        7.955671106646404e-07,
        -2.921550860480269e-07,
        -2.6175615185912792e-08,
        8.19025398021861e-08,
        -4.8371121231290247e-08,
        1.8567801343184813e-08,
        -5.374727538703283e-09,
        1.2214558595573738e-09,
        -2.1944274945513827e-10,
        3.0908498950598414e-11,
        -3.346021840947956e-12,
        2.689781758211457e-13,
        -1.5129945758654416e-14,
        5.315480104801393e-16,
        -8.77750765126485e-18,
    ),
    "float32": (
        -1.4658845692849809e-08,
        0.11936640739440918,
        -0.015465120784938335,
        -0.018613122403621674,
        0.0011953882640227675,
        0.0019693009089678526,
        -0.00021936385019216686,
        -0.00013144420518074185,
        3.6439872928895056e-05,
        -2.7960879833699437e-06,
    ),
}
# from here on erf is one
ERF_LIMIT = {"float64": 5.9, "float32": 3.9}


@floating
def erf(x: Scalar) -> Scalar:
    """Error function; error at most 1.9 ulp."""
    return special.erf(x)


@formula(erf)
def _erf(e: Emitter, x: Value) -> Value:
    limit = ERF_LIMIT[x.kind]
    magnitude = e.absolute(x)
    a = e.select(magnitude > limit, x.like(limit), magnitude)
    # With u = 1 - erfc(a)**(1/4), a polynomial for all a, erf(a) is 1 - (1 - u)**4. Each step from
    # 1 - u to its square, which makes 2 u - u**2 of u, leaves relative errors as they are near
    # zero and shrinks them elsewhere.
    first, twice = ERF_ROOT_FIRST[x.kind], a + a
    rest = e.polynomial(a, ERF_ROOT_REST[x.kind])
    u = a * (rest + first)
    v = e.multiply_add(twice, first, e.multiply_add(twice, rest, -(u * u)))
    return e.copysign(e.multiply_add(-v, v, v + v), x)


@floating
def erfc(x: Scalar) -> Scalar:
    """One minus the error function, accurate where it is small; error at most 4 ulp."""
    return special.erfc(x)


# (1 + 2 x) exp(x**2) erfc(x), in (x - c) / (x + c), for positive x up to where erfc is zero
ERFCX = {
    "float64": (
        1.2329951186255526,
        -0.13962111684056303,
        0.015379652102606323,
        0.0680970542547555,
        -0.10103906603557278,
        0.09373283499636474,
        -0.06633036582800506,
        0.037167515564218837,
        -0.01619773388174785,
        0.005031969795570294,
        -0.0007577744373277415,
        -0.00019925604436475192,
        0.0001506263366578419,
        -2.4400201648011118e-05,
        -1.1234053528875217e-05,
        5.708979117204024e-06,
        3.1332691139041626e-07,
        -8.199896827886763e-07,
        5.5697495902808606e-08,
        1.0154728273224642e-07,
        -8.245508077374528e-09,
        -8.453517125951505e-09,
    ),
    "float32": (
        1.2769783735275269,
        -0.09276391565799713,
        -0.16603095829486847,
        0.16405460238456726,
        -0.05420754477381706,
        -0.008057968690991402,
        0.008640534244477749,
        0.0013141699600964785,
        -0.0012383481953293085,
        -0.0004048069240525365,
    ),
}
ERFCX_CENTRE = {"float64": 4.0, "float32": 2.0}
# from here on erfc is zero
ERFC_LIMIT = {"float64": 27.3, "float32": 10.1}


@formula(erfc)
def _erfc(e: Emitter, x: Value) -> Value:
    a = e.absolute(x)
    limit = ERFC_LIMIT[x.kind]
    a = e.select(a > limit, x.like(limit), a)
    centre = ERFCX_CENTRE[x.kind]
    q = (a - centre) / (a + centre)
    factor = e.polynomial(q, ERFCX[x.kind]) / e.multiply_add(a, 2.0, 1.0)
    square = a * a
    lost = e.fma(a, a, -square)
    shifted, r = split_by_log2(e, -square)
    r = r - lost
    doubled = e.polynomial(r, [2.0, 2.0, *(2.0 * c for c in EXP_TAIL[x.kind])])
    complement = scale(e, doubled * factor, shifted, -square < EXP_LIMITS[x.kind][1])
    return e.select(x < 0.0, 2.0 - complement, complement)


@floating
def erfinv(x: Scalar) -> Scalar:
    """Inverse of `erf`; nan outside [-1, 1]; error at most 2.2 ulp."""
    return special.erfinv(x)


# erfinv(x) / x, in -log(1 - x**2) less the middle, up to the limit
ERFINV_CENTRAL = {
    "float64": (
        1.6536545626831027,
        0.24015818242558828,
        -0.0060336708714268765,
        -0.0007407025341540774,
        0.00018673420801994554,
        -1.388252339584817e-05,
        -1.3654691761909973e-06,
        4.234788197441928e-07,
        -2.907039085907972e-08,
        -4.112662952283252e-09,
        1.0512230279927917e-09,
        -5.41417062333287e-11,
        -1.2978614393404004e-11,
        2.6300759859731087e-12,
        -8.078856549383022e-14,
        -3.991925018186874e-14,
        6.538046476250208e-15,
        -5.414129603419774e-17,
        -1.2479479293687573e-16,
        1.6868988206140745e-17,
        8.688952840151448e-19,
        -4.189236915666795e-19,
        5.270078929590713e-21,
        4.839159247125523e-21,
    ),
    "float32": (
        1.6536545753479004,
        0.24015817046165466,
        -0.006033722311258316,
        -0.0007406715303659439,
        0.0001867960672825575,
        -1.3901249076297972e-05,
        -1.3923913684266154e-06,
        4.2836580860239337e-07,
        -2.3885739608431322e-08,
        -4.77660311304362e-09,
        6.079858283492001e-10,
    ),
}
ERFINV_MIDDLE = 3.125
ERFINV_LIMIT = 5.8
# erfinv(x) / s, in 1 / s less the middle, with s = sqrt(-log(1 - x**2)), from the limit on
ERFINV_TAIL = (
    0.9504872154861368,
    -0.18673742638134624,
    0.1497646844492623,
    0.39532929520776244,
    -0.7866853761332376,
    -0.2045793769322615,
    -3.3870575194144243,
    10.440248419575418,
    68.03703552158926,
    -92.23428948319605,
    -1342.4063052959395,
    1661.6649462230591,
    12812.466306405324,
    -16779.936587876342,
)
ERFINV_TAIL_MIDDLE = 0.299


@formula(erfinv)
def _erfinv(e: Emitter, x: Value) -> Value:
    w = -e.call(log, (1.0 - x) * (x + 1.0))
    usual = x * e.polynomial(w - ERFINV_MIDDLE, ERFINV_CENTRAL[x.kind])
    return e.rarely(~(w < ERFINV_LIMIT), "erfinv_of_tail", _erfinv_of_tail, usual, x)


def _erfinv_of_tail(e: Emitter, x: Value) -> Value:
    """Return the inverse near -1 and 1, in float64: an approximation, then one step of Newton's."""
    a = e.cast(e.absolute(x), "float64")
    complement = 1.0 - a
    s = e.sqrt(-e.call(log, complement * (a + 1.0)))
    guess = s * e.polynomial(1.0 / s - ERFINV_TAIL_MIDDLE, ERFINV_TAIL)
    miss = (e.call(erfc, guess) - complement) * e.call(exp, guess * guess)
    root = e.multiply_add(miss, math.sqrt(math.pi) / 2, guess)
    at_one = e.select(a.equals(1.0), a.like(math.inf), a.like(math.nan))
    return e.copysign(e.cast(e.select(a < 1.0, root, at_one), x.kind), x)
