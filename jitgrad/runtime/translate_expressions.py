"""LLVM code of the expressions in generated source.

Methods ``read_X`` are for nodes of class ``X`` of Python's syntax trees.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
from llvmlite import ir

from jitgrad.intrinsics.arrays import disjoint, note_scope, sized
from jitgrad.intrinsics.declare import INTRINSICS, Intrinsic
from jitgrad.intrinsics.emitter import LLVM_TYPES
from jitgrad.intrinsics.memory import block
from jitgrad.intrinsics.value import Value
from jitgrad.runtime.access_groups import note_access
from jitgrad.runtime.machine_code import UntranslatableError
from jitgrad.runtime.translate_arrays import WORD, ArrayWriter
from jitgrad.runtime.translated_values import (
    KINDS,
    NUMPY_TYPES,
    Scalar,
    Variable,
    View,
    arithmetic_kind,
    is_element,
    numba_type,
)

_CONTRACT = ("contract",)
_FLOAT_ARITHMETIC = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
_WHOLE_ARITHMETIC = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul"}
_RELATIONS = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
_FOLDED: dict[type, Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


class ExpressionWriter(ArrayWriter):
    """Writes LLVM code of expressions.

    Parameters
    ----------
    context : numba context
        Of the processor.
    builder : llvmlite.ir.IRBuilder
        Where the code goes.
    namespace : dict
        The globals of the Python function.
    assigned : dict
        How often each name is assigned in it.
    """

    def __init__(
        self, context: Any, builder: Any, namespace: dict[str, Any], assigned: dict[str, int]
    ) -> None:
        super().__init__(context, builder)
        self.namespace = namespace
        self.assigned = assigned
        self.names: dict[str, Any] = {}
        # How many loops are around what is written.
        self.loops = 0

    def thing(self, name: str) -> Any:
        """Return what a name stands for; None if nothing."""
        raise NotImplementedError

    def apart(self, arrays: Sequence[View]) -> tuple[View, ...]:
        """Return arrays as those of types that say that they share no memory."""
        type_rule = INTRINSICS[disjoint.__name__].type_rule
        assert type_rule is not None
        kinds = type_rule(*[array.type for array in arrays]).return_type
        return tuple([replace(a, type=t) for a, t in zip(arrays, kinds, strict=True)])

    def routine(self, function: Any, arguments: Sequence[Any]) -> None:
        """Call a function whose text is compiled with the kernel."""
        raise NotImplementedError

    def value(self, expression: ast.expr) -> Any:
        """Write what computes an expression; return a `Scalar`, a `View`, a tuple, a function."""
        read = getattr(self, f"read_{type(expression).__name__}", None)
        if read is None:
            raise UntranslatableError(ast.unparse(expression))
        return read(expression)

    def scalar(self, expression: ast.expr) -> Scalar:
        """Write what computes an expression that is a number."""
        found = self.value(expression)
        if not isinstance(found, Scalar):
            raise UntranslatableError(ast.unparse(expression))
        return found

    def read_Name(self, expression: ast.Name) -> Any:  # noqa: D102, N802
        found = self.thing(expression.id)
        if isinstance(found, Variable):
            return Scalar(self.builder.load(found.slot), found.kind)
        if found is not None:
            return found
        if expression.id in self.assigned or expression.id not in self.namespace:
            raise UntranslatableError(f"{expression.id} is not known here")
        thing = self.namespace[expression.id]
        return self.number(thing) if isinstance(thing, (int, float)) else thing

    def read_Constant(self, expression: ast.Constant) -> Scalar:  # noqa: D102, N802
        return self.number(expression.value)

    def number(self, number: Any) -> Scalar:
        """Return a number that the text says."""
        if isinstance(number, bool):
            return Scalar(ir.IntType(1)(int(number)), "bool")
        if isinstance(number, int):
            return Scalar(WORD(number), "int64", number)
        if isinstance(number, float):
            return Scalar(LLVM_TYPES["float64"](number), "float64")
        raise UntranslatableError(repr(number))

    def read_Tuple(self, expression: ast.Tuple) -> tuple[Any, ...]:  # noqa: D102, N802
        return tuple([self.value(element) for element in expression.elts])

    def read_BinOp(self, expression: ast.BinOp) -> Scalar:  # noqa: D102, N802
        left, right = self.scalar(expression.left), self.scalar(expression.right)
        operation = type(expression.op)
        kind = arithmetic_kind(left.kind, right.kind)
        if kind == "int64" and operation in (ast.FloorDiv, ast.Mod):
            is_quotient = operation is ast.FloorDiv
            return self.divided(self.word(left), self.word(right), is_quotient=is_quotient)
        if kind == "int64" and operation is ast.Div:
            kind = "float64"
        table = _FLOAT_ARITHMETIC if kind.startswith("float") else _WHOLE_ARITHMETIC
        if operation not in table:
            raise UntranslatableError(ast.unparse(expression))
        if left.literal is not None and right.literal is not None and operation in _FOLDED:
            return self.number(_FOLDED[operation](left.literal, right.literal))
        emit = getattr(self.builder, table[operation])
        flags = _CONTRACT if kind.startswith("float") else ()
        return Scalar(emit(self.cast(left, kind), self.cast(right, kind), flags=flags), kind)

    def read_UnaryOp(self, expression: ast.UnaryOp) -> Scalar:  # noqa: D102, N802
        operand = self.scalar(expression.operand)
        if isinstance(expression.op, ast.Not) and operand.kind == "bool":
            return Scalar(self.builder.not_(operand.llvm), "bool")
        if isinstance(expression.op, ast.USub) and operand.kind != "bool":
            if operand.literal is not None:
                return self.number(-operand.literal)
            if operand.kind.startswith("float"):
                if isinstance(operand.llvm, ir.Constant):
                    return Scalar(operand.llvm.type(-operand.llvm.constant), operand.kind)
                return Scalar(self.builder.fneg(operand.llvm, flags=_CONTRACT), operand.kind)
            return Scalar(self.builder.neg(self.cast(operand, "int64")), "int64")
        raise UntranslatableError(ast.unparse(expression))

    def read_BoolOp(self, expression: ast.BoolOp) -> Scalar:  # noqa: D102, N802
        # Both sides are computed: they have no effects, and what has no branches is vectorised.
        found = [self.scalar(operand) for operand in expression.values]
        if any(operand.kind != "bool" for operand in found):
            raise UntranslatableError(ast.unparse(expression))
        emit = self.builder.and_ if isinstance(expression.op, ast.And) else self.builder.or_
        total = found[0].llvm
        for operand in found[1:]:
            total = emit(total, operand.llvm)
        return Scalar(total, "bool")

    def read_Compare(self, expression: ast.Compare) -> Scalar:  # noqa: D102, N802
        if len(expression.ops) != 1 or type(expression.ops[0]) not in _RELATIONS:
            raise UntranslatableError(ast.unparse(expression))
        relation = _RELATIONS[type(expression.ops[0])]
        left, right = self.scalar(expression.left), self.scalar(expression.comparators[0])
        kind = arithmetic_kind(left.kind, right.kind)
        a, b = self.cast(left, kind), self.cast(right, kind)
        if not kind.startswith("float"):
            return Scalar(self.builder.icmp_signed(relation, a, b), "bool")
        compare = self.builder.fcmp_unordered if relation == "!=" else self.builder.fcmp_ordered
        return Scalar(compare(relation, a, b), "bool")

    def condition(self, expression: ast.expr) -> Any:
        """Write what computes whether an expression holds."""
        return self.cast(self.scalar(expression), "bool")

    # -- arrays ---------------------------------------------------------------------------

    def read_Attribute(self, expression: ast.Attribute) -> Any:  # noqa: D102, N802
        array = self.value(expression.value)
        if isinstance(array, ModuleType):
            return getattr(array, expression.attr)
        if isinstance(array, View):
            if expression.attr == "shape":
                return tuple([Scalar(size, "int64") for size in array.shape])
            if expression.attr == "size":
                return Scalar(self.product(array.shape), "int64")
            if expression.attr == "itemsize":
                return self.number(self.itemsize(array.type))
            if expression.attr == "dtype":
                return NUMPY_TYPES[array.type.dtype.name]
        raise UntranslatableError(ast.unparse(expression))

    def read_Subscript(self, expression: ast.Subscript) -> Any:  # noqa: D102, N802
        found = self.value(expression.value)
        entries = self.index(expression.slice)
        if isinstance(found, tuple):
            (entry,) = entries
            if not isinstance(entry, Scalar) or entry.literal is None:
                raise UntranslatableError(ast.unparse(expression))
            return found[entry.literal]
        if not isinstance(found, View):
            raise UntranslatableError(ast.unparse(expression))
        if not is_element(found, entries):
            return self.part(found, entries)
        loaded = self.builder.load(self.pointer(found, entries))
        note_scope(self.builder, loaded, found.type)
        note_access(loaded, self.group)
        return Scalar(self.model(found).from_data(self.builder, loaded), found.type.dtype.name)

    def index(self, expression: ast.expr) -> tuple[Any, ...]:
        """Return the entries of an index."""
        entries = expression.elts if isinstance(expression, ast.Tuple) else [expression]
        return tuple([self.entry(entry) for entry in entries])

    def entry(self, expression: ast.expr) -> Any:
        """Return an entry of an index: a number, or a slice of words."""
        if not isinstance(expression, ast.Slice):
            return self.scalar(expression)
        if expression.step is not None:
            raise UntranslatableError(ast.unparse(expression))
        ends = (expression.lower, expression.upper)
        return slice(*[None if end is None else self.word(self.value(end)) for end in ends])

    # -- calls ----------------------------------------------------------------------------

    def read_Call(self, expression: ast.Call) -> Any:  # noqa: D102, N802
        if expression.keywords:
            raise UntranslatableError(ast.unparse(expression))
        function = expression.func
        if isinstance(function, ast.Attribute) and function.attr == "reshape":
            array = self.value(function.value)
            sizes = [self.value(argument) for argument in expression.args]
            if len(sizes) == 1 and isinstance(sizes[0], tuple):
                sizes = list(sizes[0])
            return self.reshape(array, tuple(sizes))
        arguments = [self.value(argument) for argument in expression.args]
        if isinstance(function, ast.Name) and function.id in ("min", "max"):
            return self.extremum(function.id, arguments)
        called = self.value(function)
        if called in (np.zeros, np.empty):
            if self.loops or arguments[1] not in KINDS:
                raise UntranslatableError(ast.unparse(expression))
            return self.allocate(*arguments, is_zero=called is np.zeros)
        if isinstance(called, type) and called in KINDS:
            (number,) = arguments
            if not isinstance(number, Scalar):
                raise UntranslatableError(ast.unparse(expression))
            return Scalar(self.cast(number, KINDS[called]), KINDS[called])
        record = INTRINSICS.get(getattr(called, "__name__", ""))
        if record is None or called is not record.twin:
            raise UntranslatableError(ast.unparse(expression))
        if record.formula is not None:
            return self.formula(record, arguments)
        if record.routine is not None:
            return self.routine(record.routine, arguments)
        return self.lowered(record, arguments)

    def formula(self, record: Intrinsic, arguments: Sequence[Any]) -> Scalar:
        """Call an intrinsic of scalars."""
        assert record.kind_rule is not None
        if not all(isinstance(argument, Scalar) for argument in arguments):
            raise UntranslatableError(record.name)
        kinds = record.kind_rule(tuple([argument.kind for argument in arguments]))
        if kinds is None:
            raise UntranslatableError(record.name)
        self.emitter.widen_vectors()
        values = [
            Value(self.emitter, self.cast(argument, kind), kind)
            for argument, kind in zip(arguments, kinds[0], strict=True)
        ]
        return Scalar(self.emitter.call(record.twin, *values).llvm, kinds[1])

    def lowered(self, record: Intrinsic, arguments: Sequence[Any]) -> Any:
        """Call an intrinsic of arrays, tuples or types."""
        assert record.type_rule is not None
        assert record.lowering is not None
        signature = record.type_rule(*[numba_type(argument) for argument in arguments])
        if signature is None:
            raise UntranslatableError(record.name)
        # These only say where arrays are: as code they would be longer than most kernels.
        if record.twin is disjoint:
            return self.apart(arguments)
        if record.twin is sized:
            return replace(arguments[0], type=signature.return_type)
        if record.twin is block:
            return self.block(signature.return_type, *arguments[:3])
        given = [
            self.passed(argument, wanted)
            for argument, wanted in zip(arguments, signature.args, strict=True)
        ]
        result = record.lowering(self.context, self.builder, signature, given)
        return self.received(result, signature.return_type)
