"""What a function reads from outside its arguments: found before it is traced.

The scan follows what the function's code, and the code of the functions it calls, names: globals,
closure cells, defaults, attributes. It finds more than is read, never less: a name counts as read
wherever it stands in that code. Library code is taken to be constant.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jitgrad.core.bind import Boxed
from jitgrad.trace.library import (
    is_immutable,
    is_jitgrad_file,
    is_library_class,
    is_library_file,
    is_library_module,
    is_pure_callable,
    is_recorded,
    why_impure,
    why_impure_attribute,
)

_LIMIT = 20_000
# Through these an attribute is read whose name does not stand in the code.
_BY_ANY_NAME = frozenset({"getattr", "hasattr", "vars", "__dict__", "__getattribute__"})
# These run when an object is made, not when one that was given is used.
_CONSTRUCTORS = frozenset({"__init__", "__new__", "__post_init__", "__set_name__"})
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), slice, range)
_LONG = 32
# Run when an instance is made, not when one is used.
_MAKING = frozenset({"__init__", "__new__", "__post_init__"})
# Functions made there call the user's functions, which their closures hold.
_WRAPPING_MODULES = frozenset({"contextlib", "functools"})


@dataclass(frozen=True, slots=True)
class Guard:
    """One thing that must be as it was when the function was traced.

    Parameters
    ----------
    kind : str
        ``is``, ``equal``, ``length``, ``type``, ``keys``, ``missing``, ``given``, ``same``,
        ``tensor``, ``content``.
    path : str
        Python expression that reads the thing.
    expected : object
        What it must be.
    description : str
        The path in the user's words.
    """

    kind: str
    path: str
    expected: Any
    description: str


@dataclass(frozen=True, slots=True)
class Kind:
    """What must stay the same of a Tensor or array whose elements may change.

    Parameters
    ----------
    type : type
        Its class.
    shape : tuple of int
        Its shape.
    dtype : dtype
        Its dtype.
    requires_grad : bool or None
        Of a Tensor.
    """

    type: type
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    requires_grad: bool | None

    @staticmethod
    def of(thing: Any) -> Kind:
        """Return the kind of a Tensor or array, which is not kept alive by it."""
        requires_grad = thing.requires_grad if isinstance(thing, Boxed) else None  # type: ignore[attr-defined]
        return Kind(type(thing), thing.shape, thing.dtype, requires_grad)


@dataclass(slots=True)
class Reads:
    """What the scan found.

    Parameters
    ----------
    guards : list of Guard
        Everything that must stay as it is.
    captured : dict
        Path of each Tensor and array, by the object's ``id``; these become inputs.
    roots : dict
        What the names at the beginnings of paths stand for.
    objects : list
        Every object that was visited and has an identity, but for Tensors and arrays.
    stored : list of (dict, str)
        Global names that the code may read or assign, with their namespaces.
    codes : list of code
        The user's code that may run.
    unguardable : str
        Why the function can't be checked; ``""`` if it can.
    """

    guards: list[Guard] = field(default_factory=list)
    captured: dict[int, str] = field(default_factory=dict)
    roots: dict[str, Any] = field(default_factory=dict)
    objects: list[Any] = field(default_factory=list)
    stored: list[tuple[dict[str, Any], str]] = field(default_factory=list)
    codes: list[types.CodeType] = field(default_factory=list)
    unguardable: str = ""


def scan(function: Callable[..., Any], leaves: Sequence[Any]) -> Reads:
    """Return what `function` may read besides the Tensors, arrays and numbers among `leaves`.

    Parameters
    ----------
    function : callable
        Any callable.
    leaves : sequence
        Leaves of the arguments; objects among them are scanned, too.
    """
    names: set[str] = set()
    while True:
        # Code found late may name attributes of objects found early: go on until nothing is new.
        scanner = _Scanner(set(names))
        try:
            scanner.visit_all(function, leaves)
        except RecursionError:
            scanner.give_up("it reaches objects that are nested too deeply")
        if scanner.names <= names or scanner.reads.unguardable:
            return scanner.reads
        names |= scanner.names


class _Scanner:
    def __init__(self, names: set[str]) -> None:
        self.names = names
        self.reads = Reads()
        self.seen: dict[int, str] = {}
        # While the scan lasts, the `id` of one thing must not become that of another.
        self.alive: list[Any] = []
        self.classes_of_instances: set[type] = set()
        self.any_name = not names.isdisjoint(_BY_ANY_NAME)
        # Classes of which only instances were met so far.
        self.of_instances: dict[int, str] = {}

    def visit_all(self, function: Callable[..., Any], leaves: Sequence[Any]) -> None:
        self.visit(function, self.root("function", function), "the function", is_root=True)
        for number, leaf in enumerate(leaves):
            if not isinstance(leaf, (Boxed, np.ndarray, np.generic, *_PLAIN)):
                self.visit(leaf, f"leaves[{number}]", f"argument {number}")

    # -- bookkeeping ----------------------------------------------------------------------

    def root(self, stem: str, thing: Any) -> str:
        for name, known in self.reads.roots.items():
            if known is thing:
                return name
        name = f"{stem}{len(self.reads.roots)}"
        self.reads.roots[name] = thing
        return name

    def guard(self, kind: str, path: str, expected: Any, description: str) -> None:
        self.reads.guards.append(Guard(kind, path, expected, description))

    def give_up(self, reason: str) -> None:
        self.reads.unguardable = self.reads.unguardable or reason

    # -- objects --------------------------------------------------------------------------

    def visit(self, thing: Any, path: str, description: str, is_root: bool = False) -> None:
        if isinstance(thing, (*_PLAIN, np.generic, np.dtype)):
            self.guard("equal", path, thing, description)
            return
        if id(thing) in self.seen:
            # Inputs are read by the first path, which may come to lead elsewhere.
            self.guard("same", path, self.seen[id(thing)], description)
            return
        self.seen[id(thing)] = path
        self.alive.append(thing)
        if len(self.seen) > _LIMIT:
            self.give_up(f"it reaches more than {_LIMIT} objects")
            return
        reason = why_impure(thing, description)
        if reason:
            self.give_up(reason)
        elif isinstance(thing, (Boxed, np.ndarray)):
            self.reads.captured[id(thing)] = path
            self.guard("tensor", path, Kind.of(thing), description)
        elif is_recorded(thing):
            self.guard("is", path, thing, description)
        else:
            self.reads.objects.append(thing)
            self.visit_composite(thing, path, description, is_root)

    def visit_composite(self, thing: Any, path: str, description: str, is_root: bool) -> None:
        if isinstance(thing, types.FunctionType):
            self.visit_function(thing, path, description, is_root)
        elif isinstance(thing, types.MethodType):
            self.visit(thing.__func__, f"{path}.__func__", description)
            self.visit(thing.__self__, f"{path}.__self__", f"{description}'s object")
        elif isinstance(thing, functools.partial):
            self.visit(thing.func, f"{path}.func", description)
            self.visit(thing.args, f"{path}.args", f"{description}'s arguments")
            self.visit(thing.keywords, f"{path}.keywords", f"{description}'s arguments")
        elif isinstance(thing, types.ModuleType):
            self.visit_module(thing, path, description)
        elif isinstance(thing, type):
            self.visit_class(thing, path, description)
        elif isinstance(thing, (list, tuple, deque)):
            self.visit_sequence(thing, path, description)
        elif isinstance(thing, dict):
            self.visit_dict(thing, path, description)
        elif isinstance(thing, (set, frozenset)):
            if not all(isinstance(item, _PLAIN) for item in thing):
                self.give_up(f"it uses {description}, a set of objects that can't be checked")
            self.guard("equal", path, type(thing)(thing), description)
        elif isinstance(thing, (staticmethod, classmethod)):
            self.visit(thing.__func__, f"{path}.__func__", description)
        elif type(thing) is object:
            self.guard("is", path, thing, description)
        elif is_immutable(thing):
            self.guard("equal", path, thing, description)
        elif is_pure_callable(thing):
            self.guard("is", path, thing, description)
        else:
            self.visit_instance(thing, path, description)

    def visit_sequence(self, thing: Any, path: str, description: str) -> None:
        self.guard("type", path, type(thing), description)
        if len(thing) > _LONG and all(isinstance(item, _PLAIN) for item in thing):
            self.guard("equal", path, type(thing)(thing), description)
            return
        self.guard("length", path, len(thing), description)
        for number, item in enumerate(thing):
            self.visit(item, f"{path}[{number}]", f"{description}[{number}]")

    def visit_dict(self, thing: dict[Any, Any], path: str, description: str) -> None:
        self.guard("keys", path, list(thing), description)
        for number, (key, item) in enumerate(thing.items()):
            if isinstance(key, (str, int)):
                self.visit(item, f"{path}[{key!r}]", f"{description}[{key!r}]")
            else:
                self.visit(key, f"[*{path}][{number}]", f"a key of {description}")
                self.visit(item, f"[*{path}.values()][{number}]", f"an item of {description}")

    def visit_module(self, module: types.ModuleType, path: str, description: str) -> None:
        self.guard("is", path, module, description)
        if is_library_module(module):
            return
        for name in sorted(self.names):
            self.reads.stored.append((vars(module), name))
            if name in vars(module):
                self.visit(vars(module)[name], f"{path}.{name}", f"{description}.{name}")

    def visit_class(self, cls: type, path: str, description: str, makes: bool = True) -> None:
        """Visit a class; `makes` says whether the function may make instances of it."""
        self.guard("is", path, cls, description)
        if is_library_class(cls):
            return
        self.visit_members(cls, path, description)
        self.visit_constructors(cls, path, description)
        for base in cls.__mro__[1:]:
            self.visit(base, self.root("cls", base), base.__name__)

    def visit_class_of_instance(self, cls: type) -> None:
        """Visit a class of which an object is used; none needs to be made."""
        path = self.root("cls", cls)
        if id(cls) not in self.seen and not is_library_class(cls):
            self.seen[id(cls)] = path
            self.reads.objects.append(cls)
            self.of_instances[id(cls)] = path
            self.guard("is", path, cls, cls.__name__)
            self.visit_members(cls, path, cls.__name__)

    def visit_members(self, cls: type, path: str, description: str) -> None:
        # A class that gains an attribute hides one of its bases.
        self.guard("length", f"{path}.__dict__", len(vars(cls)), f"the attributes of {description}")
        for name, item in list(vars(cls).items()):
            special = name.startswith("__")
            if name in _CONSTRUCTORS:
                continue
            if name in self.names or (callable(item) if special else self.any_name):
                self.visit_class_attribute(cls, name, item, path, description)

    def visit_constructors(self, cls: type, path: str, description: str) -> None:
        for name in sorted(_CONSTRUCTORS & vars(cls).keys()):
            self.visit_class_attribute(cls, name, vars(cls)[name], path, description)

    def visit_class_attribute(
        self, cls: type, name: str, item: Any, path: str, description: str
    ) -> None:
        where = f"{path}.__dict__[{name!r}]"
        if isinstance(item, property):
            if item.fget is not None:
                self.visit(item.fget, f"{where}.fget", f"{description}.{name}")
        elif not isinstance(item, (types.MemberDescriptorType, types.GetSetDescriptorType)):
            self.visit(item, where, f"{description}.{name}")

    def visit_instance(self, thing: Any, path: str, description: str) -> None:
        cls = type(thing)
        self.guard("type", path, cls, description)
        for base in cls.__mro__:
            if not is_library_class(base) and base not in self.classes_of_instances:
                self.classes_of_instances.add(base)
                self.visit_class(base, self.root("cls", base), base.__name__, makes=False)
        wrapped = getattr(thing, "__wrapped__", None)
        if wrapped is not None:
            self.visit(wrapped, f"{path}.__wrapped__", description)
            self.visit_own_attributes(thing, path, description)
            return
        keeps_state = any(is_state_holder(base) for base in cls.__mro__)
        if keeps_state:
            self.names.update(("forward", "step", "__call__"))
        library = is_library_class(cls)
        # What library code reads can't be seen: all attributes may be.
        every = keeps_state or self.any_name or library
        attributes = getattr(thing, "__dict__", None)
        if attributes is not None:
            for name in sorted(attributes) if every else sorted(self.names & attributes.keys()):
                where = f"{path}.__dict__[{name!r}]"
                self.visit(attributes[name], where, f"{description}.{name}")
            # What is an attribute of the class, or of nothing, may become one of the object.
            where, what = f"{path}.__dict__", f"the attributes of {description}"
            if every:
                self.guard("length", where, len(attributes), what)
            else:
                self.guard("absent", where, frozenset(self.names - attributes.keys()), what)
        elif library and not is_jitgrad_file(_file_of(cls)):
            self.give_up(f"it uses {description}, a {cls.__name__} whose state can't be checked")
        for name in slots_of(cls):
            if (name in self.names or every) and hasattr(thing, name):
                self.visit(getattr(thing, name), f"{path}.{name}", f"{description}.{name}")

    def visit_own_attributes(self, thing: Any, path: str, description: str) -> None:
        """Visit the attributes that the user has given to a function."""
        for name in sorted(self.names):
            if name.startswith("_"):
                continue
            if name in vars(thing):
                where = f"{path}.__dict__[{name!r}]"
                self.visit(vars(thing)[name], where, f"{description}.{name}")

    # -- code -----------------------------------------------------------------------------

    def visit_function(
        self, function: types.FunctionType, path: str, description: str, is_root: bool
    ) -> None:
        file = function.__code__.co_filename
        library = is_library_file(file)
        if library and not is_root and not is_jitgrad_file(file):
            self.guard("is", path, function, description)
            if function.__globals__.get("__name__") in _WRAPPING_MODULES:
                self.visit_cells(function)
            return
        if not is_root:
            # Another function of the same code would have cells and defaults of its own.
            self.guard("is", path, function, description)
        if library:
            self.visit_constant_cells(function)
            return
        self.guard("is", f"{path}.__code__", function.__code__, description)
        self.visit_cells(function)
        self.visit_own_attributes(function, path, description)
        for number, default in enumerate(function.__defaults__ or ()):
            self.visit(default, f"{path}.__defaults__[{number}]", f"a default of {description}")
        for name, default in (function.__kwdefaults__ or {}).items():
            self.visit(default, f"{path}.__kwdefaults__[{name!r}]", f"the default of `{name}`")
        for code in _nested_codes(function.__code__):
            self.reads.codes.append(code)
            self.visit_code(code, function.__globals__)

    def visit_cells(self, function: types.FunctionType) -> None:
        for name, cell, content in _cells_of(function):
            where = f"{self.root('cell', cell)}.cell_contents"
            self.visit(content, where, f"closure variable `{name}`")

    def visit_constant_cells(self, function: types.FunctionType) -> None:
        """Visit what a function of jitgrad's closes over, which is never bound anew."""
        for name, _, content in _cells_of(function):
            items = content if isinstance(content, tuple) else (content,)
            if not all(isinstance(item, _PLAIN) for item in items):
                self.visit(content, self.root("held", content), f"closure variable `{name}`")

    def visit_code(self, code: types.CodeType, namespace: dict[str, Any]) -> None:
        previous: Any = None
        table = self.root("globals", namespace)
        for instruction in dis.get_instructions(code):
            name = instruction.argval
            operation = instruction.opname
            if operation in ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"):
                previous = self.visit_global(name, namespace, table)
                continue
            if operation == "IMPORT_NAME":
                previous = self.visit_import(name, namespace)
                continue
            if operation == "IMPORT_FROM":
                self.names.add(name)
                if isinstance(previous, types.ModuleType) and is_library_module(previous):
                    self.give_up_if(why_impure_attribute(previous, name))
                continue
            if "ATTR" in operation or operation == "LOAD_METHOD":
                self.names.add(name)
                if isinstance(previous, types.ModuleType) and is_library_module(previous):
                    self.give_up_if(why_impure_attribute(previous, name))
                    previous = getattr(previous, name, None)
                    continue
            if operation not in ("CACHE", "PUSH_NULL", "PRECALL"):
                previous = None

    def give_up_if(self, reason: str) -> None:
        if reason:
            self.give_up(reason)

    def visit_import(self, name: str, namespace: dict[str, Any]) -> Any:
        """Visit a module that the function imports when it runs."""
        package = namespace.get("__package__") or ""
        for candidate in (name, f"{package}.{name}".strip(".")):
            module = sys.modules.get(candidate)
            if module is not None:
                self.visit(module, self.root("module", module), f"module {candidate}")
                return module
        return None

    def visit_global(self, name: str, namespace: dict[str, Any], table: str) -> Any:
        self.reads.stored.append((namespace, name))
        if name in _BY_ANY_NAME:
            self.names.add(name)
        if name in namespace:
            thing = namespace[name]
            self.visit(thing, f"{table}[{name!r}]", f"global `{name}`")
            return thing
        builtins = namespace.get("__builtins__", {})
        known = builtins if isinstance(builtins, dict) else vars(builtins)
        thing = known.get(name)
        self.guard("missing", table, name, f"global `{name}`")
        self.give_up_if(why_impure(thing, name))
        return thing


def _cells_of(function: types.FunctionType) -> Iterator[tuple[str, types.CellType, Any]]:
    """Yield name, cell and content of each variable that a function closes over."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    for name, cell in cells:
        with contextlib.suppress(ValueError):
            yield name, cell, cell.cell_contents


def is_state_holder(cls: type) -> bool:
    """Return whether library code reads all attributes of instances: modules and optimizers."""
    return cls.__module__.startswith(("jitgrad.nn", "jitgrad.optim"))


def _file_of(cls: type) -> str:
    return getattr(sys.modules.get(cls.__module__), "__file__", None) or ""


def slots_of(cls: type) -> Iterator[str]:
    """Yield the names of the attributes that instances keep outside their ``__dict__``."""
    for base in cls.__mro__:
        slots = base.__dict__.get("__slots__", ())
        yield from (slots,) if isinstance(slots, str) else slots


def _nested_codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested_codes(constant)
