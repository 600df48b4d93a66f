"""Writes LLVM code through values that read like numbers.

A formula is straight-line: it chooses with `Emitter.select` and never branches, so that the loop
around it can be vectorised.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir

from jitgrad.intrinsics.declare import INTRINSICS, Formula, Twin
from jitgrad.intrinsics.rare import add_attribute, declare_rare
from jitgrad.intrinsics.shared import shared_form
from jitgrad.intrinsics.value import Number, Value

LLVM_TYPES: dict[str, Any] = {
    "bool": ir.IntType(1),
    "int8": ir.IntType(8),
    "int32": ir.IntType(32),
    "int64": ir.IntType(64),
    "float32": ir.FloatType(),
    "float64": ir.DoubleType(),
}

# Numba adds `contract` to float arithmetic that has no flag yet, and a product that is contracted
# into a sum no longer is the rounded product that error terms are computed from. This flag means
# nothing on add, sub and mul: it keeps them as they are written.
AS_WRITTEN = ("arcp",)


class Emitter:
    """Writes one function's LLVM code.

    Parameters
    ----------
    context : numba context
        Knows the target.
    builder : llvmlite.ir.IRBuilder
        Where the code goes.
    lanes : int
        How many numbers each value holds; 0 for code on scalars.
    """

    def __init__(self, context: Any, builder: Any, lanes: int = 0) -> None:
        self.context = context
        self.builder = builder
        self.lanes = lanes
        triple, _, features = context.codegen().magic_tuple()
        self.has_fma = _has_fma(triple, features)

    # values

    def value_of(self, llvm: Any, kind: str) -> Value:
        """Wrap an LLVM value."""
        return Value(self, llvm, kind)

    def constant(self, number: Number, kind: str) -> Value:
        """Return a constant of the given kind."""
        content = [number] * self.lanes if self.lanes else number
        return Value(self, ir.Constant(self.type_of(kind), content), kind)

    def type_of(self, kind: str) -> Any:
        """Return the LLVM type of values of a kind."""
        scalar = LLVM_TYPES[kind]
        return ir.VectorType(scalar, self.lanes) if self.lanes else scalar

    def _lift(self, other: Value | Number, kind: str) -> Value:
        return other if isinstance(other, Value) else self.constant(other, kind)

    # arithmetic

    def arithmetic(self, operation: str, a: Value, b: Value | Number) -> Value:
        """Emit ``add``, ``sub``, ``mul`` or float ``div``, exactly as written."""
        right = self._lift(b, a.kind)
        if not a.is_float:
            name = "sdiv" if operation == "div" else operation
            return Value(self, getattr(self.builder, name)(a.llvm, right.llvm), a.kind)
        flags = () if operation == "div" else AS_WRITTEN
        emit = getattr(self.builder, "f" + operation)
        return Value(self, emit(a.llvm, right.llvm, flags=flags), a.kind)

    def reassociable(self, operation: str, accumulator: Value, x: Value) -> Value:
        """Emit ``add`` or ``mul`` that may change places with others like it."""
        if not x.is_float:
            return self.arithmetic(operation, accumulator, x)
        emit = getattr(self.builder, "f" + operation)
        combined = emit(accumulator.llvm, x.llvm, flags=("reassoc", "contract"))
        return Value(self, combined, x.kind)

    def extremum(self, which: str, a: Value, b: Value) -> Value:
        """Emit the ``max`` or ``min`` that LLVM knows as a reduction; nan if either is nan."""
        if not a.is_float:
            relation = ">=" if which == "max" else "<="
            return self.select(self.compare(relation, a, b), a, b)
        return self._llvm(f"llvm.{which}imum", a, b)

    def remainder(self, x: Value, y: Value) -> Value:
        """Return the remainder with the sign of `x`, exact."""
        return Value(self, self.builder.frem(x.llvm, y.llvm), x.kind)

    def bitwise(self, operation: str, a: Value, b: Value | int) -> Value:
        """Emit an operation on the bits of integers or bools."""
        emit = getattr(self.builder, operation)
        return Value(self, emit(a.llvm, self._lift(b, a.kind).llvm), a.kind)

    def unsigned_shift(self, x: Value, count: int) -> Value:
        """Shift the bits of an integer to the right, and zeros in."""
        return Value(self, self.builder.lshr(x.llvm, x.like(count).llvm), x.kind)

    def compare(self, relation: str, a: Value, b: Value | Number) -> Value:
        """Emit a comparison, false where an operand is nan."""
        emit = self.builder.fcmp_ordered if a.is_float else self.builder.icmp_signed
        return Value(self, emit(relation, a.llvm, self._lift(b, a.kind).llvm), "bool")

    def select(self, condition: Value, a: Value | Number, b: Value | Number) -> Value:
        """Return `a` where the condition holds, else `b`; both are computed."""
        kind = a.kind if isinstance(a, Value) else b.kind if isinstance(b, Value) else "float64"
        chosen = self.builder.select(
            condition.llvm, self._lift(a, kind).llvm, self._lift(b, kind).llvm
        )
        return Value(self, chosen, kind)

    def is_nan(self, x: Value) -> Value:
        """Return whether `x` is nan."""
        return Value(self, self.builder.fcmp_unordered("uno", x.llvm, x.llvm), "bool")

    def fma(self, a: Value, b: Value | Number, c: Value | Number) -> Value:
        """Return ``a * b + c``, rounded once."""
        b, c = self._lift(b, a.kind), self._lift(c, a.kind)
        if self.has_fma:
            return self._llvm("llvm.fma", a, b, c)
        if a.kind == "float32":
            # the product is exact in float64
            wide = self.cast(a, "float64") * self.cast(b, "float64") + self.cast(c, "float64")
            return self.cast(wide, "float32")
        return self._fma_of_parts(a, b, c)

    def _fma_of_parts(self, a: Value, b: Value, c: Value) -> Value:
        """Return ``a * b + c`` in float64 without the instruction; a call of C's would be slow."""
        product = a * b
        (a_high, a_low), (b_high, b_low) = self._halves(a), self._halves(b)
        crossed = (a_high * b_high - product) + a_high * b_low + a_low * b_high
        product_low = crossed + a_low * b_low
        total = product + c
        from_c = total - product
        total_low = (product - (total - from_c)) + (c - from_c)
        exact = total + (total_low + product_low)
        # the parts of what is infinite or overflows are nan
        return self.select(self.absolute(product_low) < np.inf, exact, total)

    def _halves(self, x: Value) -> tuple[Value, Value]:
        """Split a float64 into two of 26 bits."""
        spread = x * (2.0**27 + 1.0)
        high = spread - (spread - x)
        return high, x - high

    def multiply_add(self, a: Value, b: Value | Number, c: Value | Number) -> Value:
        """Return ``a * b + c``, rounded once where the target has an instruction for that."""
        return self.fma(a, b, c) if self.has_fma else a * b + c

    def sqrt(self, x: Value) -> Value:
        """Return the square root, correctly rounded; nan below zero."""
        return self._llvm("llvm.sqrt", x)

    def absolute(self, x: Value) -> Value:
        """Return the magnitude of a float."""
        return self._llvm("llvm.fabs", x)

    def copysign(self, magnitude: Value | Number, sign: Value) -> Value:
        """Return the magnitude with the sign bit of `sign`."""
        return self._llvm("llvm.copysign", self._lift(magnitude, sign.kind), sign)

    def rounded(self, x: Value, how: str = "rint") -> Value:
        """Return a whole number: ``rint`` (half to even), ``floor``, ``ceil`` or ``trunc``."""
        return self._llvm(f"llvm.{how}", x)

    def _llvm(self, name: str, *arguments: Value) -> Value:
        kind = arguments[0].kind
        llvm_type = self.type_of(kind)
        suffix = f"v{self.lanes}" if self.lanes else ""
        suffix += "f32" if kind == "float32" else "f64"
        callee = self._declared(f"{name}.{suffix}", llvm_type, [llvm_type] * len(arguments))
        return Value(self, self.builder.call(callee, [a.llvm for a in arguments]), kind)

    def _declared(self, name: str, result: Any, arguments: Sequence[Any]) -> Any:
        module = self.builder.module
        existing = module.globals.get(name)
        if existing is None:
            existing = ir.Function(module, ir.FunctionType(result, arguments), name)
        return existing

    # conversion

    def cast(self, x: Value, kind: str) -> Value:
        """Convert between kinds of number; a float outside an integer's range gives any integer."""
        if kind == x.kind:
            return x
        target = self.type_of(kind)
        builder = self.builder
        if kind == "bool":
            return ~x.equals(0)
        if x.is_float:
            if kind == "float64":
                converted = builder.fpext(x.llvm, target)
            elif kind == "float32":
                converted = builder.fptrunc(x.llvm, target)
            else:
                converted = builder.fptosi(x.llvm, target)
        elif kind.startswith("float"):
            emit = builder.uitofp if x.kind == "bool" else builder.sitofp
            converted = emit(x.llvm, target)
        elif x.kind == "bool":
            converted = builder.zext(x.llvm, target)
        else:
            converted = (builder.sext if kind == "int64" else builder.trunc)(x.llvm, target)
        return Value(self, converted, kind)

    def bits(self, x: Value) -> Value:
        """Return the bits of a float as an integer of the same width."""
        kind = "int32" if x.kind == "float32" else "int64"
        return Value(self, self.builder.bitcast(x.llvm, self.type_of(kind)), kind)

    def from_bits(self, bits: Value) -> Value:
        """Return the float that has these bits."""
        kind = "float32" if bits.kind == "int32" else "float64"
        return Value(self, self.builder.bitcast(bits.llvm, self.type_of(kind)), kind)

    def clamp(self, x: Value, lowest: Number, highest: Number) -> Value:
        """Return the number in an interval that is nearest to `x`; nan stays nan."""
        above = self.select(x < lowest, x.like(lowest), x)
        return self.select(above > highest, x.like(highest), above)

    # polynomials

    def polynomial(self, x: Value, coefficients: Sequence[Number]) -> Value:
        """Return ``c[0] + c[1] x + c[2] x**2 + ...``."""
        if len(coefficients) > 6:
            # two chains that do not wait for each other, for the price of one product
            square, rest = x * x, coefficients[2:]
            even, odd = self._horner(square, rest[::2]), self._horner(square, rest[1::2])
            return self.polynomial_from(self.multiply_add(odd, x, even), x, coefficients[:2])
        return self._horner(x, coefficients)

    def _horner(self, x: Value, coefficients: Sequence[Number]) -> Value:
        return self.polynomial_from(x.like(coefficients[-1]), x, coefficients[:-1])

    def polynomial_from(self, tail: Value, x: Value, coefficients: Sequence[Number]) -> Value:
        """Return ``c[0] + c[1] x + ... + tail x**n`` for `n` coefficients."""
        for coefficient in reversed(coefficients):
            tail = self.multiply_add(tail, x, coefficient)
        return tail

    # functions

    def call(self, twin: Twin, *arguments: Value) -> Value:
        """Call another intrinsic, whose arguments are of the kinds that its formula expects."""
        record = INTRINSICS[twin.__name__]
        assert record.formula is not None
        assert record.kind_rule is not None
        if record.in_place:
            result: Value = record.formula(self, *arguments)
            return result
        resolved = record.kind_rule(tuple(argument.kind for argument in arguments))
        assert resolved is not None
        return self.inline(record.name, record.formula, resolved[1], *arguments)

    def inline(self, name: str, body: Formula, result: str, *arguments: Value) -> Value:
        """Call a formula as an LLVM function that the optimiser will inline.

        One copy a module and type, however often it is called, keeps the code handed to LLVM short.

        Parameters
        ----------
        name : str
            Unique among formulas.
        body : callable
            Takes an `Emitter` and one value an argument.
        result : str
            Kind of what `body` returns.
        *arguments : Value
            What it is called with.

        Returns
        -------
        Value
            Of kind `result`.
        """
        kinds = [argument.kind for argument in arguments]
        called = self.formula_function(name, body, result, kinds)
        if not self.lanes and set(kinds) == {result}:

            def of_vectors(lanes: int) -> Any:
                wide = Emitter(self.context, self.builder, lanes)
                return wide.formula_function(name, body, result, kinds)

            called = shared_form(called, of_vectors)
        returned = self.builder.call(called, [argument.llvm for argument in arguments])
        return Value(self, returned, result)

    def formula_function(self, name: str, body: Formula, result: str, kinds: Sequence[str]) -> Any:
        """Return the LLVM function of a formula, which the optimiser will inline; see `inline`."""
        symbol = "_".join(["jitgrad", name, *kinds, *([f"x{self.lanes}"] if self.lanes else [])])
        function = self.builder.module.globals.get(symbol)
        if function is None:
            signature = ir.FunctionType(self.type_of(result), list(map(self.type_of, kinds)))
            function = ir.Function(self.builder.module, signature, symbol)
            function.linkage = "internal"
            function.attributes.add("alwaysinline")
            function.attributes.add("nounwind")
            builder = ir.IRBuilder(function.append_basic_block())
            inner = Emitter(self.context, builder, self.lanes)
            parameters = [Value(inner, p, k) for p, k in zip(function.args, kinds, strict=True)]
            builder.ret(body(inner, *parameters).llvm)
        return function

    def rarely(
        self, condition: Value, name: str, body: Formula, usual: Value, *arguments: Value
    ) -> Value:
        """Return `usual`, except where a condition that seldom holds does: there call `body`.

        The one branch that formulas have, and loops are vectorised all the same: see `rare.py`.

        Parameters
        ----------
        condition : Value
            Whether to call.
        name : str
            Unique among formulas.
        body : callable
            Takes an `Emitter` and one value an argument; may branch and loop.
        usual : Value
            What is returned where the condition does not hold.
        *arguments : Value
            What `body` is called with, all of the kind of `usual`.

        Returns
        -------
        Value
            Of the kind of `usual`.
        """
        builder = self.builder
        kind = usual.kind
        symbol = "_".join(["jitgrad", name, kind])
        function = builder.module.globals.get(symbol)
        if function is None:
            function = declare_rare(builder.module, LLVM_TYPES[kind], len(arguments), symbol)
            inner = Emitter(self.context, ir.IRBuilder(function.append_basic_block()))
            result = body(inner, *(Value(inner, argument, kind) for argument in function.args))
            inner.builder.ret(result.llvm)
        if self.lanes:
            form = builder.module.globals[f"{symbol}_x{self.lanes}"]
            found = builder.call(form, [*(argument.llvm for argument in arguments), condition.llvm])
            return self.select(condition, Value(self, found, kind), usual)
        before = builder.block
        with builder.if_then(condition.llvm, likely=False):
            called = builder.call(function, [argument.llvm for argument in arguments])
            inside = builder.block
        merged = builder.phi(LLVM_TYPES[kind])
        merged.add_incoming(usual.llvm, before)
        merged.add_incoming(called, inside)
        return Value(self, merged, kind)

    # the C library

    def libm(self, name: str, *arguments: Value) -> Value:
        """Call a function of the C library, by the name of its form for ``double``."""
        kind = arguments[0].kind
        llvm_type = LLVM_TYPES[kind]
        symbol = name if kind == "float64" else f"{name}f"
        callee = self._declared(symbol, llvm_type, [llvm_type] * len(arguments))
        return Value(self, self.builder.call(callee, [a.llvm for a in arguments]), kind)

    # target

    def widen_vectors(self) -> None:
        """Let the function being built use the widest vectors that the target has.

        LLVM stays at half of them on most AVX-512 processors, to spare their clock frequency; for
        code made of multiplications that costs more than it gives.
        """
        add_attribute(self.builder.function, '"prefer-vector-width"="512"')
        # vectors that do not fit in registers are spilled to a stack aligned to 16 bytes, where
        # every access would touch two cache lines
        self.builder.function.attributes.alignstack = 64


@lru_cache(maxsize=8)
def _has_fma(triple: str, features: str) -> bool:
    architecture = triple.partition("-")[0]
    # an extension on x86 and old ARM, part of every other processor that Numba runs on
    optional = architecture.startswith(("x86", "i3", "i6", "armv"))
    return "+fma" in features.split(",") or not optional
