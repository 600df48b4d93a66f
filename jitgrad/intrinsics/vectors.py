"""Vectors of a processor's registers, as LLVM writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jitgrad.intrinsics.structure import ArrayFields


class Vectors:
    """Writes code on vectors of one type of element, as long as a register of the processor.

    Parameters
    ----------
    context : numba context
        Knows the target.
    builder : llvmlite.ir.IRBuilder
        Where the code goes.
    signature : numba signature
        Its first array decides the type of elements.
    """

    def __init__(self, context: Any, builder: Any, signature: Any) -> None:
        from llvmlite import ir
        from numba import types

        self.context = context
        self.builder = builder
        self.signature = signature
        dtype = next(a.dtype for a in signature.args if hasattr(a, "dtype"))
        triple, _, features = context.codegen().magic_tuple()
        size, self.most = _registers(triple, features.split(","))
        self.element = context.get_data_type(dtype)
        self.is_float = isinstance(dtype, types.Float)
        self.itemsize = dtype.bitwidth // 8
        self.lanes = size // self.itemsize
        self.vector = ir.VectorType(self.element, self.lanes)

    def unpacked(self, arguments: Any) -> list[Any]:
        """Return integers as they are, and of arrays the address of the first element."""
        return [
            ArrayFields(self.builder, value).data if hasattr(kind, "dtype") else value
            for kind, value in zip(self.signature.args, arguments, strict=True)
        ]

    def integer(self, number: int) -> Any:
        """Return a constant integer."""
        from llvmlite import ir

        return ir.Constant(ir.IntType(64), number)

    def variable(self, value: Any) -> Any:
        """Return a variable, which becomes a register."""
        from numba.core import cgutils

        return cgutils.alloca_once_value(self.builder, value)

    def accumulator(self) -> Any:
        """Return a variable of zeros."""
        from llvmlite import ir

        return self.variable(ir.Constant(self.vector, None))

    @contextmanager
    def loop(self, count: Any) -> Iterator[Any]:
        """Write a loop, and give its index."""
        from numba.core import cgutils

        with cgutils.for_range(self.builder, count) as loop:
            yield loop.index

    def vector_of(self, element: Any) -> Any:
        """Return the type of as many elements of another type."""
        from llvmlite import ir

        return ir.VectorType(element, self.lanes)

    def load(self, pointer: Any, ahead: int = 0) -> Any:
        """Return the vector that begins `ahead` elements after what is pointed at."""
        pointer = self.builder.gep(pointer, [self.integer(ahead)])
        vector = self.vector_of(pointer.type.pointee)
        # elements lie where they lie: no more can be said of vectors of them
        return self.builder.load(self.builder.bitcast(pointer, vector.as_pointer()), align=4)

    def store(self, value: Any, pointer: Any, ahead: int = 0) -> None:
        """Store a vector `ahead` elements after what is pointed at."""
        pointer = self.builder.gep(pointer, [self.integer(ahead)])
        pointer = self.builder.bitcast(pointer, value.type.as_pointer())
        self.builder.store(value, pointer, align=4)

    def lanes_below(self, count: Any) -> Any:
        """Return for each lane whether its number is less than `count`."""
        from llvmlite import ir

        lane = ir.IntType(32)
        numbers = ir.Constant(self.vector_of(lane), [*range(self.lanes)])
        return self.builder.icmp_signed("<", numbers, self.spread(self.builder.trunc(count, lane)))

    def load_masked(self, pointer: Any, mask: Any) -> Any:
        """Return a vector, of which only those elements are read for which `mask` is true."""
        nothing = self.constant(0)
        pointer = self.builder.bitcast(pointer, self.vector.as_pointer())
        return self.call_masked("load", self.vector, pointer, mask, nothing)

    def store_masked(self, value: Any, pointer: Any, mask: Any) -> None:
        """Store those elements of a vector for which `mask` is true."""
        pointer = self.builder.bitcast(pointer, value.type.as_pointer())
        self.call_masked("store", value.type, value, pointer, mask)

    def gather(self, pointer: Any, numbers: Any) -> Any:
        """Return the elements of these numbers after what is pointed at."""
        from llvmlite import ir

        builder, word = self.builder, ir.IntType(64)
        size = ir.Constant(self.vector_of(word), [self.itemsize] * self.lanes)
        ahead = builder.mul(builder.sext(numbers, size.type), size)
        places = builder.add(self.spread(builder.ptrtoint(pointer, word)), ahead)
        places = builder.inttoptr(places, self.vector_of(pointer.type))
        everywhere = ir.Constant(self.vector_of(ir.IntType(1)), [1] * self.lanes)
        return self.call_masked("gather", self.vector, places, everywhere, self.constant(0))

    def call_masked(self, name: str, vector: Any, *arguments: Any) -> Any:
        """Call one of LLVM's operations on the part of a vector that a mask shows."""
        from llvmlite import ir

        place = 1 if name == "store" else 0
        align = ir.Constant(ir.IntType(32), 4)
        arguments = (*arguments[: place + 1], align, *arguments[place + 1 :])
        result = ir.VoidType() if name == "store" else vector
        kind = f"v{self.lanes}" if name == "gather" else ""
        form = ir.FunctionType(result, [a.type for a in arguments])
        return self.call(f"masked.{name}", vector, form, arguments, f".{kind}p0")

    def constant(self, number: float) -> Any:
        """Return a vector of one number."""
        from llvmlite import ir

        return ir.Constant(self.vector, [number] * self.lanes)

    def exceeds(self, x: Any, y: Any) -> Any:
        """Return where `x` is larger than `y`, or nan."""
        builder = self.builder
        if not self.is_float:
            return builder.icmp_signed(">", x, y)
        return builder.or_(builder.fcmp_ordered(">", x, y), builder.fcmp_unordered("uno", x, x))

    def spread(self, scalar: Any) -> Any:
        """Return a vector of one number."""
        from llvmlite import ir

        empty = ir.Constant(self.vector_of(scalar.type), ir.Undefined)
        lane = ir.IntType(32)
        first = self.builder.insert_element(empty, scalar, ir.Constant(lane, 0))
        everywhere = ir.Constant(self.vector_of(lane), None)
        return self.builder.shuffle_vector(first, empty, everywhere)

    def add_product(self, sums: Any, x: Any, y: Any) -> None:
        """Add the product of two vectors to a variable."""
        from llvmlite import ir

        form = ir.FunctionType(self.vector, [self.vector] * 3)
        total = self.call("fmuladd", self.vector, form, (x, y, self.builder.load(sums)))
        self.builder.store(total, sums)

    def total(self, vector: Any) -> Any:
        """Return the sum of a vector's elements, in whichever order is fastest."""
        from llvmlite import ir

        form = ir.FunctionType(self.element, [self.element, self.vector])
        arguments = (ir.Constant(self.element, -0.0), vector)
        return self.call("vector.reduce.fadd", self.vector, form, arguments, flags=("reassoc",))

    def call(
        self,
        name: str,
        vector: Any,
        form: Any,
        arguments: tuple[Any, ...],
        suffix: str = "",
        flags: tuple[str, ...] = (),
    ) -> Any:
        """Call LLVM's function of this name for vectors of this type."""
        from llvmlite import ir
        from numba.core import cgutils

        letter, size = {
            ir.FloatType(): ("f", 32), ir.DoubleType(): ("f", 64)
        }.get(vector.element) or ("i", vector.element.width)  # fmt: skip
        symbol = f"llvm.{name}.v{self.lanes}{letter}{size}{suffix}"
        function = cgutils.get_or_insert_function(self.builder.module, form, symbol)
        return self.builder.call(function, arguments, fastmath=flags)

    def for_each_shape(
        self, first: tuple[Any, int], second: tuple[Any, int], write: Callable[[int, int], None]
    ) -> None:
        """Write a tile of each shape, and the branch to the one that is asked for.

        `first` and `second` are each a number that is known at run time, and its largest value.
        """
        builder = self.builder
        # where the two numbers come together, neither is zero
        shape = builder.add(builder.mul(first[0], self.integer(16)), second[0])
        end = builder.append_basic_block("tile_end")
        switch = builder.switch(shape, end)
        for a in range(1, first[1] + 1):
            for b in range(1, second[1] + 1):
                block = builder.append_basic_block(f"tile_{a}x{b}")
                switch.add_case(self.integer(16 * a + b), block)
                builder.position_at_end(block)
                write(a, b)
                builder.branch(end)
        builder.position_at_end(end)


def _registers(triple: str, features: list[str]) -> tuple[int, int]:
    """Return the bytes of a vector register, and how many vectors wide a tile is."""
    if "+avx512f" in features:
        return 64, 4
    if "+avx" in features:
        return 32, 2
    return 16, 2 if triple.startswith(("x86", "i")) else 4
