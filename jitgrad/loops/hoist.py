"""Computes before a loop what is the same in all of its iterations."""

from __future__ import annotations

from jitgrad.loops.builder import Builder
from jitgrad.loops.program import (
    Apply,
    Block,
    Check,
    Count,
    For,
    Linear,
    Load,
    Scalar,
    Statement,
    Store,
    blocks_of,
    made_by,
    statements,
)


def hoist(block: Block, bounds: Builder | None = None) -> Block:
    """Return a block with statements moved out of the loops whose iterations all repeat them.

    Before::

        for i in range(n):
            for j in range(n):
                a = x[i]
                b = x[j]

    After::

        for i in range(n):
            a = x[i]
            for j in range(n):
                b = x[j]

    On the way back the cotangent of ``a`` is then summed up in a register.

    Parameters
    ----------
    block : list of Statement
        Changed, too.
    bounds : Builder, optional
        Knows between which numbers the indices of loops around lie.
    """
    bounds = Builder() if bounds is None else bounds
    found: Block = []
    for statement in block:
        if isinstance(statement, For):
            bounds.bound(statement.index, statement.start, statement.stop + -1)
        for inner in blocks_of(statement):
            inner[:] = hoist(inner, bounds)
        if isinstance(statement, For):
            found += _taken_out(statement, bounds)
        found.append(statement)
    return found


def _taken_out(loop: For, bounds: Builder) -> Block:
    """Take out of a loop what does not depend on its iterations, and return it."""
    everything = list(statements(loop.body))
    changing = {loop.index, *(carry.inside for carry in loop.carries)}
    changing |= {scalar for statement in everything for scalar in made_by(statement)}
    changing |= {inner.index for inner in everything if isinstance(inner, For)}
    stores = [s for s in everything if isinstance(s, Store)]
    # Of numbers that are computed within it is not known what they are in another iteration.
    counting = {loop.index, *(s.index for s in everything if isinstance(s, For))}
    unknown = changing - counting
    taken: Block = []
    kept: Block = []
    is_checked = False
    for statement in loop.body:
        is_checked |= isinstance(statement, Check)
        fixed = _is_fixed(statement, changing)
        if fixed and isinstance(statement, Load):
            fixed = not is_checked and not any(
                store.array is statement.array and _may_meet(statement, store, unknown, bounds)
                for store in stores
            )
        if fixed:
            changing.difference_update(made_by(statement))
            taken.append(statement)
        else:
            kept.append(statement)
    loop.body[:] = kept
    return taken


def _may_meet(load: Load, store: Store, unknown: set[Scalar], bounds: Builder) -> bool:
    """Return whether a store may write, in some iteration, the element that is read."""
    if any(scalar in unknown for entry in store.index for scalar, _ in entry.terms):
        return True
    return not bounds.are_apart(load.index, store.index)


def _is_fixed(statement: Statement, changing: set[Scalar]) -> bool:
    """Return whether a statement is given the same in each iteration."""
    if isinstance(statement, Apply):
        return not any(number in changing for number in statement.inputs)
    if isinstance(statement, Count):
        return _is_settled(statement.value, changing)
    if isinstance(statement, Load):
        return all(_is_settled(entry, changing) for entry in statement.index)
    return False


def _is_settled(value: Linear, changing: set[Scalar]) -> bool:
    return not any(scalar in changing for scalar, _ in value.terms)
