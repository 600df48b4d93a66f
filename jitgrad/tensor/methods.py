"""Gives Tensors their methods and operators, read off the table of public functions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from jitgrad.core.public import FUNCTIONS, PROPERTIES, PublicFunction
from jitgrad.ops.complex import ComplexPair
from jitgrad.ops.numpy_protocol import apply_function, apply_ufunc
from jitgrad.tensor.inplace import apply_in_place
from jitgrad.tensor.tensor import Tensor

# Python's operators by the public function that carries them out.
_BINARY = {
    "add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "pow", "matmul": "matmul", "and": "bitwise_and",
    "or": "bitwise_or", "xor": "bitwise_xor",
}  # fmt: skip
_COMPARISONS = {"eq": "eq", "ne": "ne", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge"}
_UNARY = {"neg": "neg", "abs": "abs", "invert": "bitwise_not"}


def install_methods() -> None:
    """Give `Tensor` every function of the table that is a method, and the operators."""
    for entry in FUNCTIONS.values():
        _install(entry)
    for name, function in PROPERTIES.items():
        setattr(Tensor, name, property(function))
    # Through these two NumPy hands over its own functions when a Tensor is among the arguments.
    setattr(Tensor, "__array_ufunc__", _numpy_ufunc)  # noqa: B010 - defined for type checkers
    setattr(Tensor, "__array_function__", _numpy_function)  # noqa: B010
    for operator, name in _BINARY.items():
        function = FUNCTIONS[name].function
        setattr(Tensor, f"__{operator}__", _binary(function, operator, False))
        setattr(Tensor, f"__r{operator}__", _binary(function, operator, True))
        setattr(Tensor, f"__i{operator}__", _in_place(function, f"{operator}="))
    for operator, name in _COMPARISONS.items():
        setattr(Tensor, f"__{operator}__", _binary(FUNCTIONS[name].function, operator, False))
    for operator, name in _UNARY.items():
        setattr(Tensor, f"__{operator}__", _unary(FUNCTIONS[name].function))


def _numpy_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    return apply_ufunc(ufunc, method, inputs, kwargs)


def _numpy_function(self: Tensor, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
    return apply_function(function, args, kwargs)


def _install(entry: PublicFunction) -> None:
    if entry.method and not hasattr(Tensor, entry.name):
        setattr(Tensor, entry.name, entry.function)
    if entry.inplace and not hasattr(Tensor, f"{entry.name}_"):
        method = _in_place(entry.function, f"{entry.name}_")
        method.__doc__ = f"Give this Tensor the value of `{entry.name}`, in place; return it."
        setattr(Tensor, f"{entry.name}_", method)


def _in_place(function: Callable[..., Any], operation: str) -> Callable[..., Any]:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return apply_in_place(operation, self, function, *args, **kwargs)

    method.__name__ = operation
    return method


def _binary(function: Callable[..., Any], operator: str, reflected: bool) -> Callable[..., Any]:
    def method(self: Tensor, other: Any) -> Any:
        if other is None or isinstance(other, (str, bytes, dict, set, ComplexPair)):
            return NotImplemented
        return function(other, self) if reflected else function(self, other)

    method.__name__ = f"__{'r' if reflected else ''}{operator}__"
    return method


def _unary(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def method(self: Tensor) -> Any:
        return function(self)

    return method
