"""Loops and branches of the graph as loops and branches of a loop program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitgrad.control.loop_form import INDEX, Loop
from jitgrad.core.dtypes import int64
from jitgrad.ir.graph import Graph, Literal, Node, Operand, Value
from jitgrad.ir.subgraph import SubGraph
from jitgrad.ir.walk import producers
from jitgrad.loops.arrays import UPDATES, is_small, is_tiny
from jitgrad.loops.builder import NotLowerableError, operation
from jitgrad.loops.elements import all_places
from jitgrad.loops.held import Computed, Held, Memory, Registers, Scope, reads
from jitgrad.loops.planes import Planes
from jitgrad.loops.program import (
    WHOLE,
    Array,
    Block,
    Carry,
    If,
    Linear,
    Merge,
    Number,
    Scalar,
    While,
)
from jitgrad.loops.updates import Place, Updates

# Operations that read or replace elements by an index that is computed.
_INDEXED = ("take", "put", "span", "put_span")


class ControlLowering(Updates):
    """Writes loops and branches; the class derived from it writes what is in them."""

    def run(self, scope: Scope) -> None:
        """Write the statements of all nodes of a graph."""
        raise NotImplementedError

    def control_node(self, scope: Scope, node: Node) -> None:
        """Write a loop or branch, and note what its outputs are."""
        if node.primitive.name == "branch":
            results = self.branch(scope, node)
        else:
            first, last = [
                self.builder.linear(self.element(scope, b, ())) for b in node.inputs[:INDEX]
            ]
            operands = list(node.inputs[INDEX:])
            results = self.loop(scope, Loop.of(node.params), (first, last), operands)
        for value, held in zip(node.outputs, results, strict=False):
            scope.held[value] = held
            if isinstance(held, Memory):
                scope.own.add(held.array)

    def given(self, array: Array) -> Held:
        """Return an input of the program: 0-d ones are read at once."""
        if array.shape:
            return Memory(array)
        return Registers((), [self.builder.load(array, ())])

    # -- operands -------------------------------------------------------------------------

    def taken(self, scope: Scope, operands: Sequence[Operand], number: int) -> Array:
        """Return memory for an operand that will be changed while the others are read."""
        operand = operands[number]
        others = [o for k, o in enumerate(operands) if k != number and isinstance(o, Value)]
        held = scope.held.get(operand) if isinstance(operand, Value) else None
        if isinstance(held, Memory) and any(held.array in reads(scope.held[o]) for o in others):
            return self.copied(scope, operand)
        memory = self.owned(scope, operand)
        # Of several arrays in one memory a loop takes none over.
        return self.copied(scope, operand) if memory.first else memory.array

    def constant(self, scope: Scope, operand: Operand, changing: set[Array]) -> Held:
        """Return what an operand is inside a body that does not change it."""
        if isinstance(operand, Literal):
            return Registers((), [operand])
        held = scope.held[operand]
        if isinstance(held, Computed) and (self.cost(scope, operand) or reads(held) & changing):
            return Memory(self.in_memory(scope, operand))
        return held

    # -- loops ----------------------------------------------------------------------------

    def loop(
        self, scope: Scope, loop: Loop, bounds: tuple[Linear, Linear], operands: list[Operand]
    ) -> list[Held]:
        """Write a loop; return what its results are."""
        inner = Scope(loop.body.graph)
        index, *inputs = loop.body.graph.inputs
        first, second = loop.carried, loop.carried + loop.sliced
        in_memory = kept_in_memory(loop.body.graph)
        large = [k for k, v in enumerate(inputs[:first]) if not is_small(v.spec) or v in in_memory]
        registers: list[Carry] = []
        for number, value in enumerate(inputs[:first]):
            if number not in large:
                carries = self.carries(scope, operands[number], value)
                registers += carries
                inner.held[value] = Registers(value.shape, [c.inside for c in carries])
        planes = self.planes(scope, loop, operands, large)
        for number in large:
            if number not in planes.places:
                array = self.taken(scope, operands, number)
                inner.held[inputs[number]] = Memory(array)
                inner.own.add(array)
        changing = inner.own | set(planes.arrays)
        for number, value in enumerate(inputs[second:], second):
            inner.held[value] = self.constant(scope, operands[number], changing)
        sliced = [self.in_memory(scope, operand) for operand in operands[first:second]]
        if set(sliced) & changing:
            raise NotLowerableError("a loop along an array that it changes")
        stacked = loop.body.graph.outputs[first:]
        stacks = [self.builder.array((loop.length, *o.spec.shape), o.spec.dtype) for o in stacked]
        if loop.condition is not None:
            turn = self.while_loop(loop, inner, registers, planes)
        else:
            turn = planes.turn_after(self.builder, bounds)
            with self.builder.loop(*bounds, name=index.name) as written:
                written.backwards = loop.reverse
                here = Linear.of(written.index)
                inner.held[index] = Registers((), [here])
                position = here - bounds[0]
                done = bounds[1] + -1 - here if loop.reverse else position
                planes.enter(inner, inputs, planes.turn_of(self.builder, done))
                for value, array in zip(inputs[first:second], sliced, strict=True):
                    inner.held[value] = Memory(array, (position,))
                self.run(inner)
                for array, output in zip(stacks, stacked, strict=True):
                    self.write(array, (position,), inner, output)
                self.follow(loop, inner, registers, planes)
                written.carries += registers
        for array in (*changing, *stacks):
            self.builder.written(array)
        return [*self.results(loop, inner, registers, planes, turn), *map(Memory, stacks)]

    def planes(self, scope: Scope, loop: Loop, operands: list[Operand], large: list[int]) -> Planes:
        """Give arrays that are made anew in each iteration, or exchanged, two places in turns."""
        graph = loop.body.graph
        roots = {k: changed_in_place(graph, graph.outputs[k]) for k in large}
        numbers = {value: k for k, value in enumerate(graph.inputs[1 : 1 + loop.carried])}
        planes = Planes()
        for k in large:
            root = roots[k]
            other = numbers.get(root) if root is not None else None
            if other == k or k in planes.places:
                continue
            partner = other if other is not None and roots.get(other) is graph.inputs[1 + k] else k
            spec = graph.inputs[1 + k].spec
            shape = (2, *self.room(scope, spec.shape))
            array = self.builder.array(shape, spec.dtype, graph.inputs[1 + k].name)
            for plane, number in enumerate(dict.fromkeys((k, partner))):
                planes.places[number] = (array, plane)
                self.write(array, (Linear.of(plane),), scope, operands[number])
        return planes

    def carries(self, scope: Scope, operand: Operand, value: Value) -> list[Carry]:
        """Return a carry for each element of a value, without what follows."""
        found: list[Carry] = []
        for place in all_places(value.shape):
            inside, after = Scalar(value.dtype, value.name), Scalar(value.dtype, value.name)
            first = self.number(scope, operand, place)
            found.append(Carry(inside, first, first, after))
        return found

    def while_loop(
        self, loop: Loop, inner: Scope, registers: list[Carry], planes: Planes
    ) -> Linear:
        """Write a loop with a condition; return in which turn it has ended."""
        assert loop.condition is not None
        graph = loop.condition.graph
        asking = Scope(graph)
        turn = Carry(Scalar(WHOLE), Literal.of(0), Literal.of(0), Scalar(WHOLE))
        if planes.places:
            registers.append(turn)
            for scalar in (turn.inside, turn.after):
                self.builder.bound(scalar, Linear(), Linear.of(1))
        planes.enter(inner, loop.body.graph.inputs[1:], Linear.of(turn.inside))
        given = [*loop.body.graph.inputs[1 : 1 + loop.carried]]
        given += loop.body.graph.inputs[1 + loop.carried + loop.sliced :]
        for value, source in zip(graph.inputs, given, strict=True):
            asking.held[value] = inner.held[source]
        condition: Block = []
        body: Block = []
        with self.builder.inside(condition, again=True):
            self.run(asking)
            holds = self.number(asking, graph.outputs[0])
        inner.held[loop.body.graph.inputs[0]] = Registers((), [Literal.of(0)])
        with self.builder.inside(body, again=True):
            self.run(inner)
            self.follow(loop, inner, registers, planes)
            turn.following = self.builder.number(Linear.of(1) - Linear.of(turn.inside))
        self.builder.append(While(condition, holds, body, registers))
        return Linear.of(turn.after)

    def follow(self, loop: Loop, inner: Scope, registers: list[Carry], planes: Planes) -> None:
        """Write what makes the carries those of the next iteration."""
        outputs = loop.body.graph.outputs
        inputs = loop.body.graph.inputs[1:]
        inner.position = len(inner.graph.nodes)
        kept = iter(registers)
        targets: list[tuple[Memory, Operand]] = []
        numbers: list[Number] = []
        pairs = zip(inputs[: loop.carried], outputs[: loop.carried], strict=True)
        for number, (value, output) in enumerate(pairs):
            held = inner.held[value]
            if isinstance(held, Registers):
                numbers += [self.number(inner, output, p) for p in all_places(value.shape)]
            else:
                assert isinstance(held, Memory)
                targets.append((planes.next(number, held), output))
        for following in numbers:
            next(kept).following = following
        self.assign(inner, targets)

    def assign(self, scope: Scope, targets: list[tuple[Memory, Operand]]) -> None:
        """Write operands to memory, all as if at once."""
        pending = [(m, o) for m, o in targets if not self.is_there(scope, m, o)]
        while pending:
            for pair in pending:
                memory, operand = pair
                others = [o for m, o in pending if m is not memory]
                if all(self.is_safe(scope, memory, o) for o in others) and self.is_safe(
                    scope, memory, operand, replaces=True
                ):
                    self.write(memory.array, memory.first, scope, operand)
                    pending.remove(pair)
                    break
            else:
                memory, operand = pending[0]
                pending[0] = (memory, self.set_aside(scope, operand))

    def is_there(self, scope: Scope, memory: Memory, operand: Operand) -> bool:
        """Return whether memory is that of an operand."""
        held = scope.held.get(operand) if isinstance(operand, Value) else None
        return (
            isinstance(held, Memory) and held.array is memory.array and held.first == memory.first
        )

    def read_by(self, scope: Scope, operand: Operand) -> set[Array]:
        """Return the memory that an operand is computed from."""
        return set() if isinstance(operand, Literal) else reads(scope.held[operand])

    def is_safe(
        self, scope: Scope, memory: Memory, operand: Operand, replaces: bool = False
    ) -> bool:
        """Return whether memory can be written to before an operand is read.

        If the operand is what `replaces` its elements, each may be computed from the old one.
        """
        if memory.array not in self.read_by(scope, operand):
            return True
        assert isinstance(operand, Value)
        place: Place = lambda elements, index: (*memory.first, *index)  # noqa: E731
        return self.reads_in_place(memory.array, scope, operand, place, replaces)

    def set_aside(self, scope: Scope, operand: Operand) -> Value:
        """Return a value with the elements of an operand in memory of its own."""
        aside = Value(operand.spec)
        scope.held[aside] = Memory(self.copied(scope, operand))
        return aside

    def results(
        self, loop: Loop, inner: Scope, registers: list[Carry], planes: Planes, turn: Linear
    ) -> list[Held]:
        """Return what the carries are when the loop has ended."""
        found: list[Held] = []
        kept = iter(registers)
        for number, value in enumerate(loop.body.graph.inputs[1 : 1 + loop.carried]):
            held = inner.held[value]
            if isinstance(held, Registers):
                held = Registers(value.shape, [next(kept).after for _ in held.numbers])
            found.append(planes.at(number, turn) or held)
        return found

    # -- branches -------------------------------------------------------------------------

    def fill(self, array: Array, number: Number) -> None:
        """Write a number to all elements of memory."""
        self.builder.nest(array.shape, lambda index: self.builder.store(array, index, number))

    def branch(self, scope: Scope, node: Node) -> list[Held]:
        """Write branches; return what their results are."""
        index, *operands = node.inputs
        branches: tuple[SubGraph, ...] = node.params["branches"]
        chosen = self.number(scope, index)
        targets: dict[int, Array] = {}
        shared: dict[int, Array] = {}
        for number, output in enumerate(node.outputs):
            if is_small(output.spec):
                continue
            source = _changed_input(branches, number)
            if source is None or source in shared:
                targets[number] = self.builder.array(output.shape, output.dtype)
            else:
                shared[source] = targets[number] = self.taken(scope, operands, source)
        changing = set(targets.values())
        held = [
            Memory(shared[k]) if k in shared else self.constant(scope, operand, changing)
            for k, operand in enumerate(operands)
        ]
        small = [k for k in range(len(node.outputs)) if k not in targets]

        def run(graph: Graph) -> list[Number]:
            inner = Scope(graph, dict(zip(graph.inputs, held, strict=True)), set(shared.values()))
            self.run(inner)
            self.assign(inner, [(Memory(a), graph.outputs[k]) for k, a in targets.items()])
            return [
                self.number(inner, graph.outputs[k], place)
                for k in small
                for place in all_places(node.outputs[k].shape)
            ]

        numbers = iter(self.choose(chosen, [b.graph for b in branches], 0, run))
        for array in changing:
            self.builder.written(array)
        return [
            Memory(targets[k])
            if k in targets
            else Registers(v.shape, [next(numbers) for _ in range(v.spec.size)])
            for k, v in enumerate(node.outputs)
        ]

    def choose(self, chosen: Number, graphs: list[Graph], number: int, run: Any) -> list[Number]:
        """Write the graph that is chosen of those from `number` on."""
        if number == len(graphs) - 1:
            found: list[Number] = run(graphs[number])
            return found
        here: Block = []
        others: Block = []
        is_here = self.builder.apply(operation("eq", int64, int64), (chosen, Literal.of(number)))
        with self.builder.inside(here):
            then = run(graphs[number])
        with self.builder.inside(others):
            otherwise = self.choose(chosen, graphs, number + 1, run)
        merges = [
            Merge(Scalar(_dtype(a) if isinstance(a, Scalar) else _dtype(b)), a, b)
            for a, b in zip(then, otherwise, strict=True)
        ]
        self.builder.append(If(is_here, here, others, merges))
        return [merge.out for merge in merges]


def _dtype(number: Number) -> Any:
    return number.dtype if isinstance(number, Scalar) else number.spec.dtype


def changed_in_place(graph: Graph, operand: Operand) -> Value | None:
    """Return the input that an output is, as it was or with parts replaced; None if it is new."""
    made_by = producers(graph)
    while isinstance(operand, Value) and operand in made_by:
        maker = made_by[operand]
        if maker.primitive.name in UPDATES:
            operand = maker.inputs[0]
            continue
        number = maker.outputs.index(operand)
        source: int | None = None
        if maker.primitive.name == "loop" and number < maker.params["carried"]:
            source = number + INDEX
        elif maker.primitive.name == "branch":
            found = _changed_input(maker.params["branches"], number)
            source = None if found is None else found + 1
        if source is None:
            return None
        operand = maker.inputs[source]
    return operand if isinstance(operand, Value) and operand in graph.inputs else None


def _changed_input(branches: Sequence[SubGraph], number: int) -> int | None:
    """Return the number of the input that an output is of some branch."""
    for branch in branches:
        found = changed_in_place(branch.graph, branch.graph.outputs[number])
        if found is not None:
            return branch.graph.inputs.index(found)
    return None


def kept_in_memory(graph: Graph) -> set[Value]:
    """Return small values that are read by a computed index, or along with large ones."""
    found: set[Value] = set()
    for node in reversed(graph.nodes):
        found |= _of_graphs(node)
        if node.primitive.name in _INDEXED and isinstance(node.inputs[0], Value):
            found.add(node.inputs[0])
        elif any(v in found or not is_small(v.spec) for v in node.outputs):
            found |= {o for o in node.inputs if isinstance(o, Value) and not is_tiny(o.spec)}
    return found


def _of_graphs(node: Node) -> set[Value]:
    """Return the operands of a loop or branch that its graphs want in memory."""
    graphs: list[Graph] = []
    operands = list(node.inputs)
    if node.primitive.name == "loop":
        graphs, operands = [node.params["body"].graph], operands[1:]
    elif node.primitive.name == "branch":
        graphs, operands = [b.graph for b in node.params["branches"]], operands[1:]
    found: set[Value] = set()
    for graph in graphs:
        inside = kept_in_memory(graph)
        # Of a loop the first index comes before the body's inputs, for which the last one stands.
        pairs = zip(graph.inputs, operands, strict=True)
        found |= {o for v, o in pairs if v in inside and isinstance(o, Value)}
    return found
