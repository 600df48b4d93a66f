"""Functions that Python sees as built-in ones, made from machine code."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# Where the fields of an array, a float and a tuple stand, in bytes; see `is_usual`.
TYPE, VALUE = 8, 16
DATA, NDIM, SHAPE, STRIDES, DTYPE, FLAGS = 16, 24, 32, 40, 56, 64

_METH_FASTCALL = 0x80


class _MethodDefinition(ctypes.Structure):
    """PyMethodDef of Python's C interface."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_definitions: list[_MethodDefinition] = []


def built_in(address: int, kept: Sequence[Any]) -> Callable[..., Any]:
    """Return the built-in function whose machine code lies at an address.

    Parameters
    ----------
    address : int
        Of a C function of itself, an array of arguments, and how many these are.
    kept : sequence
        What lives as long as the function.
    """
    definition = _MethodDefinition(b"kernel", address, _METH_FASTCALL, None)
    # The garbage collector may let go of what a function holds before the function reads its
    # definition for the last time.
    _definitions.append(definition)
    make = ctypes.pythonapi.PyCMethod_New
    make.restype = ctypes.py_object
    make.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p]
    # What the code refers to is the function's `self`, which lives as long.
    made: Callable[..., Any] = make(ctypes.addressof(definition), tuple(kept), None, None)
    return made


def new_engine(text: str = "", *, optimise: bool = False) -> Any:
    """Return an engine that holds the machine code of LLVM text, and of objects added to it.

    To `optimise` costs milliseconds, which only loops are worth.
    """
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    # In LLVM's global context: the garbage collector might free one of its own before the module.
    module = llvm.parse_assembly(text)
    machine = llvm.Target.from_default_triple().create_target_machine(
        opt=2 if optimise else 0, jit=True
    )
    return llvm.create_mcjit_compiler(module, machine)


@functools.cache
def numpy_interface() -> Any:
    """Return the table of NumPy's C functions."""
    from numpy._core import _multiarray_umath  # type: ignore[attr-defined]

    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = pointer(_multiarray_umath._ARRAY_API, None)
    return ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))


@functools.cache
def is_usual() -> bool:
    """Return whether arrays, floats and tuples lie in memory as code made here reads them."""
    try:
        numpy_interface()
        array = np.arange(6.0).reshape(2, 3)[:, ::2]
        fields: dict[tuple[int, Any], int] = {
            (TYPE, ctypes.c_void_p): id(np.ndarray),
            (DATA, ctypes.c_void_p): array.ctypes.data,
            (NDIM, ctypes.c_int): 2,
            (DTYPE, ctypes.c_void_p): id(array.dtype),
            (FLAGS, ctypes.c_int): array.flags.num,
        }
        found = all(
            kind.from_address(id(array) + offset).value == value
            for (offset, kind), value in fields.items()
        )
        axes = ctypes.c_ssize_t * 2
        places = {
            where: ctypes.c_void_p.from_address(id(array) + where).value or 0
            for where in (SHAPE, STRIDES)
        }
        return (
            found
            and tuple(axes.from_address(places[SHAPE])) == array.shape
            and tuple(axes.from_address(places[STRIDES])) == array.strides
            and ctypes.c_double.from_address(id(array.sum()) + VALUE).value == array.sum()
        )
    except (AttributeError, ImportError, ValueError):
        return False
