"""Error functions, gamma functions and their kin; NumPy implementations by SciPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.dtypes import get_default_dtype, is_floating
from jitgrad.core.errors import ArgumentError
from jitgrad.core.primitive import External, Primitive, Sample, Template, partials, register
from jitgrad.core.public import public, publish
from jitgrad.core.spec import Spec
from jitgrad.ops.arithmetic import in_precision_of
from jitgrad.ops.batching import broadcasting
from jitgrad.ops.exponential import exp, log, log1p, log_of_either, sigmoid
from jitgrad.ops.families import elementwise, reals
from jitgrad.ops.naming import shown_as
from jitgrad.ops.power import square
from jitgrad.ops.selection import clamp, select

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor

_TWO_OVER_ROOT_PI = 2.0 / math.sqrt(math.pi)


def scipy_function(name: str) -> Callable[..., Any]:
    """Return SciPy's special function of this name; SciPy is loaded at its first call."""

    def call(*args: Any) -> Any:
        from scipy import special

        return getattr(special, name)(*args)

    call.__name__ = name
    return call


erf = elementwise(
    "erf",
    eager=scipy_function("erf"),
    derivative=partials(lambda x: _TWO_OVER_ROOT_PI * exp(-square(x))),
    template=Template("erf({x})", cost=25),
    samples=reals(-3, 3),
    doc="Error function of each element.",
    result="float",
)

erfc = elementwise(
    "erfc",
    eager=scipy_function("erfc"),
    derivative=partials(lambda x: -_TWO_OVER_ROOT_PI * exp(-square(x))),
    template=Template("erfc({x})", cost=30),
    samples=reals(-3, 3),
    doc="One minus the error function of each element, accurate where it is small.",
    result="float",
)

erfinv = elementwise(
    "erfinv",
    eager=scipy_function("erfinv"),
    derivative=partials(lambda out: exp(square(out)) / _TWO_OVER_ROOT_PI, singular=True),
    template=Template("erfinv({x})", cost=40),
    samples=reals(-0.9, 0.9),
    doc="Inverse error function of each element; nan outside [-1, 1].",
    result="float",
)

lgamma = elementwise(
    "lgamma",
    eager=scipy_function("gammaln"),
    derivative=partials(lambda x: digamma(x), singular=True),
    template=Template("lgamma({x})", cost=40),
    samples=reals(0.4, 5),
    doc="Logarithm of the magnitude of the gamma function of each element.",
    result="float",
)

digamma: Primitive = elementwise(
    "digamma",
    eager=scipy_function("digamma"),
    derivative=partials(lambda x: polygamma_primitive(x, order=1), singular=True),
    template=Template("digamma({x})", cost=40),
    samples=reals(0.4, 5),
    doc="Logarithmic derivative of the gamma function at each element.",
    result="float",
)


def _polygamma_infer(x: Spec, order: int) -> Spec:
    return Spec(x.shape, x.dtype if is_floating(x.dtype) else get_default_dtype())


def _polygamma_eager(x: Any, order: int) -> Any:
    from scipy import special

    array = np.asarray(x)
    dtype = array.dtype if is_floating(array.dtype) else get_default_dtype()
    return np.asarray(special.polygamma(order, array), dtype)


polygamma_primitive: Primitive = register(
    Primitive(
        "polygamma",
        ("x",),
        eager=_polygamma_eager,
        infer=_polygamma_infer,
        derivative=partials(
            lambda x, order: polygamma_primitive(x, order=order + 1), singular=True
        ),
        lowering=External(),
        samples=lambda rng: [
            Sample((rng.uniform(0.5, 4, shape),), {"order": order}, f"{order}-{shape}")
            for order, shape in [(1, (3, 4)), (2, (5,)), (1, ()), (1, (0,))]
        ],
        doc="Derivative of so high an order of the digamma function at each element.",
        grad_name="PolygammaBackward0",
        batching=broadcasting,
    )
)


@public(method=False)
def polygamma(n: int, x: ArrayLike) -> Tensor:
    """Return the derivative of order `n` of the digamma function.

    Parameters
    ----------
    n : int
        Not negative; 0 is the digamma function itself.
    x : array_like
        Any shape.

    Returns
    -------
    Tensor, shape of `x`

    Raises
    ------
    ArgumentError
        If `n` is negative.
    """
    if n < 0:
        raise ArgumentError(f"polygamma: the order is {n}", why="it must not be negative")
    result: Tensor = digamma(x) if n == 0 else polygamma_primitive(box(x), order=int(n))
    return result


def _xlogy_eager(x: Any, y: Any) -> Any:
    return np.where((x == 0) & ~np.isnan(y), np.zeros_like(x), x * np.log(y))


def _xlogy_slope(x: Any, y: Any, x_spec: Spec) -> Any:
    return select((x == 0) & (y <= 0), 0.0, log_of_either(y, x_spec))


xlogy = elementwise(
    "xlogy",
    eager=_xlogy_eager,
    derivative=partials(_xlogy_slope, lambda x, y: x / y, singular=True),
    template=Template(
        "select({x} == 0 and not isnan({y}), {zero}, {x} * log({y}))",
        cost=14,
    ),
    samples=reals((0.3, 3), (0.3, 3)),
    doc="``x * log(y)`` of each pair of elements, zero where `x` is zero.",
    inputs=("x", "y"),
    result="float",
)


def _xlog1py_eager(x: Any, y: Any) -> Any:
    return np.where((x == 0) & ~np.isnan(y), np.zeros_like(x), x * np.log1p(y))


xlog1py = elementwise(
    "xlog1py",
    eager=_xlog1py_eager,
    derivative=partials(
        lambda x, y, x_spec: select(
            (box(x) == 0) & (box(y) <= -1), 0.0, log1p(in_precision_of(box(y), x_spec))
        ),
        lambda x, y: x / (y + 1.0),
        singular=True,
    ),
    template=Template("select({x} == 0 and not isnan({y}), {zero}, {x} * log1p({y}))", cost=17),
    samples=reals((0.3, 3), (-0.7, 3)),
    doc="``x * log1p(y)`` of each pair of elements, zero where `x` is zero.",
    inputs=("x", "y"),
    result="float",
    published=False,
)

entropy_term = elementwise(
    "entr",
    eager=lambda x: np.where(
        x > 0, -x * np.log(x), np.where(x == 0, np.zeros_like(x), np.where(x < 0, -np.inf, x))
    ).astype(x.dtype),
    derivative=partials(lambda x: -log(x) - 1.0, singular=True),
    template=Template(
        "select({x} == 0, {zero}, select({x} < 0, -{one} / {zero}, -{x} * log({x})))", cost=16
    ),
    samples=reals(0.2, 3),
    doc="``-x * log(x)`` of each element, zero at zero and minus infinity below.",
    result="float",
    published=False,
)


@public(namespace="special")
def logit(x: ArrayLike, eps: float | None = None) -> Tensor:
    """Return ``log(x / (1 - x))``, the inverse of `sigmoid`.

    Parameters
    ----------
    x : array_like
        Any shape.
    eps : float, optional
        Clamp `x` to [eps, 1 - eps] first.

    Returns
    -------
    Tensor, shape of `x`
        Infinite at 0 and 1, nan outside.
    """
    value = box(x) if eps is None else clamp(x, eps, 1.0 - eps)
    return shown_as("LogitBackward0", log(value) - log1p(-value))


for _name, _function in [
    ("erf", erf), ("erfc", erfc), ("erfinv", erfinv), ("gammaln", lgamma), ("digamma", digamma),
    ("psi", digamma), ("xlogy", xlogy), ("xlog1py", xlog1py), ("entr", entropy_term),
    ("expit", sigmoid),
]:  # fmt: skip
    publish(_function, _name, method=False, namespace="special")
publish(polygamma, "polygamma", method=False, namespace="special")
publish(logit, "logit", inplace=True)
