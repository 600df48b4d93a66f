"""Arrays of which a loop makes new ones from old ones: two places, which take turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from jitgrad.core.dtypes import int64
from jitgrad.ir.graph import Literal, Value
from jitgrad.loops.builder import Builder, operation
from jitgrad.loops.elements import folded_pair
from jitgrad.loops.held import Memory, Scope
from jitgrad.loops.program import Array, Linear, Scalar


@dataclass(slots=True)
class Planes:
    """Where such arrays are: the planes of arrays with one axis more, of size 2.

    Parameters
    ----------
    places : dict
        For a carry, by its number, the array and the plane in which it is at first. In each
        iteration it is in the other plane than in the one before.
    """

    places: dict[int, tuple[Array, int]] = field(default_factory=dict)

    @property
    def arrays(self) -> list[Array]:
        """The memory."""
        return [array for array, _ in self.places.values()]

    def at(self, number: int, turn: Linear) -> Memory | None:
        """Return where a carry is in a turn, 0 or 1; None for one that is elsewhere."""
        if number not in self.places:
            return None
        array, plane = self.places[number]
        return Memory(array, (turn if plane == 0 else Linear.of(1) - turn,))

    def enter(self, inner: Scope, inputs: Sequence[Value], turn: Linear) -> None:
        """Note where the carries are in an iteration."""
        for number in self.places:
            memory = self.at(number, turn)
            assert memory is not None
            inner.held[inputs[number]] = memory
            inner.own.add(memory.array)

    def next(self, number: int, here: Memory) -> Memory:
        """Return where a carry is in the next iteration."""
        if number not in self.places:
            return here
        return Memory(here.array, (Linear.of(1) - here.first[0],))

    def turn_of(self, builder: Builder, done: Linear) -> Linear:
        """Return the turn after so many iterations."""
        if not self.places:
            return Linear()
        if done.known is not None:
            return Linear.of(done.known % 2)
        given = (builder.number(done), Literal.of(2))
        turn = builder.apply(operation("remainder", int64, int64), given)
        builder.bound(turn, Linear(), Linear.of(1))
        return Linear.of(turn)

    def turn_after(self, builder: Builder, bounds: tuple[Linear, Linear]) -> Linear:
        """Return the turn in which a counted loop has ended."""
        if not self.places:
            return Linear()
        count = bounds[1] - bounds[0]
        found = folded_pair(builder, "maximum", count, Linear())
        if found is None:
            given = (builder.number(count), Literal.of(0))
            found = builder.apply(operation("maximum", int64, int64), given)
        assert isinstance(found, (Linear, Scalar))
        return self.turn_of(builder, Linear.of(found))
