"""Hyperbolic functions, their inverses and the logistic function."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from jitgrad.intrinsics.declare import Scalar, floating, formula
from jitgrad.intrinsics.exponential import exp

if TYPE_CHECKING:
    from jitgrad.intrinsics.emitter import Emitter, Value


@floating
def sigmoid(x: Scalar) -> Scalar:
    """Logistic function, ``1 / (1 + exp(-x))``."""
    return special.expit(x)


@formula(sigmoid)
def _sigmoid(e: Emitter, x: Value) -> Value:
    small = e.call(exp, -e.absolute(x))
    return e.select(x < 0.0, small, x.like(1.0)) / (small + 1.0)


@floating
def tanh(x: Scalar) -> Scalar:
    """Hyperbolic tangent."""
    return np.tanh(x)


@formula(tanh)
def _tanh(e: Emitter, x: Value) -> Value:
    return e.libm(math.tanh, x)
