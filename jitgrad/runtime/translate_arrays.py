"""How a translated kernel computes with numbers and reads, cuts, passes and allocates arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.core.typing.arraydecl import get_array_index_type

from jitgrad.intrinsics.arrays import known_sizes, note_scope, scoped
from jitgrad.intrinsics.emitter import LLVM_TYPES, Emitter
from jitgrad.intrinsics.structure import ArrayFields, array_structure
from jitgrad.intrinsics.value import Value
from jitgrad.runtime.access_groups import note_access
from jitgrad.runtime.machine_code import UntranslatableError
from jitgrad.runtime.translated_values import (
    KINDS,
    NUMBA_TYPES,
    NUMPY_TYPES,
    Scalar,
    View,
    is_element,
    types,
)

WORD, STATUS = ir.IntType(64), ir.IntType(32)
_CACHE_LINE = 64


class ArrayWriter:
    """Writes LLVM code on numbers and arrays.

    Parameters
    ----------
    context : numba context
        Of the processor.
    builder : llvmlite.ir.IRBuilder
        Where the code goes.
    """

    def __init__(self, context: Any, builder: Any) -> None:
        self.context = context
        self.builder = builder
        self.emitter = Emitter(context, builder)
        # The access group of the loop that is written, if its iterations are independent.
        self.group: Any = None
        # Places of the addresses of memory that is freed at the end.
        self.allocated: list[Any] = []
        # Whether the function may return that no memory was left.
        self.may_fail = False

    def pointer(self, view: View, entries: tuple[Any, ...]) -> Any:
        """Write what computes the address of an element."""
        builder = self.builder
        indices = [self.word(entry) for entry in entries]
        if view.type.layout != "C":
            return self.moved(view, indices, view.strides)
        place: Any = None
        sizes = known_sizes(view.type)
        for index, size, known in zip(indices, view.shape, sizes, strict=True):
            size = size if known < 0 else WORD(known)
            place = index if place is None else builder.add(builder.mul(place, size), index)
        return view.data if place is None else builder.gep(view.data, [place])

    def moved(self, view: View, indices: Sequence[Any], strides: Sequence[Any]) -> Any:
        """Write what computes the address that is so many strides further."""
        builder = self.builder
        place: Any = None
        for index, stride in zip(indices, strides, strict=True):
            term = builder.mul(index, stride)
            place = term if place is None else builder.add(place, term)
        if place is None:
            return view.data
        data = builder.bitcast(view.data, ir.IntType(8).as_pointer())
        return builder.bitcast(builder.gep(data, [place]), view.data.type)

    def part(self, view: View, entries: tuple[Any, ...]) -> View:
        """Return the part of an array that whole numbers and slices choose."""
        kinds = types.Tuple(
            [types.slice2_type if isinstance(entry, slice) else types.intp for entry in entries]
        )
        chosen = get_array_index_type(view.type, kinds)
        if chosen is None or chosen.advanced:
            raise UntranslatableError("an index of another type")
        starts, shape, strides = [], [], []
        for axis, size in enumerate(view.shape):
            entry = entries[axis] if axis < len(entries) else slice(None)
            if isinstance(entry, slice):
                start = WORD(0) if entry.start is None else entry.start
                stop = size if entry.stop is None else entry.stop
                starts.append(start)
                shape.append(stop if entry.start is None else self.builder.sub(stop, start))
                strides.append(view.strides[axis])
            else:
                starts.append(self.word(entry))
        data = self.moved(view, starts, view.strides)
        return View(chosen.result, data, tuple(shape), tuple(strides))

    def reshape(self, view: View, sizes: tuple[Any, ...]) -> View:
        """Return the same elements under another shape; they lie in C order."""
        if view.type.layout != "C":
            raise UntranslatableError("another shape of an array that is not contiguous")
        shape = [self.word(size) for size in sizes]
        if [size.literal for size in sizes] == [-1]:
            shape = [self.product(view.shape)]
        array_type = types.Array(view.type.dtype, len(shape), "C", not view.type.mutable)
        if hasattr(view.type, "scope"):
            array_type = scoped(array_type, view.type.scope)
        return self.contiguous(array_type, view.data, shape)

    def contiguous(self, array_type: Any, data: Any, shape: Sequence[Any]) -> View:
        """Return the array of a shape whose elements lie in C order from an address on."""
        strides: list[Any] = []
        stride = WORD(self.itemsize(array_type))
        for size in reversed(shape):
            strides.insert(0, stride)
            stride = self.builder.mul(stride, size)
        return View(array_type, data, tuple(shape), tuple(strides))

    def block(self, array_type: Any, arena: View, offset: Any, shape: tuple[Any, ...]) -> View:
        """Return the array that lies at an offset, in bytes, in an arena."""
        start = self.builder.gep(arena.data, [self.word(offset)])
        element = self.context.get_data_type(array_type.dtype).as_pointer()
        data = self.builder.bitcast(start, element)
        return self.contiguous(array_type, data, [self.word(size) for size in shape])

    def product(self, sizes: Sequence[Any]) -> Any:
        """Return the product of sizes."""
        total = WORD(1)
        for size in sizes:
            total = self.builder.mul(total, size)
        return total

    def itemsize(self, array_type: Any) -> int:
        """Return the size of an element in bytes."""
        size: int = np.dtype(array_type.dtype.name).itemsize
        return size

    def allocate(self, size: Any, dtype: Any, *, is_zero: bool) -> View:
        """Return new memory for an array of one axis, which is freed at the end of the function."""
        builder = self.builder
        byte = ir.IntType(8)
        array_type = types.Array(NUMBA_TYPES[KINDS[dtype]], 1, "C")
        count = self.word(size)
        number = builder.mul(count, WORD(self.itemsize(array_type)))
        memory = self.call_c("malloc", byte.as_pointer(), builder.add(number, WORD(_CACHE_LINE)))
        slot = cgutils.alloca_once(builder, byte.as_pointer(), zfill=True)
        builder.store(memory, slot)
        self.allocated.append(slot)
        self.fail_if(cgutils.is_null(builder, memory))
        address = builder.add(builder.ptrtoint(memory, WORD), WORD(_CACHE_LINE - 1))
        address = builder.and_(address, WORD(-_CACHE_LINE))
        element = self.context.get_data_type(array_type.dtype).as_pointer()
        data = builder.inttoptr(address, element)
        if is_zero:
            cgutils.memset(builder, data, number, 0)
        return self.contiguous(array_type, data, [count])

    def call_c(self, name: str, result: Any, *arguments: Any) -> Any:
        """Call a function of the C library."""
        form = ir.FunctionType(result, [argument.type for argument in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, form, name)
        return self.builder.call(function, arguments)

    def fail_if(self, condition: Any) -> None:
        """Leave the function where no memory was left."""
        self.may_fail = True
        with self.builder.if_then(condition, likely=False):
            self.builder.ret(STATUS(1))

    def cast(self, number: Scalar, kind: str) -> Any:
        """Return the LLVM value of a number in another kind."""
        if number.kind == kind:
            return number.llvm
        constant = number.llvm
        if isinstance(constant, ir.Constant) and kind.startswith("float"):
            return LLVM_TYPES[kind](float(NUMPY_TYPES[kind](constant.constant)))
        if number.literal is not None and kind == "int32":
            return LLVM_TYPES[kind](number.literal)
        return self.emitter.cast(Value(self.emitter, number.llvm, number.kind), kind).llvm

    def word(self, number: Any) -> Any:
        """Return a whole number as it counts or indexes."""
        if not isinstance(number, Scalar) or not number.kind.startswith("int"):
            raise UntranslatableError("an index of another type")
        return self.cast(number, "int64")

    def store(self, view: Any, entries: tuple[Any, ...], value: Any) -> None:
        """Write what assigns to an element, or to all of an array of one axis."""
        if not isinstance(view, View) or not isinstance(value, Scalar):
            raise UntranslatableError("an element that is no number")
        if entries == (slice(None),) and len(view.shape) == 1:
            with cgutils.for_range(self.builder, view.shape[0]) as loop:
                self.store(view, (Scalar(loop.index, "int64"),), value)
            return
        if not is_element(view, entries):
            raise UntranslatableError("an assignment to a part of an array")
        pointer = self.pointer(view, entries)
        cast = self.cast(value, view.type.dtype.name)
        stored = self.builder.store(self.model(view).as_data(self.builder, cast), pointer)
        note_scope(self.builder, stored, view.type)
        note_access(stored, self.group)

    def model(self, view: View) -> Any:
        """Return how Numba holds the elements of an array."""
        return self.context.data_model_manager[view.type.dtype]

    def divided(self, a: Any, b: Any, *, is_quotient: bool) -> Scalar:
        """Return the quotient rounded down, or the remainder with the sign of `b`."""
        builder = self.builder
        zero = WORD(0)
        # Processors trap a division by zero; the result does not matter.
        divisor = builder.select(builder.icmp_signed("==", b, zero), WORD(1), b)
        quotient = builder.sdiv(a, divisor)
        rest = builder.sub(a, builder.mul(quotient, divisor))
        differs = builder.icmp_signed("<", builder.xor(rest, divisor), zero)
        too_high = builder.and_(builder.icmp_signed("!=", rest, zero), differs)
        if is_quotient:
            return Scalar(builder.sub(quotient, builder.zext(too_high, WORD)), "int64")
        return Scalar(builder.select(too_high, builder.add(rest, divisor), rest), "int64")

    def extremum(self, which: str, numbers: Sequence[Any]) -> Scalar:
        """Return the smallest or largest of whole numbers."""
        words = [self.word(number) for number in numbers]
        found = words[0]
        for word in words[1:]:
            better = self.builder.icmp_signed("<" if which == "min" else ">", word, found)
            found = self.builder.select(better, word, found)
        return Scalar(found, "int64")

    def passed(self, thing: Any, wanted: Any) -> Any:
        """Return the LLVM value of an argument."""
        if isinstance(thing, Scalar):
            return self.cast(thing, types.unliteral(wanted).name)
        if isinstance(thing, tuple):
            return self.context.make_tuple(
                self.builder,
                wanted,
                [self.passed(t, w) for t, w in zip(thing, wanted, strict=True)],
            )
        if not isinstance(thing, View):
            return self.context.get_dummy_value()
        if thing.structure is not None:
            return thing.structure
        return array_structure(
            self.context, self.builder, thing.type, thing.data, thing.shape, thing.strides
        )

    def received(self, result: Any, made: Any) -> Any:
        """Return what an intrinsic has returned."""
        if isinstance(made, types.Array):
            fields = ArrayFields(self.builder, result)
            return View(made, fields.data, fields.shape, fields.strides, result)
        if isinstance(made, types.BaseTuple):
            parts = [self.builder.extract_value(result, k) for k in range(len(made))]
            return tuple([self.received(p, kind) for p, kind in zip(parts, made, strict=True)])
        return None if made is types.none else Scalar(result, made.name)
