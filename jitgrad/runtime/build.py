"""From the source text of a kernel to a compiled function.

The text becomes a file that tracebacks and debuggers can show, the file a module, its function a
Numba dispatcher for one signature, whose machine code comes from the disk cache where it is there.
"""

from __future__ import annotations

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

_PACKAGE = "jitgrad_generated"

_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",  # division by zero gives inf, as in NumPy
    "fastmath": {"contract"},  # FMA allowed; nan, inf and the order of operations are kept
    "boundscheck": False,
}


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
        What to bind and call: the Numba dispatcher, which checks the types of its arguments.
    unchecked : callable
        The compiled function alone, a third faster; arguments of any type but those of the
        signature are undefined behaviour.
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
        call, origin = _compile(source, entry, arguments, python)
    except Warning:  # whoever made warnings errors wants to see this one
        raise
    except Exception as error:  # Numba and LLVM let all kinds through
        raise KernelBuildError(entry, path, _short_reason(error)) from error
    unchecked = call
    if origin != "python":
        (compiled,) = call.overloads.values()
        unchecked = compiled.entry_point
    seconds = time.perf_counter() - start
    return Kernel(call, unchecked, python, source, entry, arguments, path, seconds, origin)


def _compile(
    source: str, entry: str, arguments: tuple[ArgumentType, ...], python: Callable[..., Any]
) -> tuple[Any, Literal["compiled", "disk", "python"]]:
    import numba
    from numba.core import config

    if getattr(config, "DISABLE_JIT", False):
        return python, "python"
    dispatcher = numba.njit(**_OPTIONS)(python)
    key = disk_cache.entry_key(
        _without_comments(source),
        entry,
        signature=", ".join(map(str, arguments)),
        options=repr(_OPTIONS),
        machine=dispatcher.targetctx.codegen().magic_tuple(),
    )
    origin: Literal["compiled", "disk"] = "disk"
    if not disk_cache.load(key, dispatcher):
        # only here: machine code from disk runs without the intrinsics' type rules
        from jitgrad.intrinsics.registration import register

        register()
        dispatcher.compile(tuple(argument.numba_type() for argument in arguments))
        disk_cache.store(key, dispatcher)
        origin = "compiled"
    # a call with other types is a defect, which must not be hidden by compiling for them
    dispatcher.disable_compile()
    return dispatcher, origin


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
