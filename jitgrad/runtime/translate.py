"""From the text of a kernel to LLVM, without the front end of Numba.

Generated source uses little of Python: loops over ranges, conditions, scalars, elements of arrays,
intrinsics. For that much, finding out types takes one walk over its syntax tree, a twentieth of what
Numba's general analysis takes. Types, calling convention and the code of intrinsics are Numba's; what
this file does not know raises `UntranslatableError`, and Numba does it all.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import operator
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.arraydecl import get_array_index_type

from jitgrad.intrinsics.arrays import array_class, note_scope
from jitgrad.intrinsics.declare import INTRINSICS, Intrinsic
from jitgrad.intrinsics.emitter import LLVM_TYPES, Emitter
from jitgrad.intrinsics.structure import ArrayFields, array_structure
from jitgrad.intrinsics.value import Value
from jitgrad.runtime.machine_code import UntranslatableError

_WORD, _STATUS = ir.IntType(64), ir.IntType(32)
_CACHE_LINE = 64
# Statements that are compiled as one LLVM function.
_MOST_IN_ONE = 60
_KINDS = {
    np.float32: "float32",
    np.float64: "float64",
    np.int32: "int32",
    np.int64: "int64",
    np.bool_: "bool",
}
_NUMBA_TYPES = {
    "bool": types.boolean,
    "int32": types.int32,
    "int64": types.int64,
    "float32": types.float32,
    "float64": types.float64,
}
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


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number.

    Parameters
    ----------
    llvm : llvmlite.ir.Value
        What holds it.
    kind : str
        As the intrinsics name them: ``"float64"``.
    literal : int, optional
        Its value, where the text says it.
    """

    llvm: Any
    kind: str
    literal: int | None = None


@dataclass(frozen=True, slots=True)
class Variable:
    """A number that is assigned several times.

    Parameters
    ----------
    slot : llvmlite.ir.Value
        Its place on the stack.
    kind : str
        As of `Scalar`.
    """

    slot: Any
    kind: str


@dataclass(frozen=True, slots=True)
class View:
    """An array.

    Parameters
    ----------
    type : numba type
        Array, or one that shares no memory with others.
    data : llvmlite.ir.Value
        Address of the first element.
    shape, strides : tuple of llvmlite.ir.Value
        For each axis.
    structure : llvmlite.ir.Value, optional
        What holds all of it.
    """

    type: Any
    data: Any
    shape: tuple[Any, ...]
    strides: tuple[Any, ...]
    structure: Any = None


class Translator:
    """Writes the LLVM code of one function.

    Parameters
    ----------
    context : numba context
        Of the processor.
    builder : llvmlite.ir.IRBuilder
        At the beginning of the function.
    namespace : dict
        The globals of the Python function.
    tree : ast.FunctionDef
        Its text.
    """

    def __init__(
        self, context: Any, builder: Any, namespace: dict[str, Any], tree: ast.FunctionDef
    ) -> None:
        self.context = context
        self.builder = builder
        self.namespace = namespace
        self.tree = tree
        self.emitter = Emitter(context, builder)
        self.names: dict[str, Any] = {}
        self.assigned = _how_often_assigned(tree)
        # Where a return goes, once there is one.
        self.end: Any = None
        # How many loops are around what is written.
        self.loops = 0
        # Places of the addresses of memory that is freed at the end.
        self.allocated: list[Any] = []

    def translate(self, arguments: Sequence[Any]) -> None:
        """Write the body; `arguments` are the function's as `Scalar` and `View`."""
        for parameter, argument in zip(self.tree.args.args, arguments, strict=True):
            self.bind(parameter.arg, argument)
        self.body(self.tree.body)
        if self.end is not None:
            self.builder.branch(self.end)
            self.builder.position_at_end(self.end)
        for memory in self.allocated:
            self.call_c("free", ir.VoidType(), self.builder.load(memory))

    def body(self, statements: Sequence[ast.stmt]) -> None:
        """Write statements; loops among many as functions, as LLVM takes longer for all in one."""
        if _count(statements) <= _MOST_IN_ONE:
            for statement in statements:
                self.write(statement)
            return
        group: list[ast.stmt] = []
        for statement in statements:
            fits = isinstance(statement, ast.For) and _count([statement]) <= _MOST_IN_ONE
            if group and (not fits or _count([*group, statement]) > _MOST_IN_ONE):
                self.part_function(group)
                group = []
            if fits:
                group.append(statement)
            else:
                self.write(statement)
        if group:
            self.part_function(group)

    def part_function(self, statements: list[ast.stmt]) -> None:
        """Write statements as a function of its own, and the call of it."""
        named = {
            node.id: self.names[node.id]
            for statement in statements
            for node in ast.walk(statement)
            if isinstance(node, ast.Name) and node.id in self.names
        }
        given: list[Any] = []
        for thing in named.values():
            given += _pieces(thing)
        module = self.builder.module
        form = ir.FunctionType(ir.VoidType(), [piece.type for piece in given])
        function = ir.Function(module, form, module.get_unique_name("part"))
        function.linkage = "internal"
        function.attributes.add("noinline")
        builder = ir.IRBuilder(function.append_basic_block("begin"))
        inner = Translator(self.context, builder, self.namespace, self.tree)
        pieces = iter(function.args)
        held: list[tuple[Any, Any]] = []
        for name, thing in named.items():
            inside = _from_pieces(thing, pieces)
            if isinstance(inside, Variable):
                # In a register, not in memory of another function, while it is computed with.
                outside, slot = inside.slot, cgutils.alloca_once(builder, LLVM_TYPES[thing.kind])
                builder.store(builder.load(outside), slot)
                held.append((slot, outside))
                inside = Variable(slot, thing.kind)
            inner.names[name] = inside
        inner.body(statements)
        for slot, outside in held:
            builder.store(builder.load(slot), outside)
        builder.ret_void()
        self.builder.call(function, given)

    # -- names ----------------------------------------------------------------------------

    def bind(self, name: str, thing: Any) -> None:
        """Let a name stand for something from here on."""
        if not isinstance(thing, Scalar) or self.assigned[name] == 1:
            self.names[name] = thing
            return
        variable = self.names.get(name)
        if not isinstance(variable, Variable):
            slot = cgutils.alloca_once(self.builder, LLVM_TYPES[thing.kind], name=name)
            variable = self.names[name] = Variable(slot, thing.kind)
        if variable.kind != thing.kind:
            raise UntranslatableError(f"{name} changes its type")
        self.builder.store(thing.llvm, variable.slot)

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Forget at its end what is bound within, except for variables."""
        before = dict(self.names)
        yield
        made = {n: thing for n, thing in self.names.items() if isinstance(thing, Variable)}
        if any(self.names[name] is not thing for name, thing in before.items()):
            raise UntranslatableError("a name that stands for something else from a branch on")
        self.names = before | made

    @contextlib.contextmanager
    def loop(self) -> Iterator[None]:
        self.loops += 1
        yield
        self.loops -= 1

    # -- statements -----------------------------------------------------------------------

    def write(self, statement: ast.stmt) -> None:
        write = getattr(self, f"write_{type(statement).__name__}", None)
        if write is None:
            raise UntranslatableError(ast.unparse(statement))
        write(statement)

    def write_Pass(self, statement: ast.Pass) -> None:  # noqa: N802 - named by the node
        pass

    def write_Expr(self, statement: ast.Expr) -> None:  # noqa: N802
        if not isinstance(statement.value, ast.Constant):  # a docstring
            self.value(statement.value)

    def write_Return(self, statement: ast.Return) -> None:  # noqa: N802
        if statement.value is not None or self.loops:
            raise UntranslatableError(ast.unparse(statement))
        if self.end is None:
            self.end = self.builder.append_basic_block("return")
        self.builder.branch(self.end)

    def write_Assign(self, statement: ast.Assign) -> None:  # noqa: N802
        value = self.value(statement.value)
        for target in statement.targets:
            self.assign(target, value)

    def write_AugAssign(self, statement: ast.AugAssign) -> None:  # noqa: N802
        target = statement.target
        before: ast.expr
        if isinstance(target, ast.Name):
            before = ast.Name(target.id, ast.Load())
        elif isinstance(target, ast.Subscript):
            before = ast.Subscript(target.value, target.slice, ast.Load())
        else:
            raise UntranslatableError(ast.unparse(statement))
        self.assign(target, self.value(ast.BinOp(before, statement.op, statement.value)))

    def assign(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            self.bind(target.id, value)
        elif isinstance(target, ast.Tuple) and isinstance(value, tuple):
            for element, part in zip(target.elts, value, strict=True):
                self.assign(element, part)
        elif isinstance(target, ast.Subscript):
            view, entries = self.value(target.value), self.index(target.slice)
            self.store(view, entries, value)
        else:
            raise UntranslatableError(ast.unparse(target))

    def write_If(self, statement: ast.If) -> None:  # noqa: N802
        condition = self.condition(statement.test)
        if statement.orelse:
            with self.builder.if_else(condition) as (then, otherwise):
                with then, self.scope():
                    self.body(statement.body)
                with otherwise, self.scope():
                    self.body(statement.orelse)
        else:
            with self.builder.if_then(condition), self.scope():
                self.body(statement.body)

    def write_While(self, statement: ast.While) -> None:  # noqa: N802
        builder = self.builder
        again, inside, after = (builder.append_basic_block(n) for n in ("again", "body", "after"))
        builder.branch(again)
        builder.position_at_end(again)
        builder.cbranch(self.condition(statement.test), inside, after)
        builder.position_at_end(inside)
        with self.scope(), self.loop():
            self.body(statement.body)
        builder.branch(again)
        builder.position_at_end(after)

    def write_For(self, statement: ast.For) -> None:  # noqa: N802
        call = statement.iter
        if not (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and call.func.id == "range"
            and isinstance(statement.target, ast.Name)
        ):
            raise UntranslatableError(ast.unparse(call))
        bounds = [self.word(self.value(argument)) for argument in call.args]
        start, end = (_WORD(0), bounds[0]) if len(bounds) == 1 else bounds[:2]
        step = self.value(call.args[2]) if len(bounds) == 3 else Scalar(_WORD(1), "int64", 1)
        # One that is computed is taken to be positive: a loop downwards is written with a constant.
        if step.literal is not None and step.literal < 1:
            raise UntranslatableError("the step of a range")
        builder = self.builder
        before = builder.block
        inside, after = builder.append_basic_block("loop"), builder.append_basic_block("end")
        builder.cbranch(builder.icmp_signed("<", start, end), inside, after)
        builder.position_at_end(inside)
        counter = builder.phi(_WORD, statement.target.id)
        counter.add_incoming(start, before)
        with self.scope(), self.loop():
            index = Scalar(counter, "int64")
            if isinstance(self.names.get(statement.target.id), Variable):
                self.bind(statement.target.id, index)
            else:
                self.names[statement.target.id] = index
            self.body(statement.body)
        following = builder.add(counter, self.word(step), flags=("nsw",))
        counter.add_incoming(following, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, end), inside, after)
        builder.position_at_end(after)

    # -- expressions ----------------------------------------------------------------------

    def value(self, expression: ast.expr) -> Any:
        """Write what computes an expression; return a `Scalar`, a `View`, a tuple, a function."""
        read = getattr(self, f"read_{type(expression).__name__}", None)
        if read is None:
            raise UntranslatableError(ast.unparse(expression))
        return read(expression)

    def scalar(self, expression: ast.expr) -> Scalar:
        found = self.value(expression)
        if not isinstance(found, Scalar):
            raise UntranslatableError(ast.unparse(expression))
        return found

    def read_Name(self, expression: ast.Name) -> Any:  # noqa: N802
        found = self.names.get(expression.id)
        if isinstance(found, Variable):
            return Scalar(self.builder.load(found.slot), found.kind)
        if found is not None:
            return found
        if expression.id in self.assigned or expression.id not in self.namespace:
            raise UntranslatableError(f"{expression.id} is not known here")
        thing = self.namespace[expression.id]
        return self.number(thing) if isinstance(thing, (int, float)) else thing

    def read_Constant(self, expression: ast.Constant) -> Scalar:  # noqa: N802
        return self.number(expression.value)

    def number(self, number: Any) -> Scalar:
        if isinstance(number, bool):
            return Scalar(ir.IntType(1)(int(number)), "bool")
        if isinstance(number, int):
            return Scalar(_WORD(number), "int64", number)
        if isinstance(number, float):
            return Scalar(LLVM_TYPES["float64"](number), "float64")
        raise UntranslatableError(repr(number))

    def read_Tuple(self, expression: ast.Tuple) -> tuple[Any, ...]:  # noqa: N802
        return tuple([self.value(element) for element in expression.elts])

    def read_BinOp(self, expression: ast.BinOp) -> Scalar:  # noqa: N802
        left, right = self.scalar(expression.left), self.scalar(expression.right)
        operation = type(expression.op)
        kind = _arithmetic_kind(left.kind, right.kind)
        if kind == "int64" and operation in (ast.FloorDiv, ast.Mod):
            return self.divided(operation, self.word(left), self.word(right))
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

    def divided(self, operation: type, a: Any, b: Any) -> Scalar:
        """Return the quotient rounded down, or the remainder with the sign of `b`."""
        builder = self.builder
        zero = _WORD(0)
        # Processors trap a division by zero; the result does not matter.
        divisor = builder.select(builder.icmp_signed("==", b, zero), _WORD(1), b)
        quotient = builder.sdiv(a, divisor)
        rest = builder.sub(a, builder.mul(quotient, divisor))
        differs = builder.icmp_signed("<", builder.xor(rest, divisor), zero)
        too_high = builder.and_(builder.icmp_signed("!=", rest, zero), differs)
        if operation is ast.FloorDiv:
            return Scalar(builder.sub(quotient, builder.zext(too_high, _WORD)), "int64")
        return Scalar(builder.select(too_high, builder.add(rest, divisor), rest), "int64")

    def read_UnaryOp(self, expression: ast.UnaryOp) -> Scalar:  # noqa: N802
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

    def read_BoolOp(self, expression: ast.BoolOp) -> Scalar:  # noqa: N802
        # Both sides are computed: they have no effects, and what has no branches is vectorised.
        found = [self.scalar(operand) for operand in expression.values]
        if any(operand.kind != "bool" for operand in found):
            raise UntranslatableError(ast.unparse(expression))
        emit = self.builder.and_ if isinstance(expression.op, ast.And) else self.builder.or_
        total = found[0].llvm
        for operand in found[1:]:
            total = emit(total, operand.llvm)
        return Scalar(total, "bool")

    def read_Compare(self, expression: ast.Compare) -> Scalar:  # noqa: N802
        if len(expression.ops) != 1 or type(expression.ops[0]) not in _RELATIONS:
            raise UntranslatableError(ast.unparse(expression))
        relation = _RELATIONS[type(expression.ops[0])]
        left, right = self.scalar(expression.left), self.scalar(expression.comparators[0])
        kind = _arithmetic_kind(left.kind, right.kind)
        a, b = self.cast(left, kind), self.cast(right, kind)
        if not kind.startswith("float"):
            return Scalar(self.builder.icmp_signed(relation, a, b), "bool")
        compare = self.builder.fcmp_unordered if relation == "!=" else self.builder.fcmp_ordered
        return Scalar(compare(relation, a, b), "bool")

    def condition(self, expression: ast.expr) -> Any:
        return self.cast(self.scalar(expression), "bool")

    def cast(self, number: Scalar, kind: str) -> Any:
        """Return the LLVM value of a number in another kind."""
        if number.kind == kind:
            return number.llvm
        constant = number.llvm
        if isinstance(constant, ir.Constant) and kind.startswith("float"):
            return LLVM_TYPES[kind](float(_NUMPY_TYPES[kind](constant.constant)))
        if number.literal is not None and kind == "int32":
            return LLVM_TYPES[kind](number.literal)
        return self.emitter.cast(Value(self.emitter, number.llvm, number.kind), kind).llvm

    def word(self, number: Any) -> Any:
        """Return a whole number as it counts or indexes."""
        if not isinstance(number, Scalar) or not number.kind.startswith("int"):
            raise UntranslatableError("an index of another type")
        return self.cast(number, "int64")

    # -- arrays ---------------------------------------------------------------------------

    def read_Attribute(self, expression: ast.Attribute) -> Any:  # noqa: N802
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
                return _NUMPY_TYPES[array.type.dtype.name]
        raise UntranslatableError(ast.unparse(expression))

    def read_Subscript(self, expression: ast.Subscript) -> Any:  # noqa: N802
        found = self.value(expression.value)
        entries = self.index(expression.slice)
        if isinstance(found, tuple):
            (entry,) = entries
            if not isinstance(entry, Scalar) or entry.literal is None:
                raise UntranslatableError(ast.unparse(expression))
            return found[entry.literal]
        if not isinstance(found, View):
            raise UntranslatableError(ast.unparse(expression))
        if not _is_element(found, entries):
            return self.part(found, entries)
        loaded = self.builder.load(self.pointer(found, entries))
        note_scope(self.builder, loaded, found.type)
        return Scalar(self.model(found).from_data(self.builder, loaded), found.type.dtype.name)

    def index(self, expression: ast.expr) -> tuple[Any, ...]:
        entries = expression.elts if isinstance(expression, ast.Tuple) else [expression]
        return tuple([self.entry(entry) for entry in entries])

    def entry(self, expression: ast.expr) -> Any:
        if not isinstance(expression, ast.Slice):
            return self.scalar(expression)
        if expression.step is not None:
            raise UntranslatableError(ast.unparse(expression))
        ends = (expression.lower, expression.upper)
        return slice(*[None if end is None else self.word(self.value(end)) for end in ends])

    def store(self, view: Any, entries: tuple[Any, ...], value: Any) -> None:
        if not isinstance(view, View) or not isinstance(value, Scalar):
            raise UntranslatableError("an element that is no number")
        if entries == (slice(None),) and len(view.shape) == 1:
            with cgutils.for_range(self.builder, view.shape[0]) as loop:
                self.store(view, (Scalar(loop.index, "int64"),), value)
            return
        if not _is_element(view, entries):
            raise UntranslatableError("an assignment to a part of an array")
        pointer = self.pointer(view, entries)
        cast = self.cast(value, view.type.dtype.name)
        stored = self.builder.store(self.model(view).as_data(self.builder, cast), pointer)
        note_scope(self.builder, stored, view.type)

    def model(self, view: View) -> Any:
        return self.context.data_model_manager[view.type.dtype]

    def pointer(self, view: View, entries: tuple[Any, ...]) -> Any:
        """Write what computes the address of an element."""
        builder = self.builder
        indices = [self.word(entry) for entry in entries]
        if view.type.layout != "C":
            return self.moved(view, indices, view.strides)
        place: Any = None
        for index, size in zip(indices, view.shape, strict=True):
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
                start = _WORD(0) if entry.start is None else entry.start
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
            array_type = array_class()(array_type, view.type.scope)
        return self.contiguous(array_type, view.data, shape)

    def contiguous(self, array_type: Any, data: Any, shape: Sequence[Any]) -> View:
        strides: list[Any] = []
        stride = _WORD(self.itemsize(array_type))
        for size in reversed(shape):
            strides.insert(0, stride)
            stride = self.builder.mul(stride, size)
        return View(array_type, data, tuple(shape), tuple(strides))

    def product(self, sizes: Sequence[Any]) -> Any:
        total = _WORD(1)
        for size in sizes:
            total = self.builder.mul(total, size)
        return total

    def itemsize(self, array_type: Any) -> int:
        size: int = self.context.get_abi_sizeof(self.context.get_data_type(array_type.dtype))
        return size

    # -- calls ----------------------------------------------------------------------------

    def read_Call(self, expression: ast.Call) -> Any:  # noqa: N802
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
            return self.allocate(*arguments, is_zero=called is np.zeros)
        if isinstance(called, type) and called in _KINDS:
            (number,) = arguments
            if not isinstance(number, Scalar):
                raise UntranslatableError(ast.unparse(expression))
            return Scalar(self.cast(number, _KINDS[called]), _KINDS[called])
        record = INTRINSICS.get(getattr(called, "__name__", ""))
        if record is None or called is not record.twin:
            raise UntranslatableError(ast.unparse(expression))
        if record.formula is not None:
            return self.formula(record, arguments)
        if record.routine is not None:
            return self.routine(record.routine, arguments)
        return self.lowered(record, arguments)

    def extremum(self, which: str, numbers: Sequence[Any]) -> Scalar:
        words = [self.word(number) for number in numbers]
        found = words[0]
        for word in words[1:]:
            better = self.builder.icmp_signed("<" if which == "min" else ">", word, found)
            found = self.builder.select(better, word, found)
        return Scalar(found, "int64")

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
        signature = record.type_rule(*[_numba_type(argument) for argument in arguments])
        if signature is None:
            raise UntranslatableError(record.name)
        given = [
            self.passed(argument, wanted)
            for argument, wanted in zip(arguments, signature.args, strict=True)
        ]
        result = record.lowering(self.context, self.builder, signature, given)
        return self.received(result, signature.return_type)

    def routine(self, function: Any, arguments: Sequence[Any]) -> None:
        """Call a function whose text is compiled with the kernel, once for each kind of arguments.

        Its arrays are taken to lie in C order; of scopes it knows nothing.
        """
        if not all(isinstance(a, Scalar) or a.type.layout == "C" for a in arguments):
            raise UntranslatableError(function.__name__)
        given: list[Any] = []
        for thing in arguments:
            if isinstance(thing, View):
                given += [thing.data, *thing.shape, *thing.strides]
            else:
                given.append(self.word(thing))
        kinds = [
            f"{thing.type.dtype.name}_{len(thing.shape)}" if isinstance(thing, View) else "word"
            for thing in arguments
        ]
        module = self.builder.module
        name = ".".join([function.__name__, *kinds])
        callee = module.globals.get(name)
        if callee is None:
            callee = ir.Function(module, ir.FunctionType(_STATUS, [g.type for g in given]), name)
            callee.linkage = "internal"
            # They are long; one that is inlined would be compiled anew for each call.
            callee.attributes.add("noinline")
            builder = ir.IRBuilder(callee.append_basic_block("begin"))
            inner = Translator(self.context, builder, function.__globals__, _tree_of(function))
            parameters = iter(callee.args)
            inner.translate([_parameter(thing, parameters) for thing in arguments])
            builder.ret(_STATUS(0))
        status = self.builder.call(callee, given)
        self.fail_if(self.builder.icmp_signed("!=", status, _STATUS(0)))

    def fail_if(self, condition: Any) -> None:
        """Leave the function where no memory was left."""
        with self.builder.if_then(condition, likely=False):
            self.builder.ret(_STATUS(1))

    def allocate(self, size: Any, dtype: Any, *, is_zero: bool) -> View:
        """Return new memory for an array of one axis, which is freed at the end of the function."""
        if self.loops or dtype not in _KINDS:
            raise UntranslatableError("memory for each iteration of a loop")
        builder = self.builder
        byte = ir.IntType(8)
        array_type = types.Array(_NUMBA_TYPES[_KINDS[dtype]], 1, "C")
        count = self.word(size)
        number = builder.mul(count, _WORD(self.itemsize(array_type)))
        memory = self.call_c("malloc", byte.as_pointer(), builder.add(number, _WORD(_CACHE_LINE)))
        slot = cgutils.alloca_once(builder, byte.as_pointer(), zfill=True)
        builder.store(memory, slot)
        self.allocated.append(slot)
        self.fail_if(cgutils.is_null(builder, memory))
        address = builder.add(builder.ptrtoint(memory, _WORD), _WORD(_CACHE_LINE - 1))
        address = builder.and_(address, _WORD(-_CACHE_LINE))
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

    def passed(self, thing: Any, wanted: Any) -> Any:
        """Return the LLVM value of an argument."""
        if isinstance(thing, Scalar):
            return self.cast(thing, types.unliteral(wanted).name)
        if isinstance(thing, tuple):
            return self.context.make_tuple(
                self.builder, wanted, [self.passed(t, w) for t, w in zip(thing, wanted, strict=True)]
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


def _count(statements: Sequence[ast.stmt]) -> int:
    """Return how many statements there are, those within others included."""
    return sum(isinstance(node, ast.stmt) for s in statements for node in ast.walk(s))


def _pieces(thing: Any) -> list[Any]:
    """Return the LLVM values that something bound to a name consists of."""
    if isinstance(thing, View):
        return [thing.data, *thing.shape, *thing.strides]
    if isinstance(thing, Variable):
        return [thing.slot]
    if not isinstance(thing, Scalar):
        raise UntranslatableError(repr(thing))
    return [] if isinstance(thing.llvm, ir.Constant) else [thing.llvm]


def _from_pieces(like: Any, pieces: Iterator[Any]) -> Any:
    """Return the same kind of thing, made of other LLVM values."""
    if isinstance(like, View):
        axes = range(len(like.shape))
        data = next(pieces)
        shape = tuple([next(pieces) for _ in axes])
        return View(like.type, data, shape, tuple([next(pieces) for _ in axes]))
    if isinstance(like, Variable):
        return Variable(next(pieces), like.kind)
    return like if isinstance(like.llvm, ir.Constant) else Scalar(next(pieces), like.kind)


def _parameter(like: Any, parameters: Iterator[Any]) -> Any:
    """Return what a function's parameters hold for an argument."""
    if isinstance(like, Scalar):
        return Scalar(next(parameters), "int64")
    axes = range(len(like.shape))
    data = next(parameters)
    shape = tuple([next(parameters) for _ in axes])
    strides = tuple([next(parameters) for _ in axes])
    return View(types.Array(like.type.dtype, len(shape), "C"), data, shape, strides)


@functools.cache
def _tree_of(function: Any) -> ast.FunctionDef:
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(tree, ast.FunctionDef)
    return tree


_NUMPY_TYPES = {kind: numpy_type for numpy_type, kind in _KINDS.items()}


def _arithmetic_kind(a: str, b: str) -> str:
    """Return the kind in which Numba computes with two numbers."""
    floats = [kind for kind in (a, b) if kind.startswith("float")]
    if not floats:
        return "int64"
    if "bool" in (a, b):
        raise UntranslatableError("arithmetic with truth values")
    return "float32" if floats == ["float32", "float32"] else "float64"


def _is_element(view: View, entries: tuple[Any, ...]) -> bool:
    return len(entries) == len(view.shape) and all(isinstance(e, Scalar) for e in entries)


def _numba_type(thing: Any) -> Any:
    if isinstance(thing, View):
        return thing.type
    if isinstance(thing, tuple):
        return types.Tuple([_numba_type(part) for part in thing])
    if isinstance(thing, Scalar):
        return _NUMBA_TYPES[thing.kind] if thing.literal is None else types.literal(thing.literal)
    if isinstance(thing, type) and thing in _KINDS:
        return types.NumberClass(_NUMBA_TYPES[_KINDS[thing]])
    raise UntranslatableError(repr(thing))


def _how_often_assigned(tree: ast.FunctionDef) -> dict[str, int]:
    found = {parameter.arg: 1 for parameter in tree.args.args}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found[node.id] = found.get(node.id, 0) + 1
    return found
