"""From a loop program to its way back.

The way back undoes the program statement by statement. A store is undone by putting back what it
replaced, which the way there has kept, so that memory is always as it was when the statement ran:
elements that a derivative needs are read again, numbers computed again. What can't be had that way,
such as the carries of a loop, the way there keeps at the end of each block. Nothing is kept that no
derivative needs: a linear stencil keeps nothing. This is the store-on-overwrite strategy of
Griewank and Walther, Evaluating Derivatives (2008), sections 4.2 and 6.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jitgrad.core.dtypes import is_floating
from jitgrad.core.primitive import Accumulation, Alias, IndexMap, Template
from jitgrad.ir.graph import Literal, Node, Operand, Value
from jitgrad.loops.activity import varied
from jitgrad.loops.bars import Bars
from jitgrad.loops.builder import Builder, NotLowerableError, operation
from jitgrad.loops.derivative import derivative
from jitgrad.loops.elements import cast_node, sum_node
from jitgrad.loops.program import (
    WHOLE,
    Apply,
    Array,
    Block,
    Carry,
    Check,
    Combine,
    Count,
    For,
    If,
    Index,
    Linear,
    Load,
    Merge,
    Number,
    Pop,
    Program,
    Push,
    Scalar,
    Stack,
    Statement,
    Store,
    While,
    blocks_of,
    made_by,
    statements,
)
from jitgrad.loops.prune import prune
from jitgrad.loops.settle import settle

Action = Callable[[], None]
# What costs so many additions is rather read where it was stored than computed again.
_COSTLY = 4
# What costs so many is kept where it was not stored: this takes a write as well.
_WORTH_KEEPING = 12


@dataclass(eq=False, slots=True)
class Frame:
    """A block while its way back is written.

    Parameters
    ----------
    block : list of Statement
        The block.
    around : Frame, optional
        That of the block that it is in.
    is_repeated : bool
        Whether it is the body of a loop.
    back : list of Statement
        Its way back.
    made_by : dict
        The number of the statement that makes each number; -1 for those there from the start.
    position : int
        Number of the statement that is undone.
    known : dict
        What numbers of the way there are on the way back.
    kept : dict
        Numbers that the way there keeps at the end of the block, and what they are taken back as.
    bars : dict
        Cotangents of numbers made in the block.
    outside : dict
        What the block adds to cotangents of numbers made outside.
    """

    block: Block
    around: Frame | None
    is_repeated: bool
    back: Block = field(default_factory=list)
    made_by: dict[Scalar, int] = field(default_factory=dict)
    position: int = 0
    known: dict[Scalar, Number] = field(default_factory=dict)
    kept: dict[Scalar, Scalar] = field(default_factory=dict)
    bars: dict[Scalar, Number] = field(default_factory=dict)
    outside: dict[Scalar, Number] = field(default_factory=dict)
    made: Any = None

    def __post_init__(self) -> None:
        for number, statement in enumerate(self.block):
            for made in made_by(statement):
                self.made_by[made] = number

    def loops(self) -> set[Frame]:
        """Return the frames of the loops that it is in, or is."""
        found: set[Frame] = set()
        frame: Frame | None = self
        while frame is not None:
            if frame.is_repeated:
                found.add(frame)
            frame = frame.around
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Reversed:
    """A program that keeps what its way back needs, and that way back.

    Parameters
    ----------
    forward : Program
        The program, with what it keeps.
    backward : Program
        Its way back.
    states : list of Array
        Memory of the program that the way back reads, as it was left, and changes.
    cotangents : list of Array or None
        For each output that was asked for, where the way back takes its cotangent, and changes it.
    gradients : list of Array
        For each input that was asked for, its cotangent, which starts as zeros.
    filled : set of Array
        Those of them that may start as anything.
    """

    forward: Program
    backward: Program
    states: list[Array]
    cotangents: list[Array]
    gradients: list[Array]
    filled: set[Array]


def reverse(program: Program, outputs: Sequence[int], inputs: Sequence[int]) -> Reversed:
    """Return a program with its way back; the program itself is changed.

    Parameters
    ----------
    program : Program
        What to differentiate.
    outputs : sequence of int
        Numbers of the outputs that have cotangents.
    inputs : sequence of int
        Numbers of the inputs whose cotangents are asked for.

    Raises
    ------
    NotLowerableError
        If a derivative is no loop program.
    """
    active = varied(program, [program.inputs[k] for k in inputs])
    restored: set[Store] | None = None
    while True:
        writer = _Reverse(program, active, restored)
        writer.run(outputs)
        needed = writer.stores_to_undo()
        if restored is not None and needed <= restored:
            return writer.finish(outputs, inputs)
        restored = needed if restored is None else restored | needed


class _Reverse:
    def __init__(
        self, program: Program, active: tuple[set[Scalar], set[Array]], restored: set[Store] | None
    ) -> None:
        self.program = program
        self.active, self.active_arrays = active
        self.restored = restored
        self.stack = Stack()
        self.builder = Builder()
        self.bars = Bars(self.builder)
        self.frames: list[Frame] = []
        self.bar_of: dict[Array, Array] = {}
        self.counters: dict[While, Scalar] = {}
        # In the order in which the way back is written: stores, and elements read again.
        self.undone: list[tuple[int, Store, Frame]] = []
        self.read_again: list[tuple[int, Array, Frame]] = []
        self.time = 0
        self.stored_in: dict[Statement, set[Array]] = {}

    def run(self, outputs: Sequence[int]) -> None:
        for number in outputs:
            array = self.program.outputs[number]
            self.bar(array)
        self.top = self.frame(self.program.body, None, is_repeated=False)
        self.undo_block(self.top)

    def stores_to_undo(self) -> set[Store]:
        """Return the stores after whose undoing their memory is read again."""
        needed: set[Store] = set()
        for time, store, frame in self.undone:
            loops = frame.loops()
            for when, array, reader in self.read_again:
                if array is store.array and (when > time or loops & reader.loops()):
                    needed.add(store)
                    break
        return needed

    # -- frames ---------------------------------------------------------------------------

    def frame(self, block: Block, around: Frame | None, is_repeated: bool) -> Frame:
        made = Frame(block, around, is_repeated)
        self.frames.append(made)
        return made

    def undo_block(
        self, frame: Frame, start: Action = lambda: None, end: Action = lambda: None
    ) -> None:
        """Write the way back of a block.

        Parameters
        ----------
        frame : Frame
            That of the block.
        start, end : callable
            Give the numbers that the block hands on their cotangents, and take those of the
            numbers that it was given.
        """
        with self.builder.inside(frame.back):
            frame.made = self.builder.levels()
            frame.position = len(frame.block)
            start()
            for position in reversed(range(len(frame.block))):
                frame.position = position
                statement = frame.block[position]
                getattr(self, f"undo_{type(statement).__name__}")(frame, statement)
            end()
        frame.back[:0] = [Pop(self.stack, scalar) for scalar in reversed(frame.kept.values())]

    @contextmanager
    def writing(self, frame: Frame) -> Iterator[None]:
        """Append to the way back of a block around the one that is written."""
        with self.builder.at(frame.back, frame.made):
            yield

    # -- numbers of the way there ---------------------------------------------------------

    def value(self, frame: Frame, number: Number) -> Number:
        """Return what a number of the way there is on the way back."""
        if isinstance(number, Literal):
            return number
        found = frame.known.get(number)
        if found is not None:
            return found
        if number not in frame.made_by:
            # What is made outside of the program is there on the way back, too.
            return number if frame.around is None else self.value(frame.around, number)
        found = self.again(frame, number)
        if found is None:
            found = frame.kept[number] = Scalar(number.dtype, number.name)
        frame.known[number] = found
        return found

    def again(self, frame: Frame, number: Scalar) -> Number | None:
        """Compute a number again; None if that can't be done."""
        position = frame.made_by[number]
        if position < 0:
            return None
        statement = frame.block[position]
        if isinstance(statement, Apply):
            if _cost(statement) >= _WORTH_KEEPING:
                return None
            given = [self.value(frame, n) for n in statement.inputs]
            with self.writing(frame):
                return self.builder.apply(statement.node, given)
        if isinstance(statement, Combine):
            accumulator = self.value(frame, statement.accumulator)
            element = self.value(frame, statement.element)
            with self.writing(frame):
                return self.builder.combine(statement.node, statement.form, accumulator, element)
        if isinstance(statement, Count):
            whole = self.linear(frame, statement.value)
            with self.writing(frame):
                return self.builder.number(whole)
        if isinstance(statement, Load) and self.is_unchanged(frame, statement.array, position):
            index = self.index(frame, statement.index)
            self.time += 1
            self.read_again.append((self.time, statement.array, frame))
            with self.writing(frame):
                return self.builder.load_again(statement.array, index)
        return None

    def is_unchanged(self, frame: Frame, array: Array, position: int) -> bool:
        """Return whether nothing was stored in an array since a statement, as far as not undone."""
        until = frame.position
        if until < len(frame.block) and not isinstance(frame.block[until], Store):
            until += 1
        return not any(
            array in self.stored(statement) for statement in frame.block[position + 1 : until]
        )

    def stored(self, statement: Statement) -> set[Array]:
        """Return the memory that a statement stores in."""
        found = self.stored_in.get(statement)
        if found is None:
            found = {s.array for s in statements([statement]) if isinstance(s, Store)}
            self.stored_in[statement] = found
        return found

    def linear(self, frame: Frame, value: Linear) -> Linear:
        total = Linear((), value.constant)
        for scalar, coefficient in value.terms:
            total = total + self.builder.linear(self.value(frame, scalar)) * coefficient
        return total

    def index(self, frame: Frame, index: Index) -> Index:
        return tuple([self.linear(frame, entry) for entry in index])

    # -- cotangents -----------------------------------------------------------------------

    def bar(self, array: Array) -> Array:
        """Return the memory of the cotangents of an array."""
        if array not in self.bar_of:
            self.bar_of[array] = Array(array.shape, array.dtype, f"d_{array.name or 'x'}")
        return self.bar_of[array]

    def add(self, frame: Frame, number: Number, bar: Number) -> None:
        """Add to the cotangent of a number."""
        if not isinstance(number, Scalar) or number not in self.active:
            return
        bars = frame.bars if number in frame.made_by else frame.outside
        before = bars.get(number)
        bars[number] = bar if before is None else self.sum(before, bar)

    def sum(self, a: Number, b: Number) -> Number:
        dtype = a.dtype if isinstance(a, Scalar) else a.spec.dtype
        return self.builder.apply(operation("add", dtype, dtype), (a, b))

    # -- statements -----------------------------------------------------------------------

    def undo_Apply(self, frame: Frame, statement: Apply) -> None:  # noqa: N802 - by the statement
        bar = frame.bars.pop(statement.out, None)
        if bar is None:
            return
        node, given = statement.node, statement.inputs
        wrt = tuple(
            [
                k
                for k, n in enumerate(given)
                if n in self.active and node.primitive.rule_for(k) is not None
            ]
        )
        graph = derivative(node, wrt)
        found: dict[Operand, Number] = {graph.inputs[-1]: bar}
        values = [n for n, o in zip(given, node.inputs, strict=True) if isinstance(o, Value)]
        places = dict(zip(graph.inputs[:-1], values, strict=True))

        def number(operand: Operand) -> Number:
            if isinstance(operand, Literal):
                return operand
            if operand in places:
                return self.value(frame, places[operand])
            return found[operand]

        for step in graph.nodes:
            found[step.outputs[0]] = self.apply(step, [number(o) for o in step.inputs])
        for place, operand in zip(wrt, graph.outputs, strict=True):
            self.add(frame, given[place], self.as_dtype(number(operand), given[place]))

    def apply(self, node: Node, inputs: Sequence[Number]) -> Number:
        if node.primitive.name == "full":
            return self.builder.typed(node.params["value"], node.outputs[0].dtype)
        if isinstance(node.primitive.lowering, (IndexMap, Alias)):
            return inputs[0]
        if not isinstance(node.primitive.lowering, Template):
            raise NotLowerableError(f"a derivative with {node.primitive.name}")
        return self.builder.apply(node, inputs)

    def undo_Combine(self, frame: Frame, statement: Combine) -> None:  # noqa: N802
        bar = frame.bars.pop(statement.out, None)
        if bar is None:
            return
        name = statement.node.primitive.name
        if name == "sum":
            self.add(frame, statement.accumulator, bar)
            self.add(frame, statement.element, self.as_dtype(bar, statement.element))
            return
        if name != "prod":
            raise NotLowerableError(f"the derivative of {name}")
        dtype = statement.out.dtype
        times = operation("mul", dtype, dtype)
        for one, other in (
            (statement.accumulator, statement.element),
            (statement.element, statement.accumulator),
        ):
            if isinstance(one, Scalar) and one in self.active:
                self.add(frame, one, self.builder.apply(times, (bar, self.value(frame, other))))

    def as_dtype(self, bar: Number, like: Number) -> Number:
        have = bar.dtype if isinstance(bar, Scalar) else bar.spec.dtype
        want = like.dtype if isinstance(like, Scalar) else like.spec.dtype
        if have == want or not is_floating(want):
            return bar
        return self.builder.apply(cast_node(have, want), (bar,))

    def undo_Count(self, frame: Frame, statement: Count) -> None:  # noqa: N802
        pass

    def undo_Check(self, frame: Frame, statement: Check) -> None:  # noqa: N802
        pass

    def undo_Load(self, frame: Frame, statement: Load) -> None:  # noqa: N802
        bar = frame.bars.pop(statement.out, None)
        if bar is not None:
            index = self.index(frame, statement.index)
            self.bars.add(self.bar(statement.array), index, bar)

    def undo_Store(self, frame: Frame, statement: Store) -> None:  # noqa: N802
        array = statement.array
        is_active = array in self.active_arrays
        self.time += 1
        self.undone.append((self.time, statement, frame))
        if self.restored is not None and statement not in self.restored and not is_active:
            return
        index = self.index(frame, statement.index)
        if self.restored is not None and statement in self.restored:
            self.take_from_memory(frame, statement, index)
            before = self.builder.pop(self.stack, array.dtype)
            self.builder.store(array, index, before)
        if not is_active:
            return
        bar = self.bars.take(self.bar(array), index, stays=statement.adds)
        self.add(frame, statement.value, self.as_dtype(bar, statement.value))

    def take_from_memory(self, frame: Frame, statement: Store, index: Index) -> None:
        """Read a number that was costly to compute where it was stored."""
        number = statement.value
        position = frame.made_by.get(number, -1) if isinstance(number, Scalar) else -1
        maker = frame.block[position] if position >= 0 else None
        is_known = number in frame.known or statement.adds
        if isinstance(maker, Apply) and not is_known and _cost(maker) >= _COSTLY:
            assert isinstance(number, Scalar)
            self.time += 1
            self.read_again.append((self.time, statement.array, frame))
            frame.known[number] = self.builder.load_again(statement.array, index)

    # -- loops and branches ---------------------------------------------------------------

    def undo_For(self, frame: Frame, statement: For) -> None:  # noqa: N802
        start, stop = self.linear(frame, statement.start), self.linear(frame, statement.stop)
        back = For(Scalar(WHOLE, statement.index.name), start, stop, [])
        back.backwards = not statement.backwards
        self.builder.bound(back.index, start, stop + -1)
        inner = self.frame(statement.body, frame, is_repeated=True)
        inner.made_by[statement.index] = -1
        inner.known[statement.index] = back.index
        self.undo_loop(frame, statement, inner, back)

    def undo_While(self, frame: Frame, statement: While) -> None:  # noqa: N802
        if any(self.stored(s) for s in statement.condition):
            raise NotLowerableError("a condition that stores")
        count = self.builder.pop(self.stack, WHOLE)
        self.counters[statement] = Scalar(WHOLE)
        back = For(Scalar(WHOLE), Linear(), Linear.of(count), [])
        inner = self.frame(statement.body, frame, is_repeated=True)
        self.undo_loop(frame, statement, inner, back)

    def undo_loop(self, frame: Frame, statement: For | While, inner: Frame, back: For) -> None:
        """Write the way back of a loop: its cotangents of carries are carries of it."""
        moving: list[tuple[Carry, Carry]] = []
        for carry in statement.carries:
            inner.made_by[carry.inside] = -1
            bar = frame.bars.pop(carry.after, None)
            if carry.inside in self.active:
                dtype = carry.inside.dtype
                first = bar if bar is not None else self.builder.zero(dtype)
                own = Carry(Scalar(dtype), first, first, Scalar(dtype))
                moving.append((carry, own))

        def start() -> None:
            for carry, own in moving:
                self.add(inner, carry.following, own.inside)

        def end() -> None:
            for carry, own in moving:
                bar = inner.bars.pop(carry.inside, None)
                own.following = bar if bar is not None else self.builder.zero(own.inside.dtype)
            for scalar, bar in inner.outside.items():
                inside, after = Scalar(scalar.dtype), Scalar(scalar.dtype)
                total = sum_node(scalar.dtype)
                form = total.primitive.lowering
                assert isinstance(form, Accumulation)
                following = self.builder.combine(total, form, inside, bar)
                first = self.builder.zero(scalar.dtype)
                back.carries.append(Carry(inside, first, following, after))
                sums.append((scalar, after))

        sums: list[tuple[Scalar, Scalar]] = []
        self.undo_block(inner, start, end)
        self.bars.forget()
        back.body = inner.back
        back.carries += [own for _, own in moving]
        self.builder.append(back)
        for scalar, after in sums:
            self.add(frame, scalar, after)
        for carry, own in moving:
            self.add(frame, carry.first, own.after)

    def undo_If(self, frame: Frame, statement: If) -> None:  # noqa: N802
        predicate = self.value(frame, statement.predicate)
        bars = [(merge, frame.bars.pop(merge.out, None)) for merge in statement.merges]
        inner = [self.frame(block, frame, is_repeated=False) for block in blocks_of(statement)]
        for branch, which in zip(inner, ("then", "otherwise"), strict=True):

            def start(branch: Frame = branch, which: str = which) -> None:
                for merge, bar in bars:
                    if bar is not None:
                        self.add(branch, getattr(merge, which), bar)

            self.undo_block(branch, start)
            self.bars.forget()
        then, otherwise = inner
        back = If(predicate, then.back, otherwise.back)
        self.builder.append(back)
        for scalar in dict.fromkeys([*then.outside, *otherwise.outside]):
            zero = self.builder.zero(scalar.dtype)
            merge = Merge(
                Scalar(scalar.dtype),
                then.outside.get(scalar, zero),
                otherwise.outside.get(scalar, zero),
            )
            back.merges.append(merge)
            self.add(frame, scalar, merge.out)

    # -- the end --------------------------------------------------------------------------

    def finish(self, outputs: Sequence[int], inputs: Sequence[int]) -> Reversed:
        """Let the program keep what is needed; return it with its way back."""
        program = self.program
        for frame in self.frames:
            self.keep(frame)
        cotangents = [self.bar(program.outputs[k]) for k in outputs]
        gradients = [self.bar(program.inputs[k]) for k in inputs]
        given = {*cotangents, *gradients}
        inner = [bar for bar in self.bar_of.values() if bar not in given]
        self.builder.block = []
        for bar in inner:
            self.clear(bar)
        read = dict.fromkeys([array for _, array, _ in self.read_again])
        states = [array for array in read if array not in program.inputs]
        backward = Program(
            [*program.inputs, *states, *cotangents],
            program.counts,
            gradients,
            inner,
            [*self.builder.block, *self.top.back],
        )
        backward = prune(backward)
        filled = settle(backward, gradients)
        return Reversed(prune(program, states), backward, states, cotangents, gradients, filled)

    def clear(self, bar: Array) -> None:
        """Write zeros to memory."""
        zero = self.builder.zero(bar.dtype)
        self.builder.nest(bar.shape, lambda index: self.builder.store(bar, index, zero))

    def keep(self, frame: Frame) -> None:
        """Add to a block what keeps numbers for its way back."""
        assert self.restored is not None
        block: Block = []
        for statement in frame.block:
            if isinstance(statement, Store) and statement in self.restored:
                before = Scalar(statement.array.dtype)
                block += [Load(statement.array, statement.index, before), Push(self.stack, before)]
            block.append(statement)
            if isinstance(statement, While) and statement in self.counters:
                inside, following, after = Scalar(WHOLE), Scalar(WHOLE), self.counters[statement]
                statement.body.append(Count(Linear.of(inside) + 1, following))
                statement.carries.append(Carry(inside, Literal.of(0), following, after))
                block.append(Push(self.stack, after))
        frame.block[:] = [*block, *(Push(self.stack, number) for number in frame.kept)]


def _cost(statement: Apply) -> int:
    form = statement.node.primitive.lowering
    return form.cost if isinstance(form, Template) else 0
