"""Leaves of variables: Tensors, what stands for arrays and numbers, numbers, other objects."""

from __future__ import annotations

from typing import Any

from jitgrad.control.captured import CapturedBody, strong_operand
from jitgrad.core.bind import tracing
from jitgrad.core.dtypes import python_dtype
from jitgrad.core.spec import Spec
from jitgrad.ops.cast import convert
from jitgrad.ops.creation import full_primitive
from jitgrad.tensor.tensor import Tensor, box_tensor
from jitgrad.trace.stand_ins import NumberStandIn

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), range, slice)


def is_number(leaf: Any) -> bool:
    """Return whether a leaf is a number of Python's, or stands for one."""
    return type(leaf) in (bool, int, float, NumberStandIn)


def is_array(leaf: Any) -> bool:
    """Return whether a leaf is a Tensor or stands for an array."""
    return isinstance(leaf, Tensor) and type(leaf) is not NumberStandIn


def same_leaf(a: Any, b: Any) -> bool:
    """Return whether two leaves can't be told apart."""
    if a is b:
        return True
    return type(a) is type(b) and isinstance(a, _PLAIN) and repr(a) == repr(b)


def spec_of(leaf: Any) -> Spec:
    """Return the spec of a Tensor or number."""
    if isinstance(leaf, Tensor):
        return leaf.spec
    return Spec((), python_dtype(leaf), weak=True)


def kind_of(leaf: Any) -> type:
    """Return what class a Tensor or number has in a trace."""
    return type(leaf) if isinstance(leaf, Tensor) else NumberStandIn


def needs_gradient(leaf: Any) -> bool:
    """Return whether a leaf is a Tensor that requires a gradient."""
    return isinstance(leaf, Tensor) and leaf.requires_grad


def inside(trace: CapturedBody, leaf: Any, spec: Spec) -> Tensor:
    """Return a leaf as a Tensor of a body, of the dtype of `spec`."""
    with tracing(trace):
        if is_number(leaf) and not isinstance(leaf, Tensor):
            number: Tensor = full_primitive(shape=(), value=leaf, dtype=spec.dtype)
            return number
        tensor = trace.handed_on(trace.lift(box_tensor(leaf)))
        if tensor.spec.weak:
            tensor = strong_operand(tensor)
        converted: Tensor = convert(tensor, spec.dtype)
        return converted
