"""Hands an element on in a register where the next iteration reads what this one has stored."""

from __future__ import annotations

from jitgrad.loops.builder import Builder, operation
from jitgrad.loops.program import (
    Apply,
    Block,
    Carry,
    Check,
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
)


def forward_elements(program: Program) -> Program:
    """Return a program whose iterations wait for numbers, not for memory.

    Before::

        for j in range(1, n):
            a = x[j - 1]
            x[j] = 0.5 * a

    After, where the store remains::

        last = x[0]
        for j in range(1, n):
            v = 0.5 * last
            x[j] = v
            last = v
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
        if isinstance(statement, For) and not statement.is_independent:
            found += _forwarded(statement, bounds)
        found.append(statement)
    return found


def _forwarded(loop: For, bounds: Builder) -> Block:
    """Let a loop carry an element; return what must stand before it."""
    least = bounds.extreme(loop.stop - loop.start, False)
    if least is None or least < 1:
        return []
    # What is read before the loop must be there, which a check inside may be about.
    if any(blocks_of(statement) or isinstance(statement, Check) for statement in loop.body):
        return []
    index = Linear.of(loop.index)
    following, first = (index + -1, loop.stop + -1) if loop.backwards else (index + 1, loop.start)
    # An index that is computed in the loop says nothing about the next iteration.
    changing = {scalar for statement in loop.body for scalar in made_by(statement)}
    changing |= {carry.inside for carry in loop.carries}
    for load in [s for s in loop.body if isinstance(s, Load)]:
        if any(scalar in changing for entry in load.index for scalar, _ in entry.terms):
            continue
        expected = _moved(load.index, loop.index, following)
        for store in [s for s in loop.body if isinstance(s, Store)]:
            same = store.array is load.array and store.index == expected
            if same and _is_undisturbed(loop, load, store, bounds):
                return _carry(loop, load, store, _moved(load.index, loop.index, first))
    return []


def _moved(index: Index, scalar: Scalar, by: Linear) -> Index:
    return tuple([entry.replace(scalar, by) for entry in index])


def _is_undisturbed(loop: For, load: Load, store: Store, bounds: Builder) -> bool:
    """Return whether nothing else is stored in the element until it is read."""
    read, written = loop.body.index(load), loop.body.index(store)
    for position, other in enumerate(loop.body):
        if not isinstance(other, Store) or other is store or other.array is not store.array:
            continue
        if position > written and not bounds.are_apart(other.index, store.index):
            return False
        if position < read and not bounds.are_apart(other.index, load.index):
            return False
    # One that is stored before it is read in the same iteration is another one.
    return written > read or bounds.are_apart(load.index, store.index)


def _carry(loop: For, load: Load, store: Store, first: Index) -> Block:
    """Carry the element from the store to the load of the next iteration."""
    dtype, array = store.array.dtype, store.array
    before = Load(array, first, Scalar(dtype, array.name))
    value: Number = store.value
    position = loop.body.index(store)
    if store.adds:
        old, new = Scalar(dtype, array.name), Scalar(dtype)
        add = Apply(operation("add", dtype, dtype), (old, value), new)
        stored = Store(array, store.index, new)
        loop.body[position : position + 1] = [Load(array, store.index, old), add, stored]
        value = new
    loop.body.remove(load)
    loop.carries.append(Carry(load.out, before.out, value, Scalar(dtype)))
    return [before]
