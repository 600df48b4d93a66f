"""A function of the user's becomes one whose calls, loops and branches pass through us.

The rewritten function shares everything with the plain one but its code: globals, closure cells,
defaults, attributes. It is made anew for each call, so that none of these can be out of date;
the code is kept.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

from jitgrad.syntax.names import OPERATORS, OWN
from jitgrad.syntax.rewrite import rewritten
from jitgrad.syntax.source import compile_function, find_source
from jitgrad.trace.library import is_library_file

# What each code became, None where it stays as it is; by place in memory, since codes of two files
# may be equal.
_known: dict[int, tuple[types.CodeType, types.CodeType | None]] = {}


def converted(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` rewritten, itself where that can't be done or it is no user's function.

    Parameters
    ----------
    function : callable
        Functions, bound methods and partial applications of the user's are rewritten.
    """
    if isinstance(function, types.FunctionType):
        return _converted_function(function)
    if isinstance(function, types.MethodType):
        inner = converted(function.__func__)
        return (
            function if inner is function.__func__ else types.MethodType(inner, function.__self__)
        )
    if type(function) is functools.partial:
        inner = converted(function.func)
        if inner is not function.func:
            return functools.partial(inner, *function.args, **function.keywords)
    return function


def _converted_function(function: types.FunctionType) -> types.FunctionType:
    code = rewritten_code(function.__code__)
    if code is None:
        return function
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    from jitgrad.syntax import operators

    cells[OPERATORS] = types.CellType(operators)
    closure = tuple([cells[name] for name in code.co_freevars])
    made = types.FunctionType(
        code, function.__globals__, function.__name__, function.__defaults__, closure
    )
    made.__kwdefaults__ = function.__kwdefaults__
    made.__dict__ = function.__dict__
    made.__qualname__ = function.__qualname__
    made.__module__ = function.__module__
    made.__doc__ = function.__doc__
    made.__annotations__ = function.__annotations__
    return made


def rewritten_code(code: types.CodeType) -> types.CodeType | None:
    """Return what a code becomes; None where it stays as it is."""
    held = _known.get(id(code))
    if held is None:
        made = _rewrite(code)
        held = _known[id(code)] = (code, made)
        if made is not None:
            _remember_all(made)
    return held[1]


def _remember_all(code: types.CodeType) -> None:
    """Note that a code, and what is defined inside it, is rewritten already."""
    _known[id(code)] = (code, None)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            _remember_all(constant)


def _rewrite(code: types.CodeType) -> types.CodeType | None:
    if is_library_file(code.co_filename):
        return None
    source = find_source(code)
    if source is None:
        return None
    try:
        node = rewritten(source, code)
        made = compile_function(node, code, (OPERATORS,))
    except (SyntaxError, RecursionError):
        return None
    return _renamed(made, code.co_name, getattr(code, "co_qualname", code.co_name))


def _renamed(made: types.CodeType, name: str, qualified: str) -> types.CodeType:
    """Return rewritten code, and the parts it was divided into, under the plain function's name."""
    constants = tuple(
        [_part(c, name, qualified) if isinstance(c, types.CodeType) else c for c in made.co_consts]
    )
    names: dict[str, Any] = {"co_name": name, "co_consts": constants}
    if hasattr(made, "co_qualname"):
        names["co_qualname"] = qualified
    return made.replace(**names)


def _part(code: types.CodeType, name: str, qualified: str) -> types.CodeType:
    if code.co_name.startswith(OWN):
        return _renamed(code, name, qualified)
    # A function of the user's inside has a name of its own.
    return _renamed(code, code.co_name, f"{qualified}.<locals>.{code.co_name}")
