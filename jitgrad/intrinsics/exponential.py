"""Exponentials, logarithms, powers and hyperbolic functions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from jitgrad.intrinsics.declare import Scalar, floating, formula

if TYPE_CHECKING:
    from jitgrad.intrinsics.emitter import Emitter, Value


@floating
def exp(x: Scalar) -> Scalar:
    """Exponential."""
    return np.exp(x)


@formula(exp)
def _exp(e: Emitter, x: Value) -> Value:
    return e.libm(math.exp, x)


@floating
def expm1(x: Scalar) -> Scalar:
    """Exponential minus one, accurate near zero."""
    return np.expm1(x)


@formula(expm1)
def _expm1(e: Emitter, x: Value) -> Value:
    return e.libm(math.expm1, x)


@floating
def exp2(x: Scalar) -> Scalar:
    """Two to the power `x`."""
    return np.exp2(x)


@formula(exp2)
def _exp2(e: Emitter, x: Value) -> Value:
    return e.libm(math.pow, x.like(2.0), x)


@floating
def log(x: Scalar) -> Scalar:
    """Natural logarithm."""
    return np.log(x)


@formula(log)
def _log(e: Emitter, x: Value) -> Value:
    return e.libm(math.log, x)


@floating
def log1p(x: Scalar) -> Scalar:
    """Logarithm of ``1 + x``, accurate near zero."""
    return np.log1p(x)


@formula(log1p)
def _log1p(e: Emitter, x: Value) -> Value:
    return e.libm(math.log1p, x)


@floating
def log2(x: Scalar) -> Scalar:
    """Logarithm to base two."""
    return np.log2(x)


@formula(log2)
def _log2(e: Emitter, x: Value) -> Value:
    return e.libm(math.log2, x)


@floating
def log10(x: Scalar) -> Scalar:
    """Logarithm to base ten."""
    return np.log10(x)


@formula(log10)
def _log10(e: Emitter, x: Value) -> Value:
    return e.libm(math.log10, x)


@floating
def sqrt(x: Scalar) -> Scalar:
    """Square root, correctly rounded."""
    return np.sqrt(x)


@formula(sqrt)
def _sqrt(e: Emitter, x: Value) -> Value:
    return e.sqrt(x)


@floating
def rsqrt(x: Scalar) -> Scalar:
    """One over the square root."""
    return 1.0 / np.sqrt(x)


@formula(rsqrt)
def _rsqrt(e: Emitter, x: Value) -> Value:
    return 1.0 / e.sqrt(x)


@floating
def cbrt(x: Scalar) -> Scalar:
    """Cube root."""
    return np.cbrt(x)


@formula(cbrt)
def _cbrt(e: Emitter, x: Value) -> Value:
    return e.copysign(e.libm(math.pow, e.absolute(x), x.like(1 / 3)), x)


@floating
def pow(x: Scalar, y: Scalar) -> Scalar:
    """`x` to the power `y`."""
    return np.power(x, y)


@formula(pow)
def _pow(e: Emitter, x: Value, y: Value) -> Value:
    return e.libm(math.pow, x, y)


@floating
def sigmoid(x: Scalar) -> Scalar:
    """Logistic function, ``1 / (1 + exp(-x))``."""
    return special.expit(x)


@formula(sigmoid)
def _sigmoid(e: Emitter, x: Value) -> Value:
    small = e.call(exp, -e.absolute(x))
    return e.select(x < 0.0, small, x.like(1.0)) / (small + 1.0)


@floating
def softplus(x: Scalar) -> Scalar:
    """Logarithm of ``1 + exp(x)``, finite for all finite `x`."""
    return np.logaddexp(x, np.zeros_like(x))


@formula(softplus)
def _softplus(e: Emitter, x: Value) -> Value:
    small = e.call(log1p, e.call(exp, -e.absolute(x)))
    return e.select(x < 0.0, small, x + small)


@floating
def sinh(x: Scalar) -> Scalar:
    """Hyperbolic sine."""
    return np.sinh(x)


@formula(sinh)
def _sinh(e: Emitter, x: Value) -> Value:
    return e.libm(math.sinh, x)


@floating
def cosh(x: Scalar) -> Scalar:
    """Hyperbolic cosine."""
    return np.cosh(x)


@formula(cosh)
def _cosh(e: Emitter, x: Value) -> Value:
    return e.libm(math.cosh, x)


@floating
def tanh(x: Scalar) -> Scalar:
    """Hyperbolic tangent."""
    return np.tanh(x)


@formula(tanh)
def _tanh(e: Emitter, x: Value) -> Value:
    return e.libm(math.tanh, x)


@floating
def asinh(x: Scalar) -> Scalar:
    """Inverse of `sinh`."""
    return np.arcsinh(x)


@formula(asinh)
def _asinh(e: Emitter, x: Value) -> Value:
    return e.libm(math.asinh, x)


@floating
def acosh(x: Scalar) -> Scalar:
    """Inverse of `cosh`; nan below one."""
    return np.arccosh(x)


@formula(acosh)
def _acosh(e: Emitter, x: Value) -> Value:
    return e.libm(math.acosh, x)


@floating
def atanh(x: Scalar) -> Scalar:
    """Inverse of `tanh`; nan outside [-1, 1]."""
    return np.arctanh(x)


@formula(atanh)
def _atanh(e: Emitter, x: Value) -> Value:
    return e.libm(math.atanh, x)


@floating
def logaddexp(x: Scalar, y: Scalar) -> Scalar:
    """Logarithm of ``exp(x) + exp(y)``, finite for all finite arguments."""
    return np.logaddexp(x, y)


@formula(logaddexp)
def _logaddexp(e: Emitter, x: Value, y: Value) -> Value:
    difference = e.absolute(x - y)
    larger = e.select(x > y, x, y)
    equal_infinities = x.equals(y)
    usual = larger + e.call(log1p, e.call(exp, -difference))
    return e.select(equal_infinities, x + math.log(2.0), usual)
