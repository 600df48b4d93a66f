"""A Tensor's values for people and for Python: one element, or text."""

from __future__ import annotations

import ast
import dis
import itertools
import linecache
import math
import warnings
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import active_trace
from jitgrad.core.dtypes import bool_, get_default_dtype, int64
from jitgrad.core.errors import GradientError, JitgradWarning, ShapeError
from jitgrad.core.location import location_of, user_frame
from jitgrad.ir.graph import Value
from jitgrad.tensor.modes import is_grad_enabled, modes

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import Tensor

# What Python runs for ``a[k] = x``.
_STORES_ELEMENT = dis.opmap["STORE_SUBSCR"]


def only_element(tensor: Tensor) -> Any:
    """Return the only element of `tensor` as a Python number."""
    if tensor.numel() != 1:
        raise ShapeError(
            f"a Tensor of shape {tuple(tensor.shape)} has no single value",
            why=f"it has {tensor.numel()} elements; only one element can become a Python number",
            do="reduce it first (x.sum(), x.all(), x.any()), or pick an element: x[0]",
        )
    return tensor._concrete().item()


def as_float(tensor: Tensor) -> float:
    """Return the only element of `tensor` as a Python float.

    The gradient ends there. Warns where the user's line does not show it as ``float(x)`` does:
    where a function of `math` asks for it inside a function that is being differentiated, and
    where it becomes an element of a NumPy array.

    Raises
    ------
    GradientError
        If it becomes an element of a NumPy array inside a function that is being differentiated.
    """
    if tensor.requires_grad and is_grad_enabled() and (frame := user_frame()) is not None:
        if frame.f_code.co_code[frame.f_lasti] == _STORES_ELEMENT:
            _lost_in_an_array(frame)
        elif modes.differentiating and (name := _function_of_math(frame)):
            _warn(
                frame,
                f"math.{name} takes the value of a Tensor, so that no gradient flows through it;"
                f" use a function of jitgrad or NumPy, or math.{name}(float(x)) if that is meant",
            )
    return float(tensor.item())


def _lost_in_an_array(frame: FrameType) -> None:
    what = "a NumPy array takes a Tensor that requires a gradient as an element"
    if modes.differentiating:
        raise GradientError(
            what,
            why="no gradient can flow through an array of NumPy's",
            do="make the array with jitgrad.zeros, or compile the function: then its NumPy arrays"
            " can hold such values",
            where=location_of(frame),
        )
    _warn(frame, f"{what}, and no gradient flows through that; assign x.item() if it is meant")


def _warn(frame: FrameType, message: str) -> None:
    warnings.warn_explicit(message, JitgradWarning, frame.f_code.co_filename, frame.f_lineno or 0)


def _function_of_math(frame: FrameType) -> str:
    """Return the name of the function of `math` that `frame` calls; ``""`` if it calls another."""
    places = frame.f_code.co_positions()
    line, last_line, column, end = next(itertools.islice(places, frame.f_lasti // 2, None))
    if line is None or line != last_line:
        return ""
    text = linecache.getline(frame.f_code.co_filename, line).encode()[column:end].decode()
    try:
        call = ast.parse(text, mode="eval").body
    except SyntaxError:
        return ""
    if not isinstance(call, ast.Call):
        return ""
    function = _named(call.func, {**frame.f_globals, **frame.f_locals})
    name = getattr(function, "__name__", "")
    return name if function is getattr(math, name, math) and name not in _NO_GRADIENT else ""


def _named(expression: ast.expr, names: dict[str, Any]) -> Any:
    """Return what a name, or an attribute of a module, stands for; None for other expressions."""
    if isinstance(expression, ast.Name):
        return names.get(expression.id)
    if isinstance(expression, ast.Attribute):
        owner = _named(expression.value, names)
        return getattr(owner, expression.attr, None) if isinstance(owner, ModuleType) else None
    return None


# Those whose derivative is zero, or that only test a value.
_NO_GRADIENT = frozenset({"ceil", "floor", "isclose", "isfinite", "isinf", "isnan", "trunc"})


def format_tensor(tensor: Tensor) -> str:
    """Return the text of ``repr(tensor)``: values, dtype if not obvious, gradient."""
    trace = active_trace()
    raw = tensor._raw
    if trace is None and isinstance(raw, Value):
        return f"tensor(<traced {raw.spec}>)"
    array = tensor._concrete()
    body = np.array2string(array, separator=", ", precision=4, prefix="tensor(", threshold=1000)
    extra = []
    if array.dtype not in (get_default_dtype(), int64, bool_) or array.size == 0:
        extra.append(f"dtype={array.dtype.name}")
    node = tensor.grad_fn
    if node is not None:
        extra.append(f"grad_fn=<{node.name()}>")
    elif tensor.requires_grad:
        extra.append("requires_grad=True")
    return f"tensor({', '.join([body, *extra])})"
