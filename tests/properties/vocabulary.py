"""What random programs are made of: expressions as text, and how near arguments are to a jump.

A form's ``gap`` gives, for arguments as arrays, how far each element is from where the form is not
smooth; programs keep a distance from there, as rounding must not decide what they compute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Form:
    """An expression of ``{x}`` and ``{y}`` that is in its domain for all moderate numbers."""

    text: str
    gap: Callable[..., Any] | None = None

    def __repr__(self) -> str:
        return f"Form({self.text!r})"


def to_integer(x: Array) -> Array:
    return np.abs(x - np.round(x))


def to_half(x: Array) -> Array:
    return to_integer(x - 0.5)


def to_zero(x: Array) -> Array:
    return np.abs(x)


def to_each_other(x: Array, y: Array) -> Array:
    return np.abs(np.subtract(x, y, dtype=np.float64))


def quotient_to_integer(x: Array, y: Array) -> Array:
    return to_integer(x / (y * y + 1.0))


FLOAT_MAPS = [
    Form("-{x}"),
    Form("jg.tanh({x})"),
    Form("jg.sigmoid({x})"),
    Form("jg.sin({x})"),
    Form("jg.cos({x})"),
    Form("jg.exp(-{x} * {x})"),
    Form("jg.exp(jg.sin({x}))"),
    Form("jg.exp2(jg.cos({x}))"),
    Form("jg.expm1(jg.tanh({x}))"),
    Form("jg.log({x} * {x} + 0.5)"),
    Form("jg.log2({x} * {x} + 0.5)"),
    Form("jg.log10({x} * {x} + 0.5)"),
    Form("jg.log1p({x} * {x})"),
    Form("jg.sqrt({x} * {x} + 0.5)"),
    Form("jg.rsqrt({x} * {x} + 0.5)"),
    Form("jg.reciprocal({x} * {x} + 0.5)"),
    Form("1.0 / (2.0 + jg.cos({x}))"),
    Form("jg.square({x})"),
    Form("{x} ** 2"),
    Form("jg.tanh({x}) ** 3"),
    Form("({x} * {x} + 0.5) ** -0.7"),
    Form("2.0 ** jg.sin({x})"),
    Form("jg.tan(jg.sin({x}))"),
    Form("jg.atan({x})"),
    Form("jg.asin(0.9 * jg.sin({x}))"),
    Form("jg.acos(0.9 * jg.sin({x}))"),
    Form("jg.sinh(jg.sin({x}))"),
    Form("jg.cosh(jg.sin({x}))"),
    Form("jg.asinh({x})"),
    Form("jg.acosh({x} * {x} + 1.5)"),
    Form("jg.atanh(0.9 * jg.sin({x}))"),
    Form("jg.erf({x})"),
    Form("jg.erfc({x})"),
    Form("jg.erfinv(0.9 * jg.sin({x}))"),
    Form("jg.lgamma({x} * {x} + 0.5)"),
    Form("jg.digamma({x} * {x} + 0.5)"),
    Form("jg.logit(0.1 + 0.8 * jg.sigmoid({x}))"),
    Form("jg.nn.functional.softplus({x})"),
    Form("jg.nn.functional.silu({x})"),
    Form("jg.nn.functional.gelu({x})"),
    Form("jg.nan_to_num({x})"),
    Form("{x}.detach() * {x}"),
    Form("{x}.clone()"),
    Form("jg.abs({x})", to_zero),
    Form("jg.relu({x})", to_zero),
    Form("jg.nn.functional.elu({x})", to_zero),
    Form("jg.nn.functional.leaky_relu({x}, 0.1)", to_zero),
    Form("jg.clamp({x}, -0.5, 0.7)", lambda x: np.minimum(abs(x + 0.5), abs(x - 0.7))),
    Form("jg.clamp({x}, max=1.0)", lambda x: abs(x - 1.0)),
    Form("jg.sign({x})", to_zero),
    Form("jg.floor({x})", to_integer),
    Form("jg.ceil({x})", to_integer),
    Form("jg.trunc({x})", to_integer),
    Form("jg.frac({x})", to_integer),
    Form("jg.round({x})", to_half),
    Form("{x} % 1.5", lambda x: to_integer(x / 1.5)),
    Form("{x} // 0.7", lambda x: to_integer(x / 0.7)),
    Form("jg.where({x} > 0, jg.log({x}), {x})", to_zero),
    Form("jg.sinc({x})"),
]

FLOAT_PAIRS = [
    Form("{x} + {y}"),
    Form("{x} - {y}"),
    Form("{x} * {y}"),
    Form("{x} / ({y} * {y} + 0.5)"),
    Form("jg.add({x}, {y}, alpha=2)"),
    Form("jg.maximum({x}, {y})", to_each_other),
    Form("jg.minimum({x}, {y})", to_each_other),
    Form("jg.fmax({x}, {y})", to_each_other),
    Form("jg.fmin({x}, {y})", to_each_other),
    Form("jg.clamp({x}, min={y})", to_each_other),
    Form("jg.atan2({x}, {y} * {y} + 0.5)"),
    Form("jg.hypot({x}, {y} * {y} + 0.5)"),
    Form("jg.logaddexp({x}, {y})"),
    Form("({x} * {x} + 0.5) ** jg.tanh({y})"),
    Form("jg.fmod({x}, {y} * {y} + 1.0)", quotient_to_integer),
    Form("jg.remainder({x}, {y} * {y} + 1.0)", quotient_to_integer),
    Form("jg.copysign({x}, {y})", lambda x, y: np.minimum(abs(x), abs(y))),
    Form("jg.xlogy({x}, {y} * {y} + 0.5)"),
    Form("jg.lerp({x}, {y}, 0.3)"),
    Form("jg.addcmul({x}, {y}, {x}, value=0.5)"),
    Form("jg.where({x} > {y}, {x}, {y} * 2.0)", to_each_other),
    Form("jg.where({x} <= {y}, {x} * {y}, 0.0)", to_each_other),
]

INTEGER_MAPS = [
    Form("-{x}"),
    Form("{x} * {x} + 1"),
    Form("jg.abs({x})"),
    Form("jg.sign({x})"),
    Form("jg.clamp({x}, -1, 2)"),
    Form("{x} // 2"),
    Form("{x} % 3"),
    Form("{x} + 0.5"),
    Form("{x} * True"),
    Form("{x} / 2"),
    Form("jg.exp(jg.clamp({x}, -2, 2))"),
    Form("{x}.to(jg.float64)"),
    Form("{x}.to(jg.bool)"),
]

INTEGER_PAIRS = [
    Form("{x} + {y}"),
    Form("{x} - {y}"),
    Form("{x} * {y}"),
    Form("{x} // ({y} * {y} + 1)"),
    Form("{x} % ({y} * {y} + 1)"),
    Form("jg.fmod({x}, {y} * {y} + 1)"),
    Form("{x} / ({y} * {y} + 1)"),
    Form("jg.maximum({x}, {y})"),
    Form("jg.minimum({x}, {y})"),
    Form("jg.where({x} == {y}, {x}, 7)"),
]

BOOLEAN_MAPS = [
    Form("jg.logical_not({x})"),
    Form("jg.where({x}, 1.5, -0.5)"),
    Form("jg.where({x}, 2, 3)"),
    Form("{x} * 1.5"),
    Form("{x} + 1"),
    Form("{x}.to(jg.float64)"),
    Form("{x}.to(jg.int32)"),
    Form("jg.where({x}, jg.ones(()), jg.zeros(()))"),
]

BOOLEAN_PAIRS = [
    Form("jg.logical_and({x}, {y})"),
    Form("jg.logical_or({x}, {y})"),
    Form("jg.logical_xor({x}, {y})"),
    Form("{x} == {y}"),
    Form("{x} * {y}"),
    Form("jg.maximum({x}, {y})"),
]

COMPARISONS = [
    Form(f"{{x}} {sign} {{y}}", to_each_other) for sign in ("<", "<=", ">", ">=", "==", "!=")
]

SCALARS = [
    Form("{x} + 0.25"),
    Form("1 - {x}"),
    Form("{x} * 3"),
    Form("{x} * -0.5"),
    Form("{x} / 4"),
    Form("2.5 * {x} - 1"),
    Form("{x} * {number}"),
    Form("{x} + {number}"),
]

REDUCTIONS = [
    Form("{x}.sum({dims})"),
    Form("{x}.mean({dims})"),
    Form("jg.logsumexp({x}, {dims})"),
    Form("{x}.var({dims})"),
    Form("{x}.var({dims}, correction=0)"),
    Form("jg.sqrt({x}.var({dims}, correction=0) + 0.1)"),
    Form("(({x} * {x}).sum({dims}) + 0.5).sqrt()"),
    Form("jg.linalg.vector_norm({x}, dim={dims_only}) + 0.5"),
]

EXTREMES = [Form("{x}.amax({dims})"), Form("{x}.amin({dims})")]

ALONG_ONE_AXIS = [
    Form("jg.softmax({x}, {axis})"),
    Form("jg.log_softmax({x}, {axis})"),
    Form("{x}.cumsum({axis})"),
    Form("jg.flip({x}, ({axis},))"),
    Form("jg.roll({x}, 1, {axis})"),
    Form("({x} - {x}.mean({axis}, keepdim=True))"),
    Form("({x} / ({x}.abs().sum({axis}, keepdim=True) + 1.0))", to_zero),
    Form("jg.cat([{x}, {x} * 2.0], {axis})"),
    Form("jg.stack([{x}, {x} + 1.0], {axis})"),
    Form("{x}.unsqueeze({axis})"),
    Form("{x}.movedim({axis}, 0)"),
    Form("{x}.transpose({axis}, -1)"),
    Form("{x}.prod({axis})"),
    Form("{x}.narrow({axis}, 0, {x}.shape[{axis}] // 2)"),
    Form("jg.index_select({x}, {axis}, jg.tensor([0, 0]))"),
    Form("jg.diff({x}, dim={axis})"),
]
