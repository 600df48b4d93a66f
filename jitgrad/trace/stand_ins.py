"""What a traced function sees in place of NumPy arrays and Python numbers among its arguments.

Both are Tensors, so that operations on them are recorded; but what the plain function would get
as an array or number, from operators, methods and NumPy's functions, comes back as one. What
jitgrad's functions make of them is a Tensor, as it is outside of a trace.
"""

from __future__ import annotations

import dis
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jitgrad.core.bind import active_trace, tracing
from jitgrad.core.dtypes import DType, get_default_dtype, is_supported
from jitgrad.core.errors import GradientError
from jitgrad.core.tree import flatten, map_tree
from jitgrad.ops.cast import cast, convert
from jitgrad.ops.creation import clone
from jitgrad.ops.numpy_protocol import apply_function, apply_ufunc
from jitgrad.tensor.tensor import Tensor, make_tensor
from jitgrad.trace.known_arrays import (
    all_known,
    changed,
    has_tensors,
    is_known,
    picks_number,
    plain,
    plain_index,
    shares_memory,
)

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_DEMO = _PACKAGE + "demo" + os.sep
_NUMPY = os.sep + "numpy" + os.sep

# What Python carries out for x[...] = v.
_STORES = dis.opmap["STORE_SUBSCR"]


def _class_of(stand_in: Any) -> type:
    """Return the class that a stand-in has for the user's ``isinstance``, its own for others."""
    file = sys._getframe(1).f_code.co_filename
    if (file.startswith(_PACKAGE) and not file.startswith(_DEMO)) or _NUMPY in file:
        return type(stand_in)
    if type(stand_in) is NumberStandIn:
        return {"b": bool, "i": int, "f": float}[stand_in.dtype.kind]
    if issubclass(type(stand_in), ArrayStandIn):
        return np.ndarray if stand_in.ndim else stand_in.dtype.type
    return type(stand_in)


class StandIn(Tensor):
    """Base of what is not a Tensor to the user."""

    _is_numpy = True
    # Whether it stands for an array without axes, which can be changed in place; a scalar can't.
    _is_array = False
    __class__ = property(_class_of)


class NumberStandIn(StandIn):
    """Stands for a Python float, or for an int that changes from call to call.

    Operators on it and on numbers give such a thing again, computed in float64 or int64; with a
    Tensor or array they treat it as the Python number it is.
    """

    # The same value as an index, where there is one, which no promotion has to do with.
    _counted: Tensor | None = None

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if not any(isinstance(x, Tensor) and not isinstance(x, NumberStandIn) for x in inputs):
            inputs = tuple([_as_array(x) if isinstance(x, NumberStandIn) else x for x in inputs])
        return carry_out_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        args, kwargs = map_tree(_as_array_if_number, (args, kwargs))
        return _apply_function(function, args, kwargs)

    def __hash__(self) -> int:
        return hash(self.item())

    def __repr__(self) -> str:
        return repr(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec)

    def __round__(self, digits: int | None = None) -> Any:
        return round(self.item(), digits)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self


class ArrayStandIn(StandIn):
    """Stands for a NumPy array.

    Where the user's code applies an operator, a method of arrays or a function of NumPy to it, the
    meaning, and the dtype, are NumPy's, and the result is such a thing again.
    """

    # The trace in which it was made of nothing that is traced; see `known_arrays`.
    _home: Any = None
    # The dtype that NumPy knows, where it is none that Tensors have; see `narrow.py`.
    narrow: Any = None
    # What stands for an element of it.
    element: type[ArrayStandIn]

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return carry_out_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _apply_function(function, args, kwargs)

    def __getitem__(self, index: Any) -> Any:
        index = plain_index(index)
        if is_known(self) and not has_tensors(index):
            found = self._raw[index]
            if not shares_memory(found, [self._raw]):
                return known(found)
            with tracing(None):
                # A view knows what it shows, for the time when that is traced.
                shown = marked(super().__getitem__(index))
            return at_home(shown)
        part = super().__getitem__(index)
        if part._raw.shape or not picks_number(index):
            return marked(part) if self.narrow is None else stand_in(part, type(self))
        return stand_in(clone(part), self.element)

    def __setitem__(self, index: Any, value: Any) -> None:
        index = plain_index(index)
        if is_known(self) and not has_tensors(index) and not has_tensors(plain(value)):
            self._raw[index] = plain(value)
            changed(self)
            return
        check_writable(self)
        super().__setitem__(index, value)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def _concrete(self) -> Any:
        return self._raw if is_known(self) else super()._concrete()

    def __float__(self) -> float:
        frame = sys._getframe(1)
        if self.requires_grad and frame.f_code.co_code[frame.f_lasti] == _STORES:
            raise GradientError(
                "x[...] = v: the value requires a gradient, which the array would lose",
                why="it is an array that NumPy has made unseen: not by a call of NumPy's in a"
                " function whose source can be read",
                do="write to a copy: numpy.copy(x)",
            )
        return super().__float__()

    def __contains__(self, item: Any) -> bool:
        return bool(np.any(self == item))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        array = super().__array__(dtype, copy)
        if not copy:
            # What is written to it would not reach the array that this stands for.
            array = array.view()
            array.flags.writeable = False
        return array


class ScalarStandIn(ArrayStandIn):
    """Stands for a scalar of NumPy, such as an element of an array: no update changes it."""


ArrayStandIn.element = ScalarStandIn


def mark(result: Any) -> Any:
    """Make the Tensors in `result`, which nobody else holds yet, stand for NumPy arrays."""
    for leaf in flatten(result)[0]:
        marked(leaf)
    return result


def marked(tensor: Any) -> Any:
    """Make one Tensor stand for an array, or a scalar of NumPy."""
    if type(tensor) is Tensor:
        is_scalar = not tensor._raw.shape and tensor._view is None
        stand_in(tensor, ScalarStandIn if is_scalar else ArrayStandIn)
    return tensor


def known(thing: Any) -> Any:
    """Return what stands for an array that the function has made; other things as they are."""
    if type(thing) is np.ndarray and is_supported(thing.dtype):
        return at_home(stand_in(make_tensor(thing), ArrayStandIn))
    return thing


def at_home(tensor: Any) -> Any:
    """Return `tensor`, which was made of nothing that is traced, as one of this trace."""
    tensor._home = active_trace()
    return tensor


def stand_in(tensor: Tensor, kind: type[StandIn]) -> Any:
    """Return `tensor`, which nobody else holds yet, as a stand-in of this kind."""
    tensor.__class__ = kind
    tensor._storage.keeps_values = True
    return tensor


def strong(tensor: Any) -> Any:
    """Return a Python number that is traced as the Tensor that jitgrad makes of one."""
    if not isinstance(tensor, Tensor) or not tensor.spec.weak:
        return tensor
    return cast(tensor, dtype=get_default_dtype() if tensor.dtype.kind == "f" else tensor.dtype)


def _as_array(number: Tensor) -> Any:
    """Return a number as NumPy takes it where it meets no array: of 64 bits."""
    return marked(cast(number, dtype=number.dtype))


def _as_array_if_number(thing: Any) -> Any:
    return _as_array(thing) if isinstance(thing, NumberStandIn) else thing


def asked_by_jitgrad() -> bool:
    """Return whether the code that uses a stand-in, two frames up, is jitgrad's own."""
    file = sys._getframe(2).f_code.co_filename
    return file.startswith(_PACKAGE) and not file.startswith(_DEMO)


def check_writable(x: Any) -> None:
    """Refuse to change an array of a dtype that Tensors don't have."""
    if x.narrow is not None:
        refuse(f"it changes an array of dtype {x.narrow}")


def _numpy_dtype(x: Any) -> DType:
    """Return the dtype of an array, or of what stands for one, as NumPy knows it."""
    narrow = x.narrow if isinstance(x, ArrayStandIn) else None
    dtype: DType = x.dtype if narrow is None else narrow
    return dtype


def refuse(reason: str) -> None:
    """End the trace that is active."""
    trace = active_trace()
    assert trace is not None
    trace.refuse(reason)


# -- NumPy's functions -------------------------------------------------------------------------


def carry_out_ufunc(ufunc: Any, method: str, inputs: Any, kwargs: dict[str, Any]) -> Any:
    """Return what a universal function, or a method of it, makes of stand-ins and others."""
    if all_known((inputs, kwargs)):
        return by_numpy(getattr(ufunc, method), inputs, kwargs)
    if any(isinstance(x, Tensor) and not isinstance(x, StandIn) for x in inputs):
        # With a Tensor among them jitgrad would have been called outside of a trace, too.
        return apply_ufunc(ufunc, method, inputs, kwargs)
    inputs = tuple([_operand(x) for x in inputs])
    outputs = kwargs.get("out")
    if method == "__call__" and ufunc.nin == len(inputs):
        dtypes = _resolved(ufunc, inputs, outputs)
        inputs = [_converted(x, dtype) for x, dtype in zip(inputs, dtypes, strict=False)]
        result = apply_ufunc(ufunc, method, tuple(inputs), kwargs)
        if outputs is None:
            mark(result)
            several = result if isinstance(result, tuple) else (result,)
            made = [_converted(x, d) for x, d in zip(several, dtypes[ufunc.nin :], strict=True)]
            return tuple(made) if isinstance(result, tuple) else made[0]
        return result
    return mark(apply_ufunc(ufunc, method, inputs, kwargs))


def _operand(thing: Any) -> Any:
    if isinstance(thing, (Tensor, bool, int, float)):
        return thing
    array = np.asarray(thing)
    if not is_supported(array.dtype):
        refuse(f"it computes with an array of dtype {array.dtype}")
    return array


def _resolved(ufunc: Any, inputs: Any, outputs: Any) -> Any:
    """Return the dtypes in which NumPy would compute, one for each input and output."""
    kinds: list[Any] = []
    for x in inputs:
        if isinstance(x, NumberStandIn):
            kinds.append(float if x.dtype.kind == "f" else int)
        elif isinstance(x, bool) or not isinstance(x, (int, float)) or isinstance(x, np.generic):
            kinds.append(np.dtype(bool) if isinstance(x, bool) else _numpy_dtype(x))
        else:
            kinds.append(type(x))
    dtypes = ufunc.resolve_dtypes((*kinds, *[None] * ufunc.nout))
    for dtype in dtypes:
        if not is_supported(dtype):
            refuse(f"NumPy computes {ufunc.__name__} in {dtype} here")
    return dtypes


def _converted(x: Any, dtype: DType) -> Any:
    if isinstance(x, (NumberStandIn, bool, int, float)):
        return x
    if isinstance(x, np.ndarray):
        return x.astype(dtype, copy=False)
    return x if x.dtype == dtype else marked(convert(x, dtype))


def by_numpy(
    function: Callable[..., Any],
    args: Any,
    kwargs: dict[str, Any],
    ours: Callable[..., Any] | None = None,
) -> Any:
    """Return what NumPy itself makes of arrays that are known; views by `ours` if that is given."""
    into = kwargs.get("out")
    targets = () if into is None else into if isinstance(into, tuple) else (into,)
    if not all(map(is_known, targets)):
        refuse("it writes to an array that was made outside of a loop")
    arrays, options = plain(tuple(args)), plain(kwargs)
    result = function(*arrays, **options)
    for target in targets:
        changed(target)
    if targets:
        return targets[0]
    leaves = flatten((arrays, options))[0]
    if not any(shares_memory(leaf, leaves) for leaf in flatten(result)[0]):
        return map_tree(known, result)
    trace = active_trace()
    with tracing(None):
        found = (ours or function)(*args, **kwargs)
    for leaf in flatten(found)[0]:
        if isinstance(leaf, ArrayStandIn):
            leaf._home = trace
    return found


def _apply_function(function: Any, args: Any, kwargs: Any) -> Any:
    if all_known((args, kwargs)):
        return by_numpy(function, args, kwargs)
    args, kwargs = map_tree(_named_dtype, (args, kwargs))
    leaves = flatten((args, kwargs))[0]
    tensors = [x for x in leaves if isinstance(x, Tensor)]
    if not all(isinstance(x, StandIn) for x in tensors):
        return apply_function(function, args, kwargs)
    result = mark(apply_function(function, args, kwargs))
    arrays = [x for x in leaves if isinstance(x, (Tensor, np.ndarray, np.generic))]
    if len({x.dtype for x in arrays}) > 1 or any(x.dtype.kind != "f" for x in tensors):
        _check_dtypes(function, args, kwargs, result)
    return result


def _named_dtype(thing: Any) -> Any:
    """Return the dtype that a type of Python's is to NumPy; other things as they are."""
    return np.dtype(thing) if isinstance(thing, type) and thing in (float, int, bool) else thing


def _check_dtypes(function: Any, args: Any, kwargs: Any, result: Any) -> None:
    """Refuse the trace if NumPy would give other dtypes, which it is asked with ones."""

    def ones(thing: Any) -> Any:
        return np.ones(thing.shape, _numpy_dtype(thing)) if isinstance(thing, Tensor) else thing

    args, kwargs = map_tree(ones, (args, kwargs))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = flatten(function(*args, **kwargs))[0]
        except Exception:  # whatever it is, the plain function will tell
            expected = []
    found = flatten(result)[0]
    same = len(found) == len(expected) and all(
        getattr(a, "dtype", None) == getattr(b, "dtype", None)
        for a, b in zip(found, expected, strict=True)
    )
    if not same:
        refuse(f"NumPy's {function.__name__} gives another dtype here than jitgrad's")
