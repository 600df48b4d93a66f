"""Operators, methods and attributes of what stands for arrays and numbers."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.core.bind import active_trace
from jitgrad.core.dtypes import is_supported
from jitgrad.core.extents import Extent
from jitgrad.ops.cast import convert
from jitgrad.ops.creation import clone
from jitgrad.tensor.inplace import assign
from jitgrad.tensor.tensor import Tensor, make_tensor
from jitgrad.trace.known_arrays import all_known, changed, is_known, plain
from jitgrad.trace.stand_ins import (
    ArrayStandIn,
    NumberStandIn,
    ScalarStandIn,
    StandIn,
    asked_by_jitgrad,
    by_numpy,
    carry_out_ufunc,
    check_writable,
    marked,
    refuse,
    stand_in,
)

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


# What numbers have and Tensors don't, or have as something else.
_ONLY_OF_NUMBERS = (
    "is_integer", "as_integer_ratio", "hex", "conjugate", "real", "imag", "bit_length",
    "__trunc__", "__floor__", "__ceil__",
)  # fmt: skip
# By these a call of a method means that of Tensors.
_ARGUMENTS_OF_TENSORS = {"dim", "keepdim", "unbiased"}


def _array_operator(name: str, ufunc: Any, reflected: bool = False) -> Callable[..., Any]:
    usual = getattr(Tensor, name, None)

    def method(self: Any, *others: Any) -> Any:
        if usual is not None and asked_by_jitgrad():
            return usual(self, *others)
        for other in others:
            if other is None or isinstance(other, (str, bytes, dict, set)):
                return NotImplemented
        return carry_out_ufunc(
            ufunc, "__call__", (*others, self) if reflected else (self, *others), {}
        )

    method.__name__ = name
    return method


def _array_in_place(name: str, ufunc: Any) -> Callable[..., Any]:
    def method(self: Any, other: Any) -> Any:
        if isinstance(self, ScalarStandIn):
            return carry_out_ufunc(ufunc, "__call__", (self, other), {})
        if is_known(self) and not isinstance(plain(other), Tensor):
            ufunc(self._raw, plain(other), out=self._raw)
            changed(self)
            return self
        check_writable(self)
        if isinstance(other, Tensor) and other.requires_grad and not isinstance(other, StandIn):
            refuse("it changes an array in place by what requires a gradient")
        result = carry_out_ufunc(ufunc, "__call__", (self, other), {})
        if not self.ndim and not self._is_array:
            return result
        assign(f"{name}=", self, result)
        return self

    return method


def _array_method(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    usual = getattr(Tensor, name, None)

    @functools.wraps(function)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if usual is not None and asked_by_jitgrad():
            return usual(self, *args, **kwargs)
        if usual is not None and not _ARGUMENTS_OF_TENSORS.isdisjoint(kwargs):
            return usual(self, *args, **kwargs)
        if all_known((self, args, kwargs)):
            ours = functools.partial(function, **kwargs)
            return by_numpy(
                lambda x, *rest: getattr(x, name)(*rest, **plain(kwargs)), (self, *args), {}, ours
            )
        return function(self, *args, **kwargs)

    return method


def _array_attribute(name: str, read: Callable[[Any], Any]) -> property:
    usual: Any = getattr(Tensor, name, None)

    def get(self: Any) -> Any:
        if usual is not None and asked_by_jitgrad():
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
        refuse(f"it converts an array to {wanted}")
    copied: Any = clone(x) if x.dtype == wanted else convert(x, wanted)
    return marked(copied)


def _copy(x: Any, order: str = "C") -> Any:
    return marked(clone(x)) if x.narrow is None else stand_in(clone(x), type(x))


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
        if is_known(x):
            # Whoever changes it by this is not seen; its views may be out of date.
            changed(x)
            return getattr(x._raw, name)
        return refuse(f"it uses {name} of an array")

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
