"""Errors against mpmath stay within the bounds that the docstrings state."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.intrinsics.kernels import TWINS, Array, lowered, ulps

mpmath = pytest.importorskip("mpmath")
COUNT = 150

BOUNDS = {
    name: float(match[1])
    for name, twin in TWINS.items()
    if (match := re.search(r"error at most ([\d.]+) ulp", twin.__doc__ or ""))
}


def _near(low: float, high: float) -> Callable[[np.random.Generator], Array]:
    return lambda rng: rng.uniform(low, high, COUNT)


def _magnitudes(low: int, high: int) -> Callable[[np.random.Generator], Array]:
    def sample(rng: np.random.Generator) -> Array:
        return rng.choice([-1.0, 1.0], COUNT) * 2.0 ** rng.uniform(low, high, COUNT)

    return sample


def _up_to_one(rng: np.random.Generator) -> Array:
    return np.concatenate([_near(-1, 1)(rng), 1 - 2.0 ** rng.uniform(-24, 0, COUNT)])


def _positive(rng: np.random.Generator) -> Array:
    return np.concatenate([np.abs(_magnitudes(-140, 127)(rng)), _near(0.7, 1.5)(rng)])


def _above_one(rng: np.random.Generator) -> Array:
    return 1.0 + np.abs(_magnitudes(-23, 100)(rng))


def _bases(rng: np.random.Generator) -> Array:
    return np.concatenate([np.abs(_magnitudes(-100, 100)(rng)), _near(0.7, 1.5)(rng)])


def _exponents(rng: np.random.Generator) -> Array:
    return np.concatenate([_near(-0.9, 0.9)(rng), _near(-150, 150)(rng)])


def _angles(rng: np.random.Generator) -> Array:
    near_multiples = np.round(_near(-1e4, 1e4)(rng)) * (np.pi / 2)
    return np.concatenate([_near(-10, 10)(rng), near_multiples, _magnitudes(10, 120)(rng)])


def _wide(low: float, high: float) -> Callable[[np.random.Generator], Array]:
    def sample(rng: np.random.Generator) -> Array:
        return np.concatenate([_near(low, high)(rng), _near(-1, 1)(rng), _magnitudes(-130, 0)(rng)])

    return sample


# what a function is tried on, and what is true
CASES: dict[str, tuple[Callable[[np.random.Generator], Array], Callable[[Any], Any]]] = {
    "exp": (_wide(-104, 89), mpmath.exp),
    "exp2": (_wide(-150, 128), lambda x: mpmath.mpf(2) ** x),
    "expm1": (_wide(-20, 89), mpmath.expm1),
    "log": (_positive, mpmath.log),
    "log2": (_positive, lambda x: mpmath.log(x) / mpmath.log(2)),
    "log10": (_positive, lambda x: mpmath.log(x) / mpmath.log(10)),
    "log1p": (_wide(-1, 9), lambda x: mpmath.log1p(x)),
    "softplus": (_wide(-100, 20), lambda x: mpmath.log1p(mpmath.exp(x))),
    "sqrt": (_positive, mpmath.sqrt),
    "rsqrt": (_positive, lambda x: 1 / mpmath.sqrt(x)),
    "cbrt": (_magnitudes(-140, 127), lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x))),
    "sigmoid": (_wide(-100, 20), lambda x: 1 / (1 + mpmath.exp(-x))),
    "tanh": (_wide(-20, 20), mpmath.tanh),
    "sinh": (_wide(-89, 89), mpmath.sinh),
    "cosh": (_wide(-89, 89), mpmath.cosh),
    "asinh": (_wide(-50, 50), mpmath.asinh),
    "acosh": (_above_one, mpmath.acosh),
    "atanh": (_up_to_one, mpmath.atanh),
    "sin": (_angles, mpmath.sin),
    "cos": (_angles, mpmath.cos),
    "tan": (_angles, mpmath.tan),
    "asin": (_up_to_one, mpmath.asin),
    "acos": (_up_to_one, mpmath.acos),
    "atan": (_wide(-50, 50), mpmath.atan),
    "erf": (_wide(-6, 6), mpmath.erf),
    "erfc": (_wide(-3, 10), mpmath.erfc),
    "erfinv": (_up_to_one, mpmath.erfinv),
    "lgamma": (
        lambda rng: np.concatenate([_near(0.01, 20)(rng), _near(1, 2)(rng)]),
        mpmath.loggamma,
    ),
    "digamma": (
        lambda rng: np.concatenate([_near(0.01, 20)(rng), _near(1, 2)(rng)]),
        mpmath.digamma,
    ),
}
CASES_OF_TWO: dict[str, tuple[Any, Any, Callable[[Any, Any], Any]]] = {
    "pow": (_bases, _exponents, mpmath.power),
    "atan2": (_magnitudes(-40, 40), _magnitudes(-40, 40), mpmath.atan2),
    "hypot": (_magnitudes(-60, 60), _magnitudes(-60, 60), mpmath.hypot),
}


def test_every_stated_bound_is_tried() -> None:
    assert set(BOUNDS) == set(CASES) | set(CASES_OF_TWO)


def _true_values(function: Callable[..., Any], *arguments: Array) -> Array:
    rows = zip(*(argument.tolist() for argument in arguments), strict=True)
    with mpmath.workprec(600):
        values = [function(*map(mpmath.mpf, row)) for row in rows]
    # a longer type, where the platform has one, measures fractions of an ulp
    return np.array([np.longdouble(mpmath.nstr(mpmath.re(value), 30)) for value in values])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", BOUNDS)
def test_error_is_within_the_stated_bound(name: str, dtype: str, rng: np.random.Generator) -> None:
    *samplers, function = (CASES | CASES_OF_TWO)[name]  # type: ignore[operator]
    arguments = [sampler(rng).astype(dtype) for sampler in samplers]
    length = min(len(argument) for argument in arguments)
    arguments = [argument[:length].copy() for argument in arguments]
    if name in ("atanh", "erfinv"):
        arguments = [np.where(np.abs(x) < 1, x, np.zeros_like(x)) for x in arguments]
    apart = ulps(lowered(name, *arguments), _true_values(function, *arguments))
    worst = np.argmax(apart)
    assert apart[worst] <= BOUNDS[name], [argument[worst] for argument in arguments]
