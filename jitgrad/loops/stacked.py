"""Where a loop's numbers for the way back lie on their stack, so that iterations need no order."""

from __future__ import annotations

from jitgrad.loops.program import For, Linear, Pop, Push, Stack, blocks_of


def places_on_stacks(loop: For) -> dict[Push | Pop, Linear]:
    """Return where an innermost loop keeps or finds each number, above the stack's lower end.

    The places are those at which numbers lie that are pushed and popped one after another. Empty
    if the loop holds others, or both keeps numbers on a stack and takes them from it.
    """
    if any(blocks_of(statement) for statement in loop.body):
        return {}
    found: dict[Push | Pop, Linear] = {}
    by_stack: dict[Stack, list[Push | Pop]] = {}
    for statement in loop.body:
        if isinstance(statement, (Push, Pop)):
            by_stack.setdefault(statement.stack, []).append(statement)
    for moved in by_stack.values():
        if len({type(statement) for statement in moved}) > 1:
            return {}
        # What was pushed last is popped first.
        ordered = moved if isinstance(moved[0], Push) else moved[::-1]
        is_rising = loop.backwards != isinstance(moved[0], Push)
        index = Linear.of(loop.index)
        turn = index - loop.start if is_rising else loop.stop + -1 - index
        for number, statement in enumerate(ordered):
            found[statement] = turn * len(ordered) + number
    return found
