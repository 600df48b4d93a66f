"""Operations that reduce over axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jitgrad.core.bind import box
from jitgrad.core.dtypes import as_dtype
from jitgrad.core.primitive import Accumulation, transposes
from jitgrad.core.public import public
from jitgrad.core.shapes import AxisLike, normalize_axes
from jitgrad.core.spec import Spec
from jitgrad.ops.cast import to
from jitgrad.ops.families import integers_to_int64, reduction, reduction_samples
from jitgrad.ops.shape import broadcast_to, reshape_to

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


def restore_axes(reduced: Any, spec: Spec, axes: tuple[int, ...], keepdims: bool) -> Any:
    """Return a reduction's output with its reduced axes back, of size 1."""
    if keepdims:
        return reduced
    return reshape_to(reduced, tuple(1 if a in axes else n for a, n in enumerate(spec.shape)))


def spread(reduced: Any, spec: Spec, axes: tuple[int, ...], keepdims: bool) -> Any:
    """Return a reduction's output or cotangent broadcast to the shape of its input."""
    return broadcast_to(restore_axes(reduced, spec, axes, keepdims), spec.shape)


sum_over = reduction(
    "sum",
    eager=lambda x, axes, keepdims: np.sum(x, axis=axes, keepdims=keepdims),
    derivative=transposes(
        lambda ct, x_spec, axes, keepdims: spread(ct, x_spec, axes, keepdims)
    ),
    accumulation=Accumulation("accumulate_sum({acc}, {x})", lambda dtype: 0),
    samples=reduction_samples(-3, 3),
    doc="Sum over axes.",
    result_dtype_of=integers_to_int64,
)


@public()
def sum(
    x: ArrayLike, dim: AxisLike = None, keepdim: bool = False, *, dtype: npt.DTypeLike = None
) -> Tensor:
    """Return the sum of the elements over axes.

    Parameters
    ----------
    x : array_like
        Any shape.
    dim : int or tuple of int, optional
        Axes to sum over; all of them where not given.
    keepdim : bool
        Whether the axes stay, with size 1.
    dtype : dtype_like, optional
        Convert `x` to this dtype first.

    Returns
    -------
    Tensor
        In the dtype of `x`; int64 for integers and bool.
    """
    value = box(x) if dtype is None else to(box(x), as_dtype(dtype))
    axes = normalize_axes("sum", dim, value.ndim)
    result: Tensor = sum_over(value, axes=axes, keepdims=keepdim)
    return result
