"""Sums, products, quotients, powers, and what is built like them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.primitive import Template, partials
from jitgrad.core.public import public
from jitgrad.ops.families import elementwise, reals

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor

_ORDERED_PAIR = ("x", "y")

add = elementwise(
    "add",
    eager=np.add,
    derivative=partials(lambda: 1.0, lambda: 1.0),
    template=Template("{x} + {y}", boolean="{x} or {y}"),
    samples=reals((-3, 3), (-3, 3)),
    doc="Sum of each pair of elements.",
    inputs=_ORDERED_PAIR,
    published=False,
)

sub = elementwise(
    "sub",
    eager=np.subtract,
    derivative=partials(lambda: 1.0, lambda: -1.0),
    template="{x} - {y}",
    samples=reals((-3, 3), (-3, 3)),
    doc="Difference of each pair of elements.",
    inputs=_ORDERED_PAIR,
    published=False,
)

mul = elementwise(
    "mul",
    eager=np.multiply,
    derivative=partials(lambda y: y, lambda x: x),
    template=Template("{x} * {y}", boolean="{x} and {y}"),
    samples=reals((-3, 3), (-3, 3)),
    doc="Product of each pair of elements.",
    inputs=_ORDERED_PAIR,
)

div = elementwise(
    "div",
    eager=np.true_divide,
    derivative=partials(lambda y: 1.0 / y, lambda y, out: -out / y, singular=True),
    template=Template("{x} / {y}", cost=4),
    samples=reals((-3, 3), (0.5, 3)),
    doc="Quotient of each pair of elements.",
    inputs=_ORDERED_PAIR,
    result="float",
)

neg = elementwise(
    "neg",
    eager=np.negative,
    derivative=partials(lambda: -1.0),
    template="-{x}",
    samples=reals(-3, 3),
    doc="Each element with the other sign.",
)

square = elementwise(
    "square",
    eager=np.square,
    derivative=partials(lambda x: 2.0 * x),
    template="{x} * {x}",
    samples=reals(-3, 3),
    doc="Square of each element.",
    grad_name="PowBackward0",
)

reciprocal = elementwise(
    "reciprocal",
    eager=lambda x: 1.0 / x,
    derivative=partials(lambda out: -out * out, singular=True),
    template=Template("1 / {x}", cost=4),
    samples=reals(0.5, 3),
    doc="One divided by each element.",
    result="float",
)


@public(inplace=True)
def add_(x: ArrayLike, y: ArrayLike, *, alpha: float = 1) -> Tensor:
    """Return ``x + alpha * y``.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast.
    alpha : number
        Factor of `y`.

    Returns
    -------
    Tensor
        Of the broadcast shape and promoted dtype.
    """
    return add(x, y) if alpha == 1 else add(x, mul(y, alpha))


@public("subtract", inplace=True)
def sub_(x: ArrayLike, y: ArrayLike, *, alpha: float = 1) -> Tensor:
    """Return ``x - alpha * y``.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast.
    alpha : number
        Factor of `y`.

    Returns
    -------
    Tensor
        Of the broadcast shape and promoted dtype.
    """
    return sub(x, y) if alpha == 1 else sub(x, mul(y, alpha))


def _scale_eager(ct: Any, partial: Any) -> Any:
    product = ct * partial
    return np.where((ct == 0) & ~np.isfinite(partial), np.zeros_like(product), product)


scale_cotangent = elementwise(
    "scale_cotangent",
    eager=_scale_eager,
    derivative=partials(
        lambda ct, partial: finite_or_zero(partial, ct), lambda ct: ct
    ),
    template=Template("select({ct} == 0 and not isfinite({partial}), {zero}, {ct} * {partial})"),
    samples=reals((-3, 3), (-3, 3)),
    doc="Cotangent times partial derivative, where a cotangent of zero beats an infinite partial.",
    inputs=("ct", "partial"),
    grad_name="MulBackward0",
    published=False,
)

finite_or_zero = elementwise(
    "finite_or_zero",
    eager=lambda partial, ct: np.where(
        (ct == 0) & ~np.isfinite(partial), np.zeros_like(partial), partial
    ),
    derivative=partials(lambda: 1.0, None),
    template=Template("select({ct} == 0 and not isfinite({partial}), {zero}, {partial})"),
    samples=reals((-3, 3), (-3, 3)),
    doc="The partial derivative, or zero where it is infinite and the cotangent zero.",
    inputs=("partial", "ct"),
    grad_name="MulBackward0",
    published=False,
)
