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
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from jitgrad.runtime import panels
from jitgrad.runtime.built_in import new_engine

BLAS_MODULE = "scipy.linalg.cython_blas"

# The product of matrices that kernels call has the arguments of Numba's function, which code that
# Numba compiles calls: sizes are words, and the first argument says which type.
PRODUCT = "jitgrad_xxgemm"
NUMBA_PRODUCT = "numba_xxgemm"
_GEMM_FORM = (  # each number by its address
    "void (char *, char *, int *, int *, int *, {t} *, {t} *, int *, {t} *, int *, {t} *, {t} *, "
    "int *)"
)
_GEMM_TEXT = """
define i32 @gemm(i8 %kind, i8 %ta, i8 %tb, i64 %m, i64 %n, i64 %k, ptr %alpha, ptr %a, i64 %lda,
                 ptr %b, i64 %ldb, ptr %beta, ptr %c, i64 %ldc) {
begin:
  %single = icmp eq i8 %kind, 115
  CHOICE
by_blas:
  %letters = alloca [2 x i8]
  %sizes = alloca [6 x i32]
  SIZES
  %second = getelementptr i8, ptr %letters, i64 1
  store i8 %ta, ptr %letters
  store i8 %tb, ptr %second
  %function = select i1 %single, ptr inttoptr (i64 SINGLE to ptr), ptr inttoptr (i64 DOUBLE to ptr)
  call void %function(ptr %letters, ptr %second, ptr %p0, ptr %p1, ptr %p2, ptr %alpha,
                      ptr %a, ptr %p3, ptr %b, ptr %p4, ptr %beta, ptr %c, ptr %p5)
  ret i32 0
}
"""
# Where the functions of `panels` are faster: tiles cover the result and little more, and packing is
# little beside multiplying. Larger products may be for several threads, which BLAS has.
_CHOICE_TEXT = """
  %odd_lanes = select i1 %single, i64 15, i64 7
  %even_lanes = xor i64 %odd_lanes, -1
  %m_more = add i64 %m, %odd_lanes
  %m_tiles = and i64 %m_more, %even_lanes
  %n_more = add i64 %n, 3
  %n_tiles = and i64 %n_more, -4
  %covered = mul i64 %m_tiles, %n_tiles
  %wanted = mul i64 %m, %n
  %covered_4 = mul i64 %covered, 4
  %wanted_5 = mul i64 %wanted, 5
  %fits = icmp ule i64 %covered_4, %wanted_5
  %work = mul i64 %wanted, %k
  %enough = icmp uge i64 %work, LEAST_WORK
  %most = icmp ule i64 %work, MOST_WORK
  %deep = icmp uge i64 %k, 8
  %suits0 = and i1 %fits, %enough
  %suits1 = and i1 %most, %deep
  %suits = and i1 %suits0, %suits1
  br i1 %suits, label %find, label %by_blas
find:
  %slot = phi i64 [0, %begin], [%next, %find]
  %place = getelementptr [8 x i64], ptr @spaces, i64 0, i64 %slot
  %kept = atomicrmw xchg ptr %place, i64 0 acquire
  %next = add i64 %slot, 1
  %found = icmp ne i64 %kept, 0
  %end = icmp uge i64 %next, 8
  %stop = or i1 %found, %end
  br i1 %stop, label %found_or_not, label %find
found_or_not:
  br i1 %found, label %by_panels, label %allocate
allocate:
  %fresh = call ptr inttoptr (i64 ALLOCATE to ptr)(i64 SPACE)
  %fresh_word = ptrtoint ptr %fresh to i64
  %none = icmp eq ptr %fresh, null
  br i1 %none, label %by_blas, label %by_panels
by_panels:
  %space_word = phi i64 [%kept, %found_or_not], [%fresh_word, %allocate]
  %space_more = add i64 %space_word, 63
  %space_begin = and i64 %space_more, -64
  %space = inttoptr i64 %space_begin to ptr
  %turn_a = icmp eq i8 %tb, 116
  %turn_b = icmp eq i8 %ta, 116
  %high_half = getelementptr i32, ptr %beta, i64 1
  %beta_place = select i1 %single, ptr %beta, ptr %high_half
  %beta_bits = load i32, ptr %beta_place
  %add = icmp ne i32 %beta_bits, 0
  %panels = select i1 %single, ptr inttoptr (i64 SINGLE_PANELS to ptr),
                               ptr inttoptr (i64 DOUBLE_PANELS to ptr)
  call void %panels(i64 %n, i64 %m, i64 %k, ptr %b, i64 %ldb, i1 %turn_a, ptr %a, i64 %lda,
                    i1 %turn_b, ptr %c, i64 %ldc, i1 %add, ptr %space)
  br label %give_back
give_back:
  %back = phi i64 [0, %by_panels], [%after, %give_back]
  %back_place = getelementptr [8 x i64], ptr @spaces, i64 0, i64 %back
  %exchange = cmpxchg ptr %back_place, i64 0, i64 %space_word release monotonic
  %given = extractvalue {i64, i1} %exchange, 1
  %after = add i64 %back, 1
  %last = icmp uge i64 %after, 8
  %over = or i1 %given, %last
  br i1 %over, label %given_or_not, label %give_back
given_or_not:
  br i1 %given, label %return, label %free
free:
  %unwanted = inttoptr i64 %space_word to ptr
  call void inttoptr (i64 FREE to ptr)(ptr %unwanted)
  br label %return
return:
  ret i32 0
"""
# Memory that calls hand on to each other; what finds none makes some.
_SPACES_TEXT = """
@spaces = internal global [8 x i64] zeroinitializer
"""

# Multiplications of a product that `panels` computes.
_LEAST_WORK, _MOST_WORK = 2**15, 2**28

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


def provide_blas(name: str, machine: tuple[str, str, str]) -> bool:
    """Let LLVM find a function that multiplies; return whether there is one of this name.

    Parameters
    ----------
    name : str
        What kernels call it.
    machine : tuple of str
        The platform, the processor and its features.

    Returns
    -------
    bool
        False if it is another function's name, or SciPy's BLAS is not as expected.
    """
    import llvmlite.binding as llvm

    if name != PRODUCT:
        return False
    single, double = _address("sgemm", "float"), _address("dgemm", "double")
    if not single or not double:
        return False
    sizes = []
    for place, size in enumerate(("m", "n", "k", "lda", "ldb", "ldc")):
        sizes += [
            f"%p{place} = getelementptr i32, ptr %sizes, i64 {place}",
            f"%short{place} = trunc i64 %{size} to i32",
            f"store i32 %short{place}, ptr %p{place}",
        ]
    numbers = {"SIZES": "\n  ".join(sizes), "SINGLE": str(single), "DOUBLE": str(double)}
    ours = panels.addresses(machine)
    text = _GEMM_TEXT.replace("CHOICE", _CHOICE_TEXT if ours else "br label %by_blas")
    if ours:
        text = _SPACES_TEXT + text
        numbers["SINGLE_PANELS"], numbers["DOUBLE_PANELS"] = map(str, ours)
        numbers["LEAST_WORK"], numbers["MOST_WORK"] = str(_LEAST_WORK), str(_MOST_WORK)
        numbers["SPACE"] = str(panels.SPACE + 64)
        for key, function in (("ALLOCATE", "PyMem_RawMalloc"), ("FREE", "PyMem_RawFree")):
            address = ctypes.cast(getattr(ctypes.pythonapi, function), ctypes.c_void_p).value
            numbers[key] = str(address)
    for word, number in numbers.items():
        text = re.sub(rf"\b{word}\b", number, text)
    engine = new_engine(text)
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
