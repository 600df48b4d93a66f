"""Exponentials, logarithms and hyperbolic functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jitgrad.core.primitive import Primitive, Template, partials
from jitgrad.core.spec import Spec
from jitgrad.ops.arithmetic import in_precision_of, reciprocal
from jitgrad.ops.families import elementwise, reals
from jitgrad.ops.power import rsqrt, square

_LOG_2 = math.log(2.0)
_LOG_10 = math.log(10.0)

exp = elementwise(
    "exp",
    eager=np.exp,
    derivative=partials(lambda out: out),
    template=Template("exp({x})", cost=12),
    samples=reals(-3, 3),
    doc="Exponential of each element.",
    result="float",
)

exp2 = elementwise(
    "exp2",
    eager=np.exp2,
    derivative=partials(lambda out: out * _LOG_2),
    template=Template("exp2({x})", cost=12),
    samples=reals(-3, 3),
    doc="Two to the power of each element.",
    result="float",
)

expm1 = elementwise(
    "expm1",
    eager=np.expm1,
    derivative=partials(lambda out: out + 1.0),
    template=Template("expm1({x})", cost=15),
    samples=reals(-3, 3),
    doc="Exponential of each element minus one, accurate near zero.",
    result="float",
)

log: Primitive = elementwise(
    "log",
    eager=np.log,
    derivative=partials(lambda x: reciprocal(x), singular=True),
    template=Template("log({x})", cost=12),
    samples=reals(0.2, 4),
    doc="Natural logarithm of each element.",
    result="float",
)

log2 = elementwise(
    "log2",
    eager=np.log2,
    derivative=partials(lambda x: reciprocal(x * _LOG_2), singular=True),
    template=Template("log2({x})", cost=12),
    samples=reals(0.2, 4),
    doc="Logarithm to base two of each element.",
    result="float",
)

log10 = elementwise(
    "log10",
    eager=np.log10,
    derivative=partials(lambda x: reciprocal(x * _LOG_10), singular=True),
    template=Template("log10({x})", cost=12),
    samples=reals(0.2, 4),
    doc="Logarithm to base ten of each element.",
    result="float",
)

log1p = elementwise(
    "log1p",
    eager=np.log1p,
    derivative=partials(lambda x: reciprocal(x + 1.0), singular=True),
    template=Template("log1p({x})", cost=15),
    samples=reals(-0.7, 4),
    doc="Logarithm of one plus each element, accurate near zero.",
    result="float",
)


def log_of_either(value: Any, other: Spec) -> Any:
    """Return the logarithm of one of two inputs, a number or a Tensor, for a derivative rule."""
    if isinstance(value, (bool, int, float)):
        return math.log(value) if value > 0 else (-math.inf if value == 0 else math.nan)
    return log(in_precision_of(value, other))


sigmoid: Primitive = elementwise(
    "sigmoid",
    eager=lambda x: 1 / (1 + np.exp(-x)),
    derivative=partials(lambda out: out * (1.0 - out)),
    template=Template("sigmoid({x})", cost=16),
    samples=reals(-4, 4),
    doc="Logistic function ``1 / (1 + exp(-x))`` of each element.",
    result="float",
)

tanh = elementwise(
    "tanh",
    eager=np.tanh,
    derivative=partials(lambda out: 1.0 - out * out),
    template=Template("tanh({x})", cost=16),
    samples=reals(-3, 3),
    doc="Hyperbolic tangent of each element.",
    result="float",
)

sinh = elementwise(
    "sinh",
    eager=np.sinh,
    derivative=partials(lambda x: cosh(x)),
    template=Template("sinh({x})", cost=18),
    samples=reals(-3, 3),
    doc="Hyperbolic sine of each element.",
    result="float",
)

cosh: Primitive = elementwise(
    "cosh",
    eager=np.cosh,
    derivative=partials(lambda x: sinh(x)),
    template=Template("cosh({x})", cost=18),
    samples=reals(-3, 3),
    doc="Hyperbolic cosine of each element.",
    result="float",
)

asinh = elementwise(
    "asinh",
    eager=np.arcsinh,
    derivative=partials(lambda x: rsqrt(square(x) + 1.0)),
    template=Template("asinh({x})", cost=20),
    samples=reals(-3, 3),
    doc="Inverse hyperbolic sine of each element.",
    result="float",
)

acosh = elementwise(
    "acosh",
    eager=np.arccosh,
    derivative=partials(lambda x: rsqrt(square(x) - 1.0), singular=True),
    template=Template("acosh({x})", cost=20),
    samples=reals(1.3, 4),
    doc="Inverse hyperbolic cosine of each element; nan below one.",
    result="float",
)

atanh = elementwise(
    "atanh",
    eager=np.arctanh,
    derivative=partials(lambda x: reciprocal(1.0 - square(x)), singular=True),
    template=Template("atanh({x})", cost=20),
    samples=reals(-0.8, 0.8),
    doc="Inverse hyperbolic tangent of each element; nan outside [-1, 1].",
    result="float",
)

logaddexp = elementwise(
    "logaddexp",
    eager=np.logaddexp,
    derivative=partials(lambda x, y: sigmoid(x - y), lambda x, y: sigmoid(y - x)),
    template=Template("logaddexp({x}, {y})", cost=28),
    samples=reals((-3, 3), (-3, 3)),
    doc="``log(exp(x) + exp(y))`` of each pair of elements, finite for all finite elements.",
    inputs=("x", "y"),
    result="float",
)
