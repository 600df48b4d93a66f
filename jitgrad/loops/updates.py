"""Updates of parts of arrays, in place where nobody reads the array as it was."""

from __future__ import annotations

from collections.abc import Callable

from jitgrad.core.primitive import Indexed, Piece, Pieces
from jitgrad.core.spec import Shape
from jitgrad.ir.graph import Node, Operand, Value
from jitgrad.loops.arrays import Arrays
from jitgrad.loops.elements import Elements, all_places, flat_place, loops_of, moved
from jitgrad.loops.held import Computed, Memory, Registers, Scope, reads
from jitgrad.loops.program import WHOLE, Array, Index, Linear, Number, Scalar

# From the index of a part to that of an array; what has to be computed for it is written there.
Place = Callable[[Elements, Index], Index]

# What puts a changed part back, by what has read it.
_WRITES = {"slice": "slice_update", "span": "put_span", "take": "put"}


class Updates(Arrays):
    """Writes updates."""

    def owned(self, scope: Scope, operand: Operand) -> Memory:
        """Return memory that holds an operand and may be changed.

        It is the operand's own where nobody reads that afterwards.
        """
        held = scope.held.get(operand) if isinstance(operand, Value) else None
        if (
            isinstance(held, Memory)
            and held.array in scope.own
            and isinstance(operand, Value)
            and not scope.is_read_later(operand)
            and not scope.aliases(held, but=operand)
        ):
            self.protect(scope, held.array)
            return held
        memory = Memory(self.copied(scope, operand))
        scope.own.add(memory.array)
        return memory

    def copied(self, scope: Scope, operand: Operand) -> Array:
        """Return new memory with the elements of an operand."""
        array = self.new_array(scope, operand)
        self.write(array, (), scope, operand)
        return array

    def protect(self, scope: Scope, array: Array) -> None:
        """Keep what is computed from memory that is about to change, and read later."""
        for value, held in list(scope.held.items()):
            if isinstance(held, Computed) and array in reads(held) and scope.is_read_later(value):
                self.in_memory(scope, value)

    def update(self, scope: Scope, node: Node) -> None:
        """Replace a part of an array."""
        base, part, out = node.inputs[0], node.inputs[-1], node.outputs[0]
        held = scope.held.get(base) if isinstance(base, Value) else None
        if self.is_part_of_update(scope, node):
            scope.held[out] = Computed(node, scope)
        elif isinstance(held, Registers):
            self.update_registers(scope, node, held)
        else:
            memory, place = self.owned(scope, base), self.place_of(scope, node)
            self.store_part(
                memory.array,
                scope,
                part,
                lambda elements, index: (*memory.first, *place(elements, index)),
            )
            scope.held[out] = memory

    def place_of(self, scope: Scope, node: Node) -> Place:
        """Return where an update puts the elements of the part."""
        if isinstance(node.primitive.lowering, Indexed):
            return lambda elements, index: elements.places(scope, node, index)
        if node.primitive.name == "put_span":
            return lambda elements, index: elements.in_span(scope, node, index)
        lowering = node.primitive.lowering
        assert isinstance(lowering, Pieces)
        piece = lowering.function(*node.specs, **node.params)[1]
        into = piece.place(loops_of(len(piece.shape)))
        return lambda elements, index: moved(into, index)

    def update_registers(self, scope: Scope, node: Node, held: Registers) -> None:
        """Replace elements of a small array."""
        part, place = node.inputs[-1], self.place_of(scope, node)
        numbers = list(held.numbers)

        def replace(index: Index) -> None:
            element = self.element(scope, part, index)
            flat = flat_place(held.shape, place(self, index))
            for number, before in enumerate(numbers):
                if flat.known is None:
                    numbers[number] = self.choose_at(flat, number, element, before)
                elif flat.known == number:
                    numbers[number] = element

        for index in self.known_places(scope, part.spec.shape):
            replace(index)
        scope.held[node.outputs[0]] = Registers(held.shape, numbers)

    def known_places(self, scope: Scope, shape: Shape) -> list[Index]:
        """Return the index of each element; how many there are must be known."""
        return all_places(tuple([self.known_size(scope, size) for size in shape]))

    def is_part_of_update(self, scope: Scope, node: Node) -> bool:
        """Return whether a node changes a part of an array, which then is put in its place."""
        base, out = node.inputs[0], node.outputs[0]
        users = scope.users.get(out, [])
        held = scope.held.get(base) if isinstance(base, Value) else None
        if len(users) != 1 or scope.is_output(out) or not isinstance(held, Computed):
            return False
        (user,), view = users, held.node
        return (
            _WRITES.get(view.primitive.name) == user.primitive.name
            and user.inputs[-1] is out
            and view.inputs == user.inputs[:-1]
            and all(view.params[name] == value for name, value in user.params.items())
        )

    def pieces(self, scope: Scope, node: Node, lowering: Pieces) -> None:
        """Write an array piece by piece."""
        out = node.outputs[0]
        array = self.builder.array(out.shape, out.dtype, out.name)
        zero = self.builder.zero(out.dtype)
        scope.own.add(array)
        for piece in lowering.function(*node.specs, **node.params):
            self.store_piece(scope, node, array, piece, zero)
        scope.held[out] = Memory(array)

    def store_piece(
        self, scope: Scope, node: Node, array: Array, piece: Piece, zero: Number
    ) -> None:
        """Write one piece of an array."""
        place = piece.place(loops_of(len(piece.shape)))
        if piece.source is not None:
            source = node.inputs[piece.source]
            self.store_part(array, scope, source, lambda elements, index: moved(place, index))
        else:
            self.builder.nest(
                piece.shape, lambda index: self.builder.store(array, moved(place, index), zero)
            )

    def store_part(self, array: Array, scope: Scope, part: Operand, place: Place) -> None:
        """Write a part of an array; all of the part is read before anything is written."""
        held = scope.held.get(part) if isinstance(part, Value) else None
        if isinstance(held, Computed) and held.node.primitive.name in _WRITES.values():
            # The rest of the part is in its place already.
            node, inner = held.node, self.place_of(held.scope, held.node)
            self.store_part(
                array,
                held.scope,
                node.inputs[-1],
                lambda elements, index: place(elements, inner(elements, index)),
            )
            return
        if isinstance(held, Registers) or not isinstance(part, Value):
            for index in all_places(part.spec.shape):
                into = place(self, index)
                self.builder.store(array, into, self.number(scope, part, index))
            return
        assert held is not None
        if array in reads(held) and not self.reads_in_place(array, scope, part, place):
            self.in_memory(scope, part)

        def write(index: Index) -> None:
            into = place(self, index)
            self.builder.store(array, into, self.number(scope, part, index))

        self.nest(scope, part.spec.shape, write)

    def reads_in_place(
        self, array: Array, scope: Scope, part: Value, place: Place, replaces: bool = True
    ) -> bool:
        """Return whether no element is computed from another one of an array that is written to.

        From the element that it `replaces` it may be.
        """
        trial = type(self)(self.builder.fork())
        here, elsewhere = (trial.some_place(self, scope, part.shape) for _ in range(2))
        into, other = place(trial, here), place(trial, elsewhere)
        trial.number(scope, part, here)
        return all(
            (replaces and found == into) or trial.builder.are_apart(found, other)
            for found in trial.builder.loaded(array)
        )

    def some_place(self, outer: Elements, scope: Scope, shape: Shape) -> Index:
        """Return an index of which is known only that it lies inside a shape."""
        index: list[Linear] = []
        for size in shape:
            if size == 1:
                index.append(Linear())
            else:
                loop = Scalar(WHOLE)
                self.builder.bound(loop, Linear(), outer.size(scope, size) + -1)
                index.append(Linear.of(loop))
        return tuple(index)
