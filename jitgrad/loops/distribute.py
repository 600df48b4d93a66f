"""Takes loops apart that add to elements which other iterations add to as well."""

from __future__ import annotations

from jitgrad.core.primitive import Template
from jitgrad.loops.builder import Builder
from jitgrad.loops.independent import differ, is_independent
from jitgrad.loops.program import (
    WHOLE,
    Apply,
    Block,
    Count,
    For,
    Load,
    Number,
    Program,
    Scalar,
    Store,
    blocks_of,
    made_by,
    used_by,
)
from jitgrad.loops.substitute import Substitution

# What each of the loops computes again costs at most so many additions.
_MOST_COST = 12
_MOST_LOOPS = 8


def distribute(program: Program) -> Program:
    """Return a program in which the way back of a stencil can be computed several at once.

    Before::

        for j in range(n):
            v = y[j]
            x[j] += v
            x[j + 1] += v

    After, loops of which each has independent iterations::

        for j in independent(n):
            x[j] += y[j]
        for j in independent(n):
            x[j + 1] += y[j]

    The elements are the same but for the order in which numbers are added.
    """
    program.body = _of_block(program.body, Builder())
    return program


def _of_block(block: Block, bounds: Builder) -> Block:
    found: Block = []
    for statement in block:
        if isinstance(statement, For):
            bounds.bound(statement.index, statement.start, statement.stop + -1)
        for inner in blocks_of(statement):
            inner[:] = _of_block(inner, bounds)
        parts = _taken_apart(statement, bounds) if isinstance(statement, For) else None
        found += [statement] if parts is None else parts
    return found


def _taken_apart(loop: For, bounds: Builder) -> Block | None:
    """Return loops that do what one does; None where that is not possible, or of no use."""
    simple = all(isinstance(s, (Load, Apply, Count, Store)) for s in loop.body)
    if loop.carries or not simple or _cost(loop.body) > _MOST_COST:
        return None
    if is_independent(loop, bounds):
        return None
    adding = [s for s in loop.body if isinstance(s, Store) and s.adds]
    replacing = [s for s in loop.body if isinstance(s, Store) and not s.adds]
    loads = [s for s in loop.body if isinstance(s, Load)]
    other = _another_index(loop, bounds)
    added = {store.array for store in adding}
    if added & ({s.array for s in loads} | {s.array for s in replacing}):
        return None
    for store in replacing:
        for load in loads:
            if load.array is store.array and not (
                loop.body.index(load) < loop.body.index(store)
                and differ(store.index, load.index, loop.index, other, bounds)
            ):
                return None
    groups: list[list[Store]] = []
    for store in adding:
        for group in groups:
            if all(_are_apart(store, member, loop, other, bounds) for member in group):
                group.append(store)
                break
        else:
            groups.append([store])
    if not 1 < len(groups) <= _MOST_LOOPS:
        return None
    # What is read must not be replaced before all have read it.
    groups[-1] += replacing
    parts: Block = [_part(loop, group) for group in groups]
    if all(isinstance(part, For) and _stands_alone(part, bounds) for part in parts):
        return parts
    return None


def _stands_alone(part: For, bounds: Builder) -> bool:
    bounds.bound(part.index, part.start, part.stop + -1)
    return is_independent(part, bounds)


def _another_index(loop: For, bounds: Builder) -> Scalar:
    """Return the index of another iteration."""
    other = Scalar(WHOLE)
    bounds.bound(other, loop.start, loop.stop + -1)
    return other


def _are_apart(one: Store, two: Store, loop: For, other: Scalar, bounds: Builder) -> bool:
    """Return whether two stores meet in no two iterations."""
    if one.array is not two.array:
        return True
    return differ(one.index, two.index, loop.index, other, bounds)


def _cost(body: Block) -> int:
    forms = [s.node.primitive.lowering for s in body if isinstance(s, Apply)]
    return sum([form.cost for form in forms if isinstance(form, Template)])


def _part(loop: For, stores: list[Store]) -> For:
    """Return a loop of its own that does some of the stores of a loop."""
    needed: set[Scalar] = set()
    kept: Block = []
    for statement in reversed(loop.body):
        if isinstance(statement, Store):
            if statement not in stores:
                continue
        elif statement.out not in needed:  # type: ignore[union-attr]
            continue
        needed.update(used_by(statement))
        kept.insert(0, statement)
    part = For(Scalar(WHOLE, loop.index.name), loop.start, loop.stop, [])
    numbers: dict[Scalar, Number] = {loop.index: part.index}
    for statement in kept:
        for made in made_by(statement):
            numbers[made] = Scalar(made.dtype, made.name)
    part.body = Substitution(numbers).block(kept)
    return part
