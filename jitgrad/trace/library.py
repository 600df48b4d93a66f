"""What counts as library code, which is taken to be constant, and what of it is not pure."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import functools
import io
import itertools
import os
import pathlib
import random
import re
import sys
import sysconfig
import types
import uuid
from typing import Any

import numpy as np

from jitgrad.ops.generators import Generator

_ROOTS = tuple(
    {
        os.path.realpath(path) + os.sep
        for name in ("stdlib", "platstdlib", "purelib", "platlib")
        if (path := sysconfig.get_paths().get(name))
    }
)
_JITGRAD = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_IMPURE_MODULES = frozenset({"random", "numpy.random", "time", "secrets", "uuid"})
_IMPURE_BUILTINS = frozenset({"input", "open", "globals", "eval", "exec"})
_IMPURE_OF_MODULE = {
    "os": frozenset({"environ", "urandom", "getenv", "getpid", "times"}),
    "datetime": frozenset({"datetime", "date"}),
    "sys": frozenset({"argv", "stdin"}),
}
_STATEFUL = (
    types.GeneratorType,
    io.IOBase,
    random.Random,
    np.random.Generator,
    np.random.RandomState,
    itertools.count,
    itertools.cycle,
    itertools.chain,
    map,
    filter,
    zip,
    enumerate,
)
# Values of these never change.
_IMMUTABLE = (
    datetime.date,
    datetime.time,
    datetime.timedelta,
    datetime.tzinfo,
    decimal.Decimal,
    enum.Enum,
    fractions.Fraction,
    pathlib.PurePath,
    re.Pattern,
    uuid.UUID,
)
_FUNCTIONS_IN_C = (
    types.BuiltinFunctionType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.MethodWrapperType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    np.ufunc,
)


@functools.cache
def is_library_file(file: str) -> bool:
    """Return whether a source file belongs to Python, to an installed package or to jitgrad."""
    if file.startswith("<"):
        return file.startswith(("<frozen", "<__array_function__"))
    real = os.path.realpath(file)
    return real.startswith(_ROOTS) or is_jitgrad_file(file)


def is_jitgrad_file(file: str) -> bool:
    """Return whether a source file is jitgrad's own."""
    return file.startswith(_JITGRAD)


def is_library_module(module: types.ModuleType) -> bool:
    """Return whether a module is Python's, an installed package's or jitgrad's."""
    root = module.__name__.partition(".")[0]
    file = getattr(module, "__file__", None)
    return root in sys.stdlib_module_names or file is None or is_library_file(file)


def is_library_class(cls: type) -> bool:
    """Return whether a class is defined in library code."""
    module = sys.modules.get(cls.__module__)
    return module is None or (cls.__module__ != "__main__" and is_library_module(module))


def is_recorded(thing: Any) -> bool:
    """Return whether a trace records all that is done with an object, so that its state is free."""
    return isinstance(thing, Generator)


def is_immutable(thing: Any) -> bool:
    """Return whether an object stays as it is for as long as it lives, and can be compared."""
    return isinstance(thing, _IMMUTABLE)


def is_pure_callable(thing: Any) -> bool:
    """Return whether `thing` is a function written in C, whose attributes can't change."""
    return isinstance(thing, _FUNCTIONS_IN_C) or (
        callable(thing) and not hasattr(thing, "__dict__") and type(thing).__module__ == "operator"
    )


def why_impure(thing: Any, name: str) -> str:
    """Return why reading `thing` makes results differ from call to call; ``""`` if it doesn't."""
    if isinstance(thing, types.ModuleType):
        return f"it uses the module {thing.__name__}" if thing.__name__ in _IMPURE_MODULES else ""
    if isinstance(thing, types.BuiltinFunctionType):
        if thing.__name__ in _IMPURE_BUILTINS and thing.__module__ in ("builtins", "_io", "io"):
            return f"it calls {name}()"
        owner = thing.__self__
        if isinstance(owner, type) and issubclass(owner, datetime.date):
            return f"it calls {name}(), whose result depends on more than its arguments"
        module = thing.__module__ or getattr(owner, "__name__", "")
        if module in _IMPURE_MODULES or isinstance(owner, _STATEFUL):
            return f"it calls {name}(), whose result depends on more than its arguments"
    if isinstance(thing, types.MethodType) and isinstance(thing.__self__, _STATEFUL):
        return f"it calls {name}(), whose result depends on more than its arguments"
    if isinstance(thing, types.FunctionType) and thing.__module__ in _IMPURE_MODULES:
        return f"it calls {name}(), whose result depends on more than its arguments"
    if isinstance(thing, _STATEFUL):
        return f"it uses {name}, a {type(thing).__name__} whose state can't be checked"
    return ""


def why_impure_attribute(module: types.ModuleType, name: str) -> str:
    """Return why reading this attribute of a library module is impure; ``""`` if it is not."""
    if name in _IMPURE_OF_MODULE.get(module.__name__, frozenset()):
        return f"it uses {module.__name__}.{name}"
    return why_impure(getattr(module, name, None), f"{module.__name__}.{name}")
