"""Error and gamma functions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from jitgrad.intrinsics.declare import Scalar, floating, formula

if TYPE_CHECKING:
    from jitgrad.intrinsics.emitter import Emitter, Value


@floating
def erf(x: Scalar) -> Scalar:
    """Error function."""
    return special.erf(x)


@formula(erf)
def _erf(e: Emitter, x: Value) -> Value:
    return e.libm(math.erf, x)


@floating
def erfc(x: Scalar) -> Scalar:
    """One minus the error function, accurate where it is small."""
    return special.erfc(x)


@formula(erfc)
def _erfc(e: Emitter, x: Value) -> Value:
    return e.libm(math.erfc, x)


@floating
def erfinv(x: Scalar) -> Scalar:
    """Inverse of `erf`; nan outside [-1, 1]."""
    return special.erfinv(x)


@formula(erfinv)
def _erfinv(e: Emitter, x: Value) -> Value:
    raise NotImplementedError


@floating
def lgamma(x: Scalar) -> Scalar:
    """Logarithm of the magnitude of the gamma function."""
    return special.gammaln(x)


@formula(lgamma)
def _lgamma(e: Emitter, x: Value) -> Value:
    return e.libm(math.lgamma, x)


@floating
def digamma(x: Scalar) -> Scalar:
    """Derivative of `lgamma`."""
    return special.digamma(x)


@formula(digamma)
def _digamma(e: Emitter, x: Value) -> Value:
    raise NotImplementedError
