"""Where each value lives: in a register, in a row of scratch memory, in a whole array.

A value that is read only in the iteration that makes it is a scalar variable. One that is read in
other loops gets a buffer with only those axes along which it must survive: under a shared outer
loop one row is enough. Buffers that are nobody's output share one arena, planned by liveness.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from heapq import heappop, heappush

from jitgrad.codegen.in_place import results_in_place
from jitgrad.codegen.lowered import Lowered
from jitgrad.codegen.nests import (
    Call,
    Compute,
    Extent,
    ExternalCall,
    IntrinsicCall,
    Item,
    Loop,
    Opaque,
    Rename,
    Start,
)
from jitgrad.codegen.schedule import Schedule
from jitgrad.ir.graph import Value

_ALIGNMENT = 64
_Shape = tuple[Extent, ...]
# Arrays from outside of which a kernel takes so many that the next nest begins another one.
_MOST_ARRAYS = 1000


@dataclass(eq=False, slots=True)
class KernelPart:
    """Consecutive items of the schedule that become one generated function."""

    number: int
    body: list[Item] = field(default_factory=list)


Part = KernelPart | ExternalCall


def split(schedule: Schedule, outside: Set[Value]) -> list[Part]:
    """Return the parts of a program in order: kernels, and the external calls between them.

    A program of very many arrays is several kernels: one function of them all would take LLVM a
    time that grows with the square of their number. `outside` are inputs and outputs.
    """
    parts: list[Part] = []
    size = _PartSize(outside)
    for item in schedule.body:
        if isinstance(item, Opaque) and isinstance(item.step, ExternalCall):
            parts.append(item.step)
            continue
        if not parts or isinstance(parts[-1], ExternalCall) or size.is_full():
            parts.append(KernelPart(len(parts)))
            size = _PartSize(outside)
        part = parts[-1]
        assert isinstance(part, KernelPart)
        part.body.append(item)
        size.add(item)
    return parts


class _PartSize:
    """How large a kernel part is.

    Parameters
    ----------
    outside : set of Value
        Inputs and outputs of the program.
    """

    def __init__(self, outside: Set[Value]) -> None:
        self.outside = outside
        self.arrays: set[Value] = set()
        # Accumulators that have a first value and no other yet.
        self.started: set[Value] = set()

    def add(self, item: Item) -> None:
        """Count an item."""
        for leaf in leaves(item):
            self.arrays.update(value for value in values_touched(leaf) if value in self.outside)
            if isinstance(leaf, Start):
                self.started.add(leaf.statement.out)
            elif isinstance(leaf, Compute):
                self.started.discard(leaf.statement.out)

    def is_full(self) -> bool:
        """Return whether the next item is to begin another part."""
        return len(self.arrays) > _MOST_ARRAYS and not self.started


@dataclass(eq=False, slots=True)
class Buffer:
    """Memory of a value.

    Parameters
    ----------
    value : Value
        Whose elements it holds.
    axes : tuple of int
        Which of the value's axes it has, in its own order; all of them for a whole array.
    offset : int
        Where it begins in the arena, in bytes; -1 if it is an array of its own.
    slot : int
        Which part of the arena it is in; parts do not overlap.
    """

    value: Value
    axes: tuple[int, ...]
    offset: int = -1
    slot: int = -1

    @property
    def nbytes(self) -> int:
        """Size in this trace."""
        size = self.value.dtype.itemsize
        for axis in self.axes:
            size *= self.value.shape[axis]
        return size


@dataclass(eq=False, slots=True)
class Storage:
    """What `plan` decided.

    Parameters
    ----------
    buffers : dict
        Buffer of each value that has one; others are scalar variables.
    roots : dict
        For a renamed value the one whose memory it is.
    parts : list of Part
        Kernels and external calls in order.
    shared : set of Value
        Values that need arrays of their own: used by several parts, or outputs.
    arena_bytes : dict
        Size of the arena of each kernel part, by its number.
    over : dict
        Results that are written over inputs, with these inputs; elements of both have one name in
        the text, so that LLVM sees that what is read and what is written is the same.
    """

    buffers: dict[Value, Buffer] = field(default_factory=dict)
    roots: dict[Value, Value] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
    shared: set[Value] = field(default_factory=set)
    arena_bytes: dict[int, int] = field(default_factory=dict)
    over: dict[Value, Value] = field(default_factory=dict)

    def is_overwritten(self, value: Value) -> bool:
        """Return whether a result is written over `value`."""
        return any(value is source for source in self.over.values())

    def root(self, value: Value) -> Value:
        """Return the value whose memory `value` is."""
        while value in self.roots:
            value = self.roots[value]
        return value


@dataclass(eq=False, slots=True)
class _Use:
    part: int
    item: int
    loops: tuple[Loop, ...]
    last_item: int = 0


def plan(lowered: Lowered, schedule: Schedule, given: Sequence[Value] = ()) -> Storage:
    """Return where every value of the schedule lives; inputs that are `given` may be written."""
    graph = lowered.graph
    outside = {*graph.inputs, *(o for o in graph.outputs if isinstance(o, Value))}
    over = results_in_place(schedule.body, graph, given)
    storage = Storage(parts=split(schedule, outside), over=over, roots=dict(over))
    made: dict[Value, _Use] = {}
    used: dict[Value, list[_Use]] = {}
    started: dict[Value, int] = {}
    for part_number, part in enumerate(storage.parts):
        if isinstance(part, ExternalCall):
            here = _Use(part_number, 0, ())
            made.update(dict.fromkeys(part.node.outputs, here))
            for operand in part.operands:
                if isinstance(operand, Value):
                    used.setdefault(operand, []).append(here)
            continue
        for item_number, item in enumerate(part.body):
            for leaf in leaves(item):
                _note(leaf, part_number, item_number, made, used, storage, started)
    _choose_buffers(lowered, schedule, storage, made, used)
    _fill_arenas(lowered, storage, made, used)
    return storage


def leaves(item: Item) -> Iterator[Item]:
    """Return the items at the ends of the loop tree under `item`, in order."""
    if isinstance(item, Loop):
        for inner in item.body:
            yield from leaves(inner)
    else:
        yield item


def values_touched(leaf: Item) -> Iterator[Value]:
    """Return the values that an item at an end of the loop tree reads or makes."""
    if isinstance(leaf, Compute):
        yield leaf.statement.out
        for read in leaf.statement.reads():
            yield read.value
    elif isinstance(leaf, Call):
        yield leaf.step.out
        for read in leaf.step.reads():
            yield read.value
    elif isinstance(leaf, Opaque):
        step = leaf.step
        if isinstance(step, Rename):
            yield step.source
        elif isinstance(step, IntrinsicCall):
            yield from (*step.operands, step.out)


def _note(
    leaf: Item,
    part: int,
    item: int,
    made: dict[Value, _Use],
    used: dict[Value, list[_Use]],
    storage: Storage,
    started: dict[Value, int],
) -> None:
    if isinstance(leaf, Start):
        started[leaf.statement.out] = item
    elif isinstance(leaf, Compute):
        here = _Use(part, item, leaf.loops)
        out = leaf.statement.out
        if out in made:
            # Another piece of it: the memory must be there for all of them.
            used.setdefault(out, []).append(here)
        else:
            # An accumulator's memory is taken from where its first value is stored.
            made[out] = _Use(part, started.get(out, item), leaf.loops, item)
        for read in leaf.statement.reads():
            used.setdefault(read.value, []).append(here)
    elif isinstance(leaf, Call):
        here = _Use(part, item, leaf.loops)
        made[leaf.step.out] = here
        for read in leaf.step.reads():
            used.setdefault(read.value, []).append(here)
    elif isinstance(leaf, Opaque):
        here = _Use(part, item, ())
        step = leaf.step
        if isinstance(step, Rename):
            storage.roots[step.out] = step.source
            made[step.out] = here
            used.setdefault(step.source, []).append(here)
        elif isinstance(step, IntrinsicCall):
            made[step.out] = here
            for value in step.operands:
                used.setdefault(value, []).append(here)


def _choose_buffers(
    lowered: Lowered,
    schedule: Schedule,
    storage: Storage,
    made: dict[Value, _Use],
    used: dict[Value, list[_Use]],
) -> None:
    outputs = {o for o in lowered.graph.outputs if isinstance(o, Value)}
    for value, origin in made.items():
        uses = used.get(value, [])
        crosses = any(use.part != origin.part for use in uses)
        from_outside = isinstance(storage.parts[origin.part], ExternalCall)
        if value in outputs or crosses or from_outside:
            storage.shared.add(storage.root(value))
        if value in lowered.buffered or crosses or from_outside or value in outputs:
            storage.buffers[value] = Buffer(value, tuple(range(value.ndim)))
            continue
        definition = schedule.loops_of[value]
        inside = definition.around[len(definition.complete_in) :]
        has_own_axes = any(loop in definition.axis_loops for loop in inside)
        is_matrix = value in lowered.in_memory
        is_scalar = not has_own_axes and not is_matrix
        if is_scalar and all(_covers(definition.complete_in, use.loops) for use in uses):
            continue
        common = definition.complete_in
        for use in uses:
            common = _common_prefix(common, use.loops)
        axes = tuple(
            axis
            for axis, loop in enumerate(definition.axis_loops)
            # without axes of size 1, behind which the compiler could not see that rows adjoin
            if (is_matrix or value.shape[axis] != 1) and (loop is None or loop not in common)
        )
        # a matrix of a stack is all in one place
        stack = lowered.stacked.get(value, ())
        axes = (*[a for a in stack if a in axes], *[a for a in axes if a not in stack])
        storage.buffers[value] = Buffer(value, axes)


def _covers(outer: tuple[Loop, ...], inner: tuple[Loop, ...]) -> bool:
    return inner[: len(outer)] == outer


def _common_prefix(a: tuple[Loop, ...], b: tuple[Loop, ...]) -> tuple[Loop, ...]:
    length = 0
    while length < min(len(a), len(b)) and a[length] is b[length]:
        length += 1
    return a[:length]


@dataclass(eq=False, slots=True)
class _Slot:
    """A part of an arena that holds one buffer after the other."""

    number: int
    shapes: set[_Shape] = field(default_factory=set)
    members: list[Buffer] = field(default_factory=list)
    is_free: bool = False


class _Slots:
    """The slots of one arena, which are asked for in the order in which buffers come to life."""

    def __init__(self) -> None:
        self.all: list[_Slot] = []
        # By the last item that uses them.
        self.busy: list[tuple[int, int]] = []
        # Numbers of free slots, of those that were once of a shape and of all; what is listed here
        # may have been taken by way of the other list.
        self.free_of_shape: dict[_Shape, list[int]] = {}
        self.free: list[int] = []

    def take(self, buffer: Buffer, shape: _Shape, first: int, last: int) -> None:
        """Give `buffer` a slot that is free from `first` to `last`, one of the same shape first."""
        while self.busy and self.busy[0][0] < first:
            self.give_back(self.all[heappop(self.busy)[1]])
        slot = self.lowest(self.free_of_shape.get(shape, [])) or self.lowest(self.free)
        if slot is None:
            slot = _Slot(len(self.all))
            self.all.append(slot)
        slot.is_free = False
        slot.shapes.add(shape)
        slot.members.append(buffer)
        heappush(self.busy, (last, slot.number))

    def give_back(self, slot: _Slot) -> None:
        slot.is_free = True
        heappush(self.free, slot.number)
        for shape in slot.shapes:
            heappush(self.free_of_shape.setdefault(shape, []), slot.number)

    def lowest(self, numbers: list[int]) -> _Slot | None:
        while numbers:
            slot = self.all[heappop(numbers)]
            if slot.is_free:
                return slot
        return None


def _fill_arenas(
    lowered: Lowered, storage: Storage, made: dict[Value, _Use], used: dict[Value, list[_Use]]
) -> None:
    """Give each buffer that no other part sees a place in its kernel's arena.

    Which buffers share a slot does not depend on sizes, and so neither does the generated text.
    """
    last_use: dict[Value, int] = {}
    for value, uses in used.items():
        root = storage.root(value)
        last = max(use.item for use in uses)
        # Whoever reads a renamed value reads the memory of its root.
        last_use[root] = max(last_use.get(root, 0), last)
    slots: dict[int, _Slots] = {}
    kept = [
        (made[value], buffer)
        for value, buffer in storage.buffers.items()
        if value not in storage.roots
        and value not in storage.shared
        and not isinstance(storage.parts[made[value].part], ExternalCall)
    ]
    for origin, buffer in sorted(kept, key=lambda pair: pair[0].item):
        last = max(last_use.get(buffer.value, 0), origin.item, origin.last_item)
        shape = tuple([lowered.extent(buffer.value, axis) for axis in buffer.axes])
        slots.setdefault(origin.part, _Slots()).take(buffer, shape, origin.item, last)
    for part, found in slots.items():
        storage.arena_bytes[part] = _lay_out(found.all)


def _lay_out(slots: list[_Slot]) -> int:
    """Place the slots one after the other; return where the last one ends."""
    end = 0
    for slot in slots:
        for buffer in slot.members:
            buffer.offset, buffer.slot = end, slot.number
        size = max(buffer.nbytes for buffer in slot.members)
        end += -(-size // _ALIGNMENT) * _ALIGNMENT
    # At least one byte: an empty array, too, is carved out of an arena that must exist.
    return max(end, 1)
