"""Powers of two and exponents by arithmetic on the bits of floats.

Integers are kept in the low bits of a float, which is what adding 1.5 * 2**52 to a float64 leaves
there: exact up to 2**51 and, unlike a conversion to integers, packed on every processor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jitgrad.intrinsics.emitter import Emitter
    from jitgrad.intrinsics.value import Number, Value

MANTISSA_BITS = {"float32": 23, "float64": 52}
EXPONENT_BITS = {"float32": 8, "float64": 11}
# keeps exponents of 64 bits positive: few processors shift these with their sign
EXPONENT_OFFSET = {"float32": 0, "float64": 1024}
ONE_BITS = {"float32": 127 << 23, "float64": 1023 << 52}
ROOT_HALF_BITS = {"float32": 0x3F3504F3, "float64": 0x3FE6A09E667F3BCD}
SHIFT = {"float32": 1.5 * 2.0**23, "float64": 1.5 * 2.0**52}


def shift_to_integer(e: Emitter, x: Value, factor: Number = 1.0) -> tuple[Value, Value]:
    """Return ``x * factor`` rounded to a whole number: in the low bits of a float, and as such."""
    shift = SHIFT[x.kind]
    shifted = x + shift if factor == 1.0 else e.multiply_add(x, factor, shift)
    return shifted, shifted - shift


def power_of_two(e: Emitter, shifted: Value, minus: int = 0) -> Value:
    """Return two to the integer in the low bits of a float, less `minus`; a normal number."""
    width = MANTISSA_BITS[shifted.kind]
    bits = e.bits(shifted) << width
    return e.from_bits(bits + (ONE_BITS[shifted.kind] - (minus << width)))


def power_of_two_of(e: Emitter, k: Value) -> Value:
    """Return two to the power of a whole float; a normal number."""
    return power_of_two(e, k + SHIFT[k.kind])


def inverse_power_of_two(e: Emitter, power: Value) -> Value:
    """Return one over a power of two, both normal numbers."""
    return e.from_bits(-(e.bits(power) - 2 * ONE_BITS[power.kind]))


def scale(e: Emitter, doubled: Value, shifted: Value, tiny: Value) -> Value:
    """Return a number times two to a power, also where that is no normal number.

    Parameters
    ----------
    e : Emitter
        Writes the code.
    doubled : Value
        Twice the number, which is between one half and two: the power of two of the largest
        results would overflow by itself.
    shifted : Value
        The power, in the low bits of a float.
    tiny : Value
        Whether the result can be below the normal range; then it is scaled in two steps, so that
        it is rounded once.

    Returns
    -------
    Value
        Half of `doubled` times two to the power.
    """
    width = MANTISSA_BITS[doubled.kind]
    lift = 2 * width
    bits = (e.bits(shifted) << width) + (ONE_BITS[doubled.kind] - (1 << width))
    scaled = doubled * e.from_bits(e.select(tiny, bits + (lift << width), bits))
    return e.select(tiny, scaled * 2.0**-lift, scaled)


def split_normal(e: Emitter, x: Value) -> tuple[Value, Value]:
    """Return whole `k` and ``m`` between the roots of one half and two in ``x = 2**k m``.

    For positive normal `x`.
    """
    offset = _offset_from_root_half(e, x)
    mantissa = offset & ((1 << MANTISSA_BITS[x.kind]) - 1)
    return _exponent(e, offset), e.from_bits(mantissa + ROOT_HALF_BITS[x.kind])


def nearest_power_of_two(e: Emitter, x: Value) -> tuple[Value, Value]:
    """Return whole `k` and ``2**k`` with ``x / 2**k`` between the roots of one half and two.

    For positive normal `x`.
    """
    width = MANTISSA_BITS[x.kind]
    offset = _offset_from_root_half(e, x)
    exponent = offset & -(1 << width)
    bits = exponent + (ONE_BITS[x.kind] - (EXPONENT_OFFSET[x.kind] << width))
    return _exponent(e, offset), e.from_bits(bits)


def _offset_from_root_half(e: Emitter, x: Value) -> Value:
    """Return bits of which the exponent changes at the root of one half, not at one."""
    offset = EXPONENT_OFFSET[x.kind] << MANTISSA_BITS[x.kind]
    return e.bits(x) - (ROOT_HALF_BITS[x.kind] - offset)


def _exponent(e: Emitter, offset: Value) -> Value:
    if offset.kind == "int32":
        return e.cast(offset >> MANTISSA_BITS["float32"], "float32")
    # as the low bits of 2**52: few processors convert packed 64-bit integers
    two_to_52 = ONE_BITS["float64"] + (52 << 52)
    exponent = e.unsigned_shift(offset, 52) | two_to_52
    return e.from_bits(exponent) - (2.0**52 + EXPONENT_OFFSET["float64"])
