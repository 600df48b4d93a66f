"""NumPy's functions that jitgrad has under no name, made of those that it has."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.errors import ArgumentError
from jitgrad.ops.composite import mean
from jitgrad.ops.contraction import matmul
from jitgrad.ops.creation import full_primitive
from jitgrad.ops.diagonal import diagonal
from jitgrad.ops.extrema import amax, amin
from jitgrad.ops.joining import cat, stack
from jitgrad.ops.power import sqrt
from jitgrad.ops.reduction import sum as total
from jitgrad.ops.shape import broadcast_to, reshape_to
from jitgrad.ops.taking import take


def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """Return ``numpy.append``."""
    parts = [box(arr), box(values)]
    if axis is None:
        parts = [reshape_to(part, (part.numel(),)) for part in parts]
    return cat(parts, axis or 0)


def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Any:
    """Return ``numpy.ptp``."""
    return amax(a, axis, keepdims) - amin(a, axis, keepdims)


def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, keepdims: Any = False
) -> Any:
    """Return ``numpy.average``."""
    value = box(a)
    if weights is None:
        weights = full_primitive(shape=(), value=1.0, dtype=value.dtype)
    weight = box(weights)
    if weight.ndim == 1 and isinstance(axis, int):
        shape = [1] * value.ndim
        shape[axis] = weight.shape[0]
        weight = reshape_to(weight, tuple(shape))
    scale = total(broadcast_to(weight, tuple(value.shape)), axis, keepdims)
    result = total(value * weight, axis, keepdims) / scale
    return (result, scale) if returned else result


def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    """Return ``numpy.cov``."""
    if fweights is not None or aweights is not None:
        raise ArgumentError("numpy.cov: weights can't be used with Tensors")
    rows = _as_rows(box(m), rowvar)
    if y is not None:
        rows = cat([rows, _as_rows(box(y), rowvar)], 0)
    correction = (0 if bias else 1) if ddof is None else ddof
    centred = rows - mean(rows, 1, True)
    result = matmul(centred, centred.mT) / max(rows.shape[1] - correction, 0)
    return reshape_to(result, tuple([n for n in result.shape if n != 1]))


def _as_rows(x: Any, rowvar: bool) -> Any:
    if x.ndim < 2:
        return reshape_to(x, (1, x.numel()))
    return x if rowvar or x.shape[0] == 1 else x.mT


def corrcoef(x: Any, y: Any = None, rowvar: bool = True, **rest: Any) -> Any:
    """Return ``numpy.corrcoef``."""
    covariance = cov(x, y, rowvar)
    if not covariance.shape:
        return covariance / covariance
    deviation = sqrt(diagonal(covariance))
    size = deviation.shape[0]
    return covariance / reshape_to(deviation, (size, 1)) / deviation


def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """Return ``numpy.convolve``."""
    long, short = box(a), box(v)
    if long.shape[0] < short.shape[0]:
        long, short = short, long
    n, m = long.shape[0], short.shape[0]
    dtype = np.result_type(long.dtype, short.dtype)
    margin = full_primitive(shape=(m - 1,), value=0, dtype=dtype)
    padded = cat([margin, long, margin], 0)
    # Row k holds the elements that the k-th sum takes, in the order of `short`.
    places = np.arange(n + m - 1)[:, None] + np.arange(m)[::-1]
    result = matmul(take(padded, places[None], axes=(0,)), short)
    start, count = {"full": (0, n + m - 1), "same": ((m - 1) // 2, n), "valid": (m - 1, n - m + 1)}[
        mode
    ]
    return result[start : start + count]


def at_least(ndim: int) -> Any:
    """Return ``numpy.atleast_1d`` or ``numpy.atleast_2d``."""

    def function(*arrays: Any) -> Any:
        values = [box(a) for a in arrays]
        made = [reshape_to(v, (1,) * max(ndim - v.ndim, 0) + tuple(v.shape)) for v in values]
        return made[0] if len(made) == 1 else tuple(made)

    return function


def polyval(p: Any, x: Any) -> Any:
    """Return ``numpy.polyval``."""
    coefficients, value = box(p), box(x)
    result = full_primitive(shape=tuple(value.shape), value=0, dtype=value.dtype)
    for k in range(coefficients.shape[0]):
        result = result * value + coefficients[k]
    return result


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """Return ``numpy.vander``."""
    value = box(x)
    exponents = range(value.shape[0] if N is None else N)
    powers = [value**k for k in exponents]
    return stack(powers if increasing else powers[::-1], -1)
