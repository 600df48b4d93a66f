"""Finds loops whose iterations touch different memory, which can be computed at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from jitgrad.loops.builder import Builder
from jitgrad.loops.program import (
    WHOLE,
    Array,
    Block,
    Combine,
    For,
    Index,
    Linear,
    Load,
    Number,
    Program,
    Scalar,
    Store,
    blocks_of,
    made_by,
    used_by,
)


def note_independence(program: Program) -> Program:
    """Note of innermost loops whether no iteration reads or writes what another one writes.

    Before and after: the same program; ``for j in range(n): y[j] += x[j] * y[n + j]`` is noted.
    """
    _note(program.body, Builder())
    return program


def _note(block: Block, bounds: Builder) -> None:
    for statement in block:
        if isinstance(statement, For):
            bounds.bound(statement.index, statement.start, statement.stop + -1)
            statement.is_independent = is_independent(statement, bounds)
        for inner in blocks_of(statement):
            _note(inner, bounds)


@dataclass(slots=True)
class _Accesses:
    read: list[Index] = field(default_factory=list)
    written: list[Index] = field(default_factory=list)


def is_independent(loop: For, bounds: Builder) -> bool:
    """Return whether no iteration of an innermost loop reads or writes what another one writes."""
    accesses: dict[Array, _Accesses] = {}
    changing = {scalar for statement in loop.body for scalar in made_by(statement)}
    changing |= {carry.inside for carry in loop.carries}
    for statement in loop.body:
        if blocks_of(statement):
            return False
        if isinstance(statement, (Load, Store)) and any(
            scalar in changing for entry in statement.index for scalar, _ in entry.terms
        ):
            return False
        if isinstance(statement, Load):
            accesses.setdefault(statement.array, _Accesses()).read.append(statement.index)
        elif isinstance(statement, Store):
            accesses.setdefault(statement.array, _Accesses()).written.append(statement.index)
    # The index of another iteration.
    other = Scalar(WHOLE)
    bounds.bound(other, loop.start, loop.stop + -1)
    return all(
        differ(write, access, loop.index, other, bounds)
        for found in accesses.values()
        for write in found.written
        for access in (*found.read, *found.written)
    )


def is_order_free(loop: For) -> bool:
    """Return whether the iterations of a loop may run in any order: at most they add numbers up."""
    if not loop.is_independent:
        return False
    used = Counter(number for statement in loop.body for number in used_by(statement))
    sums: dict[Number, Number] = {
        s.out: s.accumulator for s in loop.body if isinstance(s, Combine) and is_sum(s)
    }
    return all(
        sums.get(carry.following) is carry.inside and used[carry.inside] == 1
        for carry in loop.carries
    )


def is_sum(statement: Combine) -> bool:
    """Return whether an accumulator is one that numbers are added to."""
    return statement.node.primitive.name == "sum"


def differ(one: Index, two: Index, loop: Scalar, other: Scalar, bounds: Builder) -> bool:
    """Return whether two indices differ in different iterations."""
    elsewhere = tuple([entry.replace(loop, Linear.of(other)) for entry in two])
    if bounds.are_apart(one, elsewhere):
        return True
    return any(dict(a.terms).get(loop, 0) and a == b for a, b in zip(one, two, strict=True))
