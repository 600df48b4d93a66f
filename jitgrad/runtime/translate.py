"""From the text of a kernel to LLVM, without the front end of Numba.

Generated source uses little of Python: loops over ranges, conditions, scalars, elements of arrays,
intrinsics. For that much, finding out types takes one walk over its syntax tree, a small part of
the time of Numba's general analysis. Types, calling convention and the code of intrinsics are
Numba's; what this file does not know raises `UntranslatableError`, and Numba does it all.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import operator
import textwrap
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils

from jitgrad.intrinsics.arrays import note_scope
from jitgrad.intrinsics.declare import INTRINSICS, Intrinsic
from jitgrad.intrinsics.emitter import LLVM_TYPES
from jitgrad.intrinsics.value import Value
from jitgrad.runtime.machine_code import UntranslatableError
from jitgrad.runtime.translate_arrays import STATUS, WORD, ArrayWriter
from jitgrad.runtime.translated_values import (
    KINDS,
    NUMPY_TYPES,
    Scalar,
    Variable,
    View,
    arithmetic_kind,
    from_pieces,
    is_element,
    numba_type,
    parameter,
    pieces_of,
)

# Statements that are compiled as one LLVM function.
_MOST_IN_ONE = 60
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


def translate(
    context: Any,
    builder: Any,
    namespace: dict[str, Any],
    tree: ast.FunctionDef,
    arguments: Sequence[Any],
    argument_types: Sequence[Any],
) -> None:
    """Write the LLVM code of a function of generated source.

    Parameters
    ----------
    context : numba context
        Of the processor.
    builder : llvmlite.ir.IRBuilder
        At the beginning of the function; stands at its end afterwards.
    namespace : dict
        The globals of the Python function.
    tree : ast.FunctionDef
        Its text.
    arguments : sequence of llvmlite.ir.Value
        What it is called with.
    argument_types : sequence of numba type
        Their types.

    Raises
    ------
    UntranslatableError
        If the text holds what only Numba itself knows to compile.
    """
    writer = _Translator(context, builder, namespace, tree, _how_often_assigned(tree))
    writer.function(
        [writer.received(a, kind) for a, kind in zip(arguments, argument_types, strict=True)]
    )


class _Translator(ArrayWriter):
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
    assigned : dict
        How often each name is assigned in it.
    """

    def __init__(
        self,
        context: Any,
        builder: Any,
        namespace: dict[str, Any],
        tree: ast.FunctionDef,
        assigned: dict[str, int],
    ) -> None:
        super().__init__(context, builder)
        self.namespace = namespace
        self.tree = tree
        self.names: dict[str, Any] = {}
        self.assigned = assigned
        # Where a return goes, once there is one.
        self.end: Any = None
        # How many loops are around what is written.
        self.loops = 0

    def function(self, arguments: Sequence[Any]) -> None:
        """Write the body; `arguments` are the function's as `Scalar` and `View`."""
        for named, argument in zip(self.tree.args.args, arguments, strict=True):
            self.bind(named.arg, argument)
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
            given += pieces_of(thing)
        module = self.builder.module
        form = ir.FunctionType(ir.VoidType(), [piece.type for piece in given])
        function = ir.Function(module, form, module.get_unique_name("part"))
        function.linkage = "internal"
        function.attributes.add("noinline")
        builder = ir.IRBuilder(function.append_basic_block("begin"))
        inner = _Translator(self.context, builder, self.namespace, self.tree, self.assigned)
        pieces = iter(function.args)
        held: list[tuple[Any, Any]] = []
        for name, thing in named.items():
            inside = from_pieces(thing, pieces)
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
        start, end = (WORD(0), bounds[0]) if len(bounds) == 1 else bounds[:2]
        step = self.value(call.args[2]) if len(bounds) == 3 else Scalar(WORD(1), "int64", 1)
        # One that is computed is taken to be positive: a loop downwards is written with a constant.
        if step.literal is not None and step.literal < 1:
            raise UntranslatableError("the step of a range")
        builder = self.builder
        before = builder.block
        inside, after = builder.append_basic_block("loop"), builder.append_basic_block("end")
        builder.cbranch(builder.icmp_signed("<", start, end), inside, after)
        builder.position_at_end(inside)
        counter = builder.phi(WORD, statement.target.id)
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
            return Scalar(WORD(number), "int64", number)
        if isinstance(number, float):
            return Scalar(LLVM_TYPES["float64"](number), "float64")
        raise UntranslatableError(repr(number))

    def read_Tuple(self, expression: ast.Tuple) -> tuple[Any, ...]:  # noqa: N802
        return tuple([self.value(element) for element in expression.elts])

    def read_BinOp(self, expression: ast.BinOp) -> Scalar:  # noqa: N802
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
        kind = arithmetic_kind(left.kind, right.kind)
        a, b = self.cast(left, kind), self.cast(right, kind)
        if not kind.startswith("float"):
            return Scalar(self.builder.icmp_signed(relation, a, b), "bool")
        compare = self.builder.fcmp_unordered if relation == "!=" else self.builder.fcmp_ordered
        return Scalar(compare(relation, a, b), "bool")

    def condition(self, expression: ast.expr) -> Any:
        return self.cast(self.scalar(expression), "bool")

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
                return NUMPY_TYPES[array.type.dtype.name]
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
        if not is_element(found, entries):
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
            callee = ir.Function(module, ir.FunctionType(STATUS, [g.type for g in given]), name)
            callee.linkage = "internal"
            # They are long; one that is inlined would be compiled anew for each call.
            callee.attributes.add("noinline")
            builder = ir.IRBuilder(callee.append_basic_block("begin"))
            tree = _tree_of(function)
            names = _how_often_assigned(tree)
            inner = _Translator(self.context, builder, function.__globals__, tree, names)
            parameters = iter(callee.args)
            inner.function([parameter(thing, parameters) for thing in arguments])
            builder.ret(STATUS(0))
        status = self.builder.call(callee, given)
        self.fail_if(self.builder.icmp_signed("!=", status, STATUS(0)))


def _how_often_assigned(tree: ast.FunctionDef) -> dict[str, int]:
    found = {parameter.arg: 1 for parameter in tree.args.args}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found[node.id] = found.get(node.id, 0) + 1
    return found


@functools.cache
def _tree_of(function: Any) -> ast.FunctionDef:
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(tree, ast.FunctionDef)
    return tree


def _count(statements: Sequence[ast.stmt]) -> int:
    """Return how many statements there are, those within others included."""
    return sum(isinstance(node, ast.stmt) for s in statements for node in ast.walk(s))
