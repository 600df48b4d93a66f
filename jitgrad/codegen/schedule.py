"""Which statements share loops: the tree of loops of a program, built statement by statement.

Each statement goes as deep into the existing loops as its data allow: a loop can be shared if it
runs over the same extent and whatever the statement reads of values made inside that loop it
reads in the same iteration. Chains, several outputs, reductions with their producers and row-wise
patterns (a row stays in the cache across the passes over it) all follow from that one rule.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from jitgrad.codegen.lowered import Lowered
from jitgrad.codegen.nests import (
    Call,
    Compute,
    ExternalCall,
    Item,
    Loop,
    MatrixProduct,
    Opaque,
    Rename,
    Start,
    Statement,
    counting,
)
from jitgrad.ir.graph import Value

# How many of the latest items of a body are looked at for loops to share; keeps scheduling linear.
_WINDOW = 48
# Statements in one innermost loop: with more, what it computes does not fit in registers, and LLVM
# takes a time that grows with the square of their number.
_MOST_IN_LOOP = 400

Placed = Statement | MatrixProduct


@dataclass(eq=False, slots=True)
class Schedule:
    """The loop tree.

    Parameters
    ----------
    body : list of Item
        Outermost loops and opaque steps, in order.
    loops_of : dict
        For each value the loops around its definition, outermost first (for an accumulator
        those around its reduced loops), and for each of its axes the loop that runs over it.
    readers : dict
        For each value the loops around each place that reads elements of it.
    """

    body: list[Item] = field(default_factory=list)
    loops_of: dict[Value, Definition] = field(default_factory=dict)
    readers: dict[Value, list[tuple[Loop, ...]]] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Definition:
    """Where a value is made: see `Schedule.loops_of`."""

    complete_in: tuple[Loop, ...]
    around: tuple[Loop, ...]
    axis_loops: tuple[Loop | None, ...]


def schedule(lowered: Lowered) -> Schedule:
    """Return the loop tree that computes all steps."""
    scheduler = _Scheduler(lowered)
    for step in lowered.steps:
        if isinstance(step, (Statement, MatrixProduct)):
            scheduler.place(step)
        else:
            scheduler.place_opaque(Opaque(step))
    return scheduler.result


def definition_of(statement: Placed, around: tuple[Loop, ...]) -> Definition:
    """Return where a statement that stands inside the loops `around` makes its value."""
    if not statement.whole:
        # Made by several statements: complete only where all loops have ended.
        return Definition((), (), (None,) * statement.out.ndim)
    own = counting(around)
    complete = around
    if statement.reduced:
        outermost = own[min(statement.reduced)]
        complete = around[: around.index(outermost.inside or outermost)]
    axis_loops = tuple(
        own[number] if (number := index.bare_index) is not None and number < len(own) else None
        for index in statement.out_index
    )
    return Definition(complete, around, axis_loops)


class _Scheduler:
    def __init__(self, lowered: Lowered) -> None:
        self.lowered = lowered
        self.result = Schedule()
        # The items of each body that hold definitions of a value, by (body's loop or None).
        self.holders: dict[tuple[Loop | None, Value], list[Item]] = {}
        # Where in its body each item stands.
        self.places: dict[Item, int] = {}
        # What ends a kernel, in order.
        self.calls: list[Opaque] = []

    # -- placing --------------------------------------------------------------------------

    def place(self, statement: Placed) -> None:
        body = self.result.body
        loops: list[Loop] = []
        owner: Loop | None = None
        while len(loops) < len(statement.axes):
            first = self.after_dependencies(statement, owner, body)
            shared = self.best_loop(statement, loops, body, first)
            if shared is None:
                break
            loops.append(shared)
            owner, body = shared, shared.body
        position = self.after_dependencies(statement, owner, body)
        if len(loops) == len(statement.axes):
            self.insert(statement, loops, body, position)
            return
        remaining = [Loop(extent.root()) for extent in statement.axes[len(loops) :]]
        self.put(body, self.latest(body, position), remaining[0])
        for outer, inner in itertools.pairwise(remaining):
            self.put(outer.body, 0, inner)
        loops.extend(remaining)
        self.insert(statement, loops, loops[-1].body, 0)

    def insert(self, statement: Placed, loops: list[Loop], body: list[Item], position: int) -> None:
        around = tuple(loops)
        item: Item
        if isinstance(statement, MatrixProduct):
            item = Call(statement, around)
        else:
            item = Compute(statement, around)
        self.put(body, position, item)
        out = statement.out
        definition = definition_of(statement, around)
        if isinstance(statement, Statement) and statement.reduced:
            self.insert_start(statement, loops, min(statement.reduced))
        self.result.loops_of[out] = definition
        if loops:
            loops[-1].statements += 1
        for depth, loop in enumerate(around):
            self.hold(around[depth - 1] if depth else None, out, loop)
        self.hold(around[-1] if around else None, out, item)
        for read in statement.reads():
            self.result.readers.setdefault(read.value, []).append(around)

    def put(self, body: list[Item], position: int, item: Item) -> None:
        """Insert an item into a body, mostly near its end."""
        body.insert(position, item)
        for number in range(position, len(body)):
            self.places[body[number]] = number

    def hold(self, owner: Loop | None, value: Value, item: Item) -> None:
        held = self.holders.setdefault((owner, value), [])
        if item not in held:
            held.append(item)

    def insert_start(self, statement: Statement, loops: list[Loop], outermost: int) -> None:
        """Put the accumulator's first value before the outermost reduced loop."""
        body = loops[outermost - 1].body if outermost else self.result.body
        position = self.places[loops[outermost]]
        inner = [n for n in range(outermost, len(loops)) if n not in statement.reduced]
        filling = [Loop(loops[n].extent) for n in inner]
        start = Start(
            statement,
            (*loops[:outermost], *filling),
            dict(zip(inner, filling, strict=True)),
        )
        items: list[Item] = [*filling, start]
        for outer, nested in zip(filling, items[1:], strict=False):
            self.put(outer.body, 0, nested)
        self.put(body, position, items[0])

    def latest(self, body: list[Item], position: int) -> int:
        """Return where to begin a loop that may stand at `position` or later.

        As late as possible, so that what reads its values can share it, but not after a call that
        it need not wait for: each call ends a kernel.
        """
        if body is self.result.body:
            for call in self.calls:
                if self.places[call] >= position:
                    return self.places[call]
        return len(body)

    def place_opaque(self, item: Opaque) -> None:
        step = item.step
        reads: list[Value]
        made: tuple[Value, ...]
        if isinstance(step, Rename):
            reads, made = [step.source], (step.out,)
        elif isinstance(step, ExternalCall):
            reads, made = [o for o in step.operands if isinstance(o, Value)], step.node.outputs
        else:
            reads, made = list(step.operands), (step.out,)
        body = self.result.body
        position = self.position_after(reads, None, body)
        if isinstance(step, ExternalCall):
            # Last of all: random draws stay in the order in which the user makes them, and no
            # accumulator is started in one kernel and finished in the next.
            position = len(body)
            self.calls.append(item)
        self.put(body, position, item)
        for value in made:
            self.hold(None, value, item)
            self.result.loops_of[value] = Definition((), (), (None,) * value.ndim)

    # -- choosing -------------------------------------------------------------------------

    def after_dependencies(self, statement: Placed, owner: Loop | None, body: list[Item]) -> int:
        needed = [read.value for read in statement.reads()]
        if statement.after_others:
            needed.append(statement.out)
        return self.position_after(needed, owner, body)

    def position_after(self, values: list[Value], owner: Loop | None, body: list[Item]) -> int:
        """Return the first position in `body` after everything that makes one of `values`."""
        position = 0
        for value in values:
            for holder in self.holders.get((owner, value), ()):
                position = max(position, self.places[holder] + 1)
        return position

    def best_loop(
        self, statement: Placed, loops: list[Loop], body: list[Item], first: int
    ) -> Loop | None:
        """Return the loop of `body` to share as the statement's next one, or None.

        `first` is the position after the last item that makes what the statement reads; that
        item itself is a candidate. Deeper sharing is better, then sharing what is read, then the
        latest.
        """
        best: Loop | None = None
        best_score = (0, False)
        lowest = max(first - 1, len(body) - _WINDOW, 0)
        wanted = len(statement.axes) - len(loops)
        for item in body[lowest:]:
            if not isinstance(item, Loop) or not self.can_share(statement, loops, item):
                continue
            depth = self.shared_depth(statement, [*loops, item], item)
            kin = self.has_kin(statement, item)
            if depth < wanted and not kin:
                continue
            if (depth, kin) >= best_score:
                best, best_score = item, (depth, kin)
        return best

    def shared_depth(self, statement: Placed, loops: list[Loop], owner: Loop) -> int:
        if len(loops) == len(statement.axes):
            return 1
        first = self.after_dependencies(statement, owner, owner.body)
        deepest = 0
        for item in owner.body[max(first - 1, 0) :]:
            if isinstance(item, Loop) and self.can_share(statement, loops, item):
                deepest = max(deepest, self.shared_depth(statement, [*loops, item], item))
        return 1 + deepest

    def can_share(self, statement: Placed, loops: list[Loop], loop: Loop) -> bool:
        """Return whether `loop` can be the statement's loop number ``len(loops)``."""
        number = len(loops)
        if loop.extent.root() is not statement.axes[number].root():
            return False
        if number == len(statement.axes) - 1 and loop.statements >= _MOST_IN_LOOP:
            return False
        owner = loops[-1] if loops else None
        if statement.after_others and loop in self.holders.get((owner, statement.out), ()):
            return False
        for read in statement.reads():
            if loop not in self.holders.get((owner, read.value), ()):
                continue
            axis_loops = self.result.loops_of[read.value].axis_loops
            if loop not in axis_loops:
                return False
            if read.index[axis_loops.index(loop)].bare_index != number:
                return False
            if loop not in self.result.loops_of[read.value].complete_in:
                # An accumulator with axes of its own: complete only after the loops around it.
                return False
        return True

    def has_kin(self, statement: Placed, loop: Loop) -> bool:
        """Return whether something inside `loop` makes or reads what the statement reads."""
        for read in statement.reads():
            definition = self.result.loops_of.get(read.value)
            if definition is not None and loop in definition.around:
                return True
            if any(loop in around for around in self.result.readers.get(read.value, ())):
                return True
        return False
