"""Puts loops together of which one computes what the other one reads, element by element."""

from __future__ import annotations

from jitgrad.loops.builder import Builder
from jitgrad.loops.independent import differ, is_independent
from jitgrad.loops.merge import merge_values
from jitgrad.loops.program import (
    WHOLE,
    Apply,
    Block,
    Carry,
    Count,
    For,
    Load,
    Number,
    Pop,
    Program,
    Push,
    Scalar,
    Statement,
    Store,
    blocks_of,
    made_by,
    statements,
    used_by,
)
from jitgrad.loops.prune import prune
from jitgrad.loops.substitute import Substitution

# An innermost loop of more statements has too few registers.
_MOST_STATEMENTS = 60


def fuse(program: Program) -> Program:
    """Return a program that keeps fewer numbers in memory between its loops.

    Before::

        for j in range(n):
            t[j] = x[j] * x[j]
        for k in range(n):
            y[k] = t[k] + 1.0

    After, where nobody else reads ``t``::

        for j in range(n):
            v = x[j] * x[j]
            y[j] = v + 1.0
    """
    program.body = merge_values(_of_block(program.body, Builder()))
    return prune(program)


def _of_block(block: Block, bounds: Builder) -> Block:
    found: Block = []
    for statement in block:
        if not (isinstance(statement, For) and _joined(found, statement, bounds)):
            found.append(statement)
    for statement in found:
        if isinstance(statement, For):
            bounds.bound(statement.index, statement.start, statement.stop + -1)
        for inner in blocks_of(statement):
            inner[:] = _of_block(inner, bounds)
    return found


def _joined(before: Block, loop: For, bounds: Builder) -> bool:
    """Append a loop's body to that of an earlier loop, and return whether that was possible."""
    place = len(before) - 1
    while place >= 0 and isinstance(before[place], (Load, Apply, Count)):
        place -= 1
    earlier = before[place] if place >= 0 else None
    if not isinstance(earlier, For) or not _is_alike(earlier, loop, bounds):
        return False
    between = before[place + 1 :]
    if not _may_precede([*between, *statements([loop])], earlier):
        return False
    stored = {s.array for s in statements([earlier]) if isinstance(s, Store)}
    if any(isinstance(s, Load) and s.array in stored for s in between):
        return False
    body = Substitution({loop.index: earlier.index}).block(loop.body)
    carries = Substitution({loop.index: earlier.index}).carries(loop.carries)
    if not _may_alternate(earlier, body, bounds):
        return False
    earlier.body += body
    earlier.carries += carries
    before[place:] = [*between, earlier]
    return True


def _is_alike(one: For, two: For, bounds: Builder) -> bool:
    """Return whether two loops run alike, and it is of use to put the second into the first."""
    if (one.start, one.stop, one.backwards) != (two.start, two.stop, two.backwards):
        return False
    stored = {s.array for s in statements([one]) if isinstance(s, Store)}
    if not any(isinstance(s, Load) and s.array in stored for s in statements([two])):
        return False
    innermost = [not any(map(blocks_of, loop.body)) for loop in (one, two)]
    if innermost[0] != innermost[1]:
        return False
    if not innermost[0]:
        return True
    for loop in (one, two):
        bounds.bound(loop.index, loop.start, loop.stop + -1)
    return len(one.body) + len(two.body) <= _MOST_STATEMENTS and all(
        is_independent(loop, bounds) for loop in (one, two)
    )


def _may_precede(later: list[Statement], loop: For) -> bool:
    """Return whether statements use no number that a loop makes."""
    made = {scalar for statement in statements([loop]) for scalar in made_by(statement)}
    return not any(number in made for s in later for number in _all_used_by(s))


def _all_used_by(statement: Statement) -> list[Number]:
    if not blocks_of(statement):
        return list(used_by(statement))
    carries: list[Carry] = getattr(statement, "carries", [])
    found: list[Number] = [n for c in carries for n in (c.first, c.following)]
    if isinstance(statement, For):
        found += [s for entry in (statement.start, statement.stop) for s, _ in entry.terms]
    return [
        *found,
        *(m for merge in getattr(statement, "merges", []) for m in (merge.then, merge.otherwise)),
    ]


def _may_alternate(loop: For, body: Block, bounds: Builder) -> bool:
    """Return whether a block may follow each iteration of a loop, instead of all of them."""
    everything = [*statements(loop.body), *statements(body)]
    stacks = [
        {s.stack for s in statements(block) if isinstance(s, (Push, Pop))}
        for block in (loop.body, body)
    ]
    if stacks[0] & stacks[1]:
        return False
    bounds.bound(loop.index, loop.start, loop.stop + -1)
    for statement in everything:
        if isinstance(statement, For):
            bounds.bound(statement.index, statement.start, statement.stop + -1)
    computed = {scalar for statement in everything for scalar in made_by(statement)}
    computed |= {c.inside for s in [loop, *everything] for c in getattr(s, "carries", [])}
    other = Scalar(WHOLE)
    bounds.bound(other, loop.start, loop.stop + -1)
    for one in statements(loop.body):
        for two in statements(body):
            if not isinstance(one, (Load, Store)) or not isinstance(two, (Load, Store)):
                continue
            if one.array is not two.array or (isinstance(one, Load) and isinstance(two, Load)):
                continue
            if any(s in computed for x in (one, two) for e in x.index for s, _ in e.terms):
                return False
            if not differ(one.index, two.index, loop.index, other, bounds):
                return False
    return True
