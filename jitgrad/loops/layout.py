"""In which order the axes of a program's own memory lie."""

from __future__ import annotations

from collections.abc import Iterator

from jitgrad.loops.program import Array, Block, For, Index, Load, Program, Store, blocks_of


def lay_out(program: Program) -> Program:
    """Let the innermost loops go along the last axes of temporaries, which vectors are read from.

    Before, with `t` of shape ``(n, 3)``::

        for j in range(n):
            t[j, 0] = x[j]
            t[j, 1] = 0.0

    After, with `t` of shape ``(3, n)``::

        for j in range(n):
            t[0, j] = x[j]
            t[1, j] = 0.0

    Of several wishes that of the deepest loops counts.
    """
    wishes: dict[Array, dict[int, int]] = {array: {} for array in program.temporaries}
    accesses = list(_accesses(program.body, None, 0))
    for statement, loop, depth in accesses:
        axis = None if loop is None else _moving(statement.index, loop)
        if axis is not None and statement.array in wishes:
            wish = wishes[statement.array]
            wish[axis] = max(wish.get(axis, 0), depth)
    orders = {array: _order(array, wish) for array, wish in wishes.items() if wish}
    for array, order in orders.items():
        array.shape = tuple([array.shape[axis] for axis in order])
    for statement, _, _ in accesses:
        if statement.array in orders:
            index = statement.index
            statement.index = tuple([index[axis] for axis in orders[statement.array]])
    return program


def _accesses(
    block: Block, loop: For | None, depth: int
) -> Iterator[tuple[Load | Store, For | None, int]]:
    for statement in block:
        if isinstance(statement, (Load, Store)):
            yield statement, loop, depth
        inside = statement if isinstance(statement, For) else loop
        for inner in blocks_of(statement):
            yield from _accesses(inner, inside, depth + 1)


def _moving(index: Index, loop: For) -> int | None:
    """Return the axis along which an element moves with a loop, if it is one."""
    found = [axis for axis, entry in enumerate(index) if dict(entry.terms).get(loop.index)]
    return found[0] if len(found) == 1 else None


def _order(array: Array, wish: dict[int, int]) -> list[int]:
    # Where wishes are equally deep, things stay as they are.
    last = len(array.shape) - 1
    best = max(wish, key=lambda axis: (wish[axis], axis))
    return [*[axis for axis in range(last + 1) if axis != best], best]
