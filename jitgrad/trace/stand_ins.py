"""What a traced function sees in place of NumPy arrays and Python numbers among its arguments.

Both are Tensors, so that operations on them are recorded; but what the plain function would get
as an array or number, from operators, methods and NumPy's functions, comes back as one. What
jitgrad's functions make of them is a Tensor, as it is outside of a trace.
"""

from __future__ import annotations

import functools
import math
import operator
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jitgrad.core.bind import active_trace, tracing
from jitgrad.core.dtypes import DType, get_default_dtype, is_supported
from jitgrad.core.extents import Extent
from jitgrad.core.tree import flatten, map_tree
from jitgrad.ops.cast import cast, convert
from jitgrad.ops.creation import clone
from jitgrad.ops.numpy_protocol import apply_function, apply_ufunc
from jitgrad.tensor.inplace import assign
from jitgrad.tensor.tensor import Tensor, make_tensor
from jitgrad.trace.known_arrays import (
    all_known,
    changed,
    is_known,
    may_change,
    plain,
    shares_memory,
)

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_DEMO = _PACKAGE + "demo" + os.sep
_NUMPY = os.sep + "numpy" + os.sep

# The function of NumPy that carries out each operator of arrays.
_UFUNCS = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide,
    "floordiv": np.floor_divide, "mod": np.remainder, "pow": np.power, "matmul": np.matmul,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
}  # fmt: skip
_COMPARISONS = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal,
}  # fmt: skip
_UNARY = {"neg": np.negative, "abs": np.absolute, "invert": np.invert, "pos": np.positive}
# Methods of arrays that are functions of NumPy, too, with the same arguments.
_METHODS = (
    "all", "any", "argmax", "argmin", "argsort", "clip", "cumprod", "cumsum", "diagonal", "dot",
    "max", "mean", "min", "nonzero", "prod", "ravel", "repeat", "round", "searchsorted", "squeeze",
    "std", "sum", "swapaxes", "take", "trace", "var",
)  # fmt: skip


# By these a call of a method means that of Tensors.
_ARGUMENTS_OF_TENSORS = {"dim", "keepdim", "unbiased"}


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
        return _apply_ufunc(ufunc, method, inputs, kwargs)

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


# What numbers have and Tensors don't, or have as something else.
_ONLY_OF_NUMBERS = (
    "is_integer", "as_integer_ratio", "hex", "conjugate", "real", "imag", "bit_length",
    "__trunc__", "__floor__", "__ceil__",
)  # fmt: skip


class ArrayStandIn(StandIn):
    """Stands for a NumPy array.

    Where the user's code applies an operator, a method of arrays or a function of NumPy to it, the
    meaning, and the dtype, are NumPy's, and the result is such a thing again.
    """

    # The trace in which it was made of nothing that is traced; see `known_arrays`.
    _home: Any = None

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return _apply_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _apply_function(function, args, kwargs)

    def __getitem__(self, index: Any) -> Any:
        index = _plain_index(index)
        if is_known(self) and not _has_tensors(index):
            found = self._raw[index]
            if not shares_memory(found, [self._raw]):
                return known(found)
            with tracing(None):
                # A view knows what it shows, for the time when that is traced.
                return at_home(_marked(super().__getitem__(index)))
        part = super().__getitem__(index)
        if part._raw.shape or not _picks_number(index):
            return _marked(part)
        return scalar(clone(part))

    def __setitem__(self, index: Any, value: Any) -> None:
        index = _plain_index(index)
        if may_change(self) and not _has_tensors(index) and not _has_tensors(plain(value)):
            self._raw[index] = plain(value)
            changed(self)
            return
        super().__setitem__(index, value)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def _concrete(self) -> Any:
        return self._raw if is_known(self) else super()._concrete()

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


def mark(result: Any) -> Any:
    """Make the Tensors in `result`, which nobody else holds yet, stand for NumPy arrays."""
    for leaf in flatten(result)[0]:
        _marked(leaf)
    return result


def _marked(tensor: Any) -> Any:
    if type(tensor) is Tensor:
        is_scalar = not tensor._raw.shape and tensor._view is None
        stand_in(tensor, ScalarStandIn if is_scalar else ArrayStandIn)
    return tensor


def scalar(tensor: Tensor) -> Any:
    """Return `tensor`, without axes and held by nobody else yet, as a scalar of NumPy."""
    return stand_in(tensor, ScalarStandIn)


def known(thing: Any) -> Any:
    """Return what stands for an array that the function has made; other things as they are."""
    if type(thing) is np.ndarray and is_supported(thing.dtype):
        return at_home(stand_in(make_tensor(thing), ArrayStandIn))
    return thing


def at_home(tensor: Any) -> Any:
    """Return `tensor`, which was made of nothing that is traced, as one of this trace."""
    tensor._home = active_trace()
    return tensor


def _has_tensors(index: Any) -> bool:
    parts = index if isinstance(index, (tuple, list)) else (index,)
    return any(
        isinstance(p, Tensor)
        or (isinstance(p, (list, tuple)) and _has_tensors(p))
        or (isinstance(p, slice) and _has_tensors((p.start, p.stop, p.step)))
        for p in parts
    )


def _plain_index(index: Any) -> Any:
    """Return an index with arrays in place of what stands for known ones."""
    if isinstance(index, tuple):
        return tuple(map(_plain_index, index))
    if isinstance(index, slice):
        return slice(*map(_plain_index, (index.start, index.stop, index.step)))
    return index._raw if is_known(index) else index


def _picks_number(index: Any) -> bool:
    """Return whether an index that leaves no axes gives a scalar, and not an array."""
    return not any(item is Ellipsis for item in (index if isinstance(index, tuple) else (index,)))


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
    return _marked(cast(number, dtype=number.dtype))


def _as_array_if_number(thing: Any) -> Any:
    return _as_array(thing) if isinstance(thing, NumberStandIn) else thing


def _asked_by_jitgrad() -> bool:
    """Return whether the code that uses a stand-in, two frames up, is jitgrad's own."""
    file = sys._getframe(2).f_code.co_filename
    return file.startswith(_PACKAGE) and not file.startswith(_DEMO)


def _refuse(reason: str) -> None:
    trace = active_trace()
    assert trace is not None
    trace.refuse(reason)


# -- NumPy's functions -------------------------------------------------------------------------


def _apply_ufunc(ufunc: Any, method: str, inputs: Any, kwargs: dict[str, Any]) -> Any:
    if all_known((inputs, kwargs)):
        return _by_numpy(getattr(ufunc, method), inputs, kwargs)
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
            expected = dtypes[ufunc.nin]
            mark(result)
            return result if result.dtype == expected else _marked(convert(result, expected))
        return result
    return mark(apply_ufunc(ufunc, method, inputs, kwargs))


def _operand(thing: Any) -> Any:
    if isinstance(thing, (Tensor, bool, int, float)):
        return thing
    array = np.asarray(thing)
    if not is_supported(array.dtype):
        _refuse(f"it computes with an array of dtype {array.dtype}")
    return array


def _resolved(ufunc: Any, inputs: Any, outputs: Any) -> Any:
    """Return the dtypes in which NumPy would compute, one for each input and output."""
    kinds: list[Any] = []
    for x in inputs:
        if isinstance(x, NumberStandIn):
            kinds.append(float if x.dtype.kind == "f" else int)
        elif isinstance(x, bool) or not isinstance(x, (int, float)) or isinstance(x, np.generic):
            kinds.append(np.dtype(bool) if isinstance(x, bool) else x.dtype)
        else:
            kinds.append(type(x))
    dtypes = ufunc.resolve_dtypes((*kinds, *[None] * ufunc.nout))
    for dtype in dtypes:
        if not is_supported(dtype):
            _refuse(f"NumPy computes {ufunc.__name__} in {dtype} here")
    return dtypes


def _converted(x: Any, dtype: DType) -> Any:
    if isinstance(x, (NumberStandIn, bool, int, float)):
        return x
    if isinstance(x, np.ndarray):
        return x.astype(dtype, copy=False)
    return x if x.dtype == dtype else _marked(convert(x, dtype))


def _by_numpy(function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """Return what NumPy itself makes of arrays that are known."""
    into = kwargs.get("out")
    targets = () if into is None else into if isinstance(into, tuple) else (into,)
    if not all(map(may_change, targets)):
        _refuse("it writes to an array that was made outside of a loop")
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
        found = function(*args, **kwargs)
    for leaf in flatten(found)[0]:
        if isinstance(leaf, ArrayStandIn):
            leaf._home = trace
    return found


def _apply_function(function: Any, args: Any, kwargs: Any) -> Any:
    if all_known((args, kwargs)):
        return _by_numpy(function, args, kwargs)
    leaves = flatten((args, kwargs))[0]
    tensors = [x for x in leaves if isinstance(x, Tensor)]
    if not all(isinstance(x, StandIn) for x in tensors):
        return apply_function(function, args, kwargs)
    result = mark(apply_function(function, args, kwargs))
    arrays = [x for x in leaves if isinstance(x, (Tensor, np.ndarray, np.generic))]
    if len({x.dtype for x in arrays}) > 1 or any(x.dtype.kind != "f" for x in tensors):
        _check_dtypes(function, args, kwargs, result)
    return result


def _check_dtypes(function: Any, args: Any, kwargs: Any, result: Any) -> None:
    """Refuse the trace if NumPy would give other dtypes, which it is asked with ones."""

    def ones(thing: Any) -> Any:
        return np.ones(thing.shape, thing.dtype) if isinstance(thing, Tensor) else thing

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
        _refuse(f"NumPy's {function.__name__} gives another dtype here than jitgrad's")


# -- operators and methods ---------------------------------------------------------------------


def _array_operator(name: str, ufunc: Any, reflected: bool = False) -> Callable[..., Any]:
    usual = getattr(Tensor, name, None)

    def method(self: Any, *others: Any) -> Any:
        if usual is not None and _asked_by_jitgrad():
            return usual(self, *others)
        for other in others:
            if other is None or isinstance(other, (str, bytes, dict, set)):
                return NotImplemented
        return _apply_ufunc(
            ufunc, "__call__", (*others, self) if reflected else (self, *others), {}
        )

    method.__name__ = name
    return method


def _array_in_place(name: str, ufunc: Any) -> Callable[..., Any]:
    def method(self: Any, other: Any) -> Any:
        if isinstance(self, ScalarStandIn):
            return _apply_ufunc(ufunc, "__call__", (self, other), {})
        if may_change(self) and not isinstance(plain(other), Tensor):
            ufunc(self._raw, plain(other), out=self._raw)
            changed(self)
            return self
        if isinstance(other, Tensor) and other.requires_grad and not isinstance(other, StandIn):
            _refuse("it changes an array in place by what requires a gradient")
        result = _apply_ufunc(ufunc, "__call__", (self, other), {})
        if not self.ndim and not self._is_array:
            return result
        assign(f"{name}=", self, result)
        return self

    return method


def _array_method(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    usual = getattr(Tensor, name, None)

    @functools.wraps(function)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if usual is not None and _asked_by_jitgrad():
            return usual(self, *args, **kwargs)
        if usual is not None and not _ARGUMENTS_OF_TENSORS.isdisjoint(kwargs):
            return usual(self, *args, **kwargs)
        if all_known((self, args, kwargs)):
            return _by_numpy(operator.methodcaller(name, *args, **kwargs), (self,), {})
        return function(self, *args, **kwargs)

    return method


def _array_attribute(name: str, read: Callable[[Any], Any]) -> property:
    usual: Any = getattr(Tensor, name, None)

    def get(self: Any) -> Any:
        if usual is not None and _asked_by_jitgrad():
            return usual.__get__(self, type(self))
        return read(self)

    return property(get)


def _reshape(x: Any, *shape: Any, order: str = "C") -> Any:
    return np.reshape(x, shape[0] if len(shape) == 1 else shape, order=order)  # type: ignore[call-overload]


def _transpose(x: Any, *axes: Any) -> Any:
    if not axes or axes[0] is None:
        return np.transpose(x)
    return np.transpose(x, axes[0] if len(axes) == 1 else axes)


def _astype(x: Any, dtype: Any, **_: Any) -> Any:
    wanted = np.dtype(dtype)
    if not is_supported(wanted):
        _refuse(f"it converts an array to {wanted}")
    copied: Any = clone(x) if x.dtype == wanted else convert(x, wanted)
    return _marked(copied)


def _copy(x: Any, order: str = "C") -> Any:
    return _marked(clone(x))


def _flatten(x: Any, order: str = "C") -> Any:
    return np.ravel(_copy(x), order=order)  # type: ignore[call-overload]


def _fill(x: Any, value: Any) -> None:
    x[...] = value


def _numbers_of_shape(x: Any) -> tuple[Any, ...]:
    """Return a shape with what can be computed with in place of sizes that are not known."""
    shape = x._raw.shape
    return tuple([_number_of(n) if isinstance(n, Extent) else n for n in shape])


def _number_of(extent: Extent) -> Any:
    return stand_in(make_tensor(extent.value), NumberStandIn)


def _unknown_attribute(name: str) -> Callable[..., Any]:
    def read(x: Any) -> Any:
        if may_change(x):
            # Whoever changes it by this is not seen; its views may be out of date.
            changed(x)
            return getattr(x._raw, name)
        return _refuse(f"it uses {name} of an array")

    return read


def _number_operator(name: str, reflected: bool) -> Callable[..., Any]:
    usual = getattr(Tensor, name)
    divides = name.strip("_").removeprefix("r") in ("truediv", "floordiv", "mod")
    ufunc = {**_UFUNCS, **_COMPARISONS}.get(name.strip("_").removeprefix("r" * reflected))

    def method(self: Any, other: Any) -> Any:
        if isinstance(other, (list, tuple, str, bytes)):
            return other * self.item() if "mul" in name else NotImplemented
        if isinstance(other, (np.ndarray, np.generic, ArrayStandIn)):
            return ufunc(other, self) if reflected else ufunc(self, other)  # type: ignore[misc]
        trace: Any = active_trace()
        before, trace.among_numbers = trace.among_numbers, True
        try:
            if divides and isinstance(other, (bool, int, float, NumberStandIn)):
                _check_divisor(trace, self if reflected else other)
            result = usual(self, other)
            if "pow" in name and type(result) is Tensor and result.spec.weak:
                _check_power(trace, result)
        finally:
            trace.among_numbers = before
        if type(result) is Tensor and result.spec.weak:
            result.__class__ = NumberStandIn
        return result

    method.__name__ = name
    return method


def _check_divisor(trace: Any, divisor: Any) -> None:
    """Raise what Python raises at a division by zero, also in later runs."""
    is_zero = divisor == 0
    if is_zero is True or (isinstance(is_zero, Tensor) and not trace.check_zero(is_zero)):
        raise ZeroDivisionError("division by zero")


def _check_power(trace: Any, result: Tensor) -> None:
    """See to it that Python computes powers that are complex, too large or of zero to less."""
    if not trace.check_zero(Tensor.__ne__(result - result, 0)):
        raise ArithmeticError("a power of Python numbers is no float")


def _number_unary(name: str) -> Callable[..., Any]:
    usual = getattr(Tensor, name, None)

    def method(self: Any) -> Any:
        if usual is None:
            return self
        trace: Any = active_trace()
        before, trace.among_numbers = trace.among_numbers, True
        try:
            result = usual(self)
        finally:
            trace.among_numbers = before
        result.__class__ = NumberStandIn
        return result

    return method


def _number_attribute(name: str) -> property:
    return property(lambda self: getattr(self.item(), name))


def install_operators() -> None:
    """Give the stand-ins their operators and methods; those of Tensors must be there already."""
    for short, ufunc in _UFUNCS.items():
        for reflected in (False, True):
            name = f"__{'r' * reflected}{short}__"
            setattr(ArrayStandIn, name, _array_operator(name, ufunc, reflected))
            setattr(NumberStandIn, name, _number_operator(name, reflected))
        setattr(ArrayStandIn, f"__i{short}__", _array_in_place(short, ufunc))
        # A number is never changed in place: x += 1 makes another one.
        setattr(NumberStandIn, f"__i{short}__", getattr(NumberStandIn, f"__{short}__"))
    for short, ufunc in _COMPARISONS.items():
        name = f"__{short}__"
        setattr(ArrayStandIn, name, _array_operator(name, ufunc))
        setattr(NumberStandIn, name, _number_operator(name, False))
    for short, ufunc in _UNARY.items():
        name = f"__{short}__"
        setattr(ArrayStandIn, name, _array_operator(name, ufunc))
        setattr(NumberStandIn, name, _number_unary(name))
    for name in _ONLY_OF_NUMBERS:
        setattr(NumberStandIn, name, _number_attribute(name))
    functions: dict[str, Callable[..., Any]] = {name: getattr(np, name) for name in _METHODS}
    functions |= {
        "reshape": _reshape, "transpose": _transpose, "astype": _astype, "copy": _copy,
        "flatten": _flatten, "fill": _fill, "conj": _copy, "conjugate": _copy,
    }  # fmt: skip
    for name, function in functions.items():
        setattr(ArrayStandIn, name, _array_method(name, function))
    attributes: dict[str, Callable[[Any], Any]] = {
        "T": np.transpose,
        "shape": _numbers_of_shape,
        "size": lambda x: math.prod(_numbers_of_shape(x)),
        "itemsize": lambda x: x.dtype.itemsize,
        "nbytes": lambda x: x.numel() * x.dtype.itemsize,
        "real": lambda x: x,
    }
    for name in ("view", "flat", "sort", "partition", "put", "resize", "flags", "base", "strides"):
        attributes[name] = _unknown_attribute(name)
    for name, read in attributes.items():
        setattr(ArrayStandIn, name, _array_attribute(name, read))
