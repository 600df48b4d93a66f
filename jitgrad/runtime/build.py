"""From the source text of a kernel to a compiled function.

The text becomes a file that tracebacks and debuggers can show, the file a module, its function
machine code: from the disk cache, or by `translate.py`, which knows what kernels are made of, or by
Numba.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import linecache
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np

from jitgrad.core.errors import ArgumentError, JitgradError
from jitgrad.runtime import disk_cache
from jitgrad.runtime.machine_code import (
    LoadedCode,
    MachineCode,
    UntranslatableError,
    compile_directly,
    load,
    machine,
)
from jitgrad.runtime.through_numba import OPTIONS, compile_with_numba, restore

_PACKAGE = "jitgrad_generated"


@dataclass(frozen=True, slots=True)
class ArgumentType:
    """The type of one argument of a kernel.

    Parameters
    ----------
    dtype : numpy dtype, or what makes one
        Of the elements, or of the scalar.
    ndim : int
        Number of axes; 0 for a scalar and for an array of shape ``()``.
    layout : {"C", "F", "A"}
        Order of an array's elements in memory: C order, Fortran order, or any strides.
    mutable : bool
        Whether the kernel writes to the array. Read-only arrays are taken only where it does not.
    is_scalar : bool
        A plain number, not an array.

    Raises
    ------
    ArgumentError
        If the layout is none of these, or a scalar has axes.
    """

    dtype: np.dtype[Any]
    ndim: int = 0
    layout: str = "C"
    mutable: bool = True
    is_scalar: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", np.dtype(self.dtype))
        if self.layout not in ("C", "F", "A"):
            raise ArgumentError(f"kernel argument: layout {self.layout!r} is none of C, F, A")
        if self.ndim < 0 or (self.is_scalar and self.ndim > 0):
            raise ArgumentError(f"kernel argument: a scalar or array can't have {self.ndim} axes")

    def __str__(self) -> str:
        if self.is_scalar:
            return self.dtype.str
        access = "" if self.mutable else ", readonly"
        return f"{self.dtype.str}[{self.ndim}, {self.layout}{access}]"

    def fits(self, thing: Any) -> bool:
        """Return whether an object is of this type."""
        if self.is_scalar:
            return np.can_cast(np.min_scalar_type(thing), self.dtype)
        if not isinstance(thing, np.ndarray):
            return False
        flags = thing.flags
        in_order = {"C": flags.c_contiguous, "F": flags.f_contiguous, "A": True}[self.layout]
        usable = flags.aligned and in_order and (flags.writeable or not self.mutable)
        return bool(usable and thing.dtype == self.dtype and thing.ndim == self.ndim)

    def numba_type(self) -> Any:
        """Return the Numba type that stands for this one."""
        from numba import from_dtype
        from numba.core import types

        element = from_dtype(self.dtype)
        if self.is_scalar:
            return element
        array_type: Any = types.Array
        return array_type(element, self.ndim, self.layout, readonly=not self.mutable)


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """One compiled function.

    Parameters
    ----------
    call : callable
        Checks the types of its arguments and runs the kernel.
    unchecked : callable
        The compiled function alone; arguments of any type but those of the signature are undefined
        behaviour.
    python : callable
        The function as plain Python, undecorated.
    source : str
        The text it was made from.
    entry : str
        Name of the function in it.
    arguments : tuple of ArgumentType
        The signature.
    path : Path
        The file that holds the source.
    seconds : float
        Time that the build took.
    origin : {"compiled", "disk", "python"}
        Where the machine code came from; none is made under ``NUMBA_DISABLE_JIT=1``.
    address : int
        Where the machine code lies that Numba's convention can call; 0 if there is none.
    passed : tuple of str
        LLVM types of what that code takes, after two addresses for what it returns.
    """

    call: Callable[..., Any]
    unchecked: Callable[..., Any]
    python: Callable[..., Any]
    source: str
    entry: str
    arguments: tuple[ArgumentType, ...]
    path: Path
    seconds: float
    origin: Literal["compiled", "disk", "python"]
    address: int = 0
    passed: tuple[str, ...] = ()

    def __call__(self, *arguments: Any) -> Any:
        """Run the kernel; binding `call` instead saves a Python frame."""
        return self.call(*arguments)


@dataclass(frozen=True, slots=True)
class BuildStatistics:
    """What builds have cost this process.

    Parameters
    ----------
    compiled : int
        Kernels that Numba compiled.
    loaded_from_disk : int
        Kernels that came from the disk cache.
    memory_hits : int
        Requests for a kernel that was there already.
    seconds : float
        Time of all builds.
    """

    compiled: int = 0
    loaded_from_disk: int = 0
    memory_hits: int = 0
    seconds: float = 0.0


class KernelBuildError(JitgradError, RuntimeError):
    """A kernel that can't be compiled; its graph can still be interpreted.

    Parameters
    ----------
    entry : str
        Name of the kernel's function.
    path : Path
        File of its source.
    reason : str
        One line of what the compiler said.
    """

    def __init__(self, entry: str, path: Path, reason: str) -> None:
        self.entry = entry
        self.path = path
        self.reason = reason
        super().__init__(
            f"{entry}: this kernel can't be compiled",
            why=reason,
            do=f"report it with {path}; until then run it without compiling",
        )


_kernels: dict[tuple[str, str, tuple[ArgumentType, ...]], Kernel] = {}
_statistics = BuildStatistics()
# reentrant: what builds a kernel may fork, and forking takes the lock
_building = threading.RLock()
_counting = threading.Lock()


def build_kernel(source: str, entry: str, arguments: tuple[ArgumentType, ...]) -> Kernel:
    """Return the compiled form of a function in generated source.

    Parameters
    ----------
    source : str
        Text of a module that also runs as plain Python. The first word of a comment on its first
        line names its file.
    entry : str
        Name of the function to compile.
    arguments : tuple of ArgumentType
        Types of its arguments.

    Returns
    -------
    Kernel
        The same one for the same text, entry and types. Safe to call from many threads.

    Raises
    ------
    KernelBuildError
        If the source does not run or Numba does not take it.
    """
    key = (_without_comments(source), entry, arguments)
    kernel = _kernels.get(key)
    if kernel is None:
        with _building:
            # another thread may have built it while this one waited
            kernel = _kernels.get(key)
            if kernel is None:
                kernel = _kernels[key] = _build(source, entry, arguments)
                _count(
                    compiled=int(kernel.origin == "compiled"),
                    loaded_from_disk=int(kernel.origin == "disk"),
                    seconds=kernel.seconds,
                )
                return kernel
    _count(memory_hits=1)
    return kernel if kernel.source == source else _with_source(kernel, source)


def _without_comments(source: str) -> str:
    """Return the code alone: comments name the user's lines, which move with every edit."""
    return re.sub(r"(?m)^\s*#.*\n", "", source)


def _with_source(kernel: Kernel, source: str) -> Kernel:
    """Return the same machine code with a source that differs in its comments."""
    name = _module_name(source)
    path = disk_cache.write_source(f"{name}.py", source)
    module = _import_source(f"{_PACKAGE}.{name}", path, source)
    return replace(kernel, source=source, path=path, python=getattr(module, kernel.entry))


def build_statistics() -> BuildStatistics:
    """Return what builds have cost this process, and its parent before a fork."""
    return _statistics


def clear_cache(disk: bool = True) -> None:
    """Forget all kernels, so that the next request for one builds it again.

    Parameters
    ----------
    disk : bool
        Delete what the disk cache holds, too.
    """
    with _building:
        _kernels.clear()
        for name in [name for name in sys.modules if name.startswith(f"{_PACKAGE}.")]:
            linecache.cache.pop(sys.modules.pop(name).__file__ or "", None)
        if disk:
            disk_cache.clear()


def _build(source: str, entry: str, arguments: tuple[ArgumentType, ...]) -> Kernel:
    start = time.perf_counter()
    path = disk_cache.write_source(f"{_module_name(source)}.py", source)
    # Machine code from disk names its module, which must not change when comments do.
    name = f"{_PACKAGE}.{_module_name(_without_comments(source))}"
    try:
        python = getattr(_import_source(name, path, source), entry)
        code, origin = _compile(source, entry, arguments, python)
    except Warning:  # whoever made warnings errors wants to see this one
        raise
    except Exception as error:  # Numba and LLVM let all kinds through
        raise KernelBuildError(entry, path, _short_reason(error)) from error
    seconds = time.perf_counter() - start
    return Kernel(
        code.call,
        code.unchecked,
        python,
        source,
        entry,
        arguments,
        path,
        seconds,
        origin,
        code.address,
        code.passed,
    )


def _compile(
    source: str, entry: str, arguments: tuple[ArgumentType, ...], python: Callable[..., Any]
) -> tuple[LoadedCode, Literal["compiled", "disk", "python"]]:
    if _is_switched_off():
        return LoadedCode(python, python, 0, ()), "python"
    key = disk_cache.entry_key(
        _without_comments(source),
        entry,
        signature=", ".join(map(str, arguments)),
        options=repr(OPTIONS),
        machine=machine(),
    )
    check = functools.partial(_check, entry, arguments)

    def use(content: MachineCode | bytes) -> LoadedCode:
        if isinstance(content, MachineCode):
            return load(content, check)
        return restore(python, content)

    loaded = disk_cache.load(key, use)
    if loaded is not None:
        return loaded, "disk"
    types = tuple([argument.numba_type() for argument in arguments])
    content: MachineCode | bytes | None
    try:
        content = compile_directly(python, source, types)
        loaded = load(content, check)
    except UntranslatableError:
        loaded, content = compile_with_numba(python, types)
    if content is not None:
        disk_cache.store(key, content)
    return loaded, "compiled"


def _is_switched_off() -> bool:
    """Return whether Numba is told to compile nothing, without importing it."""
    config = sys.modules.get("numba.core.config")
    if config is not None:
        return bool(config.DISABLE_JIT)
    return os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


def _check(entry: str, wanted: tuple[ArgumentType, ...], *given: Any) -> None:
    if len(given) != len(wanted) or not all(map(ArgumentType.fits, wanted, given)):
        raise TypeError(f"No matching definition of {entry} for {len(given)} arguments")


def _module_name(source: str) -> str:
    label = re.match(r"#\W*([A-Za-z_]\w{0,39})", source, re.ASCII)
    return f"{label[1] if label else 'kernel'}_{hashlib.sha256(source.encode()).hexdigest()[:20]}"


def _import_source(name: str, path: Path, source: str) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    # Numba restores the globals of a kernel from disk by the name of their module
    package = sys.modules.setdefault(_PACKAGE, ModuleType(_PACKAGE))
    package.__path__ = []
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, f"{path} does not end in .py"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        # the text in hand, not that of the file: nothing is executed that came from a disk
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    # another process may clear the cache, and tracebacks are to show the lines even then
    linecache.cache[str(path)] = (len(source), None, source.splitlines(keepends=True), str(path))
    return module


def _short_reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    # Numba's first line only says in which of its passes it failed
    told = [line for line in lines if line and not line.startswith("Failed in nopython mode")]
    reason = told[0] if told else type(error).__name__
    if reason.endswith(":") and len(told) > 1:  # "found for signature:", and then the call
        reason += " " + told[1].removeprefix(">>> ")
    numbered = re.search(r'File "[^"]*", line (\d+)', str(error))
    return f"line {numbered[1]}: {reason}" if numbered else reason


def _count(**added: float) -> None:
    global _statistics
    with _counting:
        _statistics = replace(
            _statistics, **{name: getattr(_statistics, name) + more for name, more in added.items()}
        )


def _before_fork() -> None:
    # a child that inherits a lock held by a thread it does not have could never build anything
    _building.acquire()
    _counting.acquire()


def _after_fork() -> None:
    _counting.release()
    _building.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )
