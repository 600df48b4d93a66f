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
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from jitgrad.intrinsics.emitter import LLVM_TYPES
from jitgrad.intrinsics.shared import share_formulas
from jitgrad.runtime.access_groups import access_group, note_parallel
from jitgrad.runtime.frames import fetch
from jitgrad.runtime.function_text import FunctionText
from jitgrad.runtime.machine_code import UntranslatableError
from jitgrad.runtime.translate_arrays import STATUS, WORD
from jitgrad.runtime.translate_expressions import ExpressionWriter
from jitgrad.runtime.translate_parts import LongFunction, in_register
from jitgrad.runtime.translated_values import (
    Framed,
    Scalar,
    Variable,
    View,
    from_pieces,
    parameter,
    pieces_of,
)
from jitgrad.runtime.words import arguments_in, places

# Statements that are compiled as one LLVM function.
_MOST_IN_ONE = 60
# The status of a part that has returned from the whole function.
_ENDED = 2
# Calls of formulas beyond which they are not inlined.
_MOST_INLINED = 32


def translate(
    context: Any,
    builder: Any,
    namespace: dict[str, Any],
    text: FunctionText,
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
    text : FunctionText
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
    writer = _writer(context, builder, namespace, text)
    writer.function(
        [writer.received(a, kind) for a, kind in zip(arguments, argument_types, strict=True)]
    )


def translate_wide(
    context: Any,
    builder: Any,
    namespace: dict[str, Any],
    text: FunctionText,
    argument_types: Sequence[Any],
) -> None:
    """Write the LLVM code of a function whose arguments are words in memory; see `translate`."""
    words = builder.function.args[2]
    arguments = arguments_in(builder, context, words, argument_types)
    if len(builder.function.args) > 3:
        arguments[-1] = Scalar(builder.function.args[3], "int64")
    writer = _writer(context, builder, namespace, text)
    writer.function_of_words(arguments, words, *places(argument_types))


def _writer(
    context: Any, builder: Any, namespace: dict[str, Any], text: FunctionText
) -> Translator:
    if text.formulas > _MOST_INLINED:
        _, _, features = context.codegen().magic_tuple()
        share_formulas(builder.module, features)
    return Translator(context, builder, namespace, text)


class Translator(ExpressionWriter):
    """Writes the LLVM code of one function.

    Methods ``write_X`` are for nodes of class ``X`` of Python's syntax trees.

    Parameters
    ----------
    context : numba context
        Of the processor.
    builder : llvmlite.ir.IRBuilder
        At the beginning of the function.
    namespace : dict
        The globals of the Python function.
    text : FunctionText
        Its text.
    """

    def __init__(
        self, context: Any, builder: Any, namespace: dict[str, Any], text: FunctionText
    ) -> None:
        super().__init__(context, builder, namespace, text.assigned)
        self.text = text
        # Of the frame that the parts of a long function share.
        self.memory: Any = None
        # Where a return goes, once there is one.
        self.end: Any = None

    def function(self, arguments: Sequence[Any]) -> None:
        """Write the body; `arguments` are the function's as `Scalar` and `View`."""
        for named, argument in zip(self.text.tree.args.args, arguments, strict=True):
            self.bind(named.arg, argument)
        if self.text.count(self.text.tree.body) > _MOST_IN_ONE:
            LongFunction(self).write(self.text.tree.body)
        else:
            self.body(self.text.tree.body)
        self.finish()

    def function_of_words(
        self, arguments: Sequence[Any], words: Any, places: Sequence[int], count: int
    ) -> None:
        """Write the body, where arrays among the arguments lie in `count` words in memory."""
        long = LongFunction(self)
        long.take_words(words, count)
        names = [parameter.arg for parameter in self.text.tree.args.args]
        for name, thing, place in zip(names, arguments, places, strict=True):
            self.bind(name, Framed(thing, place) if isinstance(thing, View) else thing)
        long.write(self.text.tree.body)
        self.finish()

    def finish(self) -> None:
        """Write the end: where returns go, and what frees memory."""
        if self.end is not None:
            self.builder.branch(self.end)
            self.builder.position_at_end(self.end)
        for memory in self.allocated:
            self.call_c("free", ir.VoidType(), self.builder.load(memory))

    def beside(self, builder: Any) -> Translator:
        """Return what writes another LLVM function for statements of the same text."""
        return Translator(self.context, builder, self.namespace, self.text)

    def body(self, statements: Sequence[ast.stmt]) -> None:
        """Write statements; loops among many as functions, as LLVM takes longer for all in one."""
        if self.text.count(statements) <= _MOST_IN_ONE:
            for statement in statements:
                self.write(statement)
            return
        group: list[ast.stmt] = []
        for statement in statements:
            fits = isinstance(statement, ast.For) and self.text.counts[statement] <= _MOST_IN_ONE
            if group and (not fits or self.text.count([*group, statement]) > _MOST_IN_ONE):
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
        named = {n: self.thing(n) for n in self.text.names_in(statements) if n in self.names}
        given: list[Any] = []
        for thing in named.values():
            given += pieces_of(thing)
        module = self.builder.module
        form = ir.FunctionType(STATUS, [piece.type for piece in given])
        function = ir.Function(module, form, module.get_unique_name("part"))
        function.linkage = "internal"
        function.attributes.add("noinline")
        builder = ir.IRBuilder(function.append_basic_block("begin"))
        inner = self.beside(builder)
        pieces = iter(function.args)
        held: list[tuple[Any, Any]] = []
        for name, thing in named.items():
            inside = from_pieces(thing, pieces)
            if isinstance(inside, Variable):
                inside = in_register(builder, inside, held)
            inner.names[name] = inside
        inner.body(statements)
        for slot, outside in held:
            builder.store(builder.load(slot), outside)
        inner.finish_part()
        self.go_on_if(self.builder.call(function, given), inner)

    def finish_part(self) -> None:
        """Write the end of a function that is a part of another one: it tells whether to go on."""
        self.builder.ret(STATUS(0))
        if self.end is not None:
            self.builder.position_at_end(self.end)
            self.builder.ret(STATUS(_ENDED))

    def go_on_if(self, status: Any, part: Translator) -> None:
        """Write what follows a call of a part, unless it has failed or returned."""
        if part.may_fail:
            self.fail_if(self.builder.icmp_signed("==", status, STATUS(1)))
        if part.end is not None:
            with self.builder.if_then(self.builder.icmp_signed("==", status, STATUS(_ENDED))):
                self.builder.branch(self.ending())

    def ending(self) -> Any:
        """Return the block where the function ends."""
        if self.end is None:
            self.end = self.builder.append_basic_block("return")
        return self.end

    # -- names ----------------------------------------------------------------------------

    def bind(self, name: str, thing: Any) -> None:
        """Let a name stand for something from here on."""
        if not isinstance(thing, Scalar) or self.assigned[name] == 1:
            self.names[name] = thing
            return
        variable = self.thing(name)
        if not isinstance(variable, Variable):
            slot = cgutils.alloca_once(self.builder, LLVM_TYPES[thing.kind], name=name)
            variable = self.names[name] = Variable(slot, thing.kind)
        if variable.kind != thing.kind:
            raise UntranslatableError(f"{name} changes its type")
        self.builder.store(thing.llvm, variable.slot)

    def thing(self, name: str) -> Any:
        """Return what a name stands for, loaded where it lies in the frame; None if nothing."""
        found = self.names.get(name)
        if isinstance(found, Framed):
            address = self.builder.gep(self.memory, [WORD(found.place)])
            return fetch(self.builder, address, found.like)
        return found

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
    def independent(self, group: Any) -> Iterator[None]:
        """Note on loads and stores within that they belong to a loop of independent iterations."""
        before, self.group = self.group, group
        yield
        self.group = before

    @contextlib.contextmanager
    def loop(self) -> Iterator[None]:
        """Note that what is written is in a loop."""
        self.loops += 1
        yield
        self.loops -= 1

    # -- statements -----------------------------------------------------------------------

    def write(self, statement: ast.stmt) -> None:
        """Write a statement."""
        write = getattr(self, f"write_{type(statement).__name__}", None)
        if write is None:
            raise UntranslatableError(ast.unparse(statement))
        write(statement)

    def write_Pass(self, statement: ast.Pass) -> None:  # noqa: D102, N802
        pass

    def write_Expr(self, statement: ast.Expr) -> None:  # noqa: D102, N802
        if not isinstance(statement.value, ast.Constant):  # a docstring
            self.value(statement.value)

    def write_Return(self, statement: ast.Return) -> None:  # noqa: D102, N802
        if statement.value is not None:
            raise UntranslatableError(ast.unparse(statement))
        self.builder.branch(self.ending())

    def write_Assign(self, statement: ast.Assign) -> None:  # noqa: D102, N802
        value = self.value(statement.value)
        for target in statement.targets:
            self.assign(target, value)

    def write_AugAssign(self, statement: ast.AugAssign) -> None:  # noqa: D102, N802
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
        """Write what gives a name, names or an element a value."""
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

    def write_If(self, statement: ast.If) -> None:  # noqa: D102, N802
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

    def write_While(self, statement: ast.While) -> None:  # noqa: D102, N802
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

    def write_For(self, statement: ast.For) -> None:  # noqa: D102, N802
        call = statement.iter
        if not (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and call.func.id in ("range", "independent")
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
        group = access_group(builder) if call.func.id == "independent" else None
        with self.scope(), self.loop(), self.independent(group):
            index = Scalar(counter, "int64")
            if isinstance(self.thing(statement.target.id), Variable):
                self.bind(statement.target.id, index)
            else:
                self.names[statement.target.id] = index
            self.body(statement.body)
        following = builder.add(counter, self.word(step), flags=("nsw",))
        counter.add_incoming(following, builder.block)
        again = builder.cbranch(builder.icmp_signed("<", following, end), inside, after)
        if group is not None:
            note_parallel(builder, again, group)
        builder.position_at_end(after)

    # -- routines --------------------------------------------------------------------------

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
            text = _text_of(function)
            inner = Translator(self.context, builder, function.__globals__, text)
            parameters = iter(callee.args)
            inner.function([parameter(thing, parameters) for thing in arguments])
            builder.ret(STATUS(0))
        status = self.builder.call(callee, given)
        self.fail_if(self.builder.icmp_signed("!=", status, STATUS(0)))


@functools.cache
def _text_of(function: Any) -> FunctionText:
    source = textwrap.dedent(inspect.getsource(function))
    (tree,) = ast.parse(source).body
    assert isinstance(tree, ast.FunctionDef)
    return FunctionText(tree, source)
