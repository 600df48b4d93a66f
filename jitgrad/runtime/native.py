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
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitgrad.runtime.build import Kernel
from jitgrad.runtime.built_in import (
    DATA,
    DTYPE,
    FLAGS,
    NDIM,
    SHAPE,
    STRIDES,
    TYPE,
    VALUE,
    built_in,
    is_usual,
    new_engine,
    numpy_interface,
)

# What `native_call` makes returns this where the arguments are not what it was made for.
MISS: Any = object()

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
        Whether it holds int64, all 0 before the call, of which the first one makes the call a
        miss if it is another number after it.
    shape : tuple of int, optional
        As what array the kernel takes it; without, it is one of bytes.
    """

    nbytes: int
    is_failure: bool = False
    shape: tuple[int, ...] | None = None

    @staticmethod
    def of(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Scratch:
        """Return memory for an array."""
        return Scratch(math.prod(shape) * dtype.itemsize, shape=shape)


@dataclass(frozen=True, slots=True)
class WriteBack:
    """Memory that the kernel writes, and that is copied to an input once it is done.

    Parameters
    ----------
    number : int
        Number of the input, a C-contiguous array.
    shape : tuple of int
        Shape for the kernel.
    dtype : numpy dtype
        Of both.
    """

    number: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Size of the memory."""
        return int(np.prod(self.shape)) * self.dtype.itemsize


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
Argument = int | NewArray | Held | Scratch | WriteBack
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
    size = sum(a.nbytes for a in arguments if isinstance(a, (Scratch, WriteBack)))
    if not kernel.address or size > _MOST_ON_STACK or not is_usual():
        return None
    writer = _Writer(kernel.address)
    text = writer.write(inputs, arguments, results)
    if kernel.passed != tuple(writer.kinds):
        return None
    try:
        engine = new_engine(text)
        engine.finalize_object()
        address = engine.get_function_address("entry")
        return built_in(address, [kernel, *writer.kept, engine])
    except RuntimeError:
        # A release of LLVM that reads other text; the driver does the same, more slowly.
        return None


def native_check(inputs: Sequence[Input], written: int = 0) -> Callable[..., Any] | None:
    """Return a built-in function that compares its arguments with what they should be.

    Parameters
    ----------
    inputs : sequence
        What they should be.
    written : int
        How many of them, the first ones, may share no memory with any other; then all are
        C-contiguous arrays.

    Returns
    -------
    callable or None
        It returns `MISS` for other arguments, else None; None where there is no such function.
    """
    if not is_usual():
        return None
    writer = _Writer()
    try:
        engine = new_engine(writer.write_check(inputs, written))
        engine.finalize_object()
        return built_in(engine.get_function_address("entry"), [*writer.kept, engine])
    except RuntimeError:
        # As in `native_call`.
        return None


class _Writer:
    def __init__(self, address: int = 0) -> None:
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

    def write_check(self, inputs: Sequence[Input], written: int) -> str:
        """Return the text of a function that only checks."""
        objects = self.check_all(inputs)
        if written:
            self.check_apart(range(written), inputs, objects)
        keep, missed, nothing = _function("Py_IncRef"), _pointer(id(MISS)), _pointer(id(None))
        return "\n".join(
            [
                "define ptr @entry(ptr %self, ptr %given, i64 %count) {",
                *self.lines,
                f"  call void {keep}(ptr {nothing})\n  ret ptr {nothing}",
                f"miss:\n  call void {keep}(ptr {missed})\n  ret ptr {missed}",
                "}\n",
            ]
        )

    def check_all(self, inputs: Sequence[Input]) -> list[str]:
        """Write what compares all arguments; return what each is called."""
        self.compare("i64", "%count", len(inputs))
        objects = [self.load("ptr", "%given", 8 * k) for k in range(len(inputs))]
        for found, wanted in zip(objects, inputs, strict=True):
            self.check(found, wanted)
        return objects

    def write(
        self, inputs: Sequence[Input], arguments: Sequence[Argument], results: Sequence[Result]
    ) -> str:
        objects = self.check_all(inputs)
        back = [argument for argument in arguments if isinstance(argument, WriteBack)]
        if back:
            self.check_apart([b.number for b in back], inputs, objects)
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
        written: list[str] = []
        for argument in arguments:
            if isinstance(argument, WriteBack):
                written.append(self.line(f"alloca i8, i64 {argument.nbytes}, align {_CACHE_LINE}"))
                texts += array_text(written[-1], argument.shape, argument.dtype.itemsize)
            elif isinstance(argument, Scratch):
                memory = self.line(f"alloca i8, i64 {argument.nbytes}, align {_CACHE_LINE}")
                shape = (argument.nbytes,) if argument.shape is None else argument.shape
                itemsize = 1
                if argument.is_failure:
                    shape = (argument.nbytes // 8,)
                    for word in range(shape[0]):
                        cell = self.line(f"getelementptr i64, ptr {memory}, i64 {word}")
                        self.lines.append(f"  store i64 0, ptr {cell}")
                    failures.append(memory)
                if argument.shape is not None or argument.is_failure:
                    itemsize = argument.nbytes // max(math.prod(shape), 1)
                texts += array_text(memory, shape, itemsize)
            elif isinstance(argument, Held):
                array = argument.array
                self.kept.append(array)
                texts += array_text(_pointer(array.ctypes.data), array.shape, array.itemsize)
            elif isinstance(argument, NewArray):
                data = self.load("ptr", new[id(argument)], DATA)
                texts += array_text(data, argument.shape, argument.dtype.itemsize)
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
        for copied, memory in zip(back, written, strict=True):
            data = self.load("ptr", objects[copied.number], DATA)
            self.line(
                f"call ptr {_pointer(_memcpy())}(ptr {data}, ptr {memory}, i64 {copied.nbytes})"
            )
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
        self.compare("ptr", self.load("ptr", found, TYPE), self.pointer(kind))
        if isinstance(wanted, FloatInput):
            return
        self.compare("ptr", self.load("ptr", found, DTYPE), self.pointer(wanted.dtype))
        flags = self.line(f"and i32 {self.load('i32', found, FLAGS)}, {wanted.mask}")
        self.compare("i32", flags, wanted.flags)
        self.compare("i32", self.load("i32", found, NDIM), len(wanted.shape))
        if wanted.shape:
            shape = self.load("ptr", found, SHAPE)
            for axis, size in enumerate(wanted.shape):
                self.compare("i64", self.load("i64", shape, 8 * axis), size)

    def check_apart(
        self, written: Sequence[int], inputs: Sequence[Input], objects: Sequence[str]
    ) -> None:
        """Miss where an input that is written to shares memory with another one."""
        arrays = [k for k, wanted in enumerate(inputs) if isinstance(wanted, ArrayInput)]
        order = [*written, *[k for k in arrays if k not in written]]
        table = self.line(f"alloca i64, i64 {2 * len(order)}")
        for place, number in enumerate(order):
            wanted = inputs[number]
            assert isinstance(wanted, ArrayInput)
            start = self.load("i64", objects[number], DATA)
            nbytes = int(np.prod(wanted.shape)) * wanted.dtype.itemsize
            for offset, text in enumerate((start, self.line(f"add i64 {start}, {nbytes}"))):
                entry = self.line(f"getelementptr i64, ptr {table}, i64 {2 * place + offset}")
                self.lines.append(f"  store i64 {text}, ptr {entry}")
        share = self.line(
            f"call i1 {_pointer(_sharing())}(ptr {table}, i64 {len(written)}, i64 {len(order)})"
        )
        self.miss_unless(self.line(f"xor i1 {share}, true"))

    def passed(self, found: str, wanted: Input) -> list[str]:
        """Return what the kernel is given for an input."""
        if isinstance(wanted, FloatInput):
            return [f"double {self.load('double', found, VALUE)}"]
        strides = None
        if wanted.shape:
            row = self.load("ptr", found, STRIDES)
            strides = [self.load("i64", row, 8 * axis) for axis in range(len(wanted.shape))]
        data = self.load("ptr", found, DATA)
        return array_text(data, wanted.shape, wanted.dtype.itemsize, strides)

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


def array_text(
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


# Whether one of the first stretches of memory in a table of starts and ends has bytes in common
# with another one.
_SHARING = """
define i1 @sharing(ptr %table, i64 %first, i64 %all) {
begin:
  br label %outer
outer:
  %k = phi i64 [0, %begin], [%next, %done]
  %twice = shl i64 %k, 1
  %start_at = getelementptr i64, ptr %table, i64 %twice
  %end_at = getelementptr i64, ptr %start_at, i64 1
  %start = load i64, ptr %start_at
  %end = load i64, ptr %end_at
  %next = add i64 %k, 1
  br label %test
test:
  %j = phi i64 [%next, %outer], [%following, %inner]
  %more = icmp slt i64 %j, %all
  br i1 %more, label %inner, label %done
inner:
  %other = shl i64 %j, 1
  %other_start_at = getelementptr i64, ptr %table, i64 %other
  %other_end_at = getelementptr i64, ptr %other_start_at, i64 1
  %other_start = load i64, ptr %other_start_at
  %other_end = load i64, ptr %other_end_at
  %begins = icmp slt i64 %start, %other_end
  %ends = icmp slt i64 %other_start, %end
  %common = and i1 %begins, %ends
  %following = add i64 %j, 1
  br i1 %common, label %found, label %test
found:
  ret i1 true
done:
  %again = icmp slt i64 %next, %first
  br i1 %again, label %outer, label %nothing
nothing:
  ret i1 false
}
"""
_engines: list[Any] = []


@functools.cache
def _sharing() -> int:
    engine = new_engine(_SHARING, optimise=True)
    engine.finalize_object()
    _engines.append(engine)
    address: int = engine.get_function_address("sharing")
    return address


@functools.cache
def _memcpy() -> int:
    return ctypes.cast(ctypes.memmove, ctypes.c_void_p).value or 0


@functools.cache
def _function(name: str) -> str:
    """Return the text of the address of a function of Python's C interface."""
    return _pointer(ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0)


def _numpy_function(number: int) -> str:
    return _pointer(numpy_interface()[number])
