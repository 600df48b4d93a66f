"""A call of a kernel without Python in between: checks, outputs, the call, in a few LLVM lines.

Passing an array through Python to a compiled function and allocating one for each result costs more
than many a kernel takes. For a program of one kernel this file writes a function of LLVM text that
compares the arrays it is given with what the kernel was compiled for, reads their addresses,
allocates the results by NumPy's C interface and calls the kernel. Python sees it as a built-in
function. Where arrays do not lie in memory as expected here, there is none, and the program's
Python driver runs instead.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitgrad.runtime.build import Kernel

# What `native_call` makes returns this where the arguments are not what it was made for.
MISS: Any = object()

# Where the fields of an array, a float and a tuple stand, in bytes; see `_is_usual`.
_TYPE, _VALUE = 8, 16
_DATA, _NDIM, _SHAPE, _STRIDES, _DTYPE, _FLAGS = 16, 24, 32, 40, 56, 64
# Numbers of functions in NumPy's C interface, which never change.
_NEW_FROM_DESCR, _NEW_COPY = 94, 85
# Scratch memory up to this size lies on the stack, of which threads may have little.
_MOST_ON_STACK = 1 << 16
_CACHE_LINE = 64


@dataclass(frozen=True, slots=True)
class ArrayInput:
    """An array that is passed.

    Parameters
    ----------
    shape : tuple of int
        Its shape.
    dtype : numpy dtype
        Its dtype, the very object.
    mask, flags : int
        Which bits of ``ndarray.flags.num`` count, and what they must be.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    mask: int
    flags: int


@dataclass(frozen=True, slots=True)
class FloatInput:
    """A Python float that is passed."""


@dataclass(frozen=True, slots=True)
class NewArray:
    """An array that is allocated for the kernel to write and returned.

    Parameters
    ----------
    shape : tuple of int
        Its shape for the kernel.
    dtype : numpy dtype
        Its dtype.
    returned_shape : tuple of int
        The shape in which it is returned.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    returned_shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """An array that is the same in each call.

    Parameters
    ----------
    array : ndarray
        The array, C-contiguous.
    """

    array: np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Scratch:
    """Memory for one call.

    Parameters
    ----------
    nbytes : int
        Its size.
    is_failure : bool
        Whether it is one int64, 0 before the call; another number after it makes the call a miss.
    """

    nbytes: int
    is_failure: bool = False


@dataclass(frozen=True, slots=True)
class CopyOf:
    """A result: a copy of an input.

    Parameters
    ----------
    number : int
        Number of the input.
    """

    number: int


@dataclass(frozen=True, slots=True)
class Constant:
    """A result: the same object in each call.

    Parameters
    ----------
    thing : object
        The object.
    """

    thing: Any


Input = ArrayInput | FloatInput
Argument = int | NewArray | Held | Scratch
Result = NewArray | CopyOf | Constant


def native_call(
    inputs: Sequence[Input],
    arguments: Sequence[Argument],
    results: Sequence[Result],
    kernel: Kernel,
) -> Callable[..., Any] | None:
    """Return a built-in function that checks its arguments, calls a kernel, returns the results.

    Parameters
    ----------
    inputs : sequence
        What the function takes.
    arguments : sequence
        What the kernel takes; an int is the number of an input.
    results : sequence
        What the function returns, as a tuple; each `NewArray` of `arguments` is among them once.
    kernel : Kernel
        The kernel.

    Returns
    -------
    callable or None
        It returns `MISS` for other arguments; None where no such function can be made.
    """
    size = sum(a.nbytes for a in arguments if isinstance(a, Scratch))
    if kernel.origin == "python" or size > _MOST_ON_STACK or not _is_usual():
        return None
    (compiled,) = kernel.call.overloads.values()  # type: ignore[attr-defined]
    address = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
    writer = _Writer(address)
    text = writer.write(inputs, arguments, results)
    packer = compiled.target_context.get_arg_packer(compiled.fndesc.argtypes)
    kinds = ["ptr" if str(t).endswith(("*", "ptr")) else str(t) for t in packer.argument_types]
    if kinds != writer.kinds:
        return None
    try:
        return _built_in(text, [kernel, *writer.kept])
    except RuntimeError:
        # A release of LLVM that reads other text; the driver does the same, more slowly.
        return None


class _Writer:
    def __init__(self, address: int) -> None:
        self.address = address
        self.lines: list[str] = []
        # Objects whose addresses are in the text.
        self.kept: list[Any] = [MISS]
        # LLVM types of what the kernel is given.
        self.kinds: list[str] = []
        self.count = 0

    def line(self, text: str) -> str:
        """Write an instruction and return the name of its result."""
        self.count += 1
        self.lines.append(f"  %v{self.count} = {text}")
        return f"%v{self.count}"

    def pointer(self, thing: Any) -> str:
        """Return the text of the address of a Python object."""
        self.kept.append(thing)
        return _pointer(id(thing))

    def load(self, kind: str, base: str, offset: int) -> str:
        place = self.line(f"getelementptr i8, ptr {base}, i64 {offset}")
        return self.line(f"load {kind}, ptr {place}")

    def miss_unless(self, condition: str) -> None:
        self.leave_unless(condition, "miss")

    def leave_unless(self, condition: str, to: str) -> None:
        self.count += 1
        self.lines.append(f"  br i1 {condition}, label %go{self.count}, label %{to}")
        self.lines.append(f"go{self.count}:")

    def compare(self, kind: str, found: str, expected: Any) -> None:
        self.miss_unless(self.line(f"icmp eq {kind} {found}, {expected}"))

    def write(
        self, inputs: Sequence[Input], arguments: Sequence[Argument], results: Sequence[Result]
    ) -> str:
        self.compare("i64", "%count", len(inputs))
        objects = [self.load("ptr", "%given", 8 * k) for k in range(len(inputs))]
        for found, wanted in zip(objects, inputs, strict=True):
            self.check(found, wanted)
        # A tuple that is not full yet holds null, so that it can be let go of at any time.
        result = self.line(f"call ptr {_function('PyTuple_New')}(i64 {len(results)})")
        self.leave_unless(self.line(f"icmp ne ptr {result}, null"), "none")
        new: dict[int, str] = {}
        for place, made in enumerate(results):
            new[id(made)] = found = self.result(made, objects)
            self.leave_unless(self.line(f"icmp ne ptr {found}, null"), "fail")
            self.line(
                f"call i32 {_function('PyTuple_SetItem')}(ptr {result}, i64 {place}, ptr {found})"
            )
        failures: list[str] = []
        texts: list[str] = []
        for argument in arguments:
            if isinstance(argument, Scratch):
                memory = self.line(f"alloca i8, i64 {argument.nbytes}, align {_CACHE_LINE}")
                shape, itemsize = (argument.nbytes,), 1
                if argument.is_failure:
                    self.lines.append(f"  store i64 0, ptr {memory}")
                    failures.append(memory)
                    shape, itemsize = (argument.nbytes // 8,), 8
                texts += _array_text(memory, shape, itemsize)
            elif isinstance(argument, Held):
                array = argument.array
                self.kept.append(array)
                texts += _array_text(_pointer(array.ctypes.data), array.shape, array.itemsize)
            elif isinstance(argument, NewArray):
                data = self.load("ptr", new[id(argument)], _DATA)
                texts += _array_text(data, argument.shape, argument.dtype.itemsize)
            else:
                texts += self.passed(objects[argument], inputs[argument])
        self.kinds = [text.partition(" ")[0] for text in texts]
        thread = self.line(f"call ptr {_function('PyEval_SaveThread')}()")
        nothing, error = self.line("alloca ptr"), self.line("alloca ptr")
        listed = ", ".join([f"ptr {nothing}", f"ptr {error}", *texts])
        status = self.line(f"call i32 {_pointer(self.address)}({listed})")
        self.lines.append(f"  call void {_function('PyEval_RestoreThread')}(ptr {thread})")
        self.leave_unless(self.line(f"icmp eq i32 {status}, 0"), "other")
        for memory in failures:
            failure = self.line(f"load i64, ptr {memory}")
            self.leave_unless(self.line(f"icmp eq i64 {failure}, 0"), "other")
        release, keep = _function("Py_DecRef"), _function("Py_IncRef")
        missed = _pointer(id(MISS))
        return "\n".join(
            [
                "define ptr @entry(ptr %self, ptr %given, i64 %count) {",
                *self.lines,
                f"  ret ptr {result}",
                f"other:\n  call void {release}(ptr {result})\n  br label %miss",
                f"miss:\n  call void {keep}(ptr {missed})\n  ret ptr {missed}",
                f"fail:\n  call void {release}(ptr {result})\n  br label %none",
                "none:\n  ret ptr null",
                "}\n",
            ]
        )

    def check(self, found: str, wanted: Input) -> None:
        """Compare an argument with what the kernel was compiled for."""
        kind = np.ndarray if isinstance(wanted, ArrayInput) else float
        self.compare("ptr", self.load("ptr", found, _TYPE), self.pointer(kind))
        if isinstance(wanted, FloatInput):
            return
        self.compare("ptr", self.load("ptr", found, _DTYPE), self.pointer(wanted.dtype))
        flags = self.line(f"and i32 {self.load('i32', found, _FLAGS)}, {wanted.mask}")
        self.compare("i32", flags, wanted.flags)
        self.compare("i32", self.load("i32", found, _NDIM), len(wanted.shape))
        if wanted.shape:
            shape = self.load("ptr", found, _SHAPE)
            for axis, size in enumerate(wanted.shape):
                self.compare("i64", self.load("i64", shape, 8 * axis), size)

    def passed(self, found: str, wanted: Input) -> list[str]:
        """Return what the kernel is given for an input."""
        if isinstance(wanted, FloatInput):
            return [f"double {self.load('double', found, _VALUE)}"]
        strides = None
        if wanted.shape:
            row = self.load("ptr", found, _STRIDES)
            strides = [self.load("i64", row, 8 * axis) for axis in range(len(wanted.shape))]
        data = self.load("ptr", found, _DATA)
        return _array_text(data, wanted.shape, wanted.dtype.itemsize, strides)

    def result(self, made: Result, objects: list[str]) -> str:
        """Write what makes a result; null where that failed."""
        if isinstance(made, Constant):
            thing = self.pointer(made.thing)
            self.lines.append(f"  call void {_function('Py_IncRef')}(ptr {thing})")
            return thing
        if isinstance(made, CopyOf):
            copy = _numpy_function(_NEW_COPY)
            return self.line(f"call ptr {copy}(ptr {objects[made.number]}, i32 0)")
        shape = np.array(made.returned_shape, np.intp)
        self.kept.append(shape)
        dtype = self.pointer(made.dtype)
        # NumPy takes over the reference to the dtype.
        self.lines.append(f"  call void {_function('Py_IncRef')}(ptr {dtype})")
        return self.line(
            f"call ptr {_numpy_function(_NEW_FROM_DESCR)}(ptr {self.pointer(np.ndarray)},"
            f" ptr {dtype}, i32 {len(shape)}, ptr {_pointer(shape.ctypes.data)}, ptr null,"
            " ptr null, i32 0, ptr null)"
        )


def _array_text(
    data: str, shape: Sequence[int], itemsize: int, strides: Sequence[Any] | None = None
) -> list[str]:
    """Return an array as Numba's convention has it: owner, sizes, address, shape, strides."""
    if strides is None:
        strides = [itemsize * int(np.prod(shape[k + 1 :])) for k in range(len(shape))]
    sizes = [f"i64 {int(np.prod(shape))}", f"i64 {itemsize}"]
    axes = [f"i64 {number}" for number in (*shape, *strides)]
    return ["ptr null", "ptr null", *sizes, f"ptr {data}", *axes]


def _pointer(address: int) -> str:
    return f"inttoptr (i64 {address} to ptr)"


@functools.cache
def _function(name: str) -> str:
    """Return the text of the address of a function of Python's C interface."""
    return _pointer(ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0)


@functools.cache
def _numpy_interface() -> Any:
    from numpy._core import _multiarray_umath  # type: ignore[attr-defined]

    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = pointer(_multiarray_umath._ARRAY_API, None)
    return ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))


def _numpy_function(number: int) -> str:
    return _pointer(_numpy_interface()[number])


@functools.cache
def _is_usual() -> bool:
    """Return whether arrays, floats and tuples lie in memory as this file reads them."""
    try:
        _numpy_interface()
        array = np.arange(6.0).reshape(2, 3)[:, ::2]
        fields: dict[tuple[int, Any], int] = {
            (_TYPE, ctypes.c_void_p): id(np.ndarray),
            (_DATA, ctypes.c_void_p): array.ctypes.data,
            (_NDIM, ctypes.c_int): 2,
            (_DTYPE, ctypes.c_void_p): id(array.dtype),
            (_FLAGS, ctypes.c_int): array.flags.num,
        }
        found = all(
            kind.from_address(id(array) + offset).value == value
            for (offset, kind), value in fields.items()
        )
        axes = ctypes.c_ssize_t * 2
        places = {
            where: ctypes.c_void_p.from_address(id(array) + where).value or 0
            for where in (_SHAPE, _STRIDES)
        }
        return (
            found
            and tuple(axes.from_address(places[_SHAPE])) == array.shape
            and tuple(axes.from_address(places[_STRIDES])) == array.strides
            and ctypes.c_double.from_address(id(array.sum()) + _VALUE).value == array.sum()
        )
    except (AttributeError, ImportError, ValueError):
        return False


class _MethodDefinition(ctypes.Structure):
    """PyMethodDef of Python's C interface."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_METH_FASTCALL = 0x80
_definitions: list[_MethodDefinition] = []


def _built_in(text: str, kept: list[Any]) -> Callable[..., Any]:
    """Return the built-in function that LLVM text describes."""
    import llvmlite.binding as llvm

    # In LLVM's global context: the garbage collector might free one of its own before the module.
    module = llvm.parse_assembly(text)
    machine = llvm.Target.from_default_triple().create_target_machine(opt=0, jit=True)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    definition = _MethodDefinition(
        b"kernel", engine.get_function_address("entry"), _METH_FASTCALL, None
    )
    # The garbage collector may let go of what a function holds before the function reads its
    # definition for the last time.
    _definitions.append(definition)
    kept.append(engine)
    make = ctypes.pythonapi.PyCMethod_New
    make.restype = ctypes.py_object
    make.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p]
    # What the text refers to is the function's `self`, which lives as long.
    made: Callable[..., Any] = make(ctypes.addressof(definition), tuple(kept), None, None)
    return made
