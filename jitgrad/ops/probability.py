"""Distribution functions of the normal and gamma distributions, and their kin."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.errors import ArgumentError, GradientError
from jitgrad.core.primitive import External, Primitive, Sample, Template, partials
from jitgrad.core.public import public, publish
from jitgrad.ops.exponential import exp, log
from jitgrad.ops.families import elementwise, reals
from jitgrad.ops.power import square
from jitgrad.ops.special import lgamma, scipy_function

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor

_ROOT_TWO_PI = math.sqrt(2.0 * math.pi)
_ROOT_HALF = math.sqrt(0.5)

erfcx: Primitive = elementwise(
    "erfcx",
    eager=scipy_function("erfcx"),
    derivative=partials(lambda x, out: 2.0 * x * out - 2.0 / math.sqrt(math.pi)),
    template=External(),
    samples=reals(-2, 4),
    doc="``exp(x**2) * erfc(x)`` of each element, which does not overflow for large `x`.",
    result="float",
    published=False,
)

ndtr: Primitive = elementwise(
    "ndtr",
    eager=scipy_function("ndtr"),
    derivative=partials(lambda x: exp(-0.5 * square(x)) / _ROOT_TWO_PI),
    template=Template(f"erfc(-{{x}} * {_ROOT_HALF!r}) * 0.5", cost=32),
    samples=reals(-3, 3),
    doc="Standard normal distribution function of each element.",
    result="float",
    published=False,
)

log_ndtr: Primitive = elementwise(
    "log_ndtr",
    eager=scipy_function("log_ndtr"),
    # the density over the distribution function, without the underflow of both
    derivative=partials(lambda x: 2.0 / _ROOT_TWO_PI / erfcx(-_ROOT_HALF * x)),
    template=External(),
    samples=reals(-6, 3),
    doc="Logarithm of the standard normal distribution function, accurate where that is small.",
    result="float",
    published=False,
)

ndtri: Primitive = elementwise(
    "ndtri",
    eager=scipy_function("ndtri"),
    derivative=partials(lambda out: _ROOT_TWO_PI * exp(0.5 * square(out)), singular=True),
    template=External(),
    samples=reals(0.1, 0.9),
    doc="Inverse of the standard normal distribution function of each element.",
    result="float",
    published=False,
)


# -- incomplete gamma functions ------------------------------------------------------------------


def _refuse_order(a: Any) -> Any:
    raise GradientError(
        "gammainc: there is no derivative with respect to the first argument",
        do="detach it: gammainc(a.detach(), x)",
    )


def _density(a: Any, x: Any) -> Any:
    """Return the density of the gamma distribution of shape `a`."""
    return exp((a - 1.0) * log(x) - x - lgamma(a))


def _incomplete(name: str, sign: float, doc: str) -> Primitive:
    def samples(rng: np.random.Generator) -> list[Sample]:
        made = reals((1, 5), (0.3, 6))(rng)
        # whole orders, of a dtype in which no derivative is asked for
        return [replace(s, args=(np.asarray(s.args[0]).astype(np.int64), s.args[1])) for s in made]

    return elementwise(
        name,
        eager=scipy_function(name),
        derivative=partials(_refuse_order, lambda a, x: sign * _density(a, x), singular=True),
        template=External(),
        samples=samples,
        doc=doc,
        inputs=("a", "x"),
        result="float",
        published=False,
    )


gammainc = _incomplete(
    "gammainc", 1.0, "Regularised lower incomplete gamma function; no gradient by the order `a`."
)
gammaincc = _incomplete(
    "gammaincc", -1.0, "Regularised upper incomplete gamma function; no gradient by the order `a`."
)


@public(method=False, namespace="special")
def multigammaln(a: ArrayLike, p: int) -> Tensor:
    """Return the logarithm of the multivariate gamma function.

    Parameters
    ----------
    a : array_like
        Any shape; above ``(p - 1) / 2``.
    p : int
        The dimension, at least 1.

    Returns
    -------
    Tensor, shape of `a`

    Raises
    ------
    ArgumentError
        If `p` is less than 1.
    """
    if p < 1:
        raise ArgumentError(f"multigammaln: the dimension is {p}", why="it must be at least 1")
    value = box(a)
    result: Tensor = lgamma(value)
    for j in range(1, p):
        result = result + lgamma(value - 0.5 * j)
    return result + 0.25 * p * (p - 1) * math.log(math.pi)


for _name, _function in [
    ("erfcx", erfcx), ("ndtr", ndtr), ("log_ndtr", log_ndtr), ("ndtri", ndtri),
    ("gammainc", gammainc), ("gammaincc", gammaincc),
]:  # fmt: skip
    publish(_function, _name, method=False, namespace="special")
