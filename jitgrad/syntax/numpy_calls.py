"""NumPy's functions where the user's code calls them: what they make of nothing that is traced.

NumPy never tells us of ``np.zeros(3)``. A call of it in a traced function gives what stands for
that array (`jitgrad.trace.known_arrays`), so that traced values can be written to it.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.core.bind import active_trace
from jitgrad.core.dtypes import float64, int64
from jitgrad.core.tree import flatten, map_tree
from jitgrad.ops.cast import convert
from jitgrad.ops.creation import arange_primitive, eye_primitive, full_primitive
from jitgrad.ops.joining import stack
from jitgrad.ops.shape import broadcast_to
from jitgrad.tensor.tensor import Tensor, box_tensor
from jitgrad.trace.known_arrays import is_known, shares_memory
from jitgrad.trace.stand_ins import NumberStandIn, StandIn, known, mark

# Random numbers are drawn where they are drawn.
_OTHER_ROOMS = ("numpy.random", "numpy.testing", "numpy.ma", "numpy.ctypeslib")


def numpy_function(function: Any) -> Callable[..., Any] | None:
    """Return what is to be called where traced code calls a function of NumPy; None for others."""
    if isinstance(function, types.BuiltinMethodType):
        owner = function.__self__
        if type(owner) is np.ndarray or isinstance(owner, np.ufunc):
            return functools.partial(_called, function, owner)
    room = getattr(function, "__module__", None)
    if type(function) is np.ufunc:
        room = "numpy"
    if not isinstance(room, str) or not (room == "numpy" or room.startswith("numpy.")):
        return None
    if room.startswith(_OTHER_ROOMS) or isinstance(function, types.MethodType):
        return None
    try:
        ours = _OURS.get(function)
    except TypeError:
        ours = None
    if ours is not None:
        return ours
    if isinstance(function, type):
        return None
    return functools.partial(_called, function, None)


def _called(function: Callable[..., Any], owner: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a function of NumPy; arrays that it makes of nothing traced can be written to."""
    result = function(*args, **kwargs)
    leaves = flatten((args, kwargs))[0]
    if any(isinstance(leaf, Tensor) and not is_known(leaf) for leaf in leaves):
        return result
    given = [owner, *(leaf._raw if is_known(leaf) else leaf for leaf in leaves)]
    return map_tree(lambda leaf: leaf if shares_memory(leaf, given) else known(leaf), result)


# -- arrays of sizes that are traced -----------------------------------------------------------


def _is_traced(thing: Any) -> bool:
    return isinstance(thing, Tensor) and not is_known(thing)


def _is_sized_late(shape: Any) -> bool:
    """Return whether a size is traced, where there is no value to be asked for."""
    trace: Any = active_trace()
    sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
    return trace is not None and not trace.has_values and any(map(_is_traced, sizes))


def _sizes(shape: Any) -> tuple[Any, ...]:
    trace: Any = active_trace()
    sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
    return tuple([trace.extent_of(trace.form_of(n)) if _is_traced(n) else int(n) for n in sizes])


def _full(shape: Any, value: Any, dtype: Any) -> Any:
    return mark(full_primitive(shape=_sizes(shape), value=value, dtype=np.dtype(dtype)))


def _filled(plain: Callable[..., Any], number: float) -> Callable[..., Any]:
    def ours(shape: Any, dtype: Any = float, *args: Any, **kwargs: Any) -> Any:
        if _is_sized_late(shape):
            return _full(shape, np.dtype(dtype).type(number).item(), dtype)
        return _called(plain, None, shape, dtype, *args, **kwargs)

    return ours


def _ndarray(shape: Any, dtype: Any = float, *args: Any, **kwargs: Any) -> Any:
    if args or kwargs:
        return np.ndarray(shape, dtype, *args, **kwargs)
    return _zeros(shape, dtype)


def _full_of(shape: Any, fill_value: Any, dtype: Any = None, **kwargs: Any) -> Any:
    if not _is_traced(fill_value) and not _is_sized_late(shape):
        return _called(np.full, None, shape, fill_value, dtype, **kwargs)
    value = _as_array(fill_value)
    wanted = value.dtype if dtype is None else np.dtype(dtype)
    sizes = _sizes(shape) if _is_sized_late(shape) else np.empty(shape, bool).shape
    filled = broadcast_to(convert(value, wanted), sizes)
    return mark(filled.clone())


def _like(plain: Callable[..., Any], replaced: Callable[..., Any]) -> Callable[..., Any]:
    def ours(prototype: Any, *args: Any, **kwargs: Any) -> Any:
        function = plain if _is_traced(prototype) else replaced
        return _called(function, None, prototype, *args, **kwargs)

    return ours


def _arange(*args: Any, **kwargs: Any) -> Any:
    trace: Any = active_trace()
    late = trace is not None and not trace.has_values and any(map(_is_traced, args))
    if not late or len(args) > 2 or set(kwargs) - {"dtype"}:
        return _called(np.arange, None, *args, **kwargs)
    start, stop = (0, *args)[-2:]
    if any(box_tensor(bound).dtype.kind not in "iu" for bound in (start, stop)):
        trace.refuse("it calls arange with bounds that are no integers")
    count = _at_least_zero(stop if isinstance(start, int) and not start else stop - start)
    size = trace.extent_of(trace.form_of(count))
    numbers = arange_primitive(start=0, step=1, count=size, dtype=int64) + start
    wanted = kwargs.get("dtype")
    return mark(convert(numbers, int64 if wanted is None else np.dtype(wanted)))


def _at_least_zero(number: Any) -> Any:
    from jitgrad.ops.selection import maximum

    return maximum(number, 0)


def _eye(N: Any, M: Any = None, k: int = 0, dtype: Any = float, **kwargs: Any) -> Any:
    if not _is_sized_late((N, N if M is None else M)) or k:
        return _called(np.eye, None, N, M, k, dtype, **kwargs)
    rows, columns = _sizes((N, N if M is None else M))
    return mark(eye_primitive(rows=rows, columns=columns, dtype=np.dtype(dtype)))


# -- arrays made of traced values --------------------------------------------------------------


def _as_array(thing: Any) -> Any:
    """Return a number, array or nested list, with traced elements, as a Tensor of NumPy's dtype."""
    if isinstance(thing, NumberStandIn):
        return convert(thing, float64 if thing.dtype.kind == "f" else int64)
    if isinstance(thing, Tensor):
        return thing
    if not isinstance(thing, (list, tuple)):
        return box_tensor(np.asarray(thing))
    if not any(_is_traced(leaf) for leaf in flatten(thing)[0]):
        return box_tensor(np.asarray(map_tree(np.asarray, thing)))
    parts = [_as_array(part) for part in thing]
    common = np.result_type(*[part.dtype for part in parts])
    return stack([convert(part, common) for part in parts])


def _array(thing: Any, dtype: Any = None, *args: Any, **kwargs: Any) -> Any:
    leaves = flatten(thing)[0]
    if not any(_is_traced(leaf) for leaf in leaves):
        return _called(np.array, None, thing, dtype, *args, **kwargs)
    if not all(isinstance(leaf, StandIn) for leaf in leaves if isinstance(leaf, Tensor)):
        return np.array(thing, dtype, *args, **kwargs)
    array = _as_array(thing)
    wanted = array.dtype if dtype is None else np.dtype(dtype)
    return mark(convert(array, wanted) if array.dtype != wanted else array.clone())


def _asarray(thing: Any, dtype: Any = None, *args: Any, **kwargs: Any) -> Any:
    if isinstance(thing, StandIn) and not isinstance(thing, NumberStandIn):
        same = dtype is None or thing.dtype == np.dtype(dtype)
        return thing if same else thing.astype(dtype)
    return _array(thing, dtype) if _holds_traced(thing) else np.asarray(thing, dtype)


def _holds_traced(thing: Any) -> bool:
    return any(map(_is_traced, flatten(thing)[0]))


def _copy(a: Any, *args: Any, **kwargs: Any) -> Any:
    return _called(np.copy, None, a, *args, **kwargs)


def _number_class(kind: type) -> Callable[..., Any]:
    def ours(*args: Any) -> Any:
        if len(args) == 1 and isinstance(args[0], StandIn):
            return mark(convert(_as_array(args[0]), np.dtype(kind)).clone())
        return kind(*args)

    return ours


_zeros = _filled(np.zeros, 0)
# What is in memory before is not to become part of a graph.
_OURS: dict[Any, Callable[..., Any]] = {
    np.zeros: _zeros,
    np.empty: _zeros,
    np.ones: _filled(np.ones, 1),
    np.ndarray: _ndarray,
    np.full: _full_of,
    np.empty_like: _like(np.empty_like, np.zeros_like),
    np.arange: _arange,
    np.eye: _eye,
    np.array: _array,
    np.asarray: _asarray,
    np.ascontiguousarray: _asarray,
    np.asfortranarray: _asarray,
    np.copy: _copy,
    np.float64: _number_class(np.float64),
    np.float32: _number_class(np.float32),
    np.int64: _number_class(np.int64),
}
