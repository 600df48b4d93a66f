"""Cotangents in memory: taken where an element was written, added to where one was read."""

from __future__ import annotations

from dataclasses import dataclass

from jitgrad.loops.builder import Builder
from jitgrad.loops.program import Array, Block, Index, Number, Scalar, Store


@dataclass(eq=False, slots=True)
class _Taken:
    """A cotangent that was taken in a block, with zero left in its place."""

    block: Block
    array: Array
    index: Index
    bar: Scalar
    zero: Store


class Bars:
    """Writes loads and stores of cotangents, without those that undo each other.

    What an element was before it was replaced has no cotangent yet, so zero is stored where the
    cotangent of what replaced it is taken. If the old element was read for the new one, as in
    ``x[i] += y``, something is added to that zero at once.

    Parameters
    ----------
    builder : Builder
        Where the statements go.
    """

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self._taken: list[_Taken] = []

    def take(self, array: Array, index: Index, stays: bool) -> Scalar:
        """Return the cotangent of a written element; zero is left there unless it `stays`."""
        self._meet(array, index)
        bar = self.builder.load_again(array, index)
        if not stays:
            self.builder.store(array, index, self.builder.zero(array.dtype))
            zero = self.builder.block[-1]
            assert isinstance(zero, Store)
            self._taken.append(_Taken(self.builder.block, array, index, bar, zero))
        return bar

    def add(self, array: Array, index: Index, bar: Number) -> None:
        """Add to the cotangent of an element that was read."""
        for taken in self._taken:
            if taken.block is self.builder.block and taken.array is array and taken.index == index:
                self._taken.remove(taken)
                taken.block.remove(taken.zero)
                # What was all that was there is there still.
                if bar is not taken.bar:
                    self.builder.store(array, index, bar)
                return
        self._meet(array, index)
        self.builder.store(array, index, bar, adds=True)

    def _meet(self, array: Array, index: Index) -> None:
        """Note that an element is read or written, which may be one that was taken."""
        self._taken = [
            taken
            for taken in self._taken
            if taken.array is not array or self.builder.are_apart(taken.index, index)
        ]

    def forget(self) -> None:
        """Note that a loop or branch comes, which may read and write anything."""
        self._taken = []
