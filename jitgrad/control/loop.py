"""The operation `loop`: a body run a number of times, or while a condition holds.

Its way back, `loop_backward`, runs the body's adjoint over the states in reverse, each step
computing again what it needs inside the step. Both are derived from one another: the derivative
of the way back is the way back of the loop that carries tangents along.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from jitgrad.control.bodies import runner_of
from jitgrad.control.derive import active_outputs, backward_graph, tangent_graph
from jitgrad.core.dtypes import is_floating
from jitgrad.core.primitive import External, Primitive, together
from jitgrad.core.spec import Spec
from jitgrad.ir.graph import Graph, Value
from jitgrad.ir.subgraph import SubGraph
from jitgrad.tensor.tensor import Tensor

Array = np.ndarray[Any, Any]
State = tuple[Array, ...]

# What remembers the states of a run: no array, but 0-d to whoever hands it on.
_RECORD = Spec((), np.dtype(object))
_INDEX = 2  # operands before the carries: the first index, and the one after the last


@dataclass(frozen=True, slots=True)
class Loop:
    """What a loop does, apart from its operands.

    The operands are: bounds of the index, carries, sliced arrays, constants.

    Parameters
    ----------
    body : SubGraph
        From index, carries, slices, constants to carries, stacked outputs.
    condition : SubGraph or None
        From carries, constants to one boolean; None for a counted loop.
    carried, sliced : int
        How many operands are carries, and how many are taken apart along their first axis.
    length : int
        Length of the stacked outputs.
    reverse : bool
        Whether the last index comes first.
    """

    body: SubGraph
    condition: SubGraph | None
    carried: int
    sliced: int
    length: int
    reverse: bool

    @property
    def outputs(self) -> tuple[Spec, ...]:
        """Specs of the results: last carries, then stacked outputs."""
        specs = [Spec(v.spec.shape, v.spec.dtype) for v in self.body.graph.outputs]
        stacked = [Spec((self.length, *s.shape), s.dtype) for s in specs[self.carried :]]
        return (*specs[: self.carried], *stacked)

    def split(self, operands: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Return carries, sliced arrays and constants among the operands."""
        first, second = _INDEX + self.carried, _INDEX + self.carried + self.sliced
        return list(operands[_INDEX:first]), list(operands[first:second]), list(operands[second:])

    def run(self, operands: Sequence[Any], states: list[State] | None) -> list[Array]:
        """Run the loop; the state before each iteration is added to `states`."""
        carries, sliced, constants = map(usual_arrays, self.split(operands))
        step = runner_of(self.body)
        stacks = [np.empty(spec.shape, spec.dtype) for spec in self.outputs[self.carried :]]
        holds = None if self.condition is None else runner_of(self.condition)
        first = int(operands[0])
        given: list[Any] = [*carries, *constants]
        for position in self._positions(operands):
            if holds is not None and not holds(*carries, *constants)[0]:
                break
            index = np.array(first + position)
            if states is not None:
                states.append((index, *carries))
            slices = [array[position, ...] for array in sliced]
            given = [index, *carries, *slices, *constants]
            results = step(*given)
            carries = list(results[: self.carried])
            for stack, item in zip(stacks, results[self.carried :], strict=True):
                stack[position] = item
        return [*own_copies(carries, given), *stacks]

    def _positions(self, operands: Sequence[Any]) -> Iterable[int]:
        """Return the numbers of the iterations, in order; endless where a condition is."""
        if self.condition is not None:
            return itertools.count()
        count = max(int(operands[1]) - int(operands[0]), 0)
        return reversed(range(count)) if self.reverse else range(count)


def own_copies(results: Sequence[Array], given: Sequence[Any]) -> list[Array]:
    """Return what a body made of `given`, with copies of what it only handed on."""
    taken = {id(array) for array in given}
    own: list[Array] = []
    for array in results:
        own.append(array.copy() if id(array) in taken else array)
        taken.add(id(array))
    return own


def usual_arrays(arrays: Sequence[Any]) -> list[Any]:
    """Return arrays that bodies take as they are; numbers stay numbers."""
    return [
        np.require(a, requirements=("C", "A", "W")) if isinstance(a, np.ndarray) else a
        for a in arrays
    ]


def _fields_of(params: dict[str, Any]) -> Loop:
    return Loop(**{f.name: params[f.name] for f in fields(Loop)})


def _run(*operands: Any, keep: bool, **params: Any) -> tuple[Any, ...]:
    states: list[State] | None = [] if keep else None
    results = Loop(**params).run(operands, states)
    return (*results, _recorded(states))


def _recorded(states: list[State] | None) -> Array:
    record = np.empty((), object)
    record[()] = states
    return record


def _infer(*specs: Spec, keep: bool, **params: Any) -> tuple[Spec, ...]:
    return (*Loop(**params).outputs, _RECORD)


def _backward(ct: Any, xs: Any, record: Any, wanted: Any, params: Any) -> Sequence[Any]:
    loop = _fields_of(params)
    cts = [c for c, spec in zip(ct, loop.outputs, strict=False) if is_floating(spec.dtype)]
    return run_backward(loop, xs, cts, record, wanted)


def _forget(params: dict[str, Any], read: tuple[bool, ...]) -> dict[str, Any]:
    return params if read[-1] else {**params, "keep": False}


def _primitive(name: str, impure: bool) -> Primitive:
    return Primitive(
        name,
        ("*xs",),
        eager=_run,
        infer=_infer,
        derivative=together(_backward),
        lowering=External(),
        samples=lambda rng: [],
        doc="Runs a body again and again.",
        grad_name="LoopBackward",
        impure=impure,
        unread=_forget,
    )


_loop = _primitive("loop", impure=False)
_loop_with_draws = _primitive("loop_with_draws", impure=True)


def bind_loop(loop: Loop, operands: Sequence[Any], keep: bool) -> tuple[list[Any], Any]:
    """Run or record a loop; returns its results, and the record of its states.

    Parameters
    ----------
    loop : Loop
        What to run.
    operands : sequence of Tensor or int
        Bounds, carries, sliced arrays, constants.
    keep : bool
        Whether to keep the states for the way back, which runs the loop again without them.
    """
    primitive = _loop_with_draws if loop.body.impure else _loop
    found = primitive(*operands, keep=keep, **_params(loop))
    results = found if isinstance(found, tuple) else (found,)
    return list(results[:-1]), results[-1]


def _params(loop: Loop) -> dict[str, Any]:
    return {f.name: getattr(loop, f.name) for f in fields(Loop)}


# -- the way back ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Active:
    """Which parts of a loop take part in a derivative, by number among their kind.

    Parameters
    ----------
    carries, slices, constants : tuple of int
        Inputs that the derivative is taken by; carries also where they come to depend on others.
    stacked : tuple of int
        Stacked outputs that depend on them.
    """

    carries: tuple[int, ...]
    slices: tuple[int, ...]
    constants: tuple[int, ...]
    stacked: tuple[int, ...]

    def inputs(self, loop: Loop) -> tuple[int, ...]:
        """Return their numbers among the inputs of the body."""
        slices, constants = 1 + loop.carried, 1 + loop.carried + loop.sliced
        return (
            *(1 + k for k in self.carries),
            *(slices + k for k in self.slices),
            *(constants + k for k in self.constants),
        )

    def outputs(self, loop: Loop) -> tuple[int, ...]:
        """Return their numbers among the outputs of the body."""
        return (*self.carries, *(loop.carried + k for k in self.stacked))


@functools.lru_cache(maxsize=1024)
def _active(loop: Loop, wanted: tuple[int, ...]) -> Active:
    """Return what takes part where gradients by the operands numbered `wanted` are asked for."""
    slices_from = _INDEX + loop.carried
    constants_from = slices_from + loop.sliced
    slices = tuple([k - slices_from for k in wanted if slices_from <= k < constants_from])
    constants = tuple([k - constants_from for k in wanted if k >= constants_from])
    carries = tuple([k - _INDEX for k in wanted if k < slices_from])
    while True:
        found = Active(carries, slices, constants, ())
        reached = active_outputs(loop.body.graph, found.inputs(loop))
        more = sorted({*carries, *(k for k in reached if k < loop.carried)})
        if tuple(more) == carries:
            stacked = tuple([k - loop.carried for k in reached if k >= loop.carried])
            return Active(carries, slices, constants, stacked)
        carries = tuple(more)


@functools.lru_cache(maxsize=1024)
def _step_back(loop: Loop, wanted: tuple[int, ...]) -> SubGraph:
    """Return the graph of one step back.

    From index, carries, slices, constants, cotangents of carries and stacked outputs, and sums
    of the constants' cotangents, to cotangents of carries and slices, and sums.
    """
    active = _active(loop, wanted)
    graph = backward_graph(
        loop.body.graph, active.inputs(loop), active.outputs(loop), len(active.constants)
    )
    return SubGraph(graph, f"adjoint of {loop.body.name}")


def _differentiable(loop: Loop) -> list[int]:
    """Return the numbers of the loop's results that have cotangents."""
    return [k for k, spec in enumerate(loop.outputs) if is_floating(spec.dtype)]


def _run_backward(*xs: Any, wanted: tuple[int, ...], **params: Any) -> Any:
    loop = Loop(**params)
    places = _differentiable(loop)
    count = len(xs) - 1 - len(places)
    operands, given, record = xs[:count], xs[count:-1], xs[-1]
    states = record[()]
    if states is None:
        states = []
        loop.run(operands, states)
    active = _active(loop, wanted)
    cts = dict(zip(places, usual_arrays(given), strict=True))
    _, sliced, constants = map(usual_arrays, loop.split(operands))
    step = runner_of(_step_back(loop, wanted))
    carries = [cts[k] for k in active.carries]
    stacks = [cts[loop.carried + k] for k in active.stacked]
    slices_out = [np.zeros(sliced[k].shape, sliced[k].dtype) for k in active.slices]
    sums: list[Any] = [np.zeros_like(constants[k]) for k in active.constants]
    held, parts = len(active.carries), len(active.carries) + len(active.slices)
    positions = range(len(states)) if loop.reverse else reversed(range(len(states)))
    for position, state in zip(positions, reversed(states), strict=True):
        slices = [array[position, ...] for array in sliced]
        stacked = [stack[position, ...] for stack in stacks]
        results = step(*state, *slices, *constants, *carries, *stacked, *sums)
        carries = list(results[:held])
        for array, item in zip(slices_out, results[held:parts], strict=True):
            array[position] = item
        sums = list(results[parts:])
    found = dict(zip([_INDEX + k for k in active.carries], carries, strict=True))
    first = _INDEX + loop.carried
    found.update(zip([first + k for k in active.slices], slices_out, strict=True))
    first += loop.sliced
    found.update(zip([first + k for k in active.constants], sums, strict=True))
    # The incoming cotangents must not be handed out as results.
    return tuple([np.array(found[k]) if not states else found[k] for k in wanted])


def _infer_backward(*specs: Spec, wanted: tuple[int, ...], **params: Any) -> tuple[Spec, ...]:
    return tuple([Spec(specs[k].shape, specs[k].dtype) for k in wanted])


def _backward_of_backward(ct: Any, xs: Any, wanted: Any, params: Any) -> list[Any]:
    """Return the derivative of the way back by operands and cotangents.

    The way back is linear in the cotangents; its transpose is the loop with tangents, and what
    that depends on the operands by is that loop's own way back.
    """
    loop, by = _fields_of(params), params["wanted"]
    tangents = dict(zip(by, ct if isinstance(ct, tuple) else (ct,), strict=True))
    places = _differentiable(loop)
    count = len(xs) - 1 - len(places)
    operands, cts = xs[:count], xs[count:-1]
    forward, doubled, place_of = _with_tangents(loop, by, operands, tangents)
    results, record = bind_loop(forward, doubled, keep=True)
    active = _active(loop, by)
    # Among the results of `forward` tangents follow carries, and others follow stacked outputs.
    beyond = len(loop.outputs) + len(active.carries)
    tangent_at = {k: loop.carried + n for n, k in enumerate(active.carries)}
    tangent_at |= {loop.carried + k: beyond + n for n, k in enumerate(active.stacked)}
    found = {
        count + number: results[tangent_at[place]]
        for number, place in enumerate(places)
        if place in tangent_at
    }
    by_operand = [k for k in wanted if k < count]
    if by_operand:
        cotangent_at = {
            tangent_at[place]: c
            for place, c in zip(places, cts, strict=True)
            if place in tangent_at
        }
        seeds = [
            cotangent_at[k] if k in cotangent_at else Tensor.zeros_of(forward.outputs[k])
            for k in _differentiable(forward)
        ]
        asked = [place_of[k] for k in by_operand]
        gradients = run_backward(forward, doubled, seeds, record, asked)
        found.update(zip(by_operand, gradients, strict=True))
    return [found.get(k) for k in wanted]


def _with_tangents(
    loop: Loop, by: tuple[int, ...], operands: Sequence[Any], tangents: dict[int, Any]
) -> tuple[Loop, list[Any], dict[int, int]]:
    """Return the loop that carries tangents along, its operands, and where the old ones are."""
    active = _active(loop, by)
    forward = _tangent_loop(loop, by)
    carries, sliced, constants = loop.split(range(len(operands)))

    def tangent(number: int) -> Any:
        found = tangents.get(number)
        return Tensor.zeros_of(operands[number].spec) if found is None else found

    order: list[int | None] = [0, 1]
    doubled = list(operands[:_INDEX])
    for numbers, chosen in (
        (carries, active.carries),
        (sliced, active.slices),
        (constants, active.constants),
    ):
        doubled += [operands[k] for k in numbers] + [tangent(numbers[k]) for k in chosen]
        order += [*numbers, *(None for _ in chosen)]
    place_of = {k: place for place, k in enumerate(order) if k is not None}
    return forward, doubled, place_of


@functools.lru_cache(maxsize=1024)
def _tangent_loop(loop: Loop, by: tuple[int, ...]) -> Loop:
    """Return the loop whose carries, slices, constants and results are followed by tangents."""
    active = _active(loop, by)
    graph = loop.body.graph
    forward = tangent_graph(graph, active.inputs(loop), active.outputs(loop))
    plain, tangents = (
        list(forward.inputs[: len(graph.inputs)]),
        iter(forward.inputs[len(graph.inputs) :]),
    )
    results, moving = (
        list(forward.outputs[: len(graph.outputs)]),
        iter(forward.outputs[len(graph.outputs) :]),
    )
    first, second = 1 + loop.carried, 1 + loop.carried + loop.sliced
    t_carries = [next(tangents) for _ in active.carries]
    t_slices = [next(tangents) for _ in active.slices]
    t_constants = [next(tangents) for _ in active.constants]
    inputs = (
        *plain[:first], *t_carries, *plain[first:second], *t_slices, *plain[second:], *t_constants,
    )  # fmt: skip
    out_carries = [next(moving) for _ in active.carries]
    outputs = (*results[: loop.carried], *out_carries, *results[loop.carried :], *moving)
    condition = loop.condition
    if condition is not None:
        held = condition.graph
        # It looks at the carries alone; the tangents are there to no purpose.
        unused = {v: Value(v.spec) for v in (*t_carries, *t_constants)}
        arguments = (
            *held.inputs[: loop.carried], *(unused[v] for v in t_carries),
            *held.inputs[loop.carried :], *(unused[v] for v in t_constants),
        )  # fmt: skip
        condition = SubGraph(Graph(arguments, held.nodes, held.outputs), condition.name)
    return Loop(
        SubGraph(Graph(inputs, forward.nodes, outputs), f"tangent of {loop.body.name}"),
        condition,
        loop.carried + len(active.carries),
        loop.sliced + len(active.slices),
        loop.length,
        loop.reverse,
    )


_loop_backward = Primitive(
    "loop_backward",
    ("*xs",),
    eager=_run_backward,
    infer=_infer_backward,
    derivative=together(_backward_of_backward),
    lowering=External(),
    samples=lambda rng: [],
    doc="Carries cotangents back through a loop.",
    grad_name="LoopBackwardBackward",
)


def run_backward(
    loop: Loop, operands: Sequence[Any], cts: Sequence[Any], record: Any, wanted: Sequence[int]
) -> Sequence[Any]:
    """Return the cotangents of the operands numbered `wanted`.

    Parameters
    ----------
    loop : Loop
        What was run.
    operands : sequence of Tensor or int
        What it was run on.
    cts : sequence of Tensor
        Cotangents of those results that are floating.
    record : Tensor
        What `bind_loop` gave.
    wanted : sequence of int
        Numbers of operands.
    """
    found = _loop_backward(*operands, *cts, record, wanted=tuple(wanted), **_params(loop))
    return found if isinstance(found, tuple) else (found,)
