"""Builds the C files of this folder, where there is a compiler, and calls what is in them."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.workload import Array

_HERE = Path(__file__).parent
_FLAGS = ("-std=gnu11", "-O3", "-march=native", "-ffast-math", "-fopenmp", "-fPIC", "-Wall")
_FLAGS_ON = {"x86_64": ("-mprefer-vector-width=512",)}


class Kernel:
    """A C function with the arrays that it reads and writes; calling it runs it once.

    Parameters
    ----------
    source : str
        A file of this folder, without its ``.c``.
    function : str
        Of that file.
    arguments : sequence of int or array
        What it is given after the number of turns: sizes, and arrays that this object keeps alive.
    results : any
        What a call returns: arrays among `arguments`, in tuples.
    constants : mapping of str to number, optional
        Sizes that the compiler is told.
    """

    def __init__(
        self,
        source: str,
        function: str,
        arguments: Sequence[int | Array],
        results: Any,
        constants: Mapping[str, float] | None = None,
    ) -> None:
        definitions = tuple(f"-D{name}={value}" for name, value in (constants or {}).items())
        self._function = getattr(_library(source, definitions), function)
        self._function.restype = None
        self._arrays, self._results = arguments, results
        self._arguments = [
            ctypes.c_long(given) if isinstance(given, int) else ctypes.c_void_p(given.ctypes.data)
            for given in arguments
        ]

    def __call__(self) -> Any:
        """Run the function and return its results, arrays that the next call overwrites."""
        self.repeat(1)
        return self._results

    def repeat(self, turns: int) -> None:
        """Run the function so many times, the loop being C's."""
        self._function(ctypes.c_long(turns), *self._arguments)


@functools.cache
def compiler() -> str | None:
    """Return GCC's path if it is here and builds what this folder needs, else None."""
    found = shutil.which("gcc")
    if found is None or platform.system() != "Linux":
        return None
    try:
        _build(found, "rosenbrock", ())
        _blas()
    except (subprocess.CalledProcessError, StopIteration):
        return None
    return found


@functools.cache
def _library(source: str, definitions: tuple[str, ...]) -> ctypes.CDLL:
    found = compiler()
    if found is None:
        raise RuntimeError("the handwritten kernels in C need GCC")
    from numba.extending import get_cython_function_address

    library = ctypes.CDLL(str(_build(found, source, definitions)))
    pointers = {"sgemm": get_cython_function_address("scipy.linalg.cython_blas", "sgemm")}
    for name in ("get_num_threads", "set_num_threads"):
        function = getattr(_blas(), f"scipy_openblas_{name}")
        pointers[name] = ctypes.cast(function, ctypes.c_void_p).value
    for name, pointer in pointers.items():
        ctypes.c_void_p.in_dll(library, f"blas_{name}").value = pointer
    return library


@functools.cache
def _blas() -> ctypes.CDLL:
    """Return the library that holds SciPy's BLAS in its wheels."""
    import scipy.linalg

    folder = Path(scipy.__file__).parent.parent / "scipy.libs"
    return ctypes.CDLL(str(next(folder.glob("libscipy_openblas*"))))


def _build(gcc: str, source: str, definitions: Sequence[str]) -> Path:
    """Return the shared library of a C file, compiled unless an earlier process did."""
    texts = [path.read_bytes() for path in sorted({*_HERE.glob("*.h"), _HERE / f"{source}.c"})]
    flags = [*_FLAGS, *_FLAGS_ON.get(platform.machine(), ()), *definitions]
    name = hashlib.sha256(
        b"\0".join([*texts, *(part.encode() for part in [*flags, _processor()])])
    ).hexdigest()[:20]
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jitgrad-bench"
    library = caches / f"{source}-{name}.so"
    if library.exists():
        return library
    caches.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=caches) as scratch:
        unlinked, linked = f"{scratch}/one.o", f"{scratch}/one.so"
        compile_it = [gcc, *flags, "-c", str(_HERE / f"{source}.c"), "-o", unlinked]
        # Linked without -ffast-math, which would add code that makes the whole process flush
        # subnormal numbers to zero, the other libraries too.
        link_it = [gcc, "-shared", "-fopenmp", unlinked, "-o", linked, "-lmvec", "-lm"]
        for command in (compile_it, link_it):
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        os.replace(linked, library)
    return library


def _processor() -> str:
    # Machine code for the processor here must not be loaded on another that shares the directory.
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line for line in lines if line.startswith("flags")), platform.machine())
