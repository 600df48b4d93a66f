"""Loops with short rows inside run in strips, so that what is computed once a row is vectorised.

``for each row: z = row . w; p = sigmoid(z); g += p * row`` computes one sigmoid at a time, however
many a processor can do at once, since the loops over the row's elements are the innermost ones.
In strips of rows the sigmoids are a loop of their own, and the rows are still in the cache when
they are read for the second time.
"""

from __future__ import annotations

from jitgrad.codegen.nests import Call, Compute, Item, Loop, Start, Statement
from jitgrad.codegen.schedule import Schedule, definition_of
from jitgrad.codegen.storage import leaves
from jitgrad.core.primitive import Template
from jitgrad.ir.graph import Value

# How many iterations a strip has.
STRIP = 256
# Fewer iterations than this are not worth dividing, in rows and in a row.
_FEWEST_ROWS = 2 * STRIP
_LONGEST_ROW = 256
# What is computed once a row is vectorised from this cost on, in additions.
_WORTH_A_LOOP = 10


def run_in_strips(schedule: Schedule) -> Schedule:
    """Divide outermost loops into strips where that makes costly scalars a loop of their own.

    Before: ``for i: (for k: z += x[i, k] * w[k]); p[i] = sigmoid(z)``.
    After: ``for i0 by 256: for i: (for k: z += ...); z[i] = z; for i: p[i] = sigmoid(z[i])``.
    """
    changed = False
    for place, item in enumerate(schedule.body):
        if isinstance(item, Loop):
            groups = _groups(item)
            if len(groups) > 1 and _only_scalars_cross(groups):
                schedule.body[place] = _strips(item, groups)
                changed = True
    if changed:
        _define_again(schedule)
    return schedule


def _groups(loop: Loop) -> list[list[Item]]:
    """Return a loop's items in groups that can run one after the other, each for a whole strip.

    Groups with loops inside and groups of costly scalars take turns; none if all is one group.
    """
    has_calls = any(isinstance(leaf, Call) for leaf in leaves(loop))
    if has_calls or loop.extent.size < _FEWEST_ROWS or not _has_short_rows(loop):
        return []
    stages = _stages(loop)
    groups: list[list[Item]] = []
    merging = False
    for stage in sorted(stages):
        cheap = stage % 2 and _cost(stages[stage]) < _WORTH_A_LOOP
        if groups and (cheap or merging):
            groups[-1].extend(stages[stage])
        else:
            groups.append(stages[stage])
        # What follows cheap scalars has loops, as what is before them.
        merging = bool(cheap)
    return groups


def _stages(loop: Loop) -> dict[int, list[Item]]:
    """Return a loop's items by stage: even ones have loops, odd ones scalars."""
    stage_of: dict[int, int] = {}
    made_in: dict[Value, int] = {}
    for place, item in enumerate(loop.body):
        statements = _statements([item])
        if not statements:
            continue
        touched = [r.value for s in statements for r in s.reads()] + [s.out for s in statements]
        stage = max([made_in.get(value, 0) for value in touched])
        stage += (stage + isinstance(item, Compute)) % 2
        made_in.update((s.out, stage) for s in statements)
        stage_of[place] = stage
    stages: dict[int, list[Item]] = {}
    for place, item in enumerate(loop.body):
        # The first value of an accumulator is stored in the stage that adds to it.
        stage = stage_of[place] if place in stage_of else made_in[_started(item)]
        stages.setdefault(stage, []).append(item)
    return stages


def _started(item: Item) -> Value:
    """Return the accumulator whose first value an item stores."""
    (start,) = [leaf for leaf in leaves(item) if isinstance(leaf, Start)]
    return start.statement.out


def _has_short_rows(loop: Loop) -> bool:
    inner = [item for item in loop.body if isinstance(item, Loop)]
    return bool(inner) and all(_iterations(item) <= _LONGEST_ROW for item in inner)


def _iterations(loop: Loop) -> int:
    inner = sum(_iterations(item) for item in loop.body if isinstance(item, Loop))
    return loop.extent.size * max(inner, 1)


def _cost(items: list[Item]) -> int:
    forms = [item.statement.form for item in items if isinstance(item, Compute)]
    return sum(form.cost for form in forms if isinstance(form, Template))


def _only_scalars_cross(groups: list[list[Item]]) -> bool:
    """Return whether groups hand on nothing but one number an iteration."""
    made_in: dict[Value, int] = {}
    rows: set[Value] = set()
    for number, group in enumerate(groups):
        for statement in _statements(group):
            out = statement.out
            made_in[out] = number
            if not statement.whole or any(n != 0 for e in statement.out_index for n, _ in e.terms):
                rows.add(out)
    for number, group in enumerate(groups):
        for statement in _statements(group):
            for read in statement.reads():
                if read.value in rows and made_in[read.value] != number:
                    return False
    return True


def _statements(items: list[Item]) -> list[Statement]:
    found: list[Statement] = []
    for item in items:
        if isinstance(item, Loop):
            found.extend(_statements(item.body))
        elif isinstance(item, Compute):
            found.append(item.statement)
    return found


def _strips(loop: Loop, groups: list[list[Item]]) -> Loop:
    """Return the loop over strips that takes the place of `loop`."""
    strips = Loop(loop.extent, strip=STRIP)
    strips.body.extend(Loop(loop.extent, group, inside=strips) for group in groups)
    return strips


def _define_again(schedule: Schedule) -> None:
    """Renew what the schedule knows of loops around statements and their readers."""
    schedule.loops_of = {
        value: d for value, d in schedule.loops_of.items() if not d.around and not d.complete_in
    }
    schedule.readers.clear()
    _define_items(schedule, schedule.body, ())


def _define_items(schedule: Schedule, items: list[Item], around: tuple[Loop, ...]) -> None:
    for item in items:
        if isinstance(item, Loop):
            _define_items(schedule, item.body, (*around, item))
        elif isinstance(item, Compute):
            item.loops = around
            statement = item.statement
            schedule.loops_of[statement.out] = definition_of(statement, around)
            for read in statement.reads():
                schedule.readers.setdefault(read.value, []).append(around)
        elif isinstance(item, Start):
            item.loops = around
        elif isinstance(item, Call):
            schedule.loops_of[item.step.out] = definition_of(item.step, around)
            for read in item.step.reads():
                schedule.readers.setdefault(read.value, []).append(around)
