"""Turns loops that add to neighbouring elements into loops that collect from neighbours."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jitgrad.core.primitive import Template
from jitgrad.loops.builder import Builder, operation
from jitgrad.loops.program import (
    WHOLE,
    Apply,
    Block,
    Count,
    For,
    Index,
    Linear,
    Load,
    Number,
    Program,
    Scalar,
    Store,
    blocks_of,
)

# What is computed again for each neighbour costs at most so many additions.
_MOST_COST = 12
# So many statements that add, those at the edges included.
_MOST_STORES = 160


def gather(program: Program) -> Program:
    """Return a program in which the way back of a stencil writes each element once.

    Before::

        for j in range(n):
            v = y[j]
            y[j] = 0.0
            x[j] += v
            x[j + 1] += v

    After::

        x[0] += y[0]
        for j in range(1, n):
            x[j] += y[j] + y[j - 1]
        x[n] += y[n - 1]
        for j in range(n):
            y[j] = 0.0

    The elements are the same but for the order in which numbers are added.
    """
    program.body = _of_block(program.body, Builder())
    return program


def _of_block(block: Block, bounds: Builder) -> Block:
    found: Block = []
    for statement in block:
        if isinstance(statement, For):
            bounds.bound(statement.index, statement.start, statement.stop + -1)
            gathered = _gathered(statement, bounds)
            if gathered is not None:
                found += gathered
                continue
        for inner in blocks_of(statement):
            inner[:] = _of_block(inner, bounds)
        found.append(statement)
    return found


def _gathered(outermost: For, bounds: Builder) -> Block | None:
    """Return what collects in place of a nest of loops; None where that can't be, or is no use."""
    nest = _nest(outermost)
    for loop in nest:
        bounds.bound(loop.index, loop.start, loop.stop + -1)
    stencil = _stencil(nest, bounds)
    return None if stencil is None else _Gathering(stencil, bounds.fork()).run()


def _nest(loop: For) -> list[For]:
    """Return a loop and those inside it, as far as each holds nothing else."""
    nest = [loop]
    while len(nest[-1].body) == 1 and isinstance(nest[-1].body[0], For):
        nest.append(nest[-1].body[0])
    return nest


@dataclass(frozen=True, slots=True)
class _Term:
    """A store that adds.

    Parameters
    ----------
    store : Store
        The store.
    offsets : tuple of int
        How far from the element of the first such store it adds, along each loop.
    """

    store: Store
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Stencil:
    """A nest of loops that adds to neighbours.

    Parameters
    ----------
    nest : list of For
        The loops.
    groups : list of list of _Term
        Stores that add to the same array, at a distance from each other.
    replacing : list of Store
        The other stores.
    """

    nest: list[For]
    groups: list[list[_Term]]
    replacing: list[Store]


def _stencil(nest: list[For], bounds: Builder) -> _Stencil | None:
    """Return what a nest of loops is, if its iterations may be run in another order and apart."""
    body = nest[-1].body
    indices = [loop.index for loop in nest]
    if any(loop.carries for loop in nest) or _cost(body) > _MOST_COST:
        return None
    if not all(isinstance(s, (Load, Apply, Count, Store)) for s in body):
        return None
    if any(s in indices for loop in nest for e in (loop.start, loop.stop) for s, _ in e.terms):
        return None
    made = {s.out for s in body if isinstance(s, (Load, Apply, Count))}
    accesses = [s for s in body if isinstance(s, (Load, Store))]
    if any(s in made for access in accesses for e in access.index for s, _ in e.terms):
        return None
    groups = _groups([s for s in body if isinstance(s, Store) and s.adds], indices)
    replacing = [s for s in body if isinstance(s, Store) and not s.adds]
    if groups is None or all(len(group) == 1 for group in groups):
        return None
    if not _are_apart(body, replacing, nest, bounds):
        return None
    for loop, *offsets in zip(nest, *[t.offsets for g in groups for t in g], strict=True):
        least = bounds.extreme(loop.stop - loop.start, False)
        if least is None or least <= max(offsets) - min(offsets):
            return None
    stencil = _Stencil(nest, groups, replacing)
    return stencil if _size(stencil) <= _MOST_STORES else None


def _cost(body: Block) -> int:
    forms = [s.node.primitive.lowering for s in body if isinstance(s, Apply)]
    return sum([form.cost for form in forms if isinstance(form, Template)])


def _groups(adding: Sequence[Store], indices: list[Scalar]) -> list[list[_Term]] | None:
    """Sort stores by what they add to; None if their places move in other ways than the loops."""
    groups: dict[object, list[_Term]] = {}
    for store in adding:
        offsets = _offsets(store.index, indices)
        if offsets is None:
            return None
        kind = (store.array, _without(store.index, indices))
        first = groups.setdefault(kind, [_Term(store, offsets)])[0]
        if first.store is not store:
            apart = [o - f for o, f in zip(offsets, first.offsets, strict=True)]
            groups[kind].append(_Term(store, tuple(apart)))
    for group in groups.values():
        group[0] = _Term(group[0].store, (0,) * len(indices))
    return list(groups.values())


def _offsets(index: Index, indices: list[Scalar]) -> tuple[int, ...] | None:
    """Return what is added to each loop's index where an element is at ``[i + 1, j - 2]``."""
    found: list[int] = []
    for scalar in indices:
        entries = [entry for entry in index if dict(entry.terms).get(scalar)]
        if len(entries) != 1 or dict(entries[0].terms)[scalar] != 1:
            return None
        if any(other in indices for other, _ in entries[0].terms if other is not scalar):
            return None
        found.append(entries[0].constant)
    return tuple(found)


def _without(index: Index, indices: list[Scalar]) -> Index:
    """Return an index without the constants that are added to indices of loops."""
    return tuple(
        [
            Linear(entry.terms) if any(s in indices for s, _ in entry.terms) else entry
            for entry in index
        ]
    )


def _are_apart(body: Block, replacing: list[Store], nest: list[For], bounds: Builder) -> bool:
    """Return whether what is read is not added to, and replaced only after it was read."""
    indices = [loop.index for loop in nest]
    others = {index: Scalar(WHOLE) for index in indices}
    for loop in nest:
        bounds.bound(others[loop.index], loop.start, loop.stop + -1)
    elsewhere = {index: Linear.of(other) for index, other in others.items()}
    loads = [s for s in body if isinstance(s, Load)]

    def are_apart(access: Load | Store, store: Store) -> bool:
        moved = _moved(store.index, elsewhere)
        return access.array is not store.array or bounds.are_apart(access.index, moved)

    for store in [s for s in body if isinstance(s, Store) and s.adds]:
        accesses: list[Load | Store] = [*loads, *replacing]
        if not all(are_apart(access, store) for access in accesses):
            return False
    for store in replacing:
        if _offsets(store.index, indices) is None:
            return False
        for load in loads:
            is_before = load.index == store.index and body.index(load) < body.index(store)
            if not (is_before or are_apart(load, store)):
                return False
        if not all(other is store or are_apart(other, store) for other in replacing):
            return False
    return True


def _moved(index: Index, to: dict[Scalar, Linear]) -> Index:
    moved: list[Linear] = []
    for entry in index:
        for scalar, by in to.items():
            entry = entry.replace(scalar, by)
        moved.append(entry)
    return tuple(moved)


def _size(stencil: _Stencil) -> int:
    """Return how many additions the text will hold."""
    total = 0
    for group in stencil.groups:
        distinct = [len({t.offsets[d] for t in group}) for d in range(len(stencil.nest))]
        total += len(group) * math.prod([2 * n - 1 for n in distinct])
    return total


class _Gathering:
    """Writes the loops that collect.

    Parameters
    ----------
    stencil : _Stencil
        What they do.
    builder : Builder
        Where they go.
    """

    def __init__(self, stencil: _Stencil, builder: Builder) -> None:
        self.nest, self.groups = stencil.nest, stencil.groups
        self.replacing = stencil.replacing
        self.builder = builder
        self.maker = {s.out: s for s in self.nest[-1].body if isinstance(s, (Load, Apply, Count))}
        # The iterations of the outermost loop whose elements have been replaced already.
        self.replaced = self.nest[0].start

    def run(self) -> Block:
        """Return the statements."""
        for number, group in enumerate(self.groups):
            self.along(group, (), is_last=number == len(self.groups) - 1)
        if self.replacing:
            loop = self.nest[0]
            for here in self.indices(self.replaced, loop.stop, loop.index.name):
                self.replace((here,))
        return self.builder.block

    def along(self, terms: list[_Term], index: Index, is_last: bool) -> None:
        """Write the loop along an axis for each set of terms that meet there, and those inside."""
        axis = len(index)
        if axis == len(self.nest):
            self.collect(terms, index)
            return
        loop = self.nest[axis]
        for start, stop, meeting in _ranges(loop, terms, axis):
            for here in self.indices(start, stop, loop.index.name):
                self.along(meeting, (*index, here), is_last)
                if is_last and not axis and len(self.nest) > 1 and len(meeting) == len(terms):
                    self.replace_behind(here, terms, start, stop)

    def indices(self, start: Linear, stop: Linear, name: str) -> Iterator[Linear]:
        """Write a loop, and give its index; none where there is just one."""
        if (stop - start).known == 1:
            yield start
        else:
            with self.builder.loop(start, stop, name) as written:
                yield Linear.of(written.index)

    def collect(self, terms: list[_Term], index: Index) -> None:
        """Write what adds to the element that the first term adds to at an index."""
        total: Number | None = None
        for term in terms:
            given = {
                loop.index: here - Linear((), offset)
                for loop, here, offset in zip(self.nest, index, term.offsets, strict=True)
            }
            value = self.value(term.store.value, given, {})
            total = value if total is None else self.sum(total, value)
        assert total is not None
        store = terms[0].store
        place = {
            loop.index: here - Linear((), offset)
            for loop, here, offset in zip(self.nest, index, terms[0].offsets, strict=True)
        }
        self.builder.store(store.array, _moved(store.index, place), total, adds=True)

    def sum(self, a: Number, b: Number) -> Number:
        dtype = a.dtype if isinstance(a, Scalar) else a.spec.dtype
        return self.builder.apply(operation("add", dtype, dtype), (a, b))

    def replace_behind(self, here: Linear, terms: list[_Term], start: Linear, stop: Linear) -> None:
        """Write what replaces elements in an iteration that no later one collects from."""
        highest = max([term.offsets[0] for term in terms])
        if self.replacing and (start - Linear((), highest)) == self.nest[0].start:
            self.replace((here - Linear((), highest),))
            self.replaced = stop - Linear((), highest)

    def replace(self, index: Index) -> None:
        """Write the loops inside that replace elements."""
        if len(index) < len(self.nest):
            loop = self.nest[len(index)]
            with self.builder.loop(loop.start, loop.stop, loop.index.name) as written:
                self.replace((*index, Linear.of(written.index)))
            return
        given = {loop.index: here for loop, here in zip(self.nest, index, strict=True)}
        known: dict[Scalar, Number] = {}
        for store in self.replacing:
            value = self.value(store.value, given, known)
            self.builder.store(store.array, _moved(store.index, given), value)

    def value(
        self, number: Number, given: dict[Scalar, Linear], known: dict[Scalar, Number]
    ) -> Number:
        """Return a number of the nest's body as it is at some index."""
        if not isinstance(number, Scalar):
            return number
        if number in given:
            return self.builder.number(given[number])
        maker = self.maker.get(number)
        if maker is None:
            return number
        if number not in known:
            known[number] = self.computed(maker, given, known)
        return known[number]

    def computed(
        self, maker: Load | Apply | Count, given: dict[Scalar, Linear], known: dict[Scalar, Number]
    ) -> Number:
        if isinstance(maker, Load):
            return self.builder.load(maker.array, _moved(maker.index, given))
        if isinstance(maker, Count):
            (value,) = _moved((maker.value,), given)
            return self.builder.number(value)
        return self.builder.apply(maker.node, [self.value(n, given, known) for n in maker.inputs])


def _ranges(
    loop: For, terms: list[_Term], axis: int
) -> Iterator[tuple[Linear, Linear, list[_Term]]]:
    """Yield the parts of an axis in which the same terms add something, with these terms."""
    offsets = sorted({term.offsets[axis] for term in terms})
    ends = [loop.start + o for o in offsets] + [loop.stop + o for o in offsets]
    for number, (start, stop) in enumerate(itertools.pairwise(ends)):
        began = offsets[: number + 1]
        ended = offsets[: max(number + 1 - len(offsets), 0)]
        yield (
            start,
            stop,
            [t for t in terms if t.offsets[axis] in began and t.offsets[axis] not in ended],
        )
