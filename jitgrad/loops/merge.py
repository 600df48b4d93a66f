"""Computes and reads nothing twice."""

from __future__ import annotations

from typing import Any

from jitgrad.loops.builder import Builder
from jitgrad.loops.program import (
    Apply,
    Array,
    Block,
    Carry,
    Count,
    For,
    If,
    Load,
    Number,
    Scalar,
    Statement,
    Store,
    While,
    statements,
)
from jitgrad.loops.substitute import Substitution

# What is known to have been computed or read, by what it is.
_Known = dict[Any, Scalar]


def merge_values(block: Block) -> Block:
    """Return a block that takes from registers what it has computed, read or written before.

    Before::

        a = x[j]
        t[j] = a
        b = x[j]
        c = t[j]
        d = b * c

    After::

        a = x[j]
        t[j] = a
        d = a * a
    """
    return _Merging().block(block, {})


class _Merging(Substitution):
    def __init__(self) -> None:
        self.same: dict[Scalar, Number] = {}
        super().__init__(self.same)
        self.bounds = Builder()
        self.known: _Known = {}

    def block(self, block: Block, known: _Known | None = None) -> Block:
        """Return what is left of a block; what is `known` before it is not known afterwards."""
        outer = self.known
        self.known = dict(outer if known is None else known)
        kept = [s for s in map(self.merged, block) if s is not None]
        self.known = outer
        return kept

    def merged(self, statement: Statement) -> Statement | None:
        """Return what a statement becomes, None if its number is there already."""
        if isinstance(statement, (For, While, If)):
            return self.around(statement)
        made = self.statement(statement)
        if isinstance(made, (Apply, Count, Load)):
            key = _key(made)
            if key in self.known:
                self.same[made.out] = self.known[key]
                return None
            self.known[key] = made.out
        elif isinstance(made, Store):
            self.written(made)
        return made

    def written(self, store: Store) -> None:
        """Note what an element is now, and forget what others were that may be the same."""
        for key in [key for key in self.known if key[0] == "load" and key[1] is store.array]:
            if not self.bounds.are_apart(key[2], store.index):
                del self.known[key]
        value = store.value
        if not store.adds and isinstance(value, Scalar) and value.dtype == store.array.dtype:
            self.known["load", store.array, store.index] = value

    def around(self, statement: For | While | If) -> Statement:
        """Return what a statement with blocks becomes."""
        arrays = {s.array for s in statements([statement]) if isinstance(s, Store)}
        if isinstance(statement, For):
            start, stop = self.linear(statement.start), self.linear(statement.stop)
            self.bounds.bound(statement.index, start, stop + -1)
        if not isinstance(statement, If):
            # An iteration reads what the one before has written.
            self.forget(arrays)
            statement.carries = [carry for carry in statement.carries if not self.stays(carry)]
        made = self.statement(statement)
        self.forget(arrays)
        return made

    def stays(self, carry: Carry) -> bool:
        """Return whether a carry is the same in all iterations; it is its first number then."""
        if carry.following is not carry.inside:
            return False
        self.same[carry.inside] = self.same[carry.after] = self.number(carry.first)
        return True

    def forget(self, arrays: set[Array]) -> None:
        """Forget what elements of arrays are."""
        for key in [key for key in self.known if key[0] == "load" and key[1] in arrays]:
            del self.known[key]


def _key(statement: Apply | Count | Load) -> Any:
    """Return what is the same for statements that make the same number."""
    if isinstance(statement, Count):
        return ("count", statement.value)
    if isinstance(statement, Load):
        return ("load", statement.array, statement.index)
    node = statement.node
    params = tuple([f"{k}={v!r}" for k, v in node.params.items()])
    specs = tuple([(s.dtype, s.weak) for s in node.specs])
    return ("apply", node.primitive.name, params, specs, statement.out.dtype, statement.inputs)
