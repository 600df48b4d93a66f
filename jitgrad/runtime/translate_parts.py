"""Long functions of generated source: many LLVM functions, each made once.

A deep network's layers, or the steps of a loop that was unrolled, differ in the names of their
arrays alone. What is kept in a frame (`frames.py`) is named by its place in it, and so one LLVM
function serves them all; compile time follows from what is different.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from llvmlite import ir
from numba.core import cgutils

from jitgrad.intrinsics.arrays import SHARED, scoped, sized
from jitgrad.intrinsics.declare import INTRINSICS
from jitgrad.intrinsics.emitter import LLVM_TYPES
from jitgrad.runtime.frames import Frame, fetch, keep
from jitgrad.runtime.function_text import may_move
from jitgrad.runtime.translate_arrays import STATUS, WORD
from jitgrad.runtime.translated_values import Framed, Scalar, Variable, View, pieces_of

if TYPE_CHECKING:
    from jitgrad.runtime.translate import Translator

# Statements without loops that are one LLVM function.
_MOST_SCALARS = 40


@dataclass(frozen=True, slots=True)
class _Part:
    """An LLVM function that does what some statements do.

    Parameters
    ----------
    function : llvmlite.ir.Function
        Of the frame, places of what it takes, and places of what it makes.
    made : tuple
        What it makes, by the number of its name; None for names that it does not bind.
    inner : Translator
        What has written it.
    """

    function: Any
    made: tuple[Any, ...]
    inner: Translator


class LongFunction:
    """Writes a long function.

    Parameters
    ----------
    outer : Translator
        Writes the function in which the parts are called, and knows its arguments.
    """

    def __init__(self, outer: Translator) -> None:
        self.outer = outer
        self.text = outer.text
        self.frame = Frame(outer.builder)
        self.parts: dict[Any, _Part] = {}
        outer.memory = self.frame.memory
        # Calls and hardly more: LLVM takes long to find that nothing can be made better.
        outer.builder.function.attributes.add("optnone")

    def take_words(self, words: Any, count: int) -> None:
        """Begin the frame with a copy of words in memory."""
        builder = self.outer.builder
        self.frame.extend(count)
        cgutils.raw_memcpy(builder, self.frame.memory, words, WORD(count), 8)

    def write(self, statements: Sequence[ast.stmt]) -> None:
        """Write all statements: loops as functions of their own, the others in groups."""
        self.put_in_frame()
        latest = {n: k for k, s in enumerate(statements) for n in self.text.names[s]}
        group: list[ast.stmt] = []

        def end_group(number: int) -> None:
            if group:
                wanted = [n for n in self.text.stored_in(group) if latest[n] >= number]
                self.call_part(group, wanted)
                group.clear()

        for number, statement in enumerate(statements):
            if self.tells_apart(statement):
                continue
            is_loop = isinstance(statement, (ast.For, ast.While))
            moves = may_move(statement)
            if is_loop or not moves or len(group) == _MOST_SCALARS:
                end_group(number)
            if not moves:
                self.outer.write(statement)
                self.put_in_frame()
                continue
            group.append(statement)
            if is_loop:
                end_group(number + 1)
        end_group(len(statements))

    def tells_apart(self, statement: ast.stmt) -> bool:
        """Give arrays types that say more, if that is what a statement does; there is no code."""
        names = self.outer.names
        match statement:
            case ast.Assign([ast.Tuple(targets)], ast.Call(ast.Name("disjoint"), arguments)):
                framed = [
                    names[argument.id] for argument in arguments if type(argument) is ast.Name
                ]
                apart = self.outer.apart([thing.like for thing in framed])
                for target, view, thing in zip(targets, apart, framed, strict=True):
                    assert isinstance(target, ast.Name)
                    names[target.id] = Framed(view, thing.place)
                return True
            case ast.Assign([ast.Name(target)], ast.Call(ast.Name("sized"), [_, *sizes])):
                thing = names[target]
                numbers = [self.outer.scalar(size) for size in sizes]
                record = INTRINSICS[sized.__name__]
                names[target] = replace(
                    thing, like=self.outer.lowered(record, [thing.like, *numbers])
                )
                return True
        return False

    def put_in_frame(self) -> None:
        """Move what names of the outer function stand for to the frame."""
        for name, thing in self.outer.names.items():
            if not isinstance(thing, Framed) and pieces_of(thing):
                place = self.frame.reserve(thing)
                keep(self.outer.builder, self.address(self.outer.builder, place), thing)
                self.outer.names[name] = Framed(thing, place)

    def address(self, builder: Any, place: int) -> Any:
        """Return the address of a place in the frame."""
        return builder.gep(self.frame.memory, [WORD(place)])

    def call_part(self, statements: list[ast.stmt], wanted: list[str]) -> None:
        """Write the call of the function that does what `statements` do.

        What these bind to names that are `wanted` later is put in the frame.
        """
        names = self.outer.names
        taken = {n: names[n] for n in self.text.names_in(statements) if n in names}
        framed = {name: thing for name, thing in taken.items() if isinstance(thing, Framed)}
        scopes: dict[str, str] = {}
        likes = {name: _in_shared_scope(thing.like, scopes) for name, thing in framed.items()}
        constants = {name: thing for name, thing in taken.items() if name not in framed}
        text, numbers = self.text.with_numbers(statements)
        key = (
            text,
            tuple([(numbers[name], _kind(like)) for name, like in likes.items()]),
            tuple([(numbers[n], c.kind, str(c.llvm), c.literal) for n, c in constants.items()]),
            tuple([numbers[name] for name in wanted]),
            tuple([numbers[n] for n in numbers if self.text.assigned[n] == 1]),
        )
        part = self.parts.get(key)
        if part is None:
            part = self.parts[key] = self.make_part(statements, likes, constants, wanted)
        places = [thing.place for thing in framed.values()]
        own_scopes = {shared: own for own, shared in scopes.items()}
        for name, like in zip(wanted, part.made, strict=True):
            place = 0
            if like is not None:
                made = _in_scope_of(like, own_scopes)
                names[name] = made
                if pieces_of(made):
                    place = self.frame.reserve(made)
                    names[name] = Framed(made, place)
            places.append(place)
        status = self.outer.builder.call(
            part.function, [self.frame.memory, *[WORD(place) for place in places]]
        )
        self.outer.go_on_if(status, part.inner)

    def make_part(
        self,
        statements: list[ast.stmt],
        likes: dict[str, Any],
        constants: dict[str, Scalar],
        wanted: list[str],
    ) -> _Part:
        """Write the function that does what `statements` do."""
        module = self.outer.builder.module
        words = [WORD] * (len(likes) + len(wanted))
        form = ir.FunctionType(STATUS, [WORD.as_pointer(), *words])
        function = ir.Function(module, form, module.get_unique_name("part"))
        function.linkage = "internal"
        function.attributes.add("noinline")
        builder = ir.IRBuilder(function.append_basic_block("begin"))
        inner = self.outer.beside(builder)
        inner.names.update(constants)
        memory, *places = function.args
        addresses = [builder.gep(memory, [place]) for place in places]
        held: list[tuple[Any, Any]] = []
        for (name, like), address in zip(likes.items(), addresses, strict=False):
            thing = fetch(builder, address, like)
            if isinstance(thing, Variable):
                thing = in_register(builder, thing, held)
            inner.names[name] = thing
        before = dict(inner.names)
        inner.body(statements)
        for slot, outside in held:
            builder.store(builder.load(slot), outside)
        made: list[Any] = []
        for name, address in zip(wanted, addresses[len(likes) :], strict=True):
            thing = inner.names.get(name)
            is_new = thing is not before.get(name)
            made.append(thing if is_new else None)
            if is_new:
                keep(builder, address, thing)
        inner.finish_part()
        return _Part(function, tuple(made), inner)


def in_register(builder: Any, outside: Variable, held: list[tuple[Any, Any]]) -> Variable:
    """Return a variable of the function being built in place of one in memory of another.

    It is in a register while it is computed with. What is `held` is to be stored at the end.
    """
    slot = cgutils.alloca_once(builder, LLVM_TYPES[outside.kind])
    builder.store(builder.load(outside.slot), slot)
    held.append((slot, outside.slot))
    return Variable(slot, outside.kind)


def _in_shared_scope(thing: Any, scopes: dict[str, str]) -> Any:
    """Return an array as one of a scope that the arrays of other parts have as well."""
    own = getattr(thing.type, "scope", None) if isinstance(thing, View) else None
    if own is None:
        return thing
    shared = scopes.setdefault(own, f"{SHARED} {len(scopes)}")
    return replace(thing, type=scoped(thing.type, shared))


def _in_scope_of(thing: Any, scopes: dict[str, str]) -> Any:
    own = getattr(thing.type, "scope", None) if isinstance(thing, View) else None
    return replace(thing, type=scoped(thing.type, scopes[own])) if own in scopes else thing


def _kind(thing: Any) -> Any:
    """Return what of something the code that computes with it depends on."""
    return thing.type if isinstance(thing, View) else (type(thing), thing.kind)
