"""The BLAS library that SciPy carries, without importing SciPy or Numba.

SciPy's module ``scipy.linalg.cython_blas`` offers the library's functions as capsules that hold
their addresses. The module itself loads in a few milliseconds, its packages in hundreds.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

BLAS_MODULE = "scipy.linalg.cython_blas"

# The product of matrices under the name and with the arguments of Numba's function, which kernels
# call: sizes are words, and the first argument says which type.
_GEMM = "numba_xxgemm"
_GEMM_FORM = (  # each number by its address
    "void (char *, char *, int *, int *, int *, {t} *, {t} *, int *, {t} *, int *, {t} *, {t} *, "
    "int *)"
)
_GEMM_TEXT = """
define i32 @gemm(i8 %kind, i8 %ta, i8 %tb, i64 %m, i64 %n, i64 %k, ptr %alpha, ptr %a, i64 %lda,
                 ptr %b, i64 %ldb, ptr %beta, ptr %c, i64 %ldc) {
  %letters = alloca [2 x i8]
  %sizes = alloca [6 x i32]
  SIZES
  %second = getelementptr i8, ptr %letters, i64 1
  store i8 %ta, ptr %letters
  store i8 %tb, ptr %second
  %single = icmp eq i8 %kind, 115
  %function = select i1 %single, ptr inttoptr (i64 SINGLE to ptr), ptr inttoptr (i64 DOUBLE to ptr)
  call void %function(ptr %letters, ptr %second, ptr %p0, ptr %p1, ptr %p2, ptr %alpha,
                      ptr %a, ptr %p3, ptr %b, ptr %p4, ptr %beta, ptr %c, ptr %p5)
  ret i32 0
}
"""

_engines: list[Any] = []


def loaded_blas() -> ModuleType | None:
    """Return the module whose functions kernels call, if the process has loaded it."""
    return sys.modules.get(BLAS_MODULE) or (blas_module() if blas_module.cache_info()[3] else None)


@functools.cache
def blas_module() -> ModuleType | None:
    """Return the module whose functions kernels call; None where there is no SciPy."""
    if BLAS_MODULE in sys.modules:
        return sys.modules[BLAS_MODULE]
    found = importlib.util.find_spec("scipy")
    if found is None:
        return None
    for folder in found.submodule_search_locations or ():
        for suffix in importlib.machinery.EXTENSION_SUFFIXES:
            path = Path(folder, "linalg", f"cython_blas{suffix}")
            # On Windows the package says where the library is.
            if path.exists() and os.name != "nt":
                spec = importlib.util.spec_from_file_location(BLAS_MODULE, path)
                assert spec is not None
                assert spec.loader is not None
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                # Whoever imports it later finds the same one, together with its package.
                sys.modules.pop(BLAS_MODULE, None)
                return module
    return importlib.import_module(BLAS_MODULE)


def provide_blas(name: str) -> bool:
    """Let LLVM find a function that calls BLAS; return whether there is one of this name."""
    import llvmlite.binding as llvm

    from jitgrad.runtime.built_in import new_engine

    if name != _GEMM:
        return False
    single, double = _address("sgemm", "float"), _address("dgemm", "double")
    if not single or not double:
        return False
    sizes = []
    for number, size in enumerate(("m", "n", "k", "lda", "ldb", "ldc")):
        sizes += [
            f"%p{number} = getelementptr i32, ptr %sizes, i64 {number}",
            f"%short{number} = trunc i64 %{size} to i32",
            f"store i32 %short{number}, ptr %p{number}",
        ]
    text = _GEMM_TEXT.replace("SIZES", "\n  ".join(sizes))
    engine = new_engine(text.replace("SINGLE", str(single)).replace("DOUBLE", str(double)))
    engine.finalize_object()
    _engines.append(engine)
    llvm.add_symbol(name, engine.get_function_address("gemm"))
    return True


def _address(name: str, kind: str) -> int:
    """Return where a function of SciPy's module lies; 0 if none takes what is passed here."""
    capsule = getattr(blas_module(), "__pyx_capi__", {}).get(name)
    if capsule is None:
        return 0
    form_of = ctypes.pythonapi.PyCapsule_GetName
    form_of.restype, form_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    form = form_of(capsule)
    shown = form.decode().replace(f"__pyx_t_5scipy_6linalg_11cython_blas_{name[0]}", kind)
    if shown != _GEMM_FORM.format(t=kind):
        return 0
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return int(pointer(capsule, form) or 0)
