"""Operations that choose between elements: `where`, larger and smaller of two, clamping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.dtypes import bool_, is_floating
from jitgrad.core.errors import ArgumentError, DtypeError, ShapeError
from jitgrad.core.primitive import Primitive, Sample, Template, partials, vjps
from jitgrad.core.public import public, publish
from jitgrad.ops.comparison import isnan
from jitgrad.ops.families import elementwise, reals
from jitgrad.ops.naming import shown_as

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


def _select_samples(rng: np.random.Generator) -> list[Sample]:
    shapes: list[list[tuple[int, ...]]] = [
        [(), (), ()],
        [(0,), (0,), (0,)],
        [(3, 4), (3, 4), (3, 4)],
        [(3, 4), (4,), (3, 1)],
        [(4,), (), (3, 4)],
        [(2, 1, 3), (4, 1), ()],
    ]
    return [
        Sample(
            (rng.random(c) < 0.5, rng.uniform(-3, 3, x), rng.uniform(-3, 3, y)), {}, f"{c}?{x}:{y}"
        )
        for c, x, y in shapes
    ]


select: Primitive = elementwise(
    "where",
    eager=np.where,
    # Linear in x and y together, but not in one with the other fixed.
    derivative=vjps(
        None,
        lambda ct, condition: select(condition, ct, 0.0),
        lambda ct, condition: select(condition, 0.0, ct),
    ),
    template="select({condition}, {x}, {y})",
    samples=_select_samples,
    doc="Elements of `x` where the condition holds, of `y` elsewhere.",
    inputs=("condition", "x", "y"),
    uncast=("condition",),
    published=False,
)


@public(method=False)
def where(
    condition: ArrayLike, x: ArrayLike | None = None, y: ArrayLike | None = None
) -> Tensor | tuple[Tensor, ...]:
    """Return elements of `x` where the condition holds, of `y` elsewhere.

    The side that is not taken never contributes to a gradient, whatever its own derivative is
    there: ``where(x > 0, log(x), 0.0)`` has gradient zero at zero.

    Parameters
    ----------
    condition : array_like of bool
        Any shape.
    x, y : array_like, optional
        Shapes that broadcast with that of `condition`. Without them the indices of the True
        elements are returned, as a tuple with one Tensor for each axis.

    Returns
    -------
    Tensor
        Of the broadcast shape and the promoted dtype of `x` and `y`.

    Raises
    ------
    DtypeError
        If `condition` is not boolean.
    ArgumentError
        If only one of `x` and `y` is given.
    """
    chosen = box(condition)
    if x is None and y is None:
        indices: tuple[Tensor, ...] = tuple(
            [box(index) for index in np.nonzero(chosen.detach().numpy())]
        )
        return indices
    if x is None or y is None:
        raise ArgumentError("where: one of x and y is missing", do="pass both, or neither")
    if chosen.dtype != bool_:
        raise DtypeError(
            f"where: the condition has dtype {chosen.dtype}",
            why="only booleans say which side to take",
            do="compare it, for instance x != 0",
        )
    if isinstance(x, (bool, int, float)) and isinstance(y, (bool, int, float)):
        x = box(x)  # two numbers have no dtype of their own: the default one decides
    result: Tensor = select(chosen, x, y)
    return result


def _where_method(self: Tensor, condition: ArrayLike, other: ArrayLike) -> Any:
    """Return this Tensor's elements where `condition` holds, those of `other` elsewhere."""
    return where(condition, self, other)


publish(_where_method, "where", namespace="Tensor")


# -- larger and smaller of two -------------------------------------------------------------

maximum = elementwise(
    "maximum",
    eager=np.maximum,
    derivative=partials(
        lambda x, y: select(x == y, 0.5, ~(x < y)), lambda x, y: select(x == y, 0.5, ~(y < x))
    ),
    template=Template("maximum({x}, {y})", boolean="{x} or {y}"),
    samples=reals((-3, 3), (3.1, 5)),
    doc="Larger of each pair of elements; equal ones share the gradient, nan wins.",
    inputs=("x", "y"),
)

minimum = elementwise(
    "minimum",
    eager=np.minimum,
    derivative=partials(
        lambda x, y: select(x == y, 0.5, ~(x > y)), lambda x, y: select(x == y, 0.5, ~(y > x))
    ),
    template=Template("minimum({x}, {y})", boolean="{x} and {y}"),
    samples=reals((-3, 3), (3.1, 5)),
    doc="Smaller of each pair of elements; equal ones share the gradient, nan wins.",
    inputs=("x", "y"),
)

fmax = elementwise(
    "fmax",
    eager=np.fmax,
    derivative=partials(lambda x, y: (x >= y) | isnan(y), lambda x, y: ~((x >= y) | isnan(y))),
    template=Template("fmax({x}, {y})", boolean="{x} or {y}"),
    samples=reals((-3, 3), (3.1, 5)),
    doc="Larger of each pair of elements; a number wins over nan.",
    inputs=("x", "y"),
)

fmin = elementwise(
    "fmin",
    eager=np.fmin,
    derivative=partials(lambda x, y: (x <= y) | isnan(y), lambda x, y: ~((x <= y) | isnan(y))),
    template=Template("fmin({x}, {y})", boolean="{x} and {y}"),
    samples=reals((-3, 3), (3.1, 5)),
    doc="Smaller of each pair of elements; a number wins over nan.",
    inputs=("x", "y"),
)

at_least = elementwise(
    "clamp_min",
    eager=np.maximum,
    derivative=partials(lambda x, min: x >= min, lambda x, min: x < min),
    template=Template("maximum({x}, {min})", boolean="{x} or {min}"),
    samples=reals((-3, 3), (-5, -3.1)),
    doc="Each element, or the bound where the element is below it.",
    inputs=("x", "min"),
)

at_most = elementwise(
    "clamp_max",
    eager=np.minimum,
    derivative=partials(lambda x, max: x <= max, lambda x, max: x > max),
    template=Template("minimum({x}, {max})", boolean="{x} and {max}"),
    samples=reals((-3, 3), (3.1, 5)),
    doc="Each element, or the bound where the element is above it.",
    inputs=("x", "max"),
)


@public("clip", inplace=True)
def clamp(x: ArrayLike, min: ArrayLike | None = None, max: ArrayLike | None = None) -> Tensor:
    """Return each element, moved to the nearer bound where it lies outside the bounds.

    Parameters
    ----------
    x : array_like
        Any shape.
    min, max : array_like, optional
        Bounds, of shapes that broadcast; where `min` is above `max` the result is `max`.

    Returns
    -------
    Tensor
        Of the broadcast shape and promoted dtype. Its derivative is 1 between the bounds and on
        them, 0 outside.

    Raises
    ------
    ArgumentError
        If neither bound is given.
    """
    if min is None and max is None:
        raise ArgumentError("clamp: no bound is given", do="pass min=..., max=..., or both")
    result: Any = box(x)
    if min is not None:
        result = at_least(result, min)
    if max is not None:
        result = at_most(result, max)
    plain = all(bound is None or isinstance(bound, (int, float)) for bound in (min, max))
    return shown_as("ClampBackward1" if plain else "ClampBackward0", result)


@public(inplace=True)
def masked_fill(x: ArrayLike, mask: ArrayLike, value: ArrayLike) -> Tensor:
    """Return `x` with a value in place of the elements where a mask is true.

    Parameters
    ----------
    x : array_like
        Any shape.
    mask : array_like of bool
        Shapes broadcast.
    value : number or 0-d array_like
        Cast to the dtype of `x`.

    Returns
    -------
    Tensor, dtype of `x`
        Its gradient is zero where the mask is true.

    Raises
    ------
    DtypeError
        If `mask` is not boolean, or `value` does not fit the dtype of `x`.
    ShapeError
        If `value` is not 0-d.
    """
    kept, chosen = box(x), box(mask)
    if chosen.dtype != bool_:
        raise DtypeError(f"masked_fill: the mask has dtype {chosen.dtype}", do="use a comparison")
    filler = value if isinstance(value, (bool, int, float)) else box(value)
    shape = () if isinstance(filler, (bool, int, float)) else tuple(filler.shape)
    if shape != ():
        raise ShapeError(
            f"masked_fill: the value has shape {shape}",
            why="one number is stored in all places",
            do="use where(mask, value, x) to take each element from an array",
        )
    result: Any = select(chosen, filler, kept)
    if result.dtype != kept.dtype:
        raise DtypeError(
            f"masked_fill: a value of dtype {result.dtype} does not fit into {kept.dtype}",
            do="convert x first",
        )
    return shown_as("MaskedFillBackward0", result)


@public(inplace=True)
def nan_to_num(
    x: ArrayLike, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """Return `x` with nan and infinities replaced by numbers; their gradient is zero.

    Parameters
    ----------
    x : array_like
        Any shape.
    nan : float
        In place of nan.
    posinf, neginf : float, optional
        In place of the infinities; the largest and smallest numbers of the dtype as default.

    Returns
    -------
    Tensor, shape and dtype of `x`
    """
    value = box(x)
    result: Any = value * 1
    if is_floating(value.dtype):
        limits = np.finfo(value.dtype)
        highest = float(limits.max) if posinf is None else posinf
        lowest = float(limits.min) if neginf is None else neginf
        result = select(isnan(value), nan, value)
        result = select(value == np.inf, highest, result)
        result = select(value == -np.inf, lowest, result)
    return shown_as("NanToNumBackward0", result)
