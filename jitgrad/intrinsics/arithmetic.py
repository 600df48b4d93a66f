"""Rounding, signs, remainders, comparison, selection and casts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jitgrad.intrinsics.declare import Scalar, floating, formula, numeric, predicate, selection

if TYPE_CHECKING:
    from jitgrad.intrinsics.emitter import Emitter
    from jitgrad.intrinsics.value import Value

f32 = np.float32
f64 = np.float64
i32 = np.int32
i64 = np.int64
b1 = np.bool_


@floating
def floor(x: Scalar) -> Scalar:
    """Largest whole number not above `x`."""
    return np.floor(x)


@formula(floor, in_place=True)
def _floor(e: Emitter, x: Value) -> Value:
    return e.rounded(x, "floor")


@floating
def ceil(x: Scalar) -> Scalar:
    """Smallest whole number not below `x`."""
    return np.ceil(x)


@formula(ceil, in_place=True)
def _ceil(e: Emitter, x: Value) -> Value:
    return e.rounded(x, "ceil")


@floating
def trunc(x: Scalar) -> Scalar:
    """Whole part of `x`."""
    return np.trunc(x)


@formula(trunc, in_place=True)
def _trunc(e: Emitter, x: Value) -> Value:
    return e.rounded(x, "trunc")


@floating
def round(x: Scalar) -> Scalar:
    """Nearest whole number, the even one of two that are as near."""
    return np.rint(x)


@formula(round, in_place=True)
def _round(e: Emitter, x: Value) -> Value:
    return e.rounded(x, "rint")


@numeric
def sign(x: Scalar) -> Scalar:
    """Minus one, zero or one; zeros of either sign give +0, nan gives nan."""
    return np.sign(x)


@formula(sign, in_place=True)
def _sign(e: Emitter, x: Value) -> Value:
    if not x.is_float:
        return e.select(x > 0, x.like(1), e.select(x < 0, x.like(-1), x.like(0)))
    ordered = e.select(x > 0.0, x.like(1.0), e.select(x < 0.0, x.like(-1.0), x.like(0.0)))
    return e.select(e.is_nan(x), x, ordered)


@numeric
def absolute(x: Scalar) -> Scalar:
    """Magnitude of `x`; that of the smallest integer is itself."""
    return np.absolute(x)


@formula(absolute, in_place=True)
def _absolute(e: Emitter, x: Value) -> Value:
    return e.absolute(x) if x.is_float else e.select(x < 0, -x, x)


@numeric
def bit_and(x: Scalar, y: Scalar) -> Scalar:
    """Bits that are set in both integers."""
    return np.bitwise_and(x, y)


@formula(bit_and, in_place=True)
def _bit_and(e: Emitter, x: Value, y: Value) -> Value:
    return x & y


@numeric
def bit_or(x: Scalar, y: Scalar) -> Scalar:
    """Bits that are set in one of two integers."""
    return np.bitwise_or(x, y)


@formula(bit_or, in_place=True)
def _bit_or(e: Emitter, x: Value, y: Value) -> Value:
    return x | y


@numeric
def bit_xor(x: Scalar, y: Scalar) -> Scalar:
    """Bits that are set in exactly one of two integers."""
    return np.bitwise_xor(x, y)


@formula(bit_xor, in_place=True)
def _bit_xor(e: Emitter, x: Value, y: Value) -> Value:
    return x ^ y


@floating
def copysign(x: Scalar, y: Scalar) -> Scalar:
    """Magnitude of `x` with the sign of `y`, also that of a zero or nan."""
    return np.copysign(x, y)


@formula(copysign, in_place=True)
def _copysign(e: Emitter, x: Value, y: Value) -> Value:
    return e.copysign(x, y)


@floating
def fmod(x: Scalar, y: Scalar) -> Scalar:
    """Remainder with the sign of `x`, exact; nan for a zero `y` or an infinite `x`."""
    return np.fmod(x, y)


@formula(fmod)
def _fmod(e: Emitter, x: Value, y: Value) -> Value:
    a, b = e.absolute(x), e.absolute(y)
    quotient = a / b
    # exact: both are multiples of the last bit of `b`, and what is left is small
    rest = e.fma(-e.rounded(quotient, "trunc"), b, a)
    # the quotient was rounded up to a whole number
    rest = e.select(rest < 0.0, rest + b, rest)
    usual = e.copysign(e.select(a < b, a, rest), x)
    exact = quotient < (2.0**52 if x.kind == "float64" else 2.0**23)
    return e.rarely(~exact, "fmod_of_large", _fmod_of_large, usual, x, y)


def _fmod_of_large(e: Emitter, x: Value, y: Value) -> Value:
    return e.remainder(x, y)


@numeric
def remainder(x: Scalar, y: Scalar) -> Scalar:
    """Remainder with the sign of `y`, Python's ``%``; integers modulo zero give zero."""
    return np.remainder(x, y)


@formula(remainder)
def _remainder(e: Emitter, x: Value, y: Value) -> Value:
    if not x.is_float:
        rest = x - _integer_quotient(e, x, y) * y
        wrong_sign = (~rest.equals(0)) & ((rest ^ y) < 0)
        return e.select(y.equals(0), rest.like(0), e.select(wrong_sign, rest + y, rest))
    rest = e.call(fmod, x, y)
    wrong_sign = ((rest < 0.0) & (y > 0.0)) | ((rest > 0.0) & (y < 0.0))
    moved = e.select(wrong_sign, rest + y, rest)
    return e.select(rest.equals(0.0) & ~y.equals(0.0), e.copysign(0.0, y), moved)


@numeric
def floor_divide(x: Scalar, y: Scalar) -> Scalar:
    """Quotient rounded down, Python's ``//``; integers divided by zero give zero."""
    return np.floor_divide(x, y)


@formula(floor_divide)
def _floor_divide(e: Emitter, x: Value, y: Value) -> Value:
    if not x.is_float:
        quotient = _integer_quotient(e, x, y)
        rest = x - quotient * y
        too_high = (~rest.equals(0)) & ((rest ^ y) < 0)
        return e.select(y.equals(0), x.like(0), e.select(too_high, quotient - 1, quotient))
    # NumPy's way: divide what is exactly divisible, then undo the rounding of that division
    rest = e.call(fmod, x, y)
    wrong_sign = ((rest < 0.0) & (y > 0.0)) | ((rest > 0.0) & (y < 0.0))
    exact = (x - rest) / y
    quotient = e.select(wrong_sign, exact - 1.0, exact)
    whole = e.rounded(quotient, "floor")
    whole = e.select(quotient - whole > 0.5, whole + 1.0, whole)
    signed = e.select(quotient.equals(0.0), e.copysign(0.0, x / y), whole)
    return e.select(y.equals(0.0), x / y, signed)


def _integer_quotient(e: Emitter, x: Value, y: Value) -> Value:
    """Quotient rounded to zero, with the divisors for which a processor traps taken out."""
    safe = e.select(y.equals(0) | y.equals(-1), y.like(1), y)
    quotient = x / safe
    return e.select(y.equals(-1), -x, quotient)


@numeric
def maximum(x: Scalar, y: Scalar) -> Scalar:
    """Larger of two; nan if either is nan, `x` if they are equal."""
    return np.maximum(x, y)


@formula(maximum, in_place=True)
def _maximum(e: Emitter, x: Value, y: Value) -> Value:
    keep = (x >= y) | e.is_nan(x) if x.is_float else x >= y
    return e.select(keep, x, y)


@numeric
def minimum(x: Scalar, y: Scalar) -> Scalar:
    """Smaller of two; nan if either is nan, `x` if they are equal."""
    return np.minimum(x, y)


@formula(minimum, in_place=True)
def _minimum(e: Emitter, x: Value, y: Value) -> Value:
    keep = (x <= y) | e.is_nan(x) if x.is_float else x <= y
    return e.select(keep, x, y)


@numeric
def fmax(x: Scalar, y: Scalar) -> Scalar:
    """Larger of two; a nan yields to a number, `x` if they are equal."""
    return np.fmax(x, y)


@formula(fmax, in_place=True)
def _fmax(e: Emitter, x: Value, y: Value) -> Value:
    keep = (x >= y) | e.is_nan(y) if x.is_float else x >= y
    return e.select(keep, x, y)


@numeric
def fmin(x: Scalar, y: Scalar) -> Scalar:
    """Smaller of two; a nan yields to a number, `x` if they are equal."""
    return np.fmin(x, y)


@formula(fmin, in_place=True)
def _fmin(e: Emitter, x: Value, y: Value) -> Value:
    keep = (x <= y) | e.is_nan(y) if x.is_float else x <= y
    return e.select(keep, x, y)


@selection
def select(condition: Scalar, x: Scalar, y: Scalar) -> Scalar:
    """Return `x` where the condition holds, else `y`; both are computed, without a branch."""
    return x if condition else y


@formula(select, in_place=True)
def _select(e: Emitter, condition: Value, x: Value, y: Value) -> Value:
    return e.select(condition, x, y)


@predicate
def isnan(x: Scalar) -> Scalar:
    """Whether `x` is nan."""
    return np.isnan(x)


@formula(isnan, in_place=True)
def _isnan(e: Emitter, x: Value) -> Value:
    return e.is_nan(x) if x.is_float else e.constant(0, "bool")


@predicate
def isinf(x: Scalar) -> Scalar:
    """Whether `x` is plus or minus infinity."""
    return np.isinf(x)


@formula(isinf, in_place=True)
def _isinf(e: Emitter, x: Value) -> Value:
    return e.absolute(x).equals(float("inf")) if x.is_float else e.constant(0, "bool")


@predicate
def isfinite(x: Scalar) -> Scalar:
    """Whether `x` is neither nan nor infinite."""
    return np.isfinite(x)


@formula(isfinite, in_place=True)
def _isfinite(e: Emitter, x: Value) -> Value:
    return e.absolute(x) < float("inf") if x.is_float else e.constant(1, "bool")
