"""First additions to zeros as stores, and last stores that nobody reads left out."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from jitgrad.ir.graph import Literal
from jitgrad.loops.program import (
    Array,
    Block,
    For,
    If,
    Load,
    Program,
    Store,
    While,
    blocks_of,
)


def settle(program: Program, zeros: Collection[Array]) -> set[Array]:
    """Change a way back so that it begins and ends with less to do.

    Before, where `x` and `y` are zeros at first and nobody reads `d` later::

        for i in range(n):
            v = d[i]
            d[i] = 0.0
            x[i] += v
        for i in range(n):
            v = x[i]
            x[i] = 0.0
            y[i] += v

    After::

        for i in range(n):
            v = d[i]
            x[i] = v
        for i in range(n):
            v = x[i]
            y[i] = v

    Parameters
    ----------
    program : Program
        The way back; changed. Its temporaries are written before they are read.
    zeros : collection of Array
        Which of its outputs are given as zeros.

    Returns
    -------
    set of Array
        Those of `zeros` that may be given as anything: every element is stored.
    """
    outputs = set(program.outputs)
    accesses = _accesses(program.body)
    for array, found in accesses.items():
        if array not in outputs:
            _drop_last_stores(found)
    accesses = _accesses(program.body)
    filled: set[Array] = set()
    for array, found in accesses.items():
        clearing = None
        if array in program.temporaries:
            clearing = _clearing(array, found)
            if clearing is None:
                continue
        elif array not in zeros:
            continue
        if _store_first(array, [a for a in found if a is not clearing]):
            if clearing is None:
                filled.add(array)
            else:
                program.body.remove(clearing.path[0])
    return filled


@dataclass(frozen=True, slots=True, eq=False)
class _Access:
    """A place of the program where memory is read or written.

    Parameters
    ----------
    statement : Load or Store
        What does it.
    block : list of Statement
        Where it stands.
    path : tuple of For
        The loops around it, the outermost first.
    is_plain : bool
        Whether there are nothing but loops around it.
    number : int
        Of the statement of the program's body that it is in.
    """

    statement: Load | Store
    block: Block
    path: tuple[For, ...]
    is_plain: bool
    number: int

    @property
    def names_each_once(self) -> bool:
        """Whether no two iterations of the loops around name the same element."""
        if not self.is_plain:
            return False
        moving = [e.terms for e in self.statement.index if e.terms]
        single = [t[0][0] for t in moving if len(t) == 1 and abs(t[0][1]) == 1]
        loops = [loop.index for loop in self.path]
        return len(single) == len(moving) and sorted(map(id, single)) == sorted(map(id, loops))

    def fixed(self) -> tuple[int | None, ...]:
        """Return the number along each axis where there is only one."""
        return tuple([entry.known for entry in self.statement.index])

    def is_whole_elsewhere(self) -> bool:
        """Return whether along each other axis all elements are named."""
        ranges = {loop.index: (loop.start.known, loop.stop.known) for loop in self.path}
        for entry, size in zip(self.statement.index, self.statement.array.shape, strict=True):
            if entry.terms:
                scalar, coefficient = entry.terms[0]
                begins = 0 if coefficient == 1 else size - 1
                if ranges[scalar] != (0, size) or entry.constant != begins:
                    return False
        return True


def _accesses(body: Block) -> dict[Array, list[_Access]]:
    found: dict[Array, list[_Access]] = {}
    for number, statement in enumerate(body):
        for access in _in([statement], body, (), True, number):
            found.setdefault(access.statement.array, []).append(access)
    return found


def _in(
    block: Block, held: Block, path: tuple[For, ...], is_plain: bool, number: int
) -> Iterator[_Access]:
    for statement in block:
        if isinstance(statement, (Load, Store)):
            yield _Access(statement, held, path, is_plain, number)
        inside = (*path, statement) if isinstance(statement, For) else path
        plain = is_plain and not isinstance(statement, (If, While))
        for inner in blocks_of(statement):
            yield from _in(inner, inner, inside, plain, number)


def _drop_last_stores(accesses: list[_Access]) -> None:
    """Leave out stores to what was read just before and is not read again."""
    loads = [a for a in accesses if isinstance(a.statement, Load)]
    stores = [a for a in accesses if isinstance(a.statement, Store)]
    if len(loads) != len(stores):
        return
    for load, store in zip(loads, stores, strict=True):
        assert isinstance(store.statement, Store)
        is_same = load.block is store.block and load.statement.index == store.statement.index
        is_last = accesses.index(load) < accesses.index(store) and load.names_each_once
        if not (is_same and is_last) or store.statement.adds:
            return
        if not all(_are_apart(load.fixed(), a.fixed()) for a in loads if a is not load):
            return
    for store in stores:
        store.block.remove(store.statement)


def _clearing(array: Array, accesses: list[_Access]) -> _Access | None:
    """Return what fills an array with zeros before anything else is done with it."""
    first = accesses[0]
    store = first.statement
    if not (isinstance(store, Store) and not store.adds and first.path and first.names_each_once):
        return None
    if not isinstance(store.value, Literal) or store.value.number != 0:
        return None
    alone = all(access.number != first.number for access in accesses[1:])
    whole = first.fixed() == (None,) * len(array.shape) and first.is_whole_elsewhere()
    return first if alone and whole and _holds_only(first.path[0], store) else None


def _holds_only(loop: For, store: Store) -> bool:
    block: Block = [loop]
    while len(block) == 1 and isinstance(block[0], For):
        block = block[0].body
    return block == [store]


def _store_first(array: Array, accesses: list[_Access]) -> bool:
    """Let what adds to an element that nothing was done with before store; whether all are."""
    stored: list[tuple[int | None, ...]] = []
    for access in accesses:
        statement = access.statement
        if not (isinstance(statement, Store) and statement.adds and access.names_each_once):
            continue
        # Iterations come in turns: all of a loop counts as before.
        before = [a for a in accesses if a.number <= access.number and a is not access]
        if all(_are_apart(access.fixed(), other.fixed()) for other in before):
            statement.adds = False
            if access.is_whole_elsewhere():
                stored.append(access.fixed())
    return _cover(stored, array)


def _are_apart(a: tuple[int | None, ...], b: tuple[int | None, ...]) -> bool:
    pairs = zip(a, b, strict=True)
    return any(i is not None and j is not None and i != j for i, j in pairs)


def _cover(regions: list[tuple[int | None, ...]], array: Array) -> bool:
    """Return whether regions that are apart are all of an array."""
    sizes = [
        math.prod([1 if at is not None else n for at, n in zip(region, array.shape, strict=True)])
        for region in regions
    ]
    return bool(regions) and sum(sizes) == math.prod(array.shape)
