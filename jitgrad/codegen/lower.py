"""From the nodes of a graph to steps: loop statements, matrix products, external calls.

Operations that only move elements become no step at all: whoever reads their output reads their
input at another index.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from jitgrad.codegen.nests import (
    Element,
    Extent,
    ExternalCall,
    IndexEntry,
    IntrinsicCall,
    Lookup,
    Matrix,
    MatrixProduct,
    Read,
    Rename,
    Statement,
    Step,
)
from jitgrad.codegen.parts import Part, box_of, regions, whole_box
from jitgrad.core.affine import Affine
from jitgrad.core.dtypes import is_floating
from jitgrad.core.primitive import (
    Accumulation,
    Alias,
    Call,
    Contraction,
    External,
    Fill,
    Indexed,
    IndexMap,
    Piece,
    Pieces,
    Template,
)
from jitgrad.core.spec import Shape, Spec
from jitgrad.ir.graph import Graph, Literal, Node, Operand, Value
from jitgrad.ir.walk import producers, uses

# Up to this many multiplications a matrix product is loops that fuse with what surrounds them;
# beyond it a BLAS call is faster though it fuses with nothing.
LOOP_PRODUCT_LIMIT = 2048

COPY = Template("{x}")
PRODUCT = Template("{x} * {y}", boolean="{x} and {y}")


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


def lower(graph: Graph, contiguous: Callable[[Value], bool]) -> Lowered:
    """Return the steps that compute `graph`.

    Parameters
    ----------
    graph : Graph
        Simplified.
    contiguous : callable
        Whether the array given for an input is C-contiguous, as BLAS needs it.
    """
    return _Lowering(graph, contiguous).run()


class _Lowering:
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

    def run(self) -> Lowered:
        for node in self.result.graph.nodes:
            self.lower_node(node)
        for operand in self.result.graph.outputs:
            if isinstance(operand, Value):
                self.result.buffered.add(self.whole(operand))
        return self.result

    # -- views ----------------------------------------------------------------------------

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

    # -- one node -------------------------------------------------------------------------

    def lower_node(self, node: Node) -> None:
        lowering = node.primitive.lowering
        if isinstance(lowering, Template):
            if not (lowering.adds and self.add_parts(node)):
                self.add_map(node, node.outputs[0], node.inputs, lowering)
        elif isinstance(lowering, Fill):
            number = Literal.of(node.params["value"])
            self.add_map(node, node.outputs[0], (number,), COPY)
        elif isinstance(lowering, Accumulation):
            self.add_reduction(node, lowering)
        elif isinstance(lowering, Contraction):
            self.add_contraction(node)
        elif isinstance(lowering, Pieces):
            self.add_pieces(node, lowering)
        elif isinstance(lowering, Indexed):
            self.add_indexed(node, lowering)
        elif isinstance(lowering, Call):
            self.add_call(node, lowering)
        elif isinstance(lowering, External):
            self.add_external(node)
        elif isinstance(lowering, Alias) and not self.is_view(node.outputs[0]):
            source = self.whole(node.inputs[0], row_major=True)
            self.result.buffered.update((source, node.outputs[0]))
            self.result.steps.append(Rename(node, node.outputs[0], source))

    def add_map(
        self, node: Node, out: Value, operands: tuple[Operand, ...], form: Template
    ) -> None:
        """Add a statement that computes every element of `out`."""
        axes, out_index = self.loops_over(out)
        elements = tuple([self.broadcast_element(o, out, out_index) for o in operands])
        self.add_statement(Statement(node, out, axes, out_index, elements, form))

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

    def broadcast_element(
        self, operand: Operand, out: Value, out_index: tuple[Affine, ...]
    ) -> Element:
        shape = operand.spec.shape
        added = out.ndim - len(shape)
        index = tuple(
            Affine() if size == 1 else out_index[axis + added] for axis, size in enumerate(shape)
        )
        return self.element(operand, index)

    def add_pieces(self, node: Node, lowering: Pieces) -> None:
        """Note the parts of the output; or add a statement for each that is written separately."""
        out = node.outputs[0]
        pieces = lowering.function(*node.specs, **node.params)
        parts = self.parts_of(node, pieces)
        if parts is not None:
            self.parts[out] = parts
            return
        self.result.buffered.add(out)
        for piece in pieces:
            axes, index = self.loops_of_shape(piece.shape)
            element: Element = Literal.of(0)
            if piece.source is not None:
                element = self.element(node.inputs[piece.source], index)
            place = piece.place(index)
            self.add_piece(node, out, axes, place, (element,), after_others=piece.overwrites)

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

    def loops_of_shape(self, shape: Shape) -> tuple[list[Extent], tuple[Affine, ...]]:
        """Return loops of their own for sizes that are not 1, and the index they make."""
        axes = [Extent(size) for size in shape if size != 1]
        numbers = iter(range(len(axes)))
        return axes, tuple(
            [Affine() if size == 1 else Affine.index(next(numbers)) for size in shape]
        )

    # -- sums of parts --------------------------------------------------------------------

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

    def add_indexed(self, node: Node, lowering: Indexed) -> None:
        """Add a statement that reads, adds to or writes elements that an index array names."""
        specs = node.specs
        sizes = lowering.loops(*specs, **node.params)
        axes, loops = self.loops_of_shape(sizes)
        named = lowering.function(loops, *specs, **node.params)
        if named is None or not all(isinstance(operand, Value) for operand in node.inputs):
            self.add_external(node)
            return
        index = tuple([self.lookup(node, entry) for entry in named])
        out = node.outputs[0]
        if not (lowering.adds or lowering.writes):
            source = self.whole(node.inputs[0])
            self.result.buffered.add(source)
            element: Element = Read(source, index)
            self.add_statement(Statement(node, out, axes, loops, (element,), COPY))
            return
        self.result.buffered.add(out)
        fill, place = self.loops_over(out)
        before = self.element(node.inputs[0], place) if lowering.writes else Literal.of(0)
        self.add_piece(node, out, fill, place, (before,))
        element = self.element(node.inputs[2 if lowering.writes else 0], loops)
        self.add_piece(node, out, axes, index, (element,), after_others=True, adds=lowering.adds)

    def lookup(self, node: Node, entry: Affine | tuple[Affine, ...]) -> IndexEntry:
        """Return an entry of an index, one that is looked up in the node's index array as such."""
        if isinstance(entry, Affine):
            return entry
        element = self.element(node.inputs[1], entry)
        assert isinstance(element, Read)
        return Lookup(element.value, element.index)  # type: ignore[arg-type]

    def add_statement(self, statement: Statement) -> None:
        """Add `statement`, and note which extents it shows to be equal."""
        for read in (*statement.reads(), Read(statement.out, statement.out_index)):
            for axis, index in enumerate(read.index):
                number = index.bare_index
                if number is not None and read.value.shape[axis] == statement.axes[number].size:
                    statement.axes[number].root().unite(self.result.extent(read.value, axis))
        self.result.steps.append(statement)

    def add_reduction(self, node: Node, form: Accumulation) -> None:
        x, out = node.inputs[0], node.outputs[0]
        axes = node.params["axes"]
        extents: list[Extent] = []
        x_index: list[Affine] = []
        for size in x.spec.shape:
            x_index.append(Affine() if size == 1 else Affine.index(len(extents)))
            if size != 1:
                extents.append(Extent(size))
        kept = [index for axis, index in enumerate(x_index) if axis not in axes]
        if node.params["keepdims"]:
            kept = [Affine() if axis in axes else i for axis, i in enumerate(x_index)]
        element = self.element(x, tuple(x_index))
        statement = Statement(node, out, extents, tuple(kept), (element,), form)
        if not statement.reduced:
            statement = Statement(node, out, extents, tuple(kept), (element,), COPY)
        self.add_statement(statement)

    # -- products -------------------------------------------------------------------------

    def add_contraction(self, node: Node) -> None:
        left, right = node.inputs
        out = node.outputs[0]
        multiplications = left.spec.size * right.spec.shape[-1]
        # A matrix times a vector reads each element once: BLAS can't do it faster.
        is_vector = 1 in (left.spec.shape[-2], right.spec.shape[-1])
        if multiplications <= LOOP_PRODUCT_LIMIT or is_vector or not is_floating(out.dtype):
            self.add_loop_product(node)
            return
        result = self.product_place(node)
        first, second = (self.matrix(operand, out) for operand in (left, right))
        axes = [Extent(size) for size in out.shape[:-2] if size != 1]
        self.unite_product_extents(result, first, second)
        product = MatrixProduct(node, axes, result, first, second)
        self.unite_stack(product)
        self.result.in_memory.update((result.value, first.value, second.value))
        self.result.steps.append(product)

    def stack_of(self, out: Value) -> tuple[Affine, ...]:
        """Return the index that the loops over the stack of a product make, with rows, columns."""
        axes, lead = self.loops_of_shape(out.shape[:-2])
        return (*lead, Affine.index(len(axes)), Affine.index(len(axes) + 1))

    def product_place(self, node: Node) -> Matrix:
        """Return where a product is written: where its only reader wants it, if BLAS can do so."""
        out = node.outputs[0]
        shape = (out.shape[-2], out.shape[-1])
        own = self.stack_of(out)
        stack = sum(size != 1 for size in out.shape[:-2])
        plain = Matrix(out, own, stack, shape)
        readers = self.readers.get(out, [])
        if len(readers) != 1 or not isinstance(readers[0].primitive.lowering, IndexMap):
            return plain
        if any(out is operand for operand in self.result.graph.outputs):
            return plain
        moved = readers[0].outputs[0]
        index = readers[0].primitive.lowering.function(
            tuple(map(Affine.index, range(moved.ndim))), out.spec, **readers[0].params
        )
        if index is None or sorted(e.bare_index or 0 for e in index) != list(range(moved.ndim)):
            return plain
        places: list[Affine] = [Affine()] * moved.ndim
        for number, entry in enumerate(index):
            if entry.bare_index is None:
                return plain
            places[entry.bare_index] = own[number]
        turned = Matrix(moved, tuple(places), stack, shape)
        if not turned.fits_blas:
            return plain
        self.placed.add(moved)
        return turned

    def unite_product_extents(self, out: Matrix, left: Matrix, right: Matrix) -> None:
        """Note that the product has the left factor's rows and the right one's columns."""
        pairs = [
            (out, out.rows_axis, left, left.rows_axis),
            (out, out.columns_axis, right, right.columns_axis),
            (left, left.columns_axis, right, right.rows_axis),
        ]
        for a, a_axis, b, b_axis in pairs:
            if a.is_whole(a_axis) and b.is_whole(b_axis):
                self.result.extent(a.value, a_axis).unite(self.result.extent(b.value, b_axis))

    def unite_stack(self, product: MatrixProduct) -> None:
        """Note which axes of the arrays the loops over the stack run over."""
        for matrix in (product.result, product.left, product.right):
            for axis, entry in enumerate(matrix.index):
                number = entry.bare_index
                if number is None or number >= matrix.stack:
                    continue
                if matrix.value.shape[axis] == product.axes[number].size:
                    product.axes[number].root().unite(self.result.extent(matrix.value, axis))

    def add_loop_product(self, node: Node) -> None:
        """Add a product as a statement over rows, columns and the contracted axis.

        The contracted axis is the innermost loop, unless the factor with more elements lies in
        memory the other way round.
        """
        left, right = node.inputs
        out = node.outputs[0]
        axes, out_index = self.loops_over(out)
        inner = left.spec.shape[-1]
        contracted = Affine() if inner == 1 else Affine.index(len(axes))
        if inner != 1:
            axes = [*axes, Extent(inner)]
        batch, row, column = out_index[:-2], out_index[-2], out_index[-1]
        elements = []
        for operand, tail in ((left, (row, contracted)), (right, (contracted, column))):
            stacked = operand.spec.shape[:-2]
            lead = batch[len(batch) - len(stacked) :]
            index = tuple(
                Affine() if size == 1 else i for size, i in zip(stacked, lead, strict=True)
            )
            elements.append(self.element(operand, (*index, *tail)))
        if inner == 1:
            # Nothing to add up: an outer product.
            self.add_statement(Statement(node, out, axes, out_index, tuple(elements), PRODUCT))
            return
        form = Accumulation("accumulate_sum({acc}, {x})", lambda dtype: 0)
        statement = Statement(node, out, axes, out_index, tuple(elements), form, product=True)
        larger = elements[0 if left.spec.size >= right.spec.size else 1]
        self.add_statement(_along_memory(statement, larger))

    def matrix(self, operand: Operand, like: Value) -> Matrix:
        """Return where a factor of the product `like` lies, a copy of it where BLAS needs one."""
        assert isinstance(operand, Value)
        own = self.stack_of(like)
        stack = sum(size != 1 for size in like.shape[:-2])
        lead = own[like.ndim - operand.ndim : -2]
        lead = tuple(
            [Affine() if size == 1 else i for size, i in zip(operand.shape, lead, strict=False)]
        )
        index = (*lead, *own[-2:])
        shape = (operand.shape[-2], operand.shape[-1])
        if operand.dtype == like.dtype:
            element = self.element(operand, index)
            if isinstance(element, Read) and self.is_row_major(element.value):
                found = Matrix(element.value, element.index, stack, shape)  # type: ignore[arg-type]
                if found.fits_blas:
                    return found
            buffer = self.whole(operand, row_major=True)
        else:
            buffer = self.copy(operand, like)
        return Matrix(buffer, index, stack, shape)

    # -- whole buffers --------------------------------------------------------------------

    def add_call(self, node: Node, lowering: Call) -> None:
        """Add the call of an intrinsic on the buffers of inputs and output."""
        operands = tuple([self.whole(o, row_major=True) for o in node.inputs])
        out = node.outputs[0]
        self.result.buffered.update((*operands, out))
        arguments = lowering.arguments(**node.params)
        self.result.steps.append(IntrinsicCall(node, out, operands, lowering.intrinsic, arguments))

    def add_external(self, node: Node) -> None:
        operands = tuple([o if isinstance(o, Literal) else self.whole(o) for o in node.inputs])
        self.result.buffered.update(o for o in operands if isinstance(o, Value))
        self.result.buffered.update(node.outputs)
        self.result.steps.append(ExternalCall(node, operands))

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


def _along_memory(statement: Statement, element: Element) -> Statement:
    """Return a statement whose innermost loop runs over the last axis of the array of `element`."""
    last = len(statement.axes) - 1
    if not isinstance(element, Read) or not element.index or statement.out.ndim != 2:
        return statement
    number = element.index[-1].bare_index
    if number is None or number == last:
        return statement
    order = [n for n in range(last + 1) if n != number] + [number]
    # The contracted loop goes to where it is in the array's order of axes.
    order.insert(number, order.pop(order.index(last)))
    return statement.in_order(order)
