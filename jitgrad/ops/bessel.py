"""Bessel functions; `jitgrad.special`.

Derivatives by the recurrences of [1]_, 10.6 and 10.29.

References
----------
.. [1] NIST Digital Library of Mathematical Functions, https://dlmf.nist.gov, chapter 10.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitgrad.core.primitive import Derivative, External, Primitive, partials
from jitgrad.core.public import publish
from jitgrad.ops.families import elementwise, reals
from jitgrad.ops.rounding import sign
from jitgrad.ops.selection import select
from jitgrad.ops.special import scipy_function


def _bessel(name: str, scipy_name: str, derivative: Derivative, doc: str) -> Primitive:
    function = elementwise(
        # i0 alone could be the index of a loop
        name if name.startswith("bessel") else f"bessel_{name}",
        eager=scipy_function(scipy_name),
        derivative=derivative,
        template=External(),
        samples=reals(0.3, 5),
        doc=doc,
        result="float",
        published=False,
    )
    publish(function, name, method=False, namespace="special")
    return function


def _over_x(value: Callable[[], Any], x: Any, at_zero: float) -> Any:
    """Return a value divided by `x`, or its limit where `x` is zero."""
    return select(x == 0.0, at_zero, value() / select(x == 0.0, 1.0, x))


bessel_j0: Primitive = _bessel(
    "bessel_j0", "j0", partials(lambda x: -bessel_j1(x)),
    "Bessel function of the first kind and order 0 of each element.",
)  # fmt: skip

bessel_j1: Primitive = _bessel(
    "bessel_j1", "j1", partials(lambda x, out: bessel_j0(x) - _over_x(lambda: out, x, 0.5)),
    "Bessel function of the first kind and order 1 of each element.",
)  # fmt: skip

i0: Primitive = _bessel(
    "i0", "i0", partials(lambda x: i1(x)),
    "Modified Bessel function of the first kind and order 0 of each element.",
)  # fmt: skip

i1: Primitive = _bessel(
    "i1", "i1", partials(lambda x, out: i0(x) - _over_x(lambda: out, x, 0.5)),
    "Modified Bessel function of the first kind and order 1 of each element.",
)  # fmt: skip

i0e: Primitive = _bessel(
    "i0e", "i0e", partials(lambda x, out: i1e(x) - sign(x) * out),
    "Modified Bessel function of order 0, times ``exp(-abs(x))``, of each element.",
)  # fmt: skip

i1e: Primitive = _bessel(
    "i1e", "i1e",
    partials(lambda x, out: i0e(x) - sign(x) * out - _over_x(lambda: out, x, 0.5)),
    "Modified Bessel function of order 1, times ``exp(-abs(x))``, of each element.",
)  # fmt: skip
