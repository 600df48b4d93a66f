"""Puts other numbers in the place of numbers of a block."""

from __future__ import annotations

from collections.abc import Mapping

from jitgrad.loops.program import (
    Apply,
    Block,
    Carry,
    Check,
    Combine,
    Count,
    For,
    If,
    Index,
    Linear,
    Load,
    Merge,
    Number,
    Pop,
    Push,
    Scalar,
    Statement,
    Store,
    While,
)


class Substitution:
    """Makes statements of statements.

    Parameters
    ----------
    numbers : mapping
        What to put in place of numbers, both where they are read and where they are made.
    """

    def __init__(self, numbers: Mapping[Scalar, Number]) -> None:
        self.numbers = numbers

    def block(self, block: Block) -> Block:
        """Return a block of other statements."""
        return [self.statement(statement) for statement in block]

    def statement(self, statement: Statement) -> Statement:
        """Return another statement, with other blocks inside."""
        made: Statement = getattr(self, f"_{type(statement).__name__.lower()}")(statement)
        return made

    def number(self, number: Number) -> Number:
        """Return what a number becomes."""
        return self.numbers.get(number, number) if isinstance(number, Scalar) else number

    def made(self, scalar: Scalar) -> Scalar:
        """Return what a number becomes where it is made."""
        found = self.number(scalar)
        return found if isinstance(found, Scalar) else scalar

    def linear(self, value: Linear) -> Linear:
        """Return what a sum of indices becomes."""
        for scalar, _ in value.terms:
            found = self.number(scalar)
            if found is not scalar:
                by = Linear.of(found if isinstance(found, Scalar) else int(found.number))
                value = value.replace(scalar, by)
        return value

    def index(self, index: Index) -> Index:
        """Return what an index becomes."""
        return tuple([self.linear(entry) for entry in index])

    def carries(self, carries: list[Carry]) -> list[Carry]:
        """Return what the carries of a loop become."""
        return [
            Carry(
                self.made(c.inside),
                self.number(c.first),
                self.number(c.following),
                self.made(c.after),
            )
            for c in carries
        ]

    def _apply(self, statement: Apply) -> Apply:
        inputs = tuple([self.number(number) for number in statement.inputs])
        return Apply(statement.node, inputs, self.made(statement.out))

    def _combine(self, statement: Combine) -> Combine:
        accumulator, element = self.number(statement.accumulator), self.number(statement.element)
        return Combine(
            statement.node, statement.form, accumulator, element, self.made(statement.out)
        )

    def _count(self, statement: Count) -> Count:
        return Count(self.linear(statement.value), self.made(statement.out))

    def _load(self, statement: Load) -> Load:
        return Load(statement.array, self.index(statement.index), self.made(statement.out))

    def _store(self, statement: Store) -> Store:
        index, value = self.index(statement.index), self.number(statement.value)
        return Store(statement.array, index, value, statement.adds)

    def _check(self, statement: Check) -> Check:
        value, size = self.linear(statement.value), self.linear(statement.size)
        return Check(value, size, statement.node, statement.axis)

    def _push(self, statement: Push) -> Push:
        return Push(statement.stack, self.number(statement.value))

    def _pop(self, statement: Pop) -> Pop:
        return Pop(statement.stack, self.made(statement.out))

    def _for(self, statement: For) -> For:
        return For(
            self.made(statement.index),
            self.linear(statement.start),
            self.linear(statement.stop),
            self.block(statement.body),
            self.carries(statement.carries),
            statement.backwards,
            statement.is_independent,
        )

    def _while(self, statement: While) -> While:
        condition = self.block(statement.condition)
        body = self.block(statement.body)
        return While(condition, self.number(statement.holds), body, self.carries(statement.carries))

    def _if(self, statement: If) -> If:
        then, otherwise = self.block(statement.then), self.block(statement.otherwise)
        merges = [
            Merge(self.made(m.out), self.number(m.then), self.number(m.otherwise))
            for m in statement.merges
        ]
        return If(self.number(statement.predicate), then, otherwise, merges)
