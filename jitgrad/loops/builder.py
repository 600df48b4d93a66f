"""Writes the statements of a loop program, each once, and knows bounds of indices."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from jitgrad.core.dtypes import DType, bool_, is_floating
from jitgrad.core.primitive import TABLE, Accumulation
from jitgrad.core.spec import Shape, Spec
from jitgrad.ir.graph import GraphBuilder, Literal, Node, Value
from jitgrad.loops.program import (
    WHOLE,
    Apply,
    Array,
    Block,
    Check,
    Combine,
    Count,
    For,
    If,
    Index,
    Linear,
    Load,
    Number,
    Pop,
    Program,
    Scalar,
    Stack,
    Store,
    While,
    statements,
)

# So many elements at the end of a nest are written out.
_MOST_WRITTEN_OUT = 4


class NotLowerableError(Exception):
    """A graph that no loop program is made of; its loop runs otherwise."""


@functools.cache
def operation(name: str, *dtypes: DType) -> Node:
    """Return an operation on numbers, whatever they are."""
    operands = tuple([Value(Spec((), dtype)) for dtype in dtypes])
    builder = GraphBuilder()
    builder.emit(TABLE[name], operands, {})
    return builder.nodes[0]


class Builder:
    """Appends statements to a block, and knows what has been computed before."""

    def __init__(self) -> None:
        self.block: Block = []
        self.temporaries: list[Array] = []
        # What each computation gave, innermost block last.
        self._made: list[dict[Any, Scalar]] = [{}]
        # How often an array has been written to: what was read before is out of date.
        self._versions: dict[Array, int] = {}
        self._bounds: dict[Scalar, tuple[Linear, Linear]] = {}

    # -- blocks ---------------------------------------------------------------------------

    @contextmanager
    def inside(self, block: Block, again: bool = False) -> Iterator[None]:
        """Append to another block; `again` if it runs several times.

        Elements read before the loop are then not those read in it.
        """
        outer = self.block
        self.block = block
        known = self._made
        if again:
            self._made = [
                {k: v for k, v in level.items() if k[0] != "load"} for level in self._made
            ]
        self._made = [*self._made, {}]
        yield
        self.block, self._made = outer, known

    def levels(self) -> list[dict[Any, Scalar]]:
        """Return what is known to have been computed in this block."""
        return self._made

    @contextmanager
    def at(self, block: Block, levels: list[dict[Any, Scalar]]) -> Iterator[None]:
        """Append to a block around this one, where so much has been computed."""
        here, known = self.block, self._made
        self.block, self._made = block, levels
        yield
        self.block, self._made = here, known

    @contextmanager
    def loop(self, start: Linear | int, stop: Linear | int, name: str = "") -> Iterator[For]:
        """Append a loop, and statements to its body."""
        loop = For(Scalar(WHOLE, name), Linear.of(start), Linear.of(stop), [])
        self.bound(loop.index, loop.start, loop.stop + -1)
        with self.inside(loop.body, again=True):
            yield loop
        self.block.append(loop)

    def nest(self, shape: Sequence[int | Linear], write: Callable[[Index], None]) -> None:
        """Append a loop for each size that is not 1, and what `write` appends for an element.

        The last axes are written out where they are short, so that the loop around them is one
        that can be vectorised.
        """
        sizes = [Linear.of(size) for size in shape]
        short = len(sizes)
        total = 1
        while short > 1 and (known := sizes[short - 1].known) is not None:
            total *= known
            if total > _MOST_WRITTEN_OUT:
                break
            short -= 1
        ranges = [range(size.known or 0) for size in sizes[short:]]
        ends = [tuple(map(Linear.of, place)) for place in itertools.product(*ranges)]

        def with_ends(index: Index) -> None:
            for end in ends:
                write((*index, *end))

        self._loops(tuple(sizes[:short]), (), with_ends)

    def _loops(
        self, sizes: tuple[Linear, ...], index: Index, write: Callable[[Index], None]
    ) -> None:
        if not sizes:
            write(index)
        elif sizes[0].known == 1:
            self._loops(sizes[1:], (*index, Linear()), write)
        else:
            with self.loop(0, sizes[0]) as loop:
                self._loops(sizes[1:], (*index, Linear.of(loop.index)), write)

    # -- statements -----------------------------------------------------------------------

    def array(self, shape: Shape, dtype: DType, name: str = "") -> Array:
        """Return memory for the time the program runs."""
        made = Array(shape, dtype, name)
        self.temporaries.append(made)
        return made

    def _once(self, key: Any, out: Scalar, statement: Any) -> Scalar:
        for level in self._made:
            if key in level:
                return level[key]
        self._made[-1][key] = out
        self.block.append(statement)
        return out

    def apply(self, node: Node, inputs: Sequence[Number]) -> Scalar:
        """Compute an operation on numbers."""
        given = tuple(inputs)
        out = Scalar(node.outputs[0].dtype, node.outputs[0].name)
        params = tuple([f"{k}={v!r}" for k, v in node.params.items()])
        specs = tuple([(s.dtype, s.weak) for s in node.specs])
        key = ("apply", node.primitive.name, params, specs, out.dtype, given)
        return self._once(key, out, Apply(node, given, out))

    def combine(self, node: Node, form: Accumulation, accumulator: Number, x: Number) -> Scalar:
        """Update an accumulator."""
        out = Scalar(node.outputs[0].dtype)
        self.block.append(Combine(node, form, accumulator, x, out))
        return out

    def load(self, array: Array, index: Index) -> Scalar:
        """Read an element."""
        assert len(index) == len(array.shape)
        out = Scalar(array.dtype, array.name)
        key = ("load", array, self._versions.get(array, 0), index)
        return self._once(key, out, Load(array, index, out))

    def load_again(self, array: Array, index: Index) -> Scalar:
        """Read an element, whether or not it has been read before."""
        out = Scalar(array.dtype, array.name)
        self.block.append(Load(array, index, out))
        return out

    def store(self, array: Array, index: Index, value: Number, adds: bool = False) -> None:
        """Write an element."""
        assert len(index) == len(array.shape)
        self.block.append(Store(array, index, value, adds))
        self.written(array)

    def written(self, array: Array) -> None:
        """Note that elements read before are out of date."""
        self._versions[array] = self._versions.get(array, 0) + 1

    def pop(self, stack: Stack, dtype: DType) -> Scalar:
        """Take back a number."""
        out = Scalar(dtype)
        self.block.append(Pop(stack, out))
        return out

    def fork(self) -> Builder:
        """Return a builder of other blocks that knows the bounds of this one's numbers."""
        other = Builder()
        other._bounds = self._bounds
        return other

    def include(self, program: Program, memory: Sequence[Array]) -> None:
        """Append the statements of a program; `memory` is what it stores in."""
        self.block += program.body
        self.temporaries += memory
        for array in memory:
            self.written(array)

    def append(self, statement: For | While | If) -> None:
        """Append a loop or branch that has been written."""
        self.block.append(statement)

    def typed(self, number: float, dtype: DType) -> Literal:
        """Return a number of a dtype."""
        return Literal.of(float(number) if is_floating(dtype) else number)

    def loaded(self, array: Array) -> list[Index]:
        """Return the indices of all elements of an array that are read."""
        found = [s for s in statements(self.block) if isinstance(s, Load) and s.array is array]
        return [statement.index for statement in found]

    # -- whole numbers --------------------------------------------------------------------

    def number(self, thing: Linear | Number) -> Number:
        """Return a sum of indices as a number."""
        if not isinstance(thing, Linear):
            return thing
        if thing.known is not None:
            return Literal.of(thing.known)
        if len(thing.terms) == 1 and thing.terms[0][1] == 1 and not thing.constant:
            return thing.terms[0][0]
        out = Scalar(WHOLE)
        return self._once(("count", thing), out, Count(thing, out))

    def linear(self, thing: Linear | Number) -> Linear:
        """Return a whole number as a sum of indices."""
        if isinstance(thing, Literal):
            return Linear.of(int(thing.number))
        return Linear.of(thing)

    def bound(self, scalar: Scalar, lowest: Linear, highest: Linear) -> None:
        """Note between which numbers, both possible, a scalar lies."""
        self._bounds[scalar] = (lowest, highest)

    def extreme(self, thing: Linear, highest: bool) -> int | None:
        """Return the highest or lowest that a sum of indices can be; None if nothing is known."""
        while thing.terms:
            # Bounds of one that was made later may be in terms of earlier ones.
            scalar, coefficient = thing.terms[-1]
            bounds = self._bounds.get(scalar)
            if bounds is None:
                return None
            thing = thing.replace(scalar, bounds[(coefficient > 0) == highest])
        return thing.constant

    def are_apart(self, one: Index, other: Index) -> bool:
        """Return whether two indices never are the same."""
        for a, b in zip(one, other, strict=True):
            difference = a - b
            low, high = self.extreme(difference, False), self.extreme(difference, True)
            if (low is not None and low > 0) or (high is not None and high < 0):
                return True
            divisor = math.gcd(*[coefficient for _, coefficient in difference.terms])
            if divisor and difference.constant % divisor:
                return True
        return False

    def bound_number(self, thing: Linear, most: int) -> None:
        """Note that a number is neither negative nor above another one, if nothing is known."""
        if len(thing.terms) == 1 and thing.terms[0][1] == 1 and not thing.constant:
            self._bounds.setdefault(thing.terms[0][0], (Linear(), Linear.of(most)))

    def place(self, thing: Linear | Number, size: Linear, node: Node, axis: int) -> Linear:
        """Return an index that counts from the start of an axis; one that does not fit is an error.

        Negative ones count from the end, as everywhere in Python.
        """
        index = self.linear(thing)
        low, high = self.extreme(index, False), self.extreme(index, True)
        if low is None or low < 0:
            is_negative = high is not None and high < 0
            index = index + size if is_negative else self._wrapped(index, size)
            low = self.extreme(index, False)
        left = self.extreme(size - index, False)
        if low is None or left is None or low < 0 or left <= 0:
            key = ("check", index, size)
            self._once(key, Scalar(WHOLE), Check(index, size, node, axis))
        return index

    def _wrapped(self, index: Linear, size: Linear) -> Linear:
        number = self.number(index)
        beyond = self.number(index + size)
        negative = self.apply(operation("lt", WHOLE, WHOLE), (number, Literal.of(0)))
        out = self.apply(operation("where", bool_, WHOLE, WHOLE), (negative, beyond, number))
        return Linear.of(out)

    def zero(self, dtype: DType) -> Literal:
        """Return zero of a dtype."""
        return self.typed(0, dtype)
