"""Running sums and products along an axis, and differences, which undo sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jitgrad.core.bind import box
from jitgrad.core.dtypes import bool_
from jitgrad.core.errors import ArgumentError
from jitgrad.core.primitive import Examples, External, Primitive, Sample, register, transposes
from jitgrad.core.public import public
from jitgrad.core.shapes import normalize_axis
from jitgrad.core.spec import Spec
from jitgrad.ops.arithmetic import mul
from jitgrad.ops.cast import convert
from jitgrad.ops.exponential import logaddexp
from jitgrad.ops.families import integers_to_int64
from jitgrad.ops.naming import shown_as
from jitgrad.ops.reduction import in_dtype

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


def _cumsum_eager(x: Any, axis: int, reverse: bool) -> Any:
    dtype = integers_to_int64(x.dtype)
    if x.ndim == 0:
        return x.astype(dtype)
    if not reverse:
        return np.cumsum(x, axis=axis, dtype=dtype)
    return np.flip(np.cumsum(np.flip(x, axis), axis=axis, dtype=dtype), axis)


def _samples(rng: np.random.Generator) -> list[Sample]:
    cases = [((), 0), ((5,), 0), ((3, 4), 0), ((3, 4), 1), ((2, 3, 4), 1), ((0,), 0), ((2, 0), 1)]
    return [
        Sample((rng.uniform(-2, 2, shape),), {"axis": axis, "reverse": reverse}, f"{shape}-{axis}")
        for shape, axis in cases
        for reverse in (False, True)
    ]


def _batched_sum(examples: Examples, x: Any, axis: int, reverse: bool) -> Any:
    # What has no axes is summed along the only one that it could have.
    if not examples.specs[0].ndim:
        return convert(x, examples.outputs[0].dtype)
    return running_sum(x, axis=axis + 1, reverse=reverse)


running_sum: Primitive = register(
    Primitive(
        "cumsum",
        ("x",),
        eager=_cumsum_eager,
        infer=lambda x, axis, reverse: Spec(x.shape, integers_to_int64(x.dtype)),
        derivative=transposes(
            lambda ct, axis, reverse: running_sum(ct, axis=axis, reverse=not reverse)
        ),
        lowering=External(),
        samples=_samples,
        doc="Sums of the elements up to each one along an axis, or from each one on.",
        grad_name="CumsumBackward0",
        batching=_batched_sum,
    )
)


@public(inplace=True)
def cumsum(x: ArrayLike, dim: int, *, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Return the running sum along an axis.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int
        The axis.
    dtype : dtype_like, optional
        Convert `x` to this dtype first.

    Returns
    -------
    Tensor, shape of `x`
        In the dtype of `x`; int64 for integers and bool.
    """
    value = in_dtype(x, dtype)
    result: Tensor = running_sum(
        value, axis=normalize_axis("cumsum", dim, value.ndim), reverse=False
    )
    return result


@public(inplace=True)
def cumprod(x: ArrayLike, dim: int, *, dtype: npt.DTypeLike | None = None) -> Tensor:
    """Return the running product along an axis.

    Computed by doubling: products of 1, 2, 4 and so on elements. Made of multiplications alone,
    its gradient is exact where elements are zero.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int
        The axis.
    dtype : dtype_like, optional
        Convert `x` to this dtype first.

    Returns
    -------
    Tensor, shape of `x`
        In the dtype of `x`; int64 for integers and bool.
    """
    value = in_dtype(x, dtype)
    value = convert(value, integers_to_int64(value.dtype))
    axis = normalize_axis("cumprod", dim, value.ndim)
    return shown_as("CumprodBackward0", _by_doubling(mul, value, axis))


def _by_doubling(combine: Callable[[Any, Any], Any], x: Any, axis: int) -> Any:
    """Return ``x[0], combine(x[0], x[1]), ...`` along an axis.

    After each step every element combines twice as many elements before it.
    """
    from jitgrad.ops.joining import cat

    result = mul(x, 1)
    before = (slice(None),) * axis
    reach = 1
    while x.ndim and reach < x.shape[axis]:
        later, earlier = result[(*before, slice(reach, None))], result[(*before, slice(-reach))]
        result = cat([result[(*before, slice(reach))], combine(earlier, later)], axis)
        reach *= 2
    return result


@public()
def logcumsumexp(x: ArrayLike, dim: int) -> Tensor:
    """Return the logarithm of the running sum of exponentials along an axis.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int
        The axis.

    Returns
    -------
    Tensor, shape and dtype of `x`
    """
    value = box(x)
    axis = normalize_axis("logcumsumexp", dim, value.ndim)
    return shown_as("LogcumsumexpBackward0", _by_doubling(logaddexp, value, axis))


@public()
def diff(
    x: ArrayLike,
    n: int = 1,
    dim: int = -1,
    prepend: ArrayLike | None = None,
    append: ArrayLike | None = None,
) -> Tensor:
    """Return the differences of neighbouring elements along an axis.

    Parameters
    ----------
    x : array_like
        At least one axis.
    n : int
        How many times differences are taken.
    dim : int
        The axis.
    prepend, append : array_like, optional
        Joined to `x` along the axis first.

    Returns
    -------
    Tensor
        Shorter than `x` by `n` along the axis; for booleans, whether neighbours differ.

    Raises
    ------
    ArgumentError
        If `x` is 0-d or `n` negative.
    """
    from jitgrad.ops.joining import cat

    value = box(x)
    if not value.ndim or n < 0:
        what = f"n is {n}" if n < 0 else "a 0-d value has no neighbours"
        raise ArgumentError(f"diff: {what}", why="at least one axis and n >= 0 are needed")
    axis = normalize_axis("diff", dim, value.ndim)
    parts = [box(p) for p in (prepend, value, append) if p is not None]
    result: Any = cat(parts, axis) if len(parts) > 1 else value
    before = (slice(None),) * axis
    for _ in range(n):
        later, earlier = result[(*before, slice(1, None))], result[(*before, slice(None, -1))]
        result = later ^ earlier if value.dtype == bool_ else later - earlier
    tensor: Tensor = result
    return tensor
