"""The functions of the array API standard (2023.12), on Tensors: what `__array_namespace__` gives.

Those that take an array are NumPy's, which hand Tensors to jitgrad; the others make Tensors. There
are the dtypes float32, float64, int32, int64 and bool.

References
----------
.. [1] Consortium for Python Data API Standards, https://data-apis.org/array-api/2023.12/
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy import (  # noqa: F401 - the names of this module
    acos,
    acosh,
    add,
    all,
    any,
    argmax,
    argmin,
    argsort,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    bitwise_and,
    bitwise_invert,
    bitwise_left_shift,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    broadcast_arrays,
    broadcast_to,
    can_cast,
    ceil,
    clip,
    concat,
    conj,
    copysign,
    cos,
    cosh,
    divide,
    e,
    empty_like,
    equal,
    exp,
    expand_dims,
    expm1,
    finfo,
    flip,
    floor,
    floor_divide,
    full_like,
    greater,
    greater_equal,
    hypot,
    iinfo,
    inf,
    isdtype,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    matmul,
    max,
    maximum,
    mean,
    meshgrid,
    min,
    minimum,
    moveaxis,
    multiply,
    nan,
    negative,
    newaxis,
    nonzero,
    not_equal,
    ones_like,
    permute_dims,
    pi,
    positive,
    pow,
    prod,
    real,
    remainder,
    repeat,
    reshape,
    roll,
    round,
    searchsorted,
    sign,
    signbit,
    sin,
    sinh,
    sort,
    sqrt,
    square,
    squeeze,
    stack,
    std,
    subtract,
    sum,
    take,
    tan,
    tanh,
    tensordot,
    tile,
    tril,
    triu,
    trunc,
    unstack,
    var,
    where,
    zeros_like,
)

import jitgrad
from jitgrad import fft  # noqa: F401 - an extension of the standard
from jitgrad.core.dtypes import bool_ as bool
from jitgrad.core.dtypes import float32, float64, int32, int64
from jitgrad.core.errors import ArgumentError
from jitgrad.interop.dlpack import from_dlpack  # noqa: F401 - a name of this module
from jitgrad.tensor.tensor import Tensor

__array_api_version__ = "2023.12"
_DEFAULTS = {"real floating": float64, "integral": int64, "indexing": int64}
_DTYPES = {
    "bool": bool, "int32": int32, "int64": int64, "float32": float32, "float64": float64,
}  # fmt: skip


class UniqueAll(NamedTuple):
    """What `unique_all` returns."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCounts(NamedTuple):
    """What `unique_counts` returns."""

    values: Any
    counts: Any


class UniqueInverse(NamedTuple):
    """What `unique_inverse` returns."""

    values: Any
    inverse_indices: Any


def _made(array: Any, device: Any) -> Any:
    if device not in (None, "cpu"):
        raise ArgumentError(
            f"array_api: there is no device {device!r}", do='use "cpu", or leave it out'
        )
    return jitgrad.as_tensor(np.asarray(array))


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: Any = None) -> Any:
    """Return `obj` as a Tensor; floats become float64, the default dtype of the standard."""
    if isinstance(obj, Tensor):
        found = obj if dtype is None else obj.to(dtype)
        return found.clone() if copy and found is obj else found
    return _made(np.array(obj, dtype, copy=True if copy else None), device)


def arange(
    start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None
) -> Any:
    """Return numbers at equal distances, the last one before `stop`."""
    first, last = (0, start) if stop is None else (start, stop)
    return _made(np.arange(first, last, step, dtype=dtype), device)


def linspace(
    start: Any, stop: Any, /, num: int, *, dtype: Any = None, device: Any = None,
    endpoint: Any = True,
) -> Any:  # fmt: skip
    """Return `num` numbers at equal distances from `start` to `stop`."""
    return _made(np.linspace(start, stop, num, dtype=dtype, endpoint=endpoint), device)


def empty(shape: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """Return a Tensor of any content."""
    return _made(np.empty(shape, dtype), device)


def zeros(shape: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """Return zeros."""
    return _made(np.zeros(shape, dtype), device)


def ones(shape: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """Return ones."""
    return _made(np.ones(shape, dtype), device)


def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Any:
    """Return a Tensor of one number."""
    return _made(np.full(shape, fill_value, dtype), device)


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None
) -> Any:
    """Return a matrix with ones on a diagonal."""
    return _made(np.eye(n_rows, n_cols, k, dtype=dtype or float64), device)


def astype(x: Any, dtype: Any, /, *, copy: Any = True, device: Any = None) -> Any:
    """Return `x` in another dtype."""
    return asarray(x, dtype=dtype, copy=copy)


def result_type(*arrays_and_dtypes: Any) -> Any:
    """Return the dtype that the arguments have together."""
    return np.result_type(*[a.dtype if isinstance(a, Tensor) else a for a in arrays_and_dtypes])


def abs(x: Any, /) -> Any:
    """Return magnitudes."""
    return np.absolute(x)


def imag(x: Any, /) -> Any:
    """Return imaginary parts: zeros, since there are no complex dtypes."""
    return np.zeros_like(x)


def cumulative_sum(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: Any = False
) -> Any:
    """Return running sums along an axis."""
    along = 0 if axis is None else axis
    found = np.cumsum(x, axis=along, dtype=dtype)
    if not include_initial:
        return found
    shape = list(found.shape)
    shape[along] = 1
    return np.concat([zeros(tuple(shape), dtype=found.dtype), found], axis=along)


def matrix_transpose(x: Any, /) -> Any:
    """Return `x` with its last two axes exchanged."""
    return np.swapaxes(x, -1, -2)


def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Return sums of products along an axis."""
    return np.sum(np.multiply(x1, x2), axis=axis)


def unique_values(x: Any, /) -> Any:
    """Return the different elements, sorted."""
    return jitgrad.unique(x)


def unique_counts(x: Any, /) -> UniqueCounts:
    """Return the different elements, and how often each is there."""
    return UniqueCounts(*jitgrad.unique(x, return_counts=True))


def unique_inverse(x: Any, /) -> UniqueInverse:
    """Return the different elements, and which one each element of `x` is."""
    return UniqueInverse(*jitgrad.unique(x, return_inverse=True))


def unique_all(x: Any, /) -> UniqueAll:
    """Return the different elements, where each is first, which one each is, and how often."""
    values, inverse, counts = jitgrad.unique(x, return_inverse=True, return_counts=True)
    first = np.unique(x.detach().numpy(), return_index=True)[1]
    return UniqueAll(values, jitgrad.as_tensor(first), inverse, counts)


def outer(x1: Any, x2: Any, /) -> Any:
    """Return all products of elements of two vectors."""
    return np.multiply(x1[:, None], x2[None, :])


def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """Return diagonals of matrices."""
    return np.diagonal(x, offset, -2, -1)


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """Return sums of diagonals of matrices."""
    return np.sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


def matrix_rank(x: Any, /, *, rtol: Any = None) -> Any:
    """Return how many singular values of matrices are not small."""
    plain = x.detach().numpy()
    return jitgrad.as_tensor(np.linalg.matrix_rank(plain, rtol=rtol))


linalg = SimpleNamespace(
    **{
        name: getattr(np.linalg, name)
        for name in (
            "cholesky", "cross", "det", "eigh", "eigvalsh", "inv", "matrix_norm", "matrix_power",
            "pinv", "qr", "slogdet", "solve", "svd", "svdvals", "vector_norm",
        )
    },
    diagonal=diagonal, matmul=matmul, matrix_rank=matrix_rank, matrix_transpose=matrix_transpose,
    outer=outer, tensordot=tensordot, trace=trace, vecdot=vecdot,
)  # fmt: skip


class _Info:
    """What the standard's inspection functions tell about this module."""

    def capabilities(self) -> dict[str, Any]:
        """Return what is optional and there."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        """Return the name of the only device."""
        return "cpu"

    def devices(self) -> list[str]:
        """Return the names of all devices."""
        return ["cpu"]

    def default_dtypes(self, *, device: Any = None) -> dict[str, Any]:
        """Return the dtypes of what is made without one."""
        return dict(_DEFAULTS)

    def dtypes(self, *, device: Any = None, kind: Any = None) -> Any:
        """Return the dtypes of these kinds by name."""
        return {n: d for n, d in _DTYPES.items() if kind is None or isdtype(d, kind)}


def __array_namespace_info__() -> _Info:  # noqa: N807 - a name of the standard
    """Return what tells about this module."""
    return _Info()
