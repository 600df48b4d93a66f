"""Which numbers and arrays of a loop program depend differentiably on some of its inputs."""

from __future__ import annotations

from collections.abc import Sequence

from jitgrad.core.dtypes import is_floating
from jitgrad.loops.program import (
    Apply,
    Array,
    Combine,
    For,
    If,
    Load,
    Number,
    Program,
    Scalar,
    Statement,
    Store,
    While,
    statements,
)


def varied(program: Program, wrt: Sequence[Array]) -> tuple[set[Scalar], set[Array]]:
    """Return the numbers and the arrays that depend differentiably on arrays of `wrt`."""
    scalars: set[Scalar] = set()
    arrays = {array for array in wrt if is_floating(array.dtype)}
    everything = list(statements(program.body))
    while True:
        before = len(scalars) + len(arrays)
        for statement in everything:
            _pass_on(statement, scalars, arrays)
        if len(scalars) + len(arrays) == before:
            return scalars, arrays


def _pass_on(statement: Statement, scalars: set[Scalar], arrays: set[Array]) -> None:
    def note(out: Scalar, *sources: Number) -> None:
        if is_floating(out.dtype) and any(source in scalars for source in sources):
            scalars.add(out)

    if isinstance(statement, Apply):
        rules = enumerate(statement.inputs)
        primitive = statement.node.primitive
        note(statement.out, *[n for k, n in rules if primitive.rule_for(k) is not None])
    elif isinstance(statement, Combine):
        # The derivative of an extremum is found otherwise; see `share_extrema`.
        if statement.node.primitive.name not in ("amax", "amin"):
            note(statement.out, statement.accumulator, statement.element)
    elif isinstance(statement, Load):
        if statement.array in arrays:
            scalars.add(statement.out)
    elif isinstance(statement, Store):
        if statement.value in scalars and is_floating(statement.array.dtype):
            arrays.add(statement.array)
    elif isinstance(statement, (For, While)):
        for carry in statement.carries:
            note(carry.inside, carry.first, carry.following)
            note(carry.after, carry.inside, carry.first)
    elif isinstance(statement, If):
        for merge in statement.merges:
            note(merge.out, merge.then, merge.otherwise)
