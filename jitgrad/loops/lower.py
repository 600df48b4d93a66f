"""From a loop of the graph, or a graph with loops, to a loop program.

Values become numbers in registers, memory, or expressions that are computed where an element is
asked for. An update of an array that nobody reads any more in its old state happens in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jitgrad.control.loop_form import INDEX, Loop, differentiable
from jitgrad.core.extents import has_extents
from jitgrad.core.primitive import (
    Accumulation,
    Alias,
    Contraction,
    Fill,
    Indexed,
    IndexMap,
    Pieces,
    Template,
)
from jitgrad.core.spec import Spec
from jitgrad.ir.graph import Graph, Node, Operand, Value
from jitgrad.loops.arrays import UPDATES, is_small, is_tiny
from jitgrad.loops.builder import Builder, NotLowerableError
from jitgrad.loops.extrema import with_shared_extrema
from jitgrad.loops.fuse import fuse
from jitgrad.loops.held import Computed, Memory, Registers, Scope
from jitgrad.loops.hoist import hoist
from jitgrad.loops.layout import lay_out
from jitgrad.loops.lower_control import ControlLowering
from jitgrad.loops.program import WHOLE, Array, Linear, Program, Scalar
from jitgrad.loops.prune import prune
from jitgrad.loops.reverse import Reversed, reverse

# A reduction of more elements is not written out.
_MOST_WRITTEN_OUT = 64


class Lowering(ControlLowering):
    """Writes the statements of graphs.

    Parameters
    ----------
    builder : Builder
        Where they go.
    """

    def __init__(self, builder: Builder) -> None:
        super().__init__(builder)
        # By the record of a loop: what it keeps, and how it is undone.
        self.ways_back: dict[Value, Reversed] = {}

    def run(self, scope: Scope) -> None:
        """Write the statements of all nodes of a graph."""
        for position, node in enumerate(scope.graph.nodes):
            scope.position = position
            self.node(scope, node)
        scope.position = len(scope.graph.nodes)

    def node(self, scope: Scope, node: Node) -> None:
        """Write what computes the outputs of a node."""
        name, lowering, out = node.primitive.name, node.primitive.lowering, node.outputs[0]
        if name in ("loop", "branch"):
            self.control_node(scope, node)
        elif name == "loop_backward":
            self.way_back(scope, node)
        elif name in UPDATES:
            self.update(scope, node)
        elif (
            name == "span"
            or isinstance(lowering, (IndexMap, Alias, Fill))
            or (isinstance(lowering, Indexed) and not (lowering.adds or lowering.writes))
        ):
            self.part(scope, node)
        elif not isinstance(lowering, (Template, Accumulation, Contraction, Pieces)):
            raise NotLowerableError(name)
        elif is_small(out.spec) and self.is_of_registers(scope, node):
            self.check_sizes(scope, node)
            self.in_registers(scope, node)
        elif isinstance(lowering, Pieces):
            self.pieces(scope, node, lowering)
        else:
            self.check_sizes(scope, node)
            scope.held[out] = Computed(node, scope)
            if not (isinstance(lowering, Template) and self.is_computed_late(scope, node)):
                self.in_memory(scope, out)

    def is_of_registers(self, scope: Scope, node: Node) -> bool:
        """Return whether it pays to write out what computes each element of a small array."""
        if is_tiny(node.outputs[0].spec):
            return True
        if any(has_extents(o.spec.shape) or o.spec.size > _MOST_WRITTEN_OUT for o in node.inputs):
            return False
        held = [scope.held.get(o) for o in node.inputs if isinstance(o, Value) and o.ndim]
        return all(isinstance(h, Registers) for h in held)

    def part(self, scope: Scope, node: Node) -> None:
        """Note a part of an array, or another view of it; nothing is copied."""
        if node.primitive.name == "span":
            self.note_span(scope, node)
        base = scope.held.get(node.inputs[0]) if node.inputs else None  # type: ignore[arg-type]
        out = node.outputs[0]
        if is_small(out.spec) and (not out.ndim or base is None or isinstance(base, Registers)):
            self.in_registers(scope, node)
        else:
            scope.held[out] = Computed(node, scope)

    # -- loops with a way back ------------------------------------------------------------

    def control_node(self, scope: Scope, node: Node) -> None:
        """Write a loop or branch, one whose way back is in the graph so that it keeps things."""
        if node.primitive.name != "loop":
            super().control_node(scope, node)
            return
        readers = scope.users.get(node.outputs[-1], [])
        if scope.is_output(node.outputs[-1]) or len(readers) > 1:
            raise NotLowerableError("a loop whose way back is somewhere else")
        if not readers:
            super().control_node(scope, node)
            return
        (reader,) = readers
        loop = Loop.of(node.params)
        if loop.memory:
            raise NotLowerableError("a loop whose memory is limited")
        first, last = [self.builder.linear(self.element(scope, b, ())) for b in node.inputs[:INDEX]]
        inputs: list[Array] = []
        for operand in node.inputs[INDEX:]:
            array = self.in_memory(scope, operand)
            # Two operands have two cotangents, even where they are the same.
            inputs.append(self.copied(scope, operand) if array in inputs else array)
        bounds = (first, last)
        whole = with_shared_extrema(replace(loop, unread=()))
        program = loop_on_arrays(self.builder.fork(), whole, bounds, inputs)
        wanted = [k - INDEX for k in reader.params["wanted"]]
        pair = reverse(program, differentiable(loop), wanted)
        self.ways_back[node.outputs[-1]] = pair
        self.builder.include(pair.forward, [*program.outputs, *program.temporaries])
        for value, array in zip(node.outputs, program.outputs, strict=False):
            # The way back changes memory that it looks at, and nobody else may.
            scope.held[value] = self.given(self.again(array) if array in pair.states else array)

    def again(self, array: Array) -> Array:
        """Return a copy of memory."""
        copy = self.builder.array(array.shape, array.dtype, array.name)
        self.builder.nest(
            array.shape, lambda i: self.builder.store(copy, i, self.builder.load(array, i))
        )
        return copy

    def way_back(self, scope: Scope, node: Node) -> None:
        """Write the way back of a loop that is in the same graph."""
        record = node.inputs[-1]
        pair = self.ways_back.pop(record, None) if isinstance(record, Value) else None
        if pair is None:
            raise NotLowerableError("a way back whose loop is somewhere else")
        cts = node.inputs[len(node.inputs) - 1 - len(pair.cotangents) : -1]
        for array, operand in zip(pair.cotangents, cts, strict=True):
            self.write(array, (), scope, operand)
        for array in pair.gradients:
            zero = self.builder.zero(array.dtype)
            self.fill(array, zero)
        memory = [*pair.cotangents, *pair.gradients, *pair.backward.temporaries]
        self.builder.include(pair.backward, list(dict.fromkeys(memory)))
        for value, array in zip(node.outputs, pair.gradients, strict=True):
            scope.held[value] = self.given(array)


def lower_loop(loop: Loop, specs: Sequence[Spec], bounds: tuple[int | None, int | None]) -> Program:
    """Return the program of a loop, whose outputs are the results that are read.

    Parameters
    ----------
    loop : Loop
        What to run.
    specs : sequence of Spec
        Of its operands.
    bounds : tuple of int or None
        First index, and the one after the last, where they are known; the program takes others
        at each call.

    Raises
    ------
    NotLowerableError
        If it holds what only NumPy can do.
    """
    inputs = [Array(s.shape, s.dtype) for s in specs[INDEX:]]
    for array, value in zip(inputs, loop.body.graph.inputs[1:], strict=True):
        array.name = value.name
    counts = [Scalar(WHOLE, n) for n, b in zip(("start", "stop"), bounds, strict=True) if b is None]
    unknown = iter(counts)
    first, last = [Linear.of(next(unknown) if b is None else b) for b in bounds]
    program = loop_on_arrays(Builder(), loop, (first, last), inputs)
    program.counts = counts
    return program


def loop_on_arrays(
    builder: Builder, loop: Loop, bounds: tuple[Linear, Linear], inputs: list[Array]
) -> Program:
    """Return the program of a loop on arrays."""
    lowering = Lowering(builder)
    values = [Value(Spec(array.shape, array.dtype)) for array in inputs]
    scope = Scope(Graph(tuple(values), (), ()))
    for value, array in zip(values, inputs, strict=True):
        scope.held[value] = lowering.given(array)
    results = lowering.loop(scope, loop, bounds, list(values))
    outputs = [Value(spec) for spec in loop.outputs]
    scope.held.update(zip(outputs, results, strict=True))
    return finish(lowering, scope, inputs, [outputs[k] for k in loop.read])


def lower_graph(graph: Graph) -> Program:
    """Return the program of a graph with loops, and perhaps their ways back.

    Raises
    ------
    NotLowerableError
        If it holds what only NumPy can do.
    """
    lowering = Lowering(Builder())
    inputs = [Array(v.shape, v.dtype, v.name) for v in graph.inputs]
    scope = Scope(graph)
    for value, array in zip(graph.inputs, inputs, strict=True):
        scope.held[value] = lowering.given(array)
    lowering.run(scope)
    return finish(lowering, scope, inputs, graph.outputs)


def finish(
    lowering: Lowering, scope: Scope, inputs: list[Array], outputs: Sequence[Operand]
) -> Program:
    """Return the program that has been written; each output gets memory of its own."""
    builder = lowering.builder
    made: list[Array] = []
    for operand in outputs:
        held = scope.held.get(operand) if isinstance(operand, Value) else None
        if isinstance(held, Memory) and not held.first and held.array in builder.temporaries:
            builder.temporaries.remove(held.array)
            made.append(held.array)
        else:
            made.append(Array(operand.spec.shape, operand.spec.dtype))
            lowering.write(made[-1], (), scope, operand)
    program = Program(inputs, [], made, builder.temporaries, hoist(builder.block))
    return lay_out(fuse(prune(program)))
