"""Whole values: kept in registers, written to memory, or computed where they are read."""

from __future__ import annotations

from collections.abc import Callable

from jitgrad.core.extents import Extent, has_extents
from jitgrad.core.primitive import Accumulation, Pieces, Template
from jitgrad.core.spec import Shape, Spec
from jitgrad.ir.graph import Node, Operand, Value
from jitgrad.loops.builder import NotLowerableError
from jitgrad.loops.elements import Elements, all_places
from jitgrad.loops.held import MOST_IN_REGISTERS, Computed, Memory, Registers, Scope
from jitgrad.loops.program import Array, Index, Linear

# What is computed again rather than kept in memory costs no more than so many additions.
_CHEAP = 3
# Operations that replace a part of an array.
UPDATES = ("put", "slice_update", "put_span")
# So many numbers are in registers in any case.
_FEW = 4


def is_small(spec: Spec) -> bool:
    """Return whether an array is kept in registers."""
    return not has_extents(spec.shape) and spec.size <= MOST_IN_REGISTERS


def is_tiny(spec: Spec) -> bool:
    """Return whether an array is kept in registers wherever it comes from and goes to."""
    return not has_extents(spec.shape) and spec.size <= _FEW


class Arrays(Elements):
    """Writes whole values."""

    def room(self, scope: Scope, shape: Shape) -> Shape:
        """Return the shape of memory for an array, however long its axes turn out to be."""
        found: list[int] = []
        for size in shape:
            most = self.builder.extreme(self.size(scope, size), True)
            most = self.longest.get(size.value, most) if isinstance(size, Extent) else most
            if most is None:
                raise NotLowerableError("an array that may become as long as it likes")
            found.append(max(most, 0))
        return tuple(found)

    def new_array(self, scope: Scope, operand: Operand) -> Array:
        """Return memory for an operand."""
        name = operand.name if isinstance(operand, Value) else ""
        shape = self.room(scope, operand.spec.shape)
        return self.builder.array(shape, operand.spec.dtype, name)

    def nest(self, scope: Scope, shape: Shape, write: Callable[[Index], None]) -> None:
        """Write loops over the elements of an array."""
        self.builder.nest([self.size(scope, size) for size in shape], write)

    def is_computed_late(self, scope: Scope, node: Node) -> bool:
        """Return whether a value is computed where it is read: by one reader, once, or cheaply."""
        out = node.outputs[0]
        if self.cost(scope, out) <= _CHEAP:
            return True
        users = scope.users.get(out, [])
        if len(users) != 1 or scope.is_output(out):
            return not users
        (user,) = users
        if list(user.inputs).count(out) > 1 or not user.outputs:
            return False
        lowering = user.primitive.lowering
        if isinstance(lowering, Accumulation) or user.primitive.name in UPDATES:
            return True
        elementwise = isinstance(lowering, Template)
        return elementwise and user.outputs[0].shape == out.shape

    def cost(self, scope: Scope, operand: Operand) -> int:
        """Return roughly how many additions an element costs."""
        held = scope.held.get(operand) if isinstance(operand, Value) else None
        if not isinstance(held, Computed):
            return 0
        lowering = held.node.primitive.lowering
        own = lowering.cost if isinstance(lowering, Template) else 0
        return own + sum([self.cost(held.scope, o) for o in held.node.inputs])

    def in_registers(self, scope: Scope, node: Node) -> None:
        """Compute all elements of a small array."""
        out, lowering = node.outputs[0], node.primitive.lowering
        if isinstance(lowering, Pieces):
            by_place = self.of_pieces(scope, node, lowering)
            places = [tuple([e.constant for e in place]) for place in all_places(out.shape)]
            numbers = [by_place[place] for place in places]
        elif isinstance(lowering, Accumulation):
            numbers = list(self.reductions(scope, node, all_places(out.shape)))
        else:
            numbers = [self.compute(scope, node, place) for place in all_places(out.shape)]
        scope.held[out] = Registers(out.shape, numbers)

    def in_memory(self, scope: Scope, operand: Operand) -> Array:
        """Return memory that holds an operand: its own, or a copy."""
        held = scope.held.get(operand) if isinstance(operand, Value) else None
        if isinstance(held, Memory) and not held.first:
            return held.array
        array = self.new_array(scope, operand)
        self.write(array, (), scope, operand)
        if isinstance(held, Computed):
            assert isinstance(operand, Value)
            scope.held[operand] = Memory(array)
            scope.own.add(array)
        return array

    def write(self, array: Array, first: Index, scope: Scope, operand: Operand) -> None:
        """Write all elements of an operand to memory."""
        held = scope.held.get(operand) if isinstance(operand, Value) else None
        if isinstance(held, Memory) and held.array is array and held.first == first:
            return
        if isinstance(held, Computed) and isinstance(held.node.primitive.lowering, Accumulation):
            self.reduce(array, first, held)
            return
        shape = operand.spec.shape
        if isinstance(held, Registers):
            for place in all_places(shape):
                self.builder.store(array, (*first, *place), self.number(scope, operand, place))
            return

        def write(index: Index) -> None:
            number = self.number(scope, operand, index)
            self.builder.store(array, (*first, *index), number)

        self.nest(scope, shape, write)

    def reduce(self, array: Array, first: Index, held: Computed) -> None:
        """Write a reduction to memory: elements in registers, or row by row in order of memory."""
        node, scope = held.node, held.scope
        source, axes = node.inputs[0], node.params["axes"]
        shape, out = source.spec.shape, node.outputs[0]
        last = shape[-1] if len(shape) - 1 not in axes else 1
        if last > _FEW:
            self.reduce_in_rows(array, first, held)
            return
        many = all_places((last,))

        def write(index: Index) -> None:
            places = [(*index, *place) for place in many] if last > 1 else [index]
            for place, number in zip(places, self.reductions(scope, node, places), strict=True):
                self.builder.store(array, (*first, *place), number)

        self.nest(scope, out.shape[:-1] if last > 1 else out.shape, write)

    def reduce_in_rows(self, array: Array, first: Index, held: Computed) -> None:
        """Reduce over leading axes by adding rows to the result."""
        node = held.node
        source, axes = node.inputs[0], node.params["axes"]
        form = node.primitive.lowering
        assert isinstance(form, Accumulation)
        start = self.builder.typed(form.identity(array.dtype), array.dtype)

        def begin(index: Index) -> None:
            self.builder.store(array, (*first, *index), start)

        def combine(index: Index) -> None:
            kept = tuple(
                [
                    Linear() if axis in axes else entry
                    for axis, entry in enumerate(index)
                    if axis not in axes or node.params["keepdims"]
                ]
            )
            x = self.number(held.scope, source, index)
            before = self.builder.load(array, (*first, *kept))
            after = self.builder.combine(node, form, before, x)
            self.builder.store(array, (*first, *kept), after)

        self.nest(held.scope, node.outputs[0].shape, begin)
        self.nest(held.scope, source.spec.shape, combine)
