"""Trigonometric functions and their inverses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from jitgrad.intrinsics.declare import Scalar, floating, formula

if TYPE_CHECKING:
    from jitgrad.intrinsics.emitter import Emitter, Value


@floating
def sin(x: Scalar) -> Scalar:
    """Sine."""
    return np.sin(x)


@formula(sin)
def _sin(e: Emitter, x: Value) -> Value:
    return e.libm(math.sin, x)


@floating
def cos(x: Scalar) -> Scalar:
    """Cosine."""
    return np.cos(x)


@formula(cos)
def _cos(e: Emitter, x: Value) -> Value:
    return e.libm(math.cos, x)


@floating
def tan(x: Scalar) -> Scalar:
    """Tangent."""
    return np.tan(x)


@formula(tan)
def _tan(e: Emitter, x: Value) -> Value:
    return e.libm(math.tan, x)


@floating
def asin(x: Scalar) -> Scalar:
    """Inverse of `sin`; nan outside [-1, 1]."""
    return np.arcsin(x)


@formula(asin)
def _asin(e: Emitter, x: Value) -> Value:
    return e.libm(math.asin, x)


@floating
def acos(x: Scalar) -> Scalar:
    """Inverse of `cos`; nan outside [-1, 1]."""
    return np.arccos(x)


@formula(acos)
def _acos(e: Emitter, x: Value) -> Value:
    return e.libm(math.acos, x)


@floating
def atan(x: Scalar) -> Scalar:
    """Inverse of `tan`."""
    return np.arctan(x)


@formula(atan)
def _atan(e: Emitter, x: Value) -> Value:
    return e.libm(math.atan, x)


@floating
def atan2(y: Scalar, x: Scalar) -> Scalar:
    """Angle of the point (x, y), in [-pi, pi]."""
    return np.arctan2(y, x)


@formula(atan2)
def _atan2(e: Emitter, y: Value, x: Value) -> Value:
    return e.libm(math.atan2, y, x)


@floating
def hypot(x: Scalar, y: Scalar) -> Scalar:
    """Length of the vector (x, y), without overflow on the way."""
    return np.hypot(x, y)


@formula(hypot)
def _hypot(e: Emitter, x: Value, y: Value) -> Value:
    return e.libm(math.hypot, x, y)
