"""Runs whole loops as loop programs: one kernel there, one back."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jitgrad.control.bodies import LoopEngine
from jitgrad.control.loop_form import INDEX, Loop, differentiable
from jitgrad.control.run_loop import usual_arrays
from jitgrad.core.dtypes import int64
from jitgrad.core.errors import IndexingError
from jitgrad.core.recycling import copy, empty, zeros
from jitgrad.core.spec import Spec
from jitgrad.ir.subgraph import SubGraph
from jitgrad.loops.builder import NotLowerableError
from jitgrad.loops.extrema import with_shared_extrema
from jitgrad.loops.lower import lower_loop
from jitgrad.loops.program import Array as Memory
from jitgrad.loops.program import Program, Store, statements
from jitgrad.loops.reverse import reverse
from jitgrad.runtime.loop_kernels import LoopKernel, Stacks
from jitgrad.transforms.spell_out import spell_out

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """What the way back of one run starts from.

    Parameters
    ----------
    pair : KernelPair
        Of the loop.
    stacks : list of ndarray
        Numbers that were kept.
    heights : list of int
        How many.
    states : dict
        Memory as the run left it.
    """

    pair: KernelPair
    stacks: list[Array]
    heights: list[int]
    states: dict[Memory, Array]


class KernelPair:
    """The kernels of a loop and of its way back.

    Parameters
    ----------
    program : Program
        Of the loop.
    outputs, inputs : sequence of int
        As of `jitgrad.loops.reverse.reverse`.
    title : str
        For the files of the source.
    """

    def __init__(
        self, program: Program, outputs: Sequence[int], inputs: Sequence[int], title: str
    ) -> None:
        self.reversed = reverse(program, outputs, inputs)
        self.forward = LoopKernel(self.reversed.forward, title)
        body = self.reversed.backward.body
        # Memory that the way back changes, and so must own.
        self.changed = {s.array for s in statements(body) if isinstance(s, Store)}
        self.title = title
        self._backward: LoopKernel | None = None
        self.stacks = Stacks(self.forward)

    @property
    def backward(self) -> LoopKernel:
        """The kernel of the way back."""
        if self._backward is None:
            self._backward = LoopKernel(self.reversed.backward, f"back_{self.title}")
        return self._backward

    def kernels(self) -> list[LoopKernel]:
        """Return the kernels that there are."""
        return [k for k in (self.forward, self._backward) if k is not None]

    def run(self, inputs: dict[Memory, Array], counts: Sequence[int]) -> tuple[list[Array], Record]:
        """Run the loop; return its results and what the way back starts from."""
        outputs, states = self.reversed.forward.outputs, self.reversed.states
        written = dict.fromkeys([*states, *outputs])
        given, stacks, heights = self.stacks.run_with_room(self.forward, written, inputs, counts)
        results = [copy(given[m]) if m in states else given[m] for m in outputs]
        return results, Record(self, stacks, heights, {m: given[m] for m in states})

    def run_back(
        self,
        record: Record,
        inputs: dict[Memory, Array],
        counts: Sequence[int],
        cts: Sequence[Array],
    ) -> list[Array]:
        """Return the cotangents of the inputs."""
        made = self.reversed
        kept = {**record.states, **dict(zip(made.cotangents, cts, strict=True))}
        kept = {m: copy(a) if m in self.changed else a for m, a in kept.items()}
        gradients = {
            m: (empty if m in made.filled else zeros)(m.shape, m.dtype) for m in made.gradients
        }
        given = {**inputs, **kept, **gradients}
        self.backward.run(given, counts, record.stacks, record.heights)
        return [gradients[m] for m in made.gradients]


class NativeLoop:
    """A loop whose bounds may be known, as kernels.

    Parameters
    ----------
    loop : Loop
        What to run.
    bounds : tuple of int or None
        As of `lower_loop`.
    """

    def __init__(self, loop: Loop, bounds: tuple[int | None, int | None]) -> None:
        self.loop = loop = _spelled_out(loop)
        self.bounds = bounds
        self.specs = specs_of(loop)
        self.title = loop.body.name.replace(" ", "_") or "loop"
        self.program = lower_loop(loop, self.specs, bounds)
        self._kernel: LoopKernel | None = None
        self._stacks: Stacks | None = None
        self._pairs: dict[tuple[int, ...], KernelPair] = {}

    def inputs(self, program: Program, operands: Sequence[Any]) -> dict[Memory, Array]:
        """Return the arrays that operands are."""
        found = {}
        for memory, operand in zip(program.inputs, usual_arrays(operands[INDEX:]), strict=True):
            if not isinstance(operand, np.ndarray):
                operand = np.asarray(operand, memory.dtype)
            found[memory] = operand
        return found

    def counts(self, operands: Sequence[Any]) -> list[int]:
        """Return the bounds that the kernels take."""
        pairs = zip(operands[:INDEX], self.bounds, strict=True)
        return [int(operand) for operand, bound in pairs if bound is None]

    def run(self, operands: Sequence[Any]) -> list[Array]:
        """Return the results."""
        if self._kernel is None or self._stacks is None:
            self._kernel = LoopKernel(self.program, self.title)
            self._stacks = Stacks(self._kernel)
        given, _, _ = self._stacks.run_with_room(
            self._kernel,
            self.program.outputs,
            self.inputs(self.program, operands),
            self.counts(operands),
        )
        found = dict(zip(self.loop.read, self.program.outputs, strict=True))
        return [
            given[found[k]] if k in found else np.broadcast_to(np.zeros((), spec.dtype), spec.shape)
            for k, spec in enumerate(self.loop.outputs)
        ]

    def paths(self) -> list[Path]:
        """Return the files that hold the sources of its kernels."""
        pairs = self._pairs.values()
        kernels = [self._kernel, *(k for pair in pairs for k in pair.kernels())]
        return [kernel.kernel.path for kernel in kernels if kernel is not None]

    def pair(self, keep: tuple[int, ...]) -> KernelPair:
        """Return the kernels where cotangents of these operands may be asked for."""
        found = self._pairs.get(keep)
        if found is None:
            # Results that nobody reads may have cotangents.
            whole = replace(with_shared_extrema(self.loop), unread=())
            program = lower_loop(whole, self.specs, self.bounds)
            wanted = [k - INDEX for k in keep]
            outputs = differentiable(self.loop)
            found = self._pairs[keep] = KernelPair(program, outputs, wanted, self.title)
        return found


def _spelled_out(loop: Loop) -> Loop:
    body, condition = loop.body, loop.condition
    if condition is not None:
        condition = SubGraph(spell_out(condition.graph), condition.name)
    return replace(loop, body=SubGraph(spell_out(body.graph), body.name), condition=condition)


def specs_of(loop: Loop) -> list[Spec]:
    """Return the specs of a loop's operands."""
    bound = Spec((), int64)
    specs = [bound, bound]
    for number, value in enumerate(loop.body.graph.inputs[1:]):
        is_sliced = loop.carried <= number < loop.carried + loop.sliced
        shape = (loop.length, *value.shape) if is_sliced else value.shape
        specs.append(Spec(shape, value.dtype))
    return specs


class _Engine(LoopEngine):
    def __init__(self) -> None:
        self._loops: dict[tuple[Loop, tuple[int | None, int | None]], NativeLoop | None] = {}
        self._known: dict[Loop, tuple[int, int]] = {}
        self._reasons: dict[Loop, str] = {}
        self._free_lock()

    def _free_lock(self) -> None:
        """Let threads make kernels; a forked process does not have the one that was at it."""
        self._making = threading.RLock()

    def native(self, loop: Loop, operands: Sequence[Any]) -> NativeLoop | None:
        """Return the kernels of a loop; None where there are none."""
        bounds = self._bounds(loop, operands)
        key = (loop, bounds)
        if key not in self._loops:
            with self._making:
                if key not in self._loops:
                    try:
                        self._loops[key] = NativeLoop(loop, bounds)
                    except NotLowerableError as error:
                        self._loops[key] = None
                        self._reasons[loop] = str(error)
        return self._loops[key]

    def _bounds(self, loop: Loop, operands: Sequence[Any]) -> tuple[int | None, int | None]:
        """Return the bounds that are taken as known: those of the first run, if all have them."""
        if loop.condition is not None:
            return 0, 0
        if any(isinstance(bound, np.ndarray) for bound in operands[:INDEX]):
            return None, None
        given = (int(operands[0]), int(operands[1]))
        return given if self._known.setdefault(loop, given) == given else (None, None)

    def describe(self, loop: Loop) -> str:
        """Return how a loop is run."""
        if loop in self._reasons:
            return f"iteration by iteration, because of {self._reasons[loop]}"
        kernels = [n for (known, _), n in self._loops.items() if n is not None and known == loop]
        paths = [str(path) for native in kernels for path in native.paths()]
        return f"as one kernel {' '.join(paths)}".rstrip() if paths else "not run yet"

    def forward(
        self, loop: Loop, operands: Sequence[Any], keep: tuple[int, ...]
    ) -> tuple[list[Array], Any] | None:
        native = self.native(loop, operands)
        if native is None:
            return None
        try:
            if not keep:
                return native.run(operands), None
            pair = native.pair(keep)
            inputs = native.inputs(pair.reversed.forward, operands)
            results, record = pair.run(inputs, native.counts(operands))
        except NotLowerableError as error:
            self._reasons[loop] = str(error)
            return None
        except IndexingError:
            # What is really wrong, the bodies tell, one by one.
            return None
        return results, (native, keep, record)

    def kept_bytes(self, loop: Loop, operands: Sequence[Any], keep: tuple[int, ...]) -> int | None:
        native = self.native(loop, [np.asarray(operand) for operand in operands])
        try:
            return None if native is None else native.pair(keep).stacks.bytes_each
        except NotLowerableError:
            return None

    def backward(
        self, loop: Loop, operands: Sequence[Any], cts: Sequence[Array], record: Any
    ) -> dict[int, Array]:
        native, keep, kept = record
        pair: KernelPair = kept.pair
        inputs = native.inputs(pair.reversed.forward, operands)
        found = pair.run_back(kept, inputs, native.counts(operands), usual_arrays(cts))
        return dict(zip(keep, found, strict=True))


engine = _Engine()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=engine._free_lock)
