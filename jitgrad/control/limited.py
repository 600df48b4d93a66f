"""Loops whose way back may keep so many bytes: what does not fit is computed again.

The iterations are divided into blocks, of which one at a time keeps what its own way back needs.
The way back of a block starts from the carries before it. They are kept for all blocks where there
is room, else for some, and the iterations in between are run again: as seldom as possible, by the
binomial schedule of Griewank and Walther, Algorithm 799: revolve (2000).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jitgrad.control import run_loop
from jitgrad.control.loop_form import INDEX, Loop, differentiable
from jitgrad.core.dtypes import is_floating

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """How the iterations of a loop are divided.

    Parameters
    ----------
    count : int
        How many there are.
    length : int
        Of a block; the last one may be shorter.
    snapshots : int
        Of how many blocks, besides the first, the carries may be kept at the same time.
    """

    count: int
    length: int
    snapshots: int

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return -(-self.count // self.length)

    @property
    def is_roomy(self) -> bool:
        """Whether the carries before all blocks can be kept."""
        return self.blocks <= self.snapshots + 1

    def bounds(self, block: int) -> tuple[int, int]:
        """Return the first iteration of a block, and the one after its last."""
        return block * self.length, min((block + 1) * self.length, self.count)


@dataclass(frozen=True, slots=True, eq=False)
class Snapshots:
    """What the way back of a loop in blocks starts from.

    Parameters
    ----------
    plan : Plan
        The blocks.
    carries : list of list of array
        Before each block, or before the first one only.
    """

    plan: Plan
    carries: list[list[Any]]


def plan_of(count: int, kept: int, state: int, memory: int) -> Plan | None:
    """Return how a loop is divided; None where it fits as a whole.

    Parameters
    ----------
    count : int
        Number of iterations.
    kept, state : int
        Bytes that an iteration keeps, and that the carries take.
    memory : int
        Bytes that there are.
    """
    if count * kept <= memory:
        return None
    # Half is for a block, half for snapshots.
    length = max(min(memory // (2 * kept), count), 1)
    room = max(memory - length * kept, 0)
    return Plan(count, length, max(room // max(state, 1) - 1, 1))


def run_forward(
    loop: Loop, operands: Sequence[Any], keep: tuple[int, ...]
) -> tuple[list[Array], Any]:
    """Return the results of a loop, and what the way back starts from; as `run_loop` does."""
    plan = _plan(loop, operands, keep)
    if plan is None:
        return run_loop.run_forward(replace(loop, memory=0), operands, keep)
    whole = replace(loop, memory=0, unread=())
    blocks = _Blocks(whole, operands, plan)
    first = list(operands[INDEX : INDEX + loop.carried])
    stacks = [np.empty(spec.shape, spec.dtype) for spec in loop.outputs[loop.carried :]]
    # The carries of the first block are there anyway.
    kept, carries = [first], first
    for number in range(plan.blocks):
        carries = blocks.run(carries, number, stacks)
        if plan.is_roomy and number + 1 < plan.blocks:
            kept.append(carries)
    return [*run_loop.own_copies(carries, first), *stacks], Snapshots(plan, kept)


def run_back(
    loop: Loop,
    operands: Sequence[Any],
    given: Sequence[Array],
    states: Any,
    wanted: tuple[int, ...],
) -> list[Array]:
    """Return the cotangents of the operands numbered `wanted`; as `run_loop` does."""
    if states is None:
        _, states = run_forward(loop, operands, wanted)
    whole = replace(loop, memory=0)
    if not isinstance(states, Snapshots):
        return run_loop.run_back(whole, operands, given, states, wanted)
    back = _Back(_Blocks(whole, operands, states.plan), given, wanted)
    if len(states.carries) > 1:
        for number in reversed(range(states.plan.blocks)):
            back.block(states.carries[number], number)
    else:
        back.sweep(states.carries[0], 0, states.plan.blocks, states.plan.snapshots)
    return back.gradients()


# How so many loops were divided when they were run last.
_MOST_TOLD = 256
_latest: dict[Loop, Plan | None] = {}


def in_blocks(loop: Loop) -> str:
    """Return in words how a loop was divided when it was run last; ``""`` if it was not."""
    plan = _latest.get(loop)
    if plan is None:
        return ""
    again = "once" if plan.is_roomy else "several times"
    return (
        f", in {plan.blocks} blocks of {plan.length} iterations, which run {again} again on the"
        f" way back to keep {loop.memory} bytes"
    )


def _plan(loop: Loop, operands: Sequence[Any], keep: tuple[int, ...]) -> Plan | None:
    if not keep or not loop.memory or loop.condition is not None:
        return None
    count = max(int(operands[1]) - int(operands[0]), 0)
    state = sum(np.asarray(x).nbytes for x in operands[INDEX : INDEX + loop.carried])
    # Asked with bounds in arrays, which says that each block has others.
    bounds = [np.asarray(bound) for bound in operands[:INDEX]]
    whole = replace(loop, memory=0)
    kept = run_loop.kept_bytes(whole, [*bounds, *operands[INDEX:]], keep)
    if len(_latest) > _MOST_TOLD:
        _latest.clear()
    _latest[loop] = plan = plan_of(count, kept, state, loop.memory)
    return plan


class _Blocks:
    """Runs blocks of a loop.

    Parameters
    ----------
    loop : Loop
        The whole loop.
    operands : sequence of array or number
        What it runs on.
    plan : Plan
        The blocks.
    """

    def __init__(self, loop: Loop, operands: Sequence[Any], plan: Plan) -> None:
        self.loop = loop
        self.operands = operands
        self.plan = plan

    def rows(self, number: int) -> slice:
        """Return where the slices of a block are along their arrays."""
        start, stop = self.plan.bounds(number)
        count = self.plan.count
        return slice(count - stop, count - start) if self.loop.reverse else slice(start, stop)

    def form(self, number: int) -> Loop:
        """Return a block as a loop."""
        rows = self.rows(number)
        has_axis = self.loop.sliced or len(self.loop.outputs) > self.loop.carried
        return replace(self.loop, length=rows.stop - rows.start) if has_axis else self.loop

    def given(self, carries: Sequence[Any], number: int) -> list[Any]:
        """Return what a block runs on."""
        rows, lower = self.rows(number), int(self.operands[0])
        _, sliced, constants = self.loop.split(self.operands)
        bounds = [np.asarray(lower + rows.start), np.asarray(lower + rows.stop)]
        return [*bounds, *carries, *(array[rows] for array in sliced), *constants]

    def run(self, carries: Sequence[Any], number: int, stacks: Sequence[Array] = ()) -> list[Any]:
        """Return the carries after a block, and put the stacked outputs where they belong."""
        results, _ = run_loop.run_forward(self.form(number), self.given(carries, number), ())
        for stack, part in zip(stacks, results[self.loop.carried :], strict=False):
            stack[self.rows(number)] = part
        return results[: self.loop.carried]


class _Back:
    """Runs the ways back of blocks, the last one first.

    Parameters
    ----------
    blocks : _Blocks
        The blocks.
    given : sequence of array
        Cotangents of the loop's floating results.
    wanted : tuple of int
        Numbers of the operands whose cotangents are asked for.
    """

    def __init__(self, blocks: _Blocks, given: Sequence[Array], wanted: tuple[int, ...]) -> None:
        self.blocks, self.wanted = blocks, wanted
        loop = blocks.loop
        inputs = loop.body.graph.inputs
        self.cts = dict(zip(differentiable(loop), given, strict=True))
        self.carries = [k for k in range(loop.carried) if is_floating(inputs[1 + k].dtype)]
        others = tuple([k for k in wanted if k >= INDEX + loop.carried])
        self.asked = (*(INDEX + k for k in self.carries), *others)
        shapes = {k: np.asarray(blocks.operands[k]) for k in others}
        self.found = {k: np.zeros(array.shape, array.dtype) for k, array in shapes.items()}

    def block(self, carries: Sequence[Any], number: int) -> None:
        """Carry cotangents back through a block that starts from these carries."""
        form, operands = self.blocks.form(number), self.blocks.given(carries, number)
        loop, rows = self.blocks.loop, self.blocks.rows(number)
        cts = [ct if k < loop.carried else ct[rows] for k, ct in self.cts.items()]
        _, states = run_loop.run_forward(form, operands, self.asked)
        results = run_loop.run_back(form, operands, cts, states, self.asked)
        for place, gradient in zip(self.asked, results, strict=True):
            if place < INDEX + loop.carried:
                self.cts[place - INDEX] = gradient
            elif place < INDEX + loop.carried + loop.sliced:
                self.found[place][rows] = gradient
            else:
                self.found[place] += gradient

    def sweep(self, carries: list[Any], start: int, stop: int, snapshots: int) -> None:
        """Carry cotangents back through some blocks, with room for so many more snapshots."""
        while stop - start > 1:
            middle = start + first_stretch(stop - start, snapshots)
            state = carries
            for number in range(start, middle):
                state = self.blocks.run(state, number)
            self.sweep(state, middle, stop, max(snapshots - 1, 0))
            stop = middle
        self.block(carries, start)

    def gradients(self) -> list[Array]:
        """Return the cotangents that were asked for."""
        first = INDEX + self.blocks.loop.carried
        return [self.found[k] if k >= first else self.cts[k - INDEX] for k in self.wanted]


def first_stretch(count: int, snapshots: int) -> int:
    """Return after how many of some blocks the first snapshot is to be taken.

    With ``binomial(s + r, s)`` blocks and `s` snapshots no block is run more than `r` times.
    """
    if snapshots < 1:
        return count - 1
    repeats = 1
    while math.comb(snapshots + repeats, snapshots) < count:
        repeats += 1
    return min(math.comb(snapshots + repeats - 1, snapshots), count - 1)
