"""Squares, roots and powers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.dtypes import (
    bool_,
    int64,
    is_floating,
    promote_dtypes,
    result_dtype,
    scalar_dtype,
)
from jitgrad.core.errors import ArgumentError
from jitgrad.core.primitive import (
    External,
    Primitive,
    Sample,
    Template,
    none,
    partials,
    register,
)
from jitgrad.core.public import public
from jitgrad.core.shapes import broadcast_shapes
from jitgrad.core.spec import Spec
from jitgrad.ops.arithmetic import mul, reciprocal
from jitgrad.ops.batching import broadcasting
from jitgrad.ops.cast import convert
from jitgrad.ops.families import elementwise, reals
from jitgrad.ops.naming import shown_as
from jitgrad.ops.selection import select

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor

_NUMBERS = (bool, int, float)

square = elementwise(
    "square",
    eager=lambda x: x * x,
    derivative=partials(lambda x: 2.0 * x),
    template=Template("{x} * {x}", boolean="{x}"),
    samples=reals(-3, 3),
    doc="Square of each element.",
    grad_name="PowBackward0",
    published=False,
)

cube = elementwise(
    "cube",
    eager=lambda x: x * x * x,
    derivative=partials(lambda x: 3.0 * square(x)),
    template=Template("{x} * {x} * {x}", boolean="{x}", cost=2),
    samples=reals(-3, 3),
    doc="Third power of each element.",
    grad_name="PowBackward0",
    published=False,
)

sqrt = elementwise(
    "sqrt",
    eager=np.sqrt,
    derivative=partials(lambda out: 0.5 / out, singular=True),
    template=Template("sqrt({x})", cost=6),
    samples=reals(0.2, 4),
    doc="Square root of each element.",
    result="float",
)

rsqrt: Primitive = elementwise(
    "rsqrt",
    eager=lambda x: 1 / np.sqrt(x),
    derivative=partials(lambda out: -0.5 * cube(out), singular=True),
    template=Template("rsqrt({x})", cost=10),
    samples=reals(0.2, 4),
    doc="One divided by the square root of each element.",
    result="float",
)

# For lengths and deviations: the root of a sum of squares has its smallest slope, zero, at zero.
root_of_squares = elementwise(
    "root_of_squares",
    eager=np.sqrt,
    derivative=partials(lambda out: select(out == 0.0, 0.0, 0.5 / out)),
    template=Template("sqrt({x})", cost=6),
    samples=reals(0.2, 4),
    doc="Square root of each element, with derivative zero at zero.",
    result="float",
    grad_name="SqrtBackward0",
    published=False,
)


def _power_slope(x: Any, y: Any) -> Any:
    if isinstance(y, _NUMBERS):
        return y * pow(x, y - 1.0) if y else 0.0
    return select(y == 0, 0.0, y * power(x, y - 1.0))


def _exponent_slope(x: Any, y: Any, out: Any) -> Any:
    if isinstance(x, _NUMBERS):
        if x == 0:
            return select(y >= 0, 0.0, -math.inf)
        return out * (math.log(x) if x > 0 else math.nan)
    from jitgrad.ops.exponential import log

    # The logarithm in the precision of the output: `x` may be of whole numbers, or narrower.
    logarithm = log(convert(x, promote_dtypes(x.dtype, out.dtype)))
    return select((x == 0) & (y >= 0), 0.0, out * logarithm)


power: Primitive = elementwise(
    "pow",
    eager=np.power,
    derivative=partials(_power_slope, _exponent_slope, singular=True),
    template=Template("pow({x}, {y})", cost=40),
    samples=reals((0.3, 3), (-2, 3)),
    doc="Each element of the first input to the power of the second's.",
    inputs=("x", "y"),
    result="float",
    published=False,
)


def _integer_power_eager(x: Any, y: Any) -> Any:
    dtype = result_dtype([_operand(x), _operand(y)])
    whole = int64 if dtype == bool_ else dtype
    base, exponent = np.asarray(x, whole), np.asarray(y, whole)
    powers = np.power(base, np.maximum(exponent, 0))
    # One divided by a power, rounded towards zero: only those of 1 and -1 are left.
    inverses = np.where(base == 1, 1, np.where(base == -1, np.where(exponent % 2, -1, 1), 0))
    return np.where(exponent >= 0, powers, inverses).astype(dtype)


def _operand(x: Any) -> Any:
    weak = isinstance(x, _NUMBERS)
    return (scalar_dtype(x), 0, True) if weak else (x.dtype, x.ndim, False)


def _integer_power_infer(x: Spec, y: Spec) -> Spec:
    dtype = result_dtype([(s.dtype, s.ndim, s.weak) for s in (x, y)])
    return Spec(broadcast_shapes("pow", x.shape, y.shape), dtype, x.weak and y.weak)


def _integer_power_samples(rng: np.random.Generator) -> list[Sample]:
    return [
        Sample((rng.integers(-3, 4, shape), rng.integers(-2, 5, other)), {}, f"{shape}**{other}")
        for shape, other in [((), ()), ((0,), (0,)), ((3, 4), (3, 4)), ((3, 4), (4,)), ((5,), ())]
    ]


integer_power = register(
    Primitive(
        "integer_power",
        ("x", "y"),
        eager=_integer_power_eager,
        infer=_integer_power_infer,
        derivative=none("whole numbers do not vary continuously"),
        lowering=External(),
        samples=_integer_power_samples,
        doc="Powers of whole numbers, exactly.",
        grad_name="",
        batching=broadcasting,
    )
)


@public(inplace=True)
def square_(x: ArrayLike) -> Tensor:
    """Return the square of each element.

    Parameters
    ----------
    x : array_like, any shape

    Returns
    -------
    Tensor, shape and dtype of `x`
        int64 for booleans.
    """
    value = box(x)
    result: Tensor = square(value if value.dtype != bool_ else convert(value, int64))
    return result


@public(inplace=True)
def pow(x: ArrayLike, exponent: ArrayLike) -> Tensor:
    """Return each element of `x` to the power `exponent`.

    Parameters
    ----------
    x, exponent : array_like
        Shapes that broadcast.

    Returns
    -------
    Tensor
        Of the broadcast shape and promoted dtype; powers of whole numbers are exact. Where
        `exponent` is zero the derivative with respect to `x` is zero.

    Raises
    ------
    ArgumentError
        If whole numbers are raised to a negative number.
    """
    if isinstance(exponent, _NUMBERS):
        return _number_power(box(x), exponent)
    result: Tensor
    base: Any = x if isinstance(x, _NUMBERS) else box(x)
    power_of = box(exponent)
    if is_floating(result_dtype([_operand(base), _operand(power_of)])):
        name = "PowBackward2" if isinstance(base, _NUMBERS) else "PowBackward1"
        result = shown_as(name, power(base, power_of))
    else:
        result = integer_power(base, power_of)
    return result


def _number_power(x: Any, exponent: float) -> Tensor:
    """Return `x` to the power of a Python number, by products and roots where that is exact."""
    dtype = result_dtype([(x.dtype, x.ndim, False), (scalar_dtype(exponent), 0, True)])
    base = convert(x, dtype)
    if not is_floating(dtype):
        if exponent < 0:
            raise ArgumentError(
                f"pow: whole numbers can't be raised to the power {exponent}",
                why="the results would not be whole numbers",
                do="convert the base first, for instance with x.float()",
            )
        exact = None if dtype == bool_ else _CHEAP.get(exponent)
        result: Tensor = exact(base) if exact else integer_power(base, exponent)
        return result
    return shown_as("PowBackward0", _CHEAP.get(exponent, lambda b: power(b, exponent))(base))


_CHEAP: dict[float, Any] = {
    -2: lambda x: reciprocal(square(x)),
    -1: reciprocal,
    -0.5: rsqrt,
    0.5: sqrt,
    1: lambda x: mul(x, 1),
    2: square,
    3: cube,
    4: lambda x: square(square(x)),
}
