"""Cheap values that are read out of step are computed again where they are read.

``y = x * x; z = y[1:] - y[:-1]``: no iteration of a loop over `z` makes the elements of `y` that it
reads, so `y` would have to be stored and read back. A few multiplications cost less.
"""

from __future__ import annotations

from collections.abc import Sequence

from jitgrad.codegen.lowered import Lowered
from jitgrad.codegen.nests import (
    Element,
    Extent,
    ExternalCall,
    IntrinsicCall,
    MatrixProduct,
    Read,
    Rename,
    Statement,
    Step,
)
from jitgrad.core.affine import Affine
from jitgrad.core.primitive import Template
from jitgrad.core.spec import Spec
from jitgrad.ir.graph import Value

# In additions: of one value that is computed again, and of all that one read asks for.
_CHEAP = 4
_CHEAP_CHAIN = 24
_MOST_ARRAYS = 4

_Key = tuple[Value, tuple[Affine, ...], tuple[Extent, ...]]


def recompute_out_of_step(lowered: Lowered) -> Lowered:
    """Compute cheap elements again where they are read at another index than they are made.

    Before: ``y[i] = x[i] * x[i]; z[j] = y[j + 1] - y[j]``, with one `j` less than `i`.
    After: ``a[j] = x[j + 1] * x[j + 1]; b[j] = x[j] * x[j]; z[j] = a[j] - b[j]``.
    """
    Recomputation(lowered).run()
    lowered.steps = needed_steps(lowered)
    return lowered


def needed_steps(lowered: Lowered) -> list[Step]:
    """Return the steps that an array that must exist depends on, in order."""
    wanted = lowered.buffered | lowered.in_memory
    kept: list[Step] = []
    for step in reversed(lowered.steps):
        if isinstance(step, Statement):
            if step.out not in wanted:
                continue
            wanted.update(read.value for read in step.reads())
        kept.append(step)
    return kept[::-1]


class Recomputation:
    """What can be computed again, and what was.

    Parameters
    ----------
    lowered : Lowered
        The steps.
    """

    def __init__(self, lowered: Lowered) -> None:
        self.lowered = lowered
        self.made_by: dict[Value, Statement] = {}
        self.again: dict[_Key, Read] = {}
        self.steps: list[Step] = []

    def note(self, step: Step) -> None:
        """Note what can be computed again once a step has been met."""
        if isinstance(step, Statement) and step.whole and isinstance(step.form, Template):
            self.made_by[step.out] = step

    def arrays_under(self, elements: Sequence[Element]) -> set[Value]:
        """Return the arrays that elements are computed from, through what can be done again."""
        found: set[Value] = set()
        waiting = [element.value for element in elements if isinstance(element, Read)]
        seen = set(waiting)
        while waiting:
            value = waiting.pop()
            maker = self.made_by.get(value)
            if maker is None:
                if value.ndim:
                    found.add(value)
                continue
            new = {e.value for e in maker.elements if isinstance(e, Read)} - seen
            seen |= new
            waiting.extend(new)
        return found

    def run(self) -> None:
        """Replace what is read out of step."""
        for step in self.lowered.steps:
            if isinstance(step, Statement):
                step.elements = tuple([self.replaced(e, step) for e in step.elements])
                self.note(step)
            else:
                assert isinstance(step, (ExternalCall, IntrinsicCall, MatrixProduct, Rename))
            self.steps.append(step)
        self.lowered.steps = self.steps

    def replaced(self, element: Element, reader: Statement) -> Element:
        """Return what `reader` reads instead of an element."""
        if not isinstance(element, Read) or not self.is_out_of_step(element, reader):
            return element
        return self.compute_again(element, reader) if self.is_cheap(element, reader) else element

    def is_out_of_step(self, read: Read, reader: Statement) -> bool:
        """Return whether a cheap value without memory is read at an index that isn't its own."""
        value = read.value
        maker = self.made_by.get(value)
        if maker is None or value in self.lowered.buffered | self.lowered.in_memory:
            return False
        assert isinstance(maker.form, Template)
        if maker.form.cost > _CHEAP or any(True for _ in maker.lookups()):
            return False
        if not all(isinstance(entry, Affine) for entry in read.index):
            return False
        return any(
            size != 1 and ((n := entry.bare_index) is None or reader.axes[n].size != size)
            for entry, size in zip(read.index, value.shape, strict=True)
        )

    def is_cheap(self, read: Read, reader: Statement) -> bool:
        """Return whether all that must be computed again for an element costs little."""
        total = 0
        arrays: set[Value] = set()
        waiting, seen = [read], {read}
        while waiting:
            current = waiting.pop()
            maker = self.made_by[current.value]
            assert isinstance(maker.form, Template)
            total += maker.form.cost
            if total > _CHEAP_CHAIN:
                return False
            for element in maker.elements:
                if not isinstance(element, Read):
                    continue
                moved = _at(element, maker, current)
                if not self.is_out_of_step(moved, reader):
                    arrays.add(moved.value)
                elif moved not in seen:
                    seen.add(moved)
                    waiting.append(moved)
        return len(arrays) <= _MOST_ARRAYS

    def compute_again(self, read: Read, reader: Statement) -> Read:
        """Add a statement that computes an element in the loops of `reader`."""
        used = sorted({n for entry in read.index for n, _ in entry.terms})
        loops = tuple([reader.axes[n] for n in used])
        places = {n: Affine.index(k) for k, n in enumerate(used)}
        index = tuple([_renumbered(entry, places) for entry in read.index])  # type: ignore[arg-type]
        key = (read.value, index, tuple([extent.root() for extent in loops]))
        own = tuple(map(Affine.index, range(len(used))))
        if key not in self.again:
            maker = self.made_by[read.value]
            shape = tuple([extent.size for extent in loops])
            out = Value(Spec(shape, read.value.dtype), "")
            statement = Statement(maker.node, out, list(loops), own, (), maker.form)
            moved = Read(read.value, index)
            elements = [_at(e, maker, moved) if isinstance(e, Read) else e for e in maker.elements]
            statement.elements = tuple(
                [
                    self.compute_again(e, statement)
                    if isinstance(e, Read) and self.is_out_of_step(e, statement)
                    else e
                    for e in elements
                ]
            )
            for axis, extent in enumerate(loops):
                extent.root().unite(self.lowered.extent(out, axis))
            self.steps.append(statement)
            self.made_by[out] = statement
            self.again[key] = Read(out, own)
        return Read(self.again[key].value, tuple([Affine.index(n) for n in used]))


def _at(element: Read, maker: Statement, read: Read) -> Read:
    """Return what `maker` reads to compute the element that `read` names."""
    loops = [Affine()] * len(maker.axes)
    for entry, wanted in zip(maker.out_index, read.index, strict=True):
        if (number := entry.bare_index) is not None:
            assert isinstance(wanted, Affine)
            loops[number] = wanted
    index = tuple([entry.substitute(tuple(loops)) for entry in element.index])  # type: ignore[union-attr]
    return Read(element.value, index)


def _renumbered(entry: Affine, places: dict[int, Affine]) -> Affine:
    most = max(places, default=-1) + 1
    return entry.substitute(tuple([places.get(n, Affine()) for n in range(most)]))
