"""What lowering gives, and how it reads elements: through views, sums of parts, copies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from jitgrad.codegen.nests import Element, Extent, IndexEntry, Read, Statement, Step
from jitgrad.codegen.parts import Part, box_of, regions, whole_box
from jitgrad.core.affine import Affine
from jitgrad.core.primitive import Alias, IndexMap, Piece, Template
from jitgrad.core.spec import Shape, Spec
from jitgrad.ir.graph import Graph, Literal, Node, Operand, Value
from jitgrad.ir.walk import producers, uses

COPY = Template("{x}")


@dataclass(eq=False, slots=True)
class Lowered:
    """The steps of a graph.

    Parameters
    ----------
    graph : Graph
        What was lowered.
    steps : list of Step
        In an order in which they can run.
    extents : dict
        The extent of each axis of each value that has a buffer or is an element somewhere.
    buffered : set of Value
        Values that must exist as whole arrays: outputs, and operands of calls.
    in_memory : set of Value
        Values that can't be variables: matrices that are multiplied.
    stacked : dict
        For arrays of matrices and what is computed with them, the axes that number the matrices.
    """

    graph: Graph
    steps: list[Step] = field(default_factory=list)
    extents: dict[tuple[Value, int], Extent] = field(default_factory=dict)
    buffered: set[Value] = field(default_factory=set)
    in_memory: set[Value] = field(default_factory=set)
    stacked: dict[Value, tuple[int, ...]] = field(default_factory=dict)

    def extent(self, value: Value, axis: int) -> Extent:
        """Return the extent of an axis."""
        key = (value, axis)
        found = self.extents.get(key)
        if found is None:
            found = self.extents[key] = Extent(value.shape[axis])
        return found.root()


class Steps:
    """The steps of a graph while they are collected.

    Parameters
    ----------
    graph : Graph
        What is lowered.
    contiguous : callable
        Whether the array given for an input is C-contiguous, as BLAS needs it.
    """

    def __init__(self, graph: Graph, contiguous: Callable[[Value], bool]) -> None:
        self.result = Lowered(graph)
        self.made_by = producers(graph)
        self.contiguous = contiguous
        self.copies: dict[Value, Value] = {}
        # Sums of parts that nothing but such sums has read so far.
        self.parts: dict[Value, list[Part]] = {}
        # Moved products that are written where they are moved to.
        self.placed: set[Value] = set()
        self.readers = uses(graph)

    # -- elements and statements ----------------------------------------------------------

    def element(self, operand: Operand, index: tuple[Affine, ...]) -> Element:
        """Return the element of `operand` at `index`, seen through operations that only move."""
        while isinstance(operand, Value):
            node = self.made_by.get(operand)
            moves = node is not None and isinstance(node.primitive.lowering, (IndexMap, Alias))
            if not moves or operand in self.placed:
                self.write_parts(operand)
                return Read(operand, index)
            assert node is not None
            assert isinstance(node.primitive.lowering, (IndexMap, Alias))
            spec = node.inputs[0].spec
            moved = node.primitive.lowering.function(index, spec, **node.params)
            if moved is None:
                return Read(operand, index)
            operand, index = node.inputs[0], moved
        return operand

    def is_view(self, value: Value) -> bool:
        """Return whether reading `value` means reading another one."""
        index = tuple(map(Affine.index, range(value.ndim)))
        element = self.element(value, index)
        return isinstance(element, Literal) or element.value is not value

    def loops_over(self, value: Value) -> tuple[list[Extent], tuple[Affine, ...]]:
        """Return a loop for each axis of `value` that is not of size 1, and the index they make."""
        axes: list[Extent] = []
        index: list[Affine] = []
        for axis, size in enumerate(value.shape):
            if size == 1:
                index.append(Affine())
            else:
                index.append(Affine.index(len(axes)))
                axes.append(self.result.extent(value, axis))
        return axes, tuple(index)

    def loops_of_shape(self, shape: Shape) -> tuple[list[Extent], tuple[Affine, ...]]:
        """Return loops of their own for sizes that are not 1, and the index they make."""
        axes = [Extent(size) for size in shape if size != 1]
        numbers = iter(range(len(axes)))
        return axes, tuple(
            [Affine() if size == 1 else Affine.index(next(numbers)) for size in shape]
        )

    def broadcast_element(
        self, operand: Operand, out: Value, out_index: tuple[Affine, ...]
    ) -> Element:
        """Return the element of `operand` that takes part in computing one of `out`."""
        shape = operand.spec.shape
        added = out.ndim - len(shape)
        index = tuple(
            Affine() if size == 1 else out_index[axis + added] for axis, size in enumerate(shape)
        )
        return self.element(operand, index)

    def add_statement(self, statement: Statement) -> None:
        """Add `statement`, and note which extents it shows to be equal."""
        for read in (*statement.reads(), Read(statement.out, statement.out_index)):
            for axis, index in enumerate(read.index):
                number = index.bare_index
                if number is not None and read.value.shape[axis] == statement.axes[number].size:
                    statement.axes[number].root().unite(self.result.extent(read.value, axis))
        self.result.steps.append(statement)

    def add_piece(
        self,
        node: Node,
        out: Value,
        axes: list[Extent],
        place: tuple[IndexEntry, ...],
        elements: tuple[Element, ...],
        form: Template = COPY,
        after_others: bool = False,
        adds: bool = False,
    ) -> None:
        """Add a statement that writes, or adds to, some of the elements of `out`."""
        self.add_statement(
            Statement(
                node, out, axes, place, elements, form,
                whole=False, after_others=after_others, adds=adds,
            )
        )  # fmt: skip

    # -- sums of parts --------------------------------------------------------------------

    def write_parts(self, value: Value) -> None:
        """Add the statements that write a sum of parts, which somebody reads as an array."""
        parts = self.parts.pop(value, None)
        if parts is None:
            return
        self.result.buffered.add(value)
        node = self.made_by[value]
        found = regions(parts, value.shape)
        if not found:
            self.add_one_by_one(node, value, parts)
            return
        for region in found:
            axes, loops = self.loops_of_shape(region.shape)
            place = tuple([i + start for i, (start, _) in zip(loops, region.box, strict=True)])
            elements = [
                part.element(
                    tuple([i + -start for i, (start, _) in zip(place, part.box, strict=True)])
                )
                for part in region.parts
            ]
            self.add_sum(node, value, axes, place, elements)

    def add_sum(
        self,
        node: Node,
        out: Value,
        axes: list[Extent],
        place: tuple[Affine, ...],
        elements: list[Element],
    ) -> None:
        """Add the statements that write the sum of `elements`."""
        if len(elements) < 2:
            self.add_piece(node, out, axes, place, tuple(elements) or (Literal.of(0),))
            return
        form = node.primitive.lowering
        assert isinstance(form, Template)
        own = tuple(map(Affine.index, range(len(axes))))
        total, *others = elements
        for element in others[:-1]:
            partial = Value(Spec(tuple([extent.size for extent in axes]), out.dtype), "")
            self.add_statement(Statement(node, partial, axes, own, (total, element), form))
            total = Read(partial, own)
        self.add_piece(node, out, axes, place, (total, others[-1]), form)

    def add_one_by_one(self, node: Node, out: Value, parts: list[Part]) -> None:
        """Add statements that store the first part, or zeros, and add all others to it."""
        first_is_whole = parts[0].box == whole_box(out.shape)
        axes, place = self.loops_of_shape(out.shape)
        first = parts[0].element(place) if first_is_whole else Literal.of(0)
        self.add_piece(node, out, axes, place, (first,))
        for part in parts[first_is_whole:]:
            axes, loops = self.loops_of_shape(tuple([size for _, size in part.box]))
            place = tuple([i + start for i, (start, _) in zip(loops, part.box, strict=True)])
            element = part.element(loops)
            self.add_piece(node, out, axes, place, (element,), after_others=True, adds=True)

    def parts_of(self, node: Node, pieces: list[Piece]) -> list[Part] | None:
        """Return pieces as parts of a sum; None if some replace elements of others."""
        out = node.outputs[0]
        if pieces[0].source is None:
            # Zeros: of what comes after, only the first does not replace anything.
            pieces, later = pieces[1:], pieces[2:]
        else:
            later = pieces
        if any(piece.overwrites for piece in later):
            return None
        found = [box_of(piece, out.shape) for piece in pieces]
        parts: list[Part] = []
        for piece, place in zip(pieces, found, strict=True):
            if place is None or piece.source is None:
                return None
            box, shown = place
            operand = node.inputs[piece.source]
            parts.append(Part(box, self.reader_of(operand, shown)))
        return parts

    def reader_of(
        self, operand: Operand, shown: tuple[int | None, ...]
    ) -> Callable[[tuple[Affine, ...]], Element]:
        """Return what gives elements of `operand`, its axes `shown` along those of a box."""
        ndim = len(operand.spec.shape)

        def element(index: tuple[Affine, ...]) -> Element:
            own = [Affine()] * ndim
            for entry, number in zip(index, shown, strict=True):
                if number is not None:
                    own[number] = entry
            return self.element(operand, tuple(own))

        return element

    def add_parts(self, node: Node) -> bool:
        """Note the sum of two arrays of which one is a sum of parts; False if none is."""
        out = node.outputs[0]
        if not any(isinstance(o, Value) and o in self.parts for o in node.inputs):
            return False
        if any(o.spec.shape != out.shape or o.spec.dtype != out.dtype for o in node.inputs):
            return False
        parts: list[Part] = []
        for operand in node.inputs:
            own = self.parts.get(operand) if isinstance(operand, Value) else None
            whole = Part(whole_box(out.shape), self.reader_of(operand, tuple(range(out.ndim))))
            parts.extend([whole] if own is None else own)
        self.parts[out] = parts
        return True

    # -- whole buffers --------------------------------------------------------------------

    def is_row_major(self, value: Value) -> bool:
        """Return whether the buffer of `value` is C-contiguous; only inputs may be otherwise."""
        return value in self.made_by or value in self.copies.values() or self.contiguous(value)

    def whole(self, operand: Operand, row_major: bool = False) -> Value:
        """Return a value with a buffer that equals `operand`: itself, or a copy of a view."""
        assert isinstance(operand, Value)
        if not self.is_view(operand) and (not row_major or self.is_row_major(operand)):
            self.write_parts(operand)
            return operand
        if operand not in self.copies:
            self.copies[operand] = self.copy(operand, operand)
        return self.copies[operand]

    def copy(self, operand: Value, like: Value) -> Value:
        """Add a statement that copies `operand` to a new buffer in the dtype of `like`."""
        node = self.made_by.get(operand)
        buffer = (
            operand
            if node is not None and self.is_view(operand) and operand.dtype == like.dtype
            else Value(type(operand.spec)(operand.shape, like.dtype), operand.name)
        )
        axes, out_index = self.loops_over(buffer)
        source = self.broadcast_element(operand, buffer, out_index)
        self.add_statement(Statement(node, buffer, axes, out_index, (source,), COPY))
        self.result.buffered.add(buffer)
        return buffer
