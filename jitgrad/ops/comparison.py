"""Comparisons and logic: operations whose results are booleans."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.dtypes import float64, is_floating, promote_dtypes
from jitgrad.core.primitive import Primitive, Sample, Template, none
from jitgrad.core.public import public
from jitgrad.ops.cast import convert
from jitgrad.ops.families import elementwise

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor

_NO_DERIVATIVE = none("booleans do not vary continuously")


def _samples(count: int) -> Callable[[np.random.Generator], list[Sample]]:
    """Return samples of `count` inputs in every kind of dtype, with many equal elements."""
    shapes: list[list[tuple[int, ...]]] = [[()], [(0,)], [(3, 4)]]
    pairs: list[list[tuple[int, ...]]] = [
        [(), ()], [(0,), (0,)], [(3, 4), (3, 4)], [(3, 4), (4,)], [(2, 1), (3,)],
    ]  # fmt: skip

    def make(rng: np.random.Generator) -> list[Sample]:
        made = []
        for row in shapes if count == 1 else pairs:
            whole = [rng.integers(-1, 2, shape) for shape in row]
            for kind in (np.float64, np.int64, np.bool_):
                args = tuple(array.astype(kind) for array in whole)
                made.append(Sample(args, {}, f"{row}-{np.dtype(kind)}".replace(" ", "")))
        return made

    return make


def _comparison(name: str, eager: Any, symbol: str, boolean: str, doc: str) -> Primitive:
    return elementwise(
        name,
        eager=eager,
        derivative=_NO_DERIVATIVE,
        template=Template(f"{{x}} {symbol} {{y}}", boolean=boolean),
        samples=_samples(2),
        doc=f"Whether each element of the first input {doc} that of the second.",
        inputs=("x", "y"),
        result="bool",
    )


eq = _comparison("eq", np.equal, "==", "", "equals")
ne = _comparison("ne", np.not_equal, "!=", "", "differs from")
lt = _comparison("lt", np.less, "<", "not {x} and {y}", "is less than")
le = _comparison("le", np.less_equal, "<=", "not {x} or {y}", "is at most")
gt = _comparison("gt", np.greater, ">", "{x} and not {y}", "is greater than")
ge = _comparison("ge", np.greater_equal, ">=", "{x} or not {y}", "is at least")


def _logical(name: str, eager: Any, text: str, doc: str) -> Primitive:
    inputs = ("x", "y") if "{y}" in text else ("x",)
    truths = text.replace("{x}", "({x} != 0)").replace("{y}", "({y} != 0)")
    return elementwise(
        name,
        eager=eager,
        derivative=_NO_DERIVATIVE,
        template=Template(truths, boolean=text),
        samples=_samples(len(inputs)),
        doc=doc,
        inputs=inputs,
        result="bool",
    )


logical_and = _logical(
    "logical_and", np.logical_and, "{x} and {y}", "Whether both elements are true (not zero)."
)
logical_or = _logical(
    "logical_or", np.logical_or, "{x} or {y}", "Whether one of both elements is true (not zero)."
)
logical_xor = _logical(
    "logical_xor", np.logical_xor, "{x} != {y}", "Whether exactly one of both elements is true."
)
logical_not = _logical(
    "logical_not", np.logical_not, "not {x}", "Whether each element is false (zero)."
)


def _classification(name: str, eager: Any, whole: str, doc: str) -> Primitive:
    return elementwise(
        name,
        eager=eager,
        derivative=_NO_DERIVATIVE,
        template=Template(f"{name}({{x}})", integer=whole, boolean=whole),
        samples=_samples(1),
        doc=doc,
        result="bool",
        inplace=False,
    )


isnan = _classification("isnan", np.isnan, "False", "Whether each element is nan.")
isinf = _classification("isinf", np.isinf, "False", "Whether each element is infinite.")
isfinite = _classification(
    "isfinite", np.isfinite, "True", "Whether each element is neither nan nor infinite."
)
signbit = elementwise(
    "signbit",
    eager=lambda x: np.signbit(x) if x.dtype.kind == "f" else x < 0,
    derivative=_NO_DERIVATIVE,
    template=Template("copysign({one}, {x}) < 0", integer="{x} < 0", boolean="False"),
    samples=_samples(1),
    doc="Whether each element is negative, minus zero included.",
    result="bool",
    inplace=False,
)


@public()
def isclose(
    x: ArrayLike,
    y: ArrayLike,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    equal_nan: bool = False,
) -> Tensor:
    """Return whether each pair of elements differs by no more than a tolerance.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast.
    rtol, atol : float
        The tolerance is ``atol + rtol * abs(y)``.
    equal_nan : bool
        Whether nan counts as equal to nan.

    Returns
    -------
    Tensor of bool
        Of the broadcast shape.
    """
    a, b = box(x), box(y)
    common = promote_dtypes(a.dtype, b.dtype)
    if not is_floating(common):
        common = float64
    a, b = convert(a, common), convert(b, common)
    difference = a - b
    result: Any = eq(a, b) | (isfinite(difference) & (abs(difference) <= atol + rtol * abs(b)))
    if equal_nan:
        result = result | (isnan(a) & isnan(b))
    tensor: Tensor = result
    return tensor


@public()
def allclose(
    x: ArrayLike,
    y: ArrayLike,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    equal_nan: bool = False,
) -> bool:
    """Return whether every pair of elements differs by no more than a tolerance.

    Parameters
    ----------
    x, y : array_like
        Shapes that broadcast.
    rtol, atol : float
        The tolerance is ``atol + rtol * abs(y)``.
    equal_nan : bool
        Whether nan counts as equal to nan.

    Returns
    -------
    bool
    """
    close: Any = isclose(x, y, rtol, atol, equal_nan)
    return bool(close.all())


@public(inplace=False)
def equal(x: ArrayLike, y: ArrayLike) -> bool:
    """Return whether `x` and `y` have the same shape and the same elements.

    Parameters
    ----------
    x, y : array_like
        Any shapes.

    Returns
    -------
    bool
        False where a nan is among the elements.
    """
    a, b = box(x), box(y)
    same: Any = eq(a, b) if tuple(a.shape) == tuple(b.shape) else None
    return same is not None and bool(same.all())
