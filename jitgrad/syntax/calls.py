"""What is called in place of a function that rewritten code calls."""

from __future__ import annotations

import builtins
import dataclasses
import types
from collections.abc import Callable, Hashable
from typing import Any

from jitgrad.control.captured import CapturedBody
from jitgrad.core.bind import active_trace
from jitgrad.syntax.convert import converted
from jitgrad.syntax.numpy_calls import numpy_function
from jitgrad.trace.library import is_library_class, why_impure
from jitgrad.trace.user_code import set_rewriting

_replacements: dict[Any, Callable[..., Any]] = {}
# What these do is not seen in their results.
_ACTING = frozenset(
    getattr(builtins, name)
    for name in ("print", "input", "open", "exec", "eval", "next", "setattr", "delattr",
                 "breakpoint", "globals", "__import__")
)  # fmt: skip
_ACTING_MODULES = frozenset(
    {"warnings", "logging", "sys", "os", "io", "time", "random", "secrets", "threading"}
)


def replace_when_called(function: Callable[..., Any], ours: Callable[..., Any]) -> None:
    """Let `ours` be called where traced code of the user's calls `function`.

    Parameters
    ----------
    function : callable
        Found by equality, under whatever name the user's code has it.
    ours : callable
        Takes the same arguments, whatever these are; leaves to `function` what it has nothing to
        do with.
    """
    _replacements[function] = ours


def callee(function: Any) -> Any:
    """Return what is to be called where rewritten code calls `function`."""
    trace = active_trace()
    if trace is None:
        return function
    if isinstance(function, Hashable):
        try:
            ours = _replacements.get(function)
        except Exception:  # an object whose class has a hash that fails
            ours = None
        if ours is not None:
            return ours
    ours = numpy_function(function)
    if ours is not None:
        return ours
    if isinstance(trace, CapturedBody):
        reason = _why_not_repeated(function)
        if reason:
            trace.refuse(reason)
    found = converted(function)
    if found is function and not isinstance(function, types.FunctionType | type):
        # An object of the user's class; what is no user's method stays as it is.
        method = vars(type(function)).get("__call__")
        inner = converted(method) if isinstance(method, types.FunctionType) else method
        if inner is not method:
            return types.MethodType(inner, function)
    return found


def _why_not_repeated(function: Any) -> str:
    """Return why a call can't be part of a graph; ``""`` where nothing speaks against it."""
    name = getattr(function, "__name__", type(function).__name__)
    if isinstance(function, types.BuiltinFunctionType) and function in _ACTING:
        return f"it calls {name}()"
    module = getattr(function, "__module__", None) or ""
    if not isinstance(function, type) and module.partition(".")[0] in _ACTING_MODULES:
        return f"it calls {module}.{name}()"
    if isinstance(function, type) and not is_library_class(function):
        plain = dataclasses.is_dataclass(function) or hasattr(function, "_fields")
        return "" if plain else f"it makes an object of the class {name}"
    return why_impure(function, name)


set_rewriting(callee)
