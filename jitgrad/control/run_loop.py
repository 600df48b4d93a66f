"""Runs loops on arrays, there and back: in machine code where the body allows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitgrad.control.bodies import Place, Repeater, loop_engine, repeater_of, runner_of
from jitgrad.control.deferred import Sum
from jitgrad.control.loop_form import (
    INDEX,
    Loop,
    active_parts,
    body_then_condition,
    differentiable,
    steps,
)
from jitgrad.core.dtypes import is_floating
from jitgrad.core.recycling import empty
from jitgrad.core.spec import Spec

Array = np.ndarray[Any, Any]
# How many states there is room for at first where nobody knows how many there will be.
_FIRST_STATES = 64


@dataclass(slots=True, eq=False)
class States:
    """What the way back starts from: index and carries before each iteration, and what it kept.

    Parameters
    ----------
    indices : sequence
        The indices in the order of the iterations: an array, or a list of arrays.
    carries : list of sequence
        For each carry the same; arrays have the iterations as first axis.
    kept : list of sequence
        What the body kept, in the same order.
    wanted : tuple of int
        Numbers of the operands whose cotangents are what it was kept for.
    """

    indices: Any
    carries: list[Any]
    kept: list[Any]
    wanted: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.indices)

    def as_arrays(self) -> States:
        """Return the same as arrays."""
        indices, *others = [
            s if isinstance(s, np.ndarray) else np.stack(s)
            for s in (self.indices, *self.carries, *self.kept)
        ]
        count = len(self.carries)
        return States(indices, others[:count], others[count:], self.wanted)


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """What the way back starts from where an engine ran the whole loop.

    Parameters
    ----------
    record : object
        The engine's own.
    wanted : tuple of int
        Numbers of the operands whose cotangents it can give.
    """

    record: Any
    wanted: tuple[int, ...]


def run_forward(
    loop: Loop, operands: Sequence[Any], keep: tuple[int, ...]
) -> tuple[list[Array], States | Kept | None]:
    """Return the results of a loop, and what the way back starts from.

    Parameters
    ----------
    loop : Loop
        What to run.
    operands : sequence of array or number
        What to run it on.
    keep : tuple of int
        Numbers of the operands whose cotangents may be asked for; nothing is kept for none.
    """
    engine = loop_engine()
    found = None if engine is None else engine.forward(loop, operands, keep)
    if found is not None:
        return found[0], Kept(found[1], keep) if keep else None
    return _run_bodies(loop, operands, _floating(loop, keep))


def _floating(loop: Loop, keep: tuple[int, ...]) -> tuple[int, ...]:
    inputs = loop.body.graph.inputs
    return tuple([k for k in keep if is_floating(inputs[1 + k - INDEX].dtype)])


def kept_bytes(loop: Loop, operands: Sequence[Any], keep: tuple[int, ...]) -> int:
    """Return about how many bytes a counted loop keeps of each iteration; as of `run_forward`."""
    engine = loop_engine()
    found = None if engine is None else engine.kept_bytes(loop, operands, keep)
    if found is not None:
        return found
    carries = [value.spec for value in loop.body.graph.inputs[1 : 1 + loop.carried]]
    return sum(
        s.size * s.dtype.itemsize for s in (*carries, *steps(loop, _floating(loop, keep)).kept)
    )


def _run_bodies(
    loop: Loop, operands: Sequence[Any], keep: tuple[int, ...]
) -> tuple[list[Array], States | None]:
    """Run a loop iteration by iteration."""
    if loop.condition is not None:
        repeat = repeater_of(body_then_condition(loop))
        run = _run_in_python if repeat is None else _While(repeat)
    else:
        repeat = repeater_of(steps(loop, keep).forward if keep else loop.body)
        run = _run_in_python if repeat is None else _Counted(repeat)
    return run(loop, operands, keep)


def _count(operands: Sequence[Any]) -> int:
    return max(int(operands[1]) - int(operands[0]), 0)


@dataclass(frozen=True, slots=True)
class _Counted:
    """Runs a counted loop in machine code."""

    repeat: Repeater

    def __call__(
        self, loop: Loop, operands: Sequence[Any], keep: tuple[int, ...]
    ) -> tuple[list[Array], States | None]:
        count, first = _count(operands), int(operands[0])
        carries, sliced, constants = map(usual_arrays, loop.split(operands))
        indices = np.arange(first, first + count)
        stacks = [np.empty(spec.shape, spec.dtype) for spec in loop.outputs[loop.carried :]]
        kept = _stacks(steps(loop, keep).kept, count) if keep else []
        if loop.reverse:
            indices = indices[::-1].copy()
        held = [_room(carry, count + 1 if keep else 2) for carry in carries]
        before = [Place.along(h) if keep else Place.in_turns(h, 0) for h in held]
        after = [Place.along(h, start=1) if keep else Place.in_turns(h, 1) for h in held]
        along = [Place.along(array, loop.reverse) for array in (*sliced, *stacks)]
        number = len(sliced)
        places = [
            Place.along(indices), *before, *along[:number], *_fixed(constants), *after,
            *along[number:], *map(Place.along, kept),
        ]  # fmt: skip
        if count:
            self.repeat(places, count, None)
        last = count if keep else count & 1
        results = [h[last, ...].copy() for h in held]
        states = States(indices, [h[:count] for h in held], kept, keep) if keep else None
        return [*results, *stacks], states


@dataclass(frozen=True, slots=True)
class _While:
    """Runs a loop with a condition in machine code."""

    repeat: Repeater

    def __call__(
        self, loop: Loop, operands: Sequence[Any], keep: tuple[int, ...]
    ) -> tuple[list[Array], States | None]:
        assert loop.condition is not None
        carries, _, constants = map(usual_arrays, loop.split(operands))
        flag = np.array(runner_of(loop.condition)(*carries, *constants)[0])
        index = np.zeros((), np.int64)
        fixed = _fixed(constants)
        size = _FIRST_STATES if keep else 2
        held = [_room(carry, size + 1 if keep else 2) for carry in carries]
        count = 0
        while flag:
            before = [Place.along(h, start=count) if keep else Place.in_turns(h, 0) for h in held]
            after = [
                Place.along(h, start=count + 1) if keep else Place.in_turns(h, 1) for h in held
            ]
            places = [Place.of(index), *before, *fixed, *after, Place.of(flag)]
            # An even number where two places take turns, so that the first one is next.
            count += self.repeat(places, size - count if keep else 1 << 40, flag)
            if keep and count == size:
                size *= 2
                held = [_room(h, size + 1, count + 1) for h in held]
        last = count if keep else count & 1
        results = [h[last, ...].copy() for h in held]
        indices = np.zeros(count, np.int64)
        return results, States(indices, [h[:count] for h in held], [], keep) if keep else None


def _stacks(specs: Sequence[Spec], count: int) -> list[Array]:
    """Return memory for what each of so many iterations keeps."""
    return [empty((count, *spec.shape), spec.dtype) for spec in specs]


def _room(array: Array, length: int, known: int | None = None) -> Array:
    """Return a stack of this length with `array`, or its first `known` elements, at its head."""
    shape = array.shape if known is None else array.shape[1:]
    stack = empty((length, *shape), array.dtype)
    if known is None:
        stack[0] = array
    else:
        stack[:known] = array[:known]
    return stack


def _fixed(constants: Sequence[Any]) -> list[Place]:
    """Return the places of constants; numbers are put into arrays."""
    return [Place.of(np.asarray(c)) for c in constants]


def _run_in_python(
    loop: Loop, operands: Sequence[Any], keep: tuple[int, ...]
) -> tuple[list[Array], States | None]:
    carries, sliced, constants = map(usual_arrays, loop.split(operands))
    kept = steps(loop, keep).kept if keep else ()
    step = runner_of(steps(loop, keep).forward if keep else loop.body)
    holds = None if loop.condition is None else runner_of(loop.condition)
    stacks = [np.empty(spec.shape, spec.dtype) for spec in loop.outputs[loop.carried :]]
    states = States([], [[] for _ in carries], [[] for _ in kept], keep) if keep else None
    first = int(operands[0])
    given: list[Any] = [*carries, *constants]
    number = 0
    count = None if loop.condition is not None else _count(operands)
    while number != count:
        if holds is not None and not holds(*carries, *constants)[0]:
            break
        position = count - 1 - number if loop.reverse and count is not None else number
        index = np.array(first + position)
        if states is not None:
            states.indices.append(index)
            for held, carry in zip(states.carries, carries, strict=True):
                held.append(carry)
        slices = [array[position, ...] for array in sliced]
        given = [index, *carries, *slices, *constants]
        results = step(*given)
        carries = list(results[: loop.carried])
        for stack, item in zip(stacks, results[loop.carried :], strict=False):
            stack[position] = item
        if states is not None:
            for held, item in zip(states.kept, results[loop.carried + len(stacks) :], strict=True):
                held.append(item)
        number += 1
    return [*own_copies(carries, given), *stacks], states


def own_copies(results: Sequence[Array], given: Sequence[Any]) -> list[Array]:
    """Return what a body made of `given`, with copies of what it only handed on."""
    taken = {id(array) for array in given}
    own: list[Array] = []
    for array in results:
        own.append(array.copy() if id(array) in taken else array)
        taken.add(id(array))
    return own


def usual_arrays(arrays: Sequence[Any]) -> list[Any]:
    """Return arrays as bodies take them, C-contiguous, aligned and writeable; numbers stay so."""
    return [
        np.array(a, order="C") if isinstance(a, np.ndarray) and not a.flags.carray else a
        for a in arrays
    ]


# -- the way back ------------------------------------------------------------------------------


def run_back(
    loop: Loop,
    operands: Sequence[Any],
    given: Sequence[Array],
    states: States | Kept | None,
    wanted: tuple[int, ...],
) -> list[Array]:
    """Return the cotangents of the operands numbered `wanted`.

    Parameters
    ----------
    loop : Loop
        What was run.
    operands : sequence of array or number
        What it was run on.
    given : sequence of array
        Cotangents of the results that are floating.
    states : States, Kept or None
        What the run kept; None to run it again.
    wanted : tuple of int
        Numbers of operands.
    """
    if states is None or (isinstance(states, Kept) and not set(wanted) <= set(states.wanted)):
        _, states = run_forward(loop, operands, wanted)
        assert states is not None
    if isinstance(states, Kept):
        engine = loop_engine()
        assert engine is not None
        gradients = engine.backward(loop, operands, given, states.record)
        return [gradients[k] for k in wanted]
    step = steps(loop, states.wanted)
    active, sums = active_parts(loop, states.wanted), step.sums
    cts = dict(zip(differentiable(loop), usual_arrays(given), strict=True))
    _, sliced, constants = map(usual_arrays, loop.split(operands))
    states = states.as_arrays() if len(states) else states
    # Each step puts into these what belongs to its slices, and what is summed later.
    slices_out = [np.zeros(sliced[k].shape, sliced[k].dtype) for k in active.slices]
    later = _stacks(step.left, len(states))
    cts_stacked = [cts[loop.carried + k] for k in active.stacked]
    back = _Back(loop, states, sliced, constants, cts_stacked, slices_out, later)
    moving = [cts[k] for k in active.carries]
    # Their shapes are asked of the arrays: a spec may hold a size that is not known.
    shapes = [np.shape(constants[k]) for k in active.constants]
    zeros = [np.zeros(n, s.spec.dtype) for n, s in zip(shapes, sums, strict=True)]
    moving += [zero for zero, s in zip(zeros, sums, strict=True) if s.running]
    repeat = repeater_of(step.back) if len(states) else None
    if repeat is not None:
        moved = back.in_machine_code(repeat, moving, len(active.carries))
    else:
        moved = back.in_python(runner_of(step.back), moving, len(active.carries))
    first = INDEX + loop.carried
    found: dict[int, Array] = {}
    found.update(zip([INDEX + k for k in active.carries], moved, strict=False))
    found.update(zip([first + k for k in active.slices], slices_out, strict=True))
    constants_from = first + loop.sliced
    totals = zeros
    if len(states):
        held = [*states.carries, *states.kept]
        totals = _totals(sums, zeros, moved[len(active.carries) :], later, held)
    found.update(zip([constants_from + k for k in active.constants], totals, strict=True))
    return [found[k] for k in wanted]


def _totals(
    sums: Sequence[Sum],
    zeros: Sequence[Array],
    running: Sequence[Array],
    later: Sequence[Array],
    held: Sequence[Array],
) -> list[Array]:
    """Return the sums over all iterations: what was added up, and what was left."""
    added = iter(running)
    totals: list[Array] = []
    for each, zero in zip(sums, zeros, strict=True):
        parts = [next(added)] if each.running else []
        parts += [left.total(later, held) for left in each.later]
        total = parts[0] if parts else zero
        for part in parts[1:]:
            total = total + part
        totals.append(total)
    return totals


@dataclass(frozen=True, slots=True, eq=False)
class _Back:
    """Runs the steps back, which move cotangents of carries, and sums.

    Parameters
    ----------
    loop : Loop
        What was run.
    states : States
        What it kept.
    sliced, constants : list of array
        Its operands.
    stacked : list of array
        Cotangents of stacked outputs.
    slices_out, later : list of array
        Where cotangents of slices go, and what is summed after the loop.
    """

    loop: Loop
    states: States
    sliced: list[Any]
    constants: list[Any]
    stacked: list[Array]
    slices_out: list[Array]
    later: list[Array]

    def in_python(self, step: Any, moving: list[Array], carried: int) -> list[Array]:
        """Return what is moved after the last step back; of it so many are carries' cotangents."""
        count = len(self.states)
        parts = carried + len(self.slices_out)
        results: Sequence[Array] = ()
        given: list[Array] = list(moving)
        for number in reversed(range(count)):
            position = count - 1 - number if self.loop.reverse else number
            slices = [array[position, ...] for array in self.sliced]
            stacked = [stack[position, ...] for stack in self.stacked]
            carries, sums = moving[:carried], moving[carried:]
            states = [s[number, ...] for s in (self.states.indices, *self.states.carries)]
            kept = [stack[number, ...] for stack in self.states.kept]
            given = [*states, *slices, *self.constants, *kept, *carries, *stacked, *sums]
            results = step(*given)
            for array, item in zip(self.slices_out, results[carried:parts], strict=True):
                array[position] = item
            sums_end = parts + len(moving) - carried
            for array, item in zip(self.later, results[sums_end:], strict=True):
                array[number] = item
            moving = [*results[:carried], *results[parts:sums_end]]
        return own_copies(moving, given)

    def in_machine_code(self, repeat: Repeater, moving: list[Array], carried: int) -> list[Array]:
        """Do the same without Python."""
        count = len(self.states)
        backwards = not self.loop.reverse
        held = [_room(array, 2) for array in moving]
        now = [Place.in_turns(h, 0) for h in held]
        then = [Place.in_turns(h, 1) for h in held]
        places = [
            Place.along(self.states.indices, reverse=True),
            *(Place.along(stack, reverse=True) for stack in self.states.carries),
            *(Place.along(array, backwards) for array in self.sliced),
            *_fixed(self.constants),
            *(Place.along(stack, reverse=True) for stack in self.states.kept),
            *now[:carried],
            *(Place.along(stack, backwards) for stack in self.stacked),
            *now[carried:],
            *then[:carried],
            *(Place.along(array, backwards) for array in self.slices_out),
            *then[carried:],
            *(Place.along(stack, reverse=True) for stack in self.later),
        ]
        repeat(places, count, None)
        return [h[count & 1, ...].copy() for h in held]
