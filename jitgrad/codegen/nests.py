"""The loop IR: statements, and the tree of loops that they are placed in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

from jitgrad.core.affine import Affine
from jitgrad.core.primitive import Accumulation, Template
from jitgrad.ir.graph import Literal, Node, Operand, Value


@dataclass(eq=False, slots=True)
class Extent:
    """The size of an axis, as a thing with identity: axes that must be equal share one.

    Parameters
    ----------
    size : int
        The size in this trace; generated source does not contain it.
    same_as : Extent, optional
        The extent that this one was found equal to.
    """

    size: int
    same_as: Extent | None = None

    def root(self) -> Extent:
        """Return the extent that stands for all that were found equal."""
        extent = self
        while extent.same_as is not None:
            # On the way the path becomes shorter: long programs unite thousands.
            if extent.same_as.same_as is not None:
                extent.same_as = extent.same_as.same_as
            extent = extent.same_as
        return extent

    def unite(self, other: Extent) -> None:
        """Record that two extents are equal."""
        mine, others = self.root(), other.root()
        if mine is not others:
            others.same_as = mine


@dataclass(frozen=True, slots=True)
class Lookup:
    """An index that is itself an element of an array; negative ones count from the end.

    Parameters
    ----------
    value : Value
        The array of indices.
    index : tuple of Affine
        Which of its elements.
    """

    value: Value
    index: tuple[Affine, ...]

    @property
    def bare_index(self) -> None:
        """None: it is not the index of a loop."""
        return

    @property
    def terms(self) -> tuple[tuple[int, int], ...]:
        """The loop indices that it depends on, as of `Affine`."""
        return tuple([term for index in self.index for term in index.terms])


IndexEntry = Affine | Lookup


@dataclass(frozen=True, slots=True)
class Read:
    """An element of a value, at an index made of a statement's loop indices."""

    value: Value
    index: tuple[IndexEntry, ...]


Element = Read | Literal


@dataclass(eq=False, slots=True)
class Statement:
    """What one node computes for one index of its loops.

    Parameters
    ----------
    node : Node, optional
        Where it comes from; None for the copy of an input.
    out : Value
        What it computes.
    axes : list of Extent
        Its loops, outermost first.
    out_index : tuple of Affine
        Which element of `out` an iteration computes, or adds to.
    elements : tuple of Read or Literal
        The elements it reads, by the operation's input.
    form : Template or Accumulation
        The expression, or how the accumulator is updated.
    whole : bool
        Whether it alone defines `out`; otherwise several statements write pieces of it.
    after_others : bool
        Whether it must come after the other pieces so far, which it overwrites or adds to.
    adds : bool
        Whether it adds to the element that is there.
    product : bool
        Whether what is accumulated is the product of two elements: a contraction.
    """

    node: Node | None
    out: Value
    axes: list[Extent]
    out_index: tuple[IndexEntry, ...]
    elements: tuple[Element, ...]
    form: Template | Accumulation
    whole: bool = True
    after_others: bool = False
    adds: bool = False
    product: bool = False

    @property
    def reduced(self) -> set[int]:
        """Numbers of the loops that are reduced over."""
        if isinstance(self.form, Template):
            return set()
        kept = {n for index in self.out_index for n, _ in index.terms}
        return set(range(len(self.axes))) - kept

    def reads(self) -> Iterator[Read]:
        """Return the elements that are not literals, and those that indices are looked up in."""
        for element in self.elements:
            if isinstance(element, Read):
                yield element
        for lookup in self.lookups():
            yield Read(lookup.value, lookup.index)

    def in_order(self, order: list[int]) -> Statement:
        """Return this statement with its loops in another order, given by their numbers so far."""
        places = [Affine()] * len(order)
        for place, number in enumerate(order):
            places[number] = Affine.index(place)
        moved = tuple(places)

        def renumbered(entry: IndexEntry) -> IndexEntry:
            if isinstance(entry, Lookup):
                return Lookup(entry.value, tuple([e.substitute(moved) for e in entry.index]))
            return entry.substitute(moved)

        return replace(
            self,
            axes=[self.axes[number] for number in order],
            out_index=tuple(map(renumbered, self.out_index)),
            elements=tuple(
                [
                    Read(e.value, tuple(map(renumbered, e.index))) if isinstance(e, Read) else e
                    for e in self.elements
                ]
            ),
        )

    def lookups(self) -> Iterator[Lookup]:
        """Return the indices that are elements of arrays."""
        for element in self.elements:
            if isinstance(element, Read):
                for entry in element.index:
                    if isinstance(entry, Lookup):
                        yield entry
        for entry in self.out_index:
            if isinstance(entry, Lookup):
                yield entry


@dataclass(frozen=True, slots=True)
class Matrix:
    """Matrices that lie in an array, as BLAS takes them: one of their two axes without gaps.

    Parameters
    ----------
    value : Value
        The array.
    index : tuple of Affine
        Which element of it an element of a matrix is: in terms of the loops over the stack, and
        then of row and column.
    stack : int
        How many loops over the stack there are.
    shape : tuple of int
        Rows and columns.
    """

    value: Value
    index: tuple[Affine, ...]
    stack: int
    shape: tuple[int, int]

    @property
    def rows_axis(self) -> int:
        """The axis of the array along which rows are counted."""
        return self._axis_of(self.stack)

    @property
    def columns_axis(self) -> int:
        """The axis of the array along which columns are counted."""
        return self._axis_of(self.stack + 1)

    @property
    def transposed(self) -> bool:
        """Whether the array has the columns' axis before the rows' one."""
        return self.columns_axis < self.rows_axis

    @property
    def fits_blas(self) -> bool:
        """Whether rows and columns are axes of the array, and one of them is without gaps."""
        own = (self.stack, self.stack + 1)
        places = [[a for a, e in enumerate(self.index) if n in dict(e.terms)] for n in own]
        if any(len(found) != 1 for found in places):
            return False
        axes = [axis for (axis,) in places]
        if any(self.index[axis].terms != ((n, 1),) for axis, n in zip(axes, own, strict=True)):
            return False
        return all(size == 1 for size in self.value.shape[max(axes) + 1 :])

    def count(self, axis: int) -> int:
        """Return how many elements of an axis of the array a matrix shows."""
        return self.shape[0 if axis == self.rows_axis else 1]

    def is_whole(self, axis: int) -> bool:
        """Return whether a matrix shows all elements of an axis of the array."""
        return self.value.shape[axis] == self.count(axis)

    def _axis_of(self, number: int) -> int:
        return next(a for a, e in enumerate(self.index) if number in dict(e.terms))


@dataclass(eq=False, slots=True)
class MatrixProduct:
    """A call of BLAS, in loops over stacked matrices if they are.

    Parameters
    ----------
    node : Node
        Where it comes from.
    axes : list of Extent
        The loops over the stack.
    result : Matrix
        Where the product goes.
    left, right : Matrix
        The factors.
    """

    node: Node
    axes: list[Extent]
    result: Matrix
    left: Matrix
    right: Matrix

    # As of `Statement`: each iteration writes the whole of a matrix that no other one touches.
    reduced: ClassVar[frozenset[int]] = frozenset()
    whole: ClassVar[bool] = True
    after_others: ClassVar[bool] = False

    @property
    def out(self) -> Value:
        """The array that the product is written to."""
        return self.result.value

    @property
    def out_index(self) -> tuple[Affine, ...]:
        """Which of its elements, as of `Matrix`."""
        return self.result.index

    def reads(self) -> Iterator[Read]:
        """Return the elements that are read, as of `Matrix`."""
        for matrix in (self.left, self.right):
            yield Read(matrix.value, matrix.index)


@dataclass(eq=False, slots=True)
class IntrinsicCall:
    """A call of an intrinsic on whole buffers.

    Parameters
    ----------
    node : Node
        Where it comes from.
    out : Value
        What it writes.
    operands : tuple of Value
        The buffers it reads.
    name : str
        Of the intrinsic.
    arguments : tuple of int
        What it takes after the arrays.
    """

    node: Node
    out: Value
    operands: tuple[Value, ...]
    name: str
    arguments: tuple[int, ...]


@dataclass(eq=False, slots=True)
class Rename:
    """A value that is the buffer of another one under its own shape."""

    node: Node
    out: Value
    source: Value


@dataclass(eq=False, slots=True)
class ExternalCall:
    """A call of the operation's NumPy implementation, between two kernels."""

    node: Node
    operands: tuple[Operand, ...]


Step = Statement | MatrixProduct | IntrinsicCall | Rename | ExternalCall


@dataclass(eq=False, slots=True)
class Loop:
    """A loop over one extent, or over strips of it.

    Parameters
    ----------
    extent : Extent
        What it runs over.
    body : list of Item
        What is inside, in order.
    strip : int
        How many iterations a strip has; 0 if this is not a loop over strips.
    inside : Loop, optional
        For a loop over the iterations of a strip, the loop over strips.
    statements : int
        How many statements have it as their innermost loop.
    """

    extent: Extent
    body: list[Item] = field(default_factory=list)
    strip: int = 0
    inside: Loop | None = None
    statements: int = 0


def counting(loops: tuple[Loop, ...]) -> tuple[Loop, ...]:
    """Return the loops that count elements: without those over strips."""
    return tuple([loop for loop in loops if not loop.strip])


@dataclass(eq=False, slots=True)
class Compute:
    """A statement's computation, in its innermost loop."""

    statement: Statement
    loops: tuple[Loop, ...]


@dataclass(eq=False, slots=True)
class Start:
    """An accumulator's first value, stored before the reduced loops.

    `loops` are those around it and, for an accumulator with axes of its own, those it is filled
    by; `axes` says which loop runs over which of the statement's loop numbers.
    """

    statement: Statement
    loops: tuple[Loop, ...]
    axes: dict[int, Loop]


@dataclass(eq=False, slots=True)
class Opaque:
    """A step that takes whole buffers: a renaming, a call of a routine or of NumPy."""

    step: IntrinsicCall | Rename | ExternalCall


@dataclass(eq=False, slots=True)
class Call:
    """A matrix product, in the loops over its stack."""

    step: MatrixProduct
    loops: tuple[Loop, ...]


Item = Loop | Compute | Start | Call | Opaque
