"""From the nodes of a graph to steps: loop statements, matrix products, external calls.

Operations that only move elements become no step at all: whoever reads their output reads their
input at another index.
"""

from __future__ import annotations

from collections.abc import Callable

from jitgrad.codegen.lower_products import ProductLowering
from jitgrad.codegen.lowered import COPY, Lowered
from jitgrad.codegen.nests import (
    Element,
    Extent,
    ExternalCall,
    IndexEntry,
    IntrinsicCall,
    Lookup,
    Read,
    Rename,
    Statement,
)
from jitgrad.core.affine import Affine
from jitgrad.core.primitive import (
    Accumulation,
    Alias,
    Call,
    Contraction,
    External,
    Fill,
    Indexed,
    Pieces,
    Template,
)
from jitgrad.ir.graph import Graph, Literal, Node, Operand, Value


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


class _Lowering(ProductLowering):
    def run(self) -> Lowered:
        for node in self.result.graph.nodes:
            self.lower_node(node)
        for operand in self.result.graph.outputs:
            if isinstance(operand, Value):
                self.result.buffered.add(self.whole(operand))
        return self.result

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
