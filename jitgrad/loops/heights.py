"""How much the stacks of a loop program must hold, as far as its text says."""

from __future__ import annotations

from jitgrad.loops.builder import Builder
from jitgrad.loops.program import Block, For, If, Program, Push, Stack, While

# Iterations of a loop of which nobody knows how many it has.
SOME = 64


def heights(program: Program) -> dict[Stack, int]:
    """Return how many numbers each stack takes, more or less where loops end by a condition."""
    return _of_block(program.body, Builder())


def _of_block(block: Block, bounds: Builder) -> dict[Stack, int]:
    total: dict[Stack, int] = {}
    for statement in block:
        if isinstance(statement, Push):
            _add(total, {statement.stack: 1}, 1)
        elif isinstance(statement, For):
            bounds.bound(statement.index, statement.start, statement.stop + -1)
            count = bounds.extreme(statement.stop - statement.start, True)
            _add(total, _of_block(statement.body, bounds), SOME if count is None else max(count, 0))
        elif isinstance(statement, While):
            _add(total, _of_block(statement.body, bounds), SOME)
        elif isinstance(statement, If):
            then, otherwise = (_of_block(b, bounds) for b in (statement.then, statement.otherwise))
            most = {s: max(then.get(s, 0), otherwise.get(s, 0)) for s in (*then, *otherwise)}
            _add(total, most, 1)
    return total


def _add(total: dict[Stack, int], more: dict[Stack, int], times: int) -> None:
    for stack, count in more.items():
        total[stack] = total.get(stack, 0) + count * times
