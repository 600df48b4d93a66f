"""Leaves out of a loop program what nobody looks at."""

from __future__ import annotations

from collections.abc import Iterable

from jitgrad.loops.program import (
    Apply,
    Array,
    Block,
    Carry,
    Combine,
    Count,
    For,
    If,
    Index,
    Linear,
    Load,
    Number,
    Program,
    Scalar,
    Statement,
    Store,
    While,
    statements,
    used_by,
)


def prune(program: Program, needed: Iterable[Array] = ()) -> Program:
    """Return a program without what neither its outputs nor memory that is `needed` depend on.

    Before: ``v = x[i]; w = v * v; t[i] = w; y[i] = v``, where nobody reads ``t``.
    After: ``v = x[i]; y[i] = v``.
    """
    wanted = {*program.outputs, *needed}
    body, before = program.body, -1
    while before != (size := sum(1 for _ in statements(body))):
        before = size
        read = {s.array for s in statements(body) if isinstance(s, Load)}
        body = _Pruning(wanted | read).block(body, set())
    used = {s.array for s in statements(body) if isinstance(s, (Load, Store))}
    temporaries = [array for array in program.temporaries if array in used]
    return Program(program.inputs, program.counts, program.outputs, temporaries, body)


class _Pruning:
    def __init__(self, arrays: set[Array]) -> None:
        self.arrays = arrays
        # Whether to find out what would be left, and change nothing.
        self.trying = False

    def block(self, block: Block, live: set[Scalar]) -> Block:
        """Return what is left of a block; `live` is read after it, and then before it."""
        kept: Block = []
        for statement in reversed(block):
            if self.is_needed(statement, live):
                kept.append(statement)
        kept.reverse()
        return kept

    def is_needed(self, statement: Statement, live: set[Scalar]) -> bool:
        """Return whether a statement stays; what it reads is live then."""
        if isinstance(statement, (For, While)):
            return self.loop(statement, live)
        if isinstance(statement, If):
            return self.branch(statement, live)
        if isinstance(statement, Store) and statement.array not in self.arrays:
            return False
        if isinstance(statement, (Apply, Combine, Count, Load)) and statement.out not in live:
            return False
        live.update(used_by(statement))
        return True

    def branch(self, statement: If, live: set[Scalar]) -> bool:
        merges = [merge for merge in statement.merges if merge.out in live]
        then, otherwise = set(live), set(live)
        for merge in merges:
            _read(then, merge.then)
            _read(otherwise, merge.otherwise)
        blocks = self.block(statement.then, then), self.block(statement.otherwise, otherwise)
        if not (any(blocks) or merges):
            return False
        live |= then | otherwise
        _read(live, statement.predicate)
        if not self.trying:
            statement.then, statement.otherwise = blocks
            statement.merges = merges
        return True

    def loop(self, statement: For | While, live: set[Scalar]) -> bool:
        needed = self.needed_carries(statement, live)
        inside, condition, body = self.inside(statement, needed, live)
        if isinstance(statement, For) and not body and not needed:
            return False
        live |= inside
        for carry in needed:
            _read(live, carry.first)
        if isinstance(statement, For):
            _read_index(live, (statement.start, statement.stop))
        if not self.trying:
            statement.body, statement.carries = body, needed
            if isinstance(statement, While):
                statement.condition = condition
        return True

    def needed_carries(self, statement: For | While, live: set[Scalar]) -> list[Carry]:
        """Return the carries that are read, after the loop or in it."""
        trying, self.trying = self.trying, True
        needed = [carry for carry in statement.carries if carry.after in live]
        while True:
            inside, _, _ = self.inside(statement, needed, live)
            more = [c for c in statement.carries if c.inside in inside and c not in needed]
            if not more:
                break
            needed += more
        self.trying = trying
        return needed

    def inside(
        self, statement: For | While, needed: list[Carry], live: set[Scalar]
    ) -> tuple[set[Scalar], Block, Block]:
        """Return what is read in a loop, and what is left of its condition and body."""
        inside = set(live)
        for carry in needed:
            _read(inside, carry.following)
        body = self.block(statement.body, inside)
        condition: Block = []
        if isinstance(statement, While):
            _read(inside, statement.holds)
            condition = self.block(statement.condition, inside)
        return inside, condition, body


def _read(live: set[Scalar], *numbers: Number) -> None:
    live.update(number for number in numbers if isinstance(number, Scalar))


def _read_index(live: set[Scalar], index: Index | tuple[Linear, ...]) -> None:
    live.update(scalar for entry in index for scalar, _ in entry.terms)
