"""Which outermost loops of a kernel run in blocks, on several threads.

The decision rests on sizes alone, not on the number of threads, and each block's partial results
are combined in the order of the blocks: so the same bits come out for any number of threads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from jitgrad.codegen.lowered import Lowered
from jitgrad.codegen.nests import (
    Call,
    Compute,
    Item,
    Loop,
    MatrixProduct,
    Opaque,
    Read,
    Rename,
    Start,
    Statement,
)
from jitgrad.codegen.schedule import Placed, Schedule
from jitgrad.codegen.storage import Buffer, KernelPart, Storage, leaves
from jitgrad.core.affine import Affine
from jitgrad.core.primitive import Accumulation
from jitgrad.ir.graph import Value

# Estimated on one thread: less work than this in all nests of a kernel is not divided.
LEAST_NANOSECONDS = 60_000.0
# Work of one block, and how many blocks there are at most.
BLOCK_NANOSECONDS = 12_000.0
MOST_BLOCKS = 64

# What an addition, and reading or writing eight bytes, take in a packed loop.
_NANOSECONDS_PER_COST = 0.05
_NANOSECONDS_PER_WORD = 0.15
# Of eight bytes each, by BLAS.
_NANOSECONDS_PER_MULTIPLICATION = 0.06

# Each part of a product prepares one of the factors anew, so there are few, and none is thin.
_MOST_PRODUCT_BLOCKS = 4
_LEAST_SIDE = 96

# Partial results that are arrays: how much of the work they may add.
_MOST_PARTIAL_SHARE = 0.1

_ALIGNMENT = 64


@dataclass(eq=False, slots=True)
class Nest:
    """An outermost loop that runs in blocks.

    Parameters
    ----------
    loop : Loop
        The loop.
    blocks : int
        Into how many parts its iterations are divided.
    sums : list of Statement
        The reductions over the loop, of which each block has a partial result.
    starts : dict
        What stores the first values of their accumulators, unless it stands inside another nest.
    """

    loop: Loop
    blocks: int
    sums: list[Statement] = field(default_factory=list)
    starts: dict[Statement, Item] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Division:
    """How a matrix product is divided among threads.

    Parameters
    ----------
    blocks : int
        Into how many parts.
    by_rows : bool
        Whether each part is some of its rows, or some of its columns.
    """

    blocks: int
    by_rows: bool


@dataclass(eq=False, slots=True)
class ParallelPlan:
    """How several threads run a kernel.

    Parameters
    ----------
    nests : dict
        The loops that run in blocks.
    products : dict
        The matrix products that are divided.
    leading : set of Item
        What only the first thread does; the rest is done by all of them alike.
    partial : dict
        Where the partial results of a reduction lie: the memory of the first block's.
    own : dict
        Values of which each thread has a buffer of its own, and where in its part of the arena.
    nanoseconds : float
        Estimated time of what is divided, on one thread.
    shared_bytes, thread_bytes : int
        Size of the part of the arena that all threads use, and of each thread's own.
    """

    nests: dict[Loop, Nest] = field(default_factory=dict)
    products: dict[Call, Division] = field(default_factory=dict)
    leading: set[int] = field(default_factory=set)
    partial: dict[Value, Buffer] = field(default_factory=dict)
    own: dict[Value, int] = field(default_factory=dict)
    nanoseconds: float = 0.0
    shared_bytes: int = 0
    thread_bytes: int = 0

    def starts(self) -> set[int]:
        """Return the ids of the items that stand at nests, not where they are."""
        return {id(item) for nest in self.nests.values() for item in nest.starts.values()}


def plan_threads(
    part: KernelPart, lowered: Lowered, schedule: Schedule, storage: Storage
) -> ParallelPlan | None:
    """Return how several threads run a kernel; None if one thread is to run it."""
    planner = _Planner(part, lowered, schedule, storage)
    return planner.plan if planner.run() else None


class _Planner:
    def __init__(
        self, part: KernelPart, lowered: Lowered, schedule: Schedule, storage: Storage
    ) -> None:
        self.part = part
        self.lowered = lowered
        self.schedule = schedule
        self.storage = storage
        self.plan = ParallelPlan()
        self.statement_of = {s.out: s for item in part.body for s in _statements(item)}

    def run(self) -> bool:
        cost = {
            item: nanoseconds(item) for item in self.part.body if isinstance(item, (Loop, Call))
        }
        divisible = [item for item in cost if self.is_divisible(item)]
        self.plan.nanoseconds = sum(cost[item] for item in divisible)
        if self.plan.nanoseconds < LEAST_NANOSECONDS:
            return False
        for item in divisible:
            if isinstance(item, Call):
                self.plan.products[item] = _division(item.step, cost[item])
            else:
                self.divide(item, cost[item])
        self.take_starts()
        return self.divide_rest() and self.place()

    # -- nests ----------------------------------------------------------------------------

    def is_divisible(self, loop: Loop | Call) -> bool:
        """Return whether iterations of `loop` can run at the same time, up to reductions."""
        if isinstance(loop, Call):
            return _division(loop.step, nanoseconds(loop)).blocks > 1
        found = False
        for leaf in leaves(loop):
            if isinstance(leaf, Compute):
                if not (self.is_apart(leaf.statement, loop) or self.is_sum(leaf.statement)):
                    return False
                found = True
            elif isinstance(leaf, Call):
                if not self.is_apart(leaf.step, loop):
                    return False
                found = True
            elif not isinstance(leaf, Start):
                return False
        return found

    def is_apart(self, statement: Placed, loop: Loop) -> bool:
        """Return whether each iteration of `loop` writes memory of its own, or none."""
        buffer = self.buffer(statement.out)
        if 0 in statement.reduced:
            return False
        if buffer is None or self.is_own(statement, loop):
            return True
        return any(_runs_with_outermost(statement.out_index[axis]) for axis in buffer.axes)

    def is_own(self, statement: Placed, loop: Loop) -> bool:
        """Return whether a value's buffer holds what one iteration of `loop` makes of it."""
        buffer = self.buffer(statement.out)
        if buffer is None or buffer.offset < 0 or not statement.whole:
            return False
        if loop not in self.schedule.loops_of[statement.out].complete_in:
            return False
        return not any(
            isinstance(entry := statement.out_index[axis], Affine)
            and any(number == 0 for number, _ in entry.terms)
            for axis in buffer.axes
        )

    def is_sum(self, statement: Statement) -> bool:
        """Return whether it is a reduction over the outermost loop that blocks can share."""
        if 0 not in statement.reduced or not statement.whole:
            return False
        buffer = self.buffer(statement.out)
        if self.is_scalar(statement):
            # Every thread computes the total; memory of the arena others may use by then.
            return buffer is None or buffer.offset < 0
        return buffer is not None and buffer.nbytes == _nbytes(statement.out)

    def is_scalar(self, statement: Statement) -> bool:
        """Return whether it makes one number, and not one for each iteration of a loop."""
        return statement.reduced == set(range(len(statement.axes)))

    def buffer(self, value: Value) -> Buffer | None:
        return self.storage.buffers.get(value)

    def divide(self, loop: Loop, cost: float) -> None:
        blocks = min(MOST_BLOCKS, loop.extent.size, int(cost / BLOCK_NANOSECONDS))
        nest = Nest(loop, blocks)
        for leaf in leaves(loop):
            if isinstance(leaf, Call) and self.is_own(leaf.step, loop):
                self.plan.own.setdefault(leaf.step.out, 0)
            if not isinstance(leaf, Compute):
                continue
            statement = leaf.statement
            if 0 in statement.reduced:
                nest.sums.append(statement)
                if not self.is_scalar(statement):
                    extra = max(statement.out.spec.size, 1) * 2 * _NANOSECONDS_PER_WORD
                    nest.blocks = min(nest.blocks, int(cost * _MOST_PARTIAL_SHARE / extra))
            elif self.is_own(statement, loop):
                self.plan.own.setdefault(statement.out, 0)
        nest.blocks = max(nest.blocks, 1)
        self.plan.nests[loop] = nest

    def take_starts(self) -> None:
        """Note what stores the first values of the accumulators of which blocks have their own."""
        nest_of = {s: nest for nest in self.plan.nests.values() for s in nest.sums}
        for item in self.part.body:
            if _statements(item):
                continue
            for leaf in leaves(item):
                if isinstance(leaf, Start) and leaf.statement in nest_of:
                    nest_of[leaf.statement].starts[leaf.statement] = item

    # -- the rest -------------------------------------------------------------------------

    def divide_rest(self) -> bool:
        """Say who does what is outside of nests; return whether that can be said."""
        starts = self.plan.starts()
        needed: set[Value] = set()
        # From the end: what only the first thread needs only the first thread computes.
        for item in reversed(self.part.body):
            if id(item) in starts or (isinstance(item, Opaque) and isinstance(item.step, Rename)):
                continue
            by_all = item in self.plan.nests or item in self.plan.products
            if isinstance(item, Compute) and item.statement.out in needed:
                by_all = True
                if not self.all_may_do(item.statement):
                    return False
            if by_all:
                needed.update(self.variables_read(item))
            else:
                self.plan.leading.add(id(item))
                if any(self.is_variable(s) and s.out in needed for s in _statements(item)):
                    return False
        return True

    def variables_read(self, item: Item) -> set[Value]:
        """Return what is read that variables of the whole kernel hold."""
        read = {r.value for s in _statements(item) for r in s.reads()}
        statements = {s.out: s for s in map(self.statement_of.get, read) if s is not None}
        return {value for value, s in statements.items() if self.is_variable(s)}

    def is_variable(self, statement: Statement) -> bool:
        """Return whether a variable, which each thread has of its own, holds the value."""
        if not statement.whole or self.schedule.loops_of[statement.out].complete_in:
            return False
        return self.is_scalar(statement)

    def all_may_do(self, statement: Statement) -> bool:
        """Return whether every thread may compute it: a scalar, stored for good if at all."""
        buffer = self.buffer(statement.out)
        return statement.whole and (buffer is None or buffer.offset < 0)

    # -- memory ---------------------------------------------------------------------------

    def place(self) -> bool:
        """Give partial results and what threads have of their own a place in the arena."""
        plan = self.plan
        end = self.storage.arena_bytes.get(self.part.number, 0)
        slots = 1 + max((buffer.slot for buffer in self.storage.buffers.values()), default=-1)
        for nest in plan.nests.values():
            for statement in nest.sums:
                out, buffer = statement.out, self.buffer(statement.out)
                axes = () if buffer is None or self.is_scalar(statement) else buffer.axes
                slot = slots + len(plan.partial)
                plan.partial[out] = Buffer(out, axes, _aligned(end), slot)
                end = plan.partial[out].offset + nest.blocks * _nbytes(out)
        plan.shared_bytes = _aligned(max(end, 1))
        for value in plan.own:
            buffer = self.storage.buffers[value]
            plan.own[value] = plan.thread_bytes
            plan.thread_bytes = _aligned(plan.thread_bytes + buffer.nbytes)
        return True


def nanoseconds(item: Item) -> float:
    """Return an estimate of the time that one thread takes for a nest or a product."""
    products = [leaf.step for leaf in leaves(item) if isinstance(leaf, Call)]
    total = sum(map(_nanoseconds_of_product, products))
    return total + sum(map(_nanoseconds_of, _statements(item)))


def _division(product: MatrixProduct, cost: float) -> Division:
    """Return how a product is divided: its longer side, if it is all of an axis of the arrays."""
    result = product.result
    sides = [
        (result.shape[0], True, product.left, product.left.rows_axis, result.rows_axis),
        (result.shape[1], False, product.right, product.right.columns_axis, result.columns_axis),
    ]
    for size, by_rows, factor, axis, own_axis in sorted(sides, key=lambda side: -side[0]):
        if factor.is_whole(axis) and result.is_whole(own_axis):
            most = min(_MOST_PRODUCT_BLOCKS, size // _LEAST_SIDE)
            return Division(max(min(most, int(cost / BLOCK_NANOSECONDS)), 1), by_rows)
    return Division(1, True)


def _nanoseconds_of(statement: Statement) -> float:
    trips = math.prod(extent.size for extent in statement.axes)
    form = statement.form
    cost = 1 if isinstance(form, Accumulation) else form.cost
    touched = [statement.out, *(e.value for e in statement.elements if isinstance(e, Read))]
    words = sum(value.dtype.itemsize for value in touched if value.spec.size >= trips) / 8
    width = statement.out.dtype.itemsize / 8
    return trips * (cost * width * _NANOSECONDS_PER_COST + words * _NANOSECONDS_PER_WORD)


def _nanoseconds_of_product(product: MatrixProduct) -> float:
    stack = math.prod(extent.size for extent in product.axes)
    multiplications = stack * math.prod(product.left.shape) * product.right.shape[1]
    width = product.out.dtype.itemsize / 8
    return multiplications * width * _NANOSECONDS_PER_MULTIPLICATION


def _nbytes(value: Value) -> int:
    return value.spec.size * value.dtype.itemsize


def _statements(item: Item) -> list[Statement]:
    return [leaf.statement for leaf in leaves(item) if isinstance(leaf, Compute)]


def _runs_with_outermost(entry: object) -> bool:
    """Return whether iterations of the outermost loop have different indices here."""
    return isinstance(entry, Affine) and [number for number, _ in entry.terms] == [0]


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
