"""The operation `loop`: a body run a number of times, or while a condition holds.

Its way back, `loop_backward`, runs the body's adjoint over the states in reverse, each step
computing again what it needs inside the step. Both are derived from one another: the derivative
of the way back is the way back of the loop that carries tangents along.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields, replace
from typing import Any

import numpy as np

from jitgrad.control.derive import tangent_graph
from jitgrad.control.limited import run_back, run_forward
from jitgrad.control.loop_examples import LoopOfExamples
from jitgrad.control.loop_form import INDEX, Loop, active_parts, differentiable
from jitgrad.core.dtypes import is_floating
from jitgrad.core.errors import ArgumentError
from jitgrad.core.primitive import Examples, External, Primitive, Shared, together
from jitgrad.core.spec import Spec
from jitgrad.ir.graph import Graph, Node, Value
from jitgrad.ir.subgraph import SubGraph
from jitgrad.tensor.tensor import Tensor

# The bytes that a loop may keep where its user leaves the number to us.
DEFAULT_MEMORY = 1 << 28
# What remembers the states of a run: no array, but 0-d to whoever hands it on.
_RECORD = Spec((), np.dtype(object))


_memory: ContextVar[int] = ContextVar("memory", default=0)


@contextmanager
def limited_memory(memory: int) -> Iterator[None]:
    """Let loops that are recorded within keep so many bytes for their ways back; 0: no limit."""
    token = _memory.set(memory or _memory.get())
    try:
        yield
    finally:
        _memory.reset(token)


def memory_limit(operation: str, checkpoint: str | None, memory: int | None) -> int:
    """Return the limit that arguments of these names say.

    Raises
    ------
    ArgumentError
        If they say nothing.
    """
    if checkpoint is None:
        if memory is not None:
            raise ArgumentError(
                f"{operation}: memory={memory} without a strategy",
                do="pass checkpoint='auto' along with it",
            )
        return 0
    if checkpoint != "auto":
        raise ArgumentError(f"{operation}: checkpoint is None or 'auto', not {checkpoint!r}")
    memory = DEFAULT_MEMORY if memory is None else operator.index(memory)
    if memory < 1:
        raise ArgumentError(f"{operation}: memory is a number of bytes, not {memory}")
    return memory


def _run(*operands: Any, keep: tuple[int, ...], **params: Any) -> tuple[Any, ...]:
    results, states = run_forward(Loop(**params), operands, keep)
    record = np.empty((), object)
    record[()] = states
    return (*results, record)


def _infer(*specs: Spec, keep: tuple[int, ...], **params: Any) -> tuple[Spec, ...]:
    return (*Loop(**params).outputs, _RECORD)


def _backward(ct: Any, xs: Any, record: Any, wanted: Any, params: Any) -> Sequence[Any]:
    loop = Loop.of(params)
    cts = [c for c, spec in zip(ct, loop.outputs, strict=False) if is_floating(spec.dtype)]
    return run_backward(loop, xs, cts, record, wanted)


def _forget(params: dict[str, Any], read: tuple[bool, ...]) -> dict[str, Any]:
    if read[-1]:
        # Results that nobody reads may have cotangents all the same.
        return params
    unread = tuple([k for k, is_read in enumerate(read[:-1]) if not is_read])
    return {**params, "unread": unread, "keep": ()}


def _for_examples(examples: Examples, *xs: Any, keep: tuple[int, ...], **params: Any) -> Any:
    single = Loop.of(params)
    whole = _together(examples, single, examples.batched)
    if whole is None:
        # Nobody reads the records: see the way back.
        inputs = tuple([Value(Spec(s.shape, s.dtype)) for s in examples.specs])
        outputs = tuple([Value(spec) for spec in examples.outputs])
        node = Node(_loop, inputs, {**params, "keep": ()}, outputs)
        graph = Graph(inputs, (node,), outputs[:-1])
        return (*examples.one_by_one(graph, xs, examples.batched), Shared(None))
    results, record = bind_loop(whole.loop, whole.given(xs, examples.batched), keep)
    return (*whole.results(results), Shared(record))


def _together(
    examples: Examples, loop: Loop, batched: Sequence[bool], wanted: Sequence[bool] = ()
) -> LoopOfExamples | None:
    """Return the loop of all examples; None where each one has to have its own."""
    if any(batched[:INDEX]):
        return None
    whole = LoopOfExamples.of(examples, loop, batched, wanted)
    return None if whole.may_fail else whole


_loop = Primitive(
    "loop",
    ("*xs",),
    eager=_run,
    infer=_infer,
    derivative=together(_backward),
    lowering=External(),
    samples=lambda rng: [],
    doc="Runs a body again and again.",
    grad_name="LoopBackward",
    unread=_forget,
    batching=_for_examples,
)


def bind_loop(loop: Loop, operands: Sequence[Any], keep: tuple[int, ...]) -> tuple[list[Any], Any]:
    """Run or record a loop; returns its results, and the record of its states.

    Parameters
    ----------
    loop : Loop
        What to run.
    operands : sequence of Tensor or int
        Bounds, carries, sliced arrays, constants.
    keep : tuple of int
        Numbers of the operands whose cotangents may be asked for; the way back runs the loop
        again where nothing was kept for it.
    """
    loop = replace(loop, memory=_memory.get() or loop.memory)
    found = _loop(*operands, keep=keep, **_params(loop))
    results = found if isinstance(found, tuple) else (found,)
    return list(results[:-1]), results[-1]


def _params(loop: Loop) -> dict[str, Any]:
    return {f.name: getattr(loop, f.name) for f in fields(Loop)}


# -- the way back ------------------------------------------------------------------------------


def _run_backward(*xs: Any, wanted: tuple[int, ...], **params: Any) -> Any:
    loop = Loop(**params)
    count = len(xs) - 1 - len(differentiable(loop))
    return tuple(run_back(loop, xs[:count], xs[count:-1], xs[-1][()], wanted))


def _infer_backward(*specs: Spec, wanted: tuple[int, ...], **params: Any) -> tuple[Spec, ...]:
    return tuple([Spec(specs[k].shape, specs[k].dtype) for k in wanted])


def _backward_of_backward(ct: Any, xs: Any, wanted: Any, params: Any) -> list[Any]:
    """Return the derivative of the way back by operands and cotangents.

    The way back is linear in the cotangents; its transpose is the loop with tangents, and what
    that depends on the operands by is that loop's own way back.
    """
    loop, by = Loop.of(params), params["wanted"]
    tangents = dict(zip(by, ct if isinstance(ct, tuple) else (ct,), strict=True))
    places = differentiable(loop)
    count = len(xs) - 1 - len(places)
    operands, cts = xs[:count], xs[count:-1]
    forward, doubled, place_of = _with_tangents(loop, by, operands, tangents)
    results, record = bind_loop(forward, doubled, tuple(range(INDEX, len(doubled))))
    active = active_parts(loop, by)
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
            for k in differentiable(forward)
        ]
        asked = [place_of[k] for k in by_operand]
        gradients = run_backward(forward, doubled, seeds, record, asked)
        found.update(zip(by_operand, gradients, strict=True))
    return [found.get(k) for k in wanted]


def _with_tangents(
    loop: Loop, by: tuple[int, ...], operands: Sequence[Any], tangents: dict[int, Any]
) -> tuple[Loop, list[Any], dict[int, int]]:
    """Return the loop that carries tangents along, its operands, and where the old ones are."""
    active = active_parts(loop, by)
    forward = _tangent_loop(loop, by)
    carries, sliced, constants = loop.split(range(len(operands)))

    def tangent(number: int) -> Any:
        found = tangents.get(number)
        return Tensor.zeros_of(operands[number].spec) if found is None else found

    order: list[int | None] = [0, 1]
    doubled = list(operands[:INDEX])
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
    active = active_parts(loop, by)
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
        loop.memory,
    )


def _back_for_examples(examples: Examples, *xs: Any, wanted: tuple[int, ...], **params: Any) -> Any:
    """Run the loop of all examples once more, and then back; equal runs become one in a trace."""
    single = Loop.of(params)
    places = differentiable(single)
    count = len(xs) - 1 - len(places)
    operands, cts = xs[:count], xs[count:-1]
    batched, has_ct = examples.batched[:count], examples.batched[count:-1]
    # The examples' gradients are apart even where what they are taken by is the same for all.
    own = [flag or k in wanted for k, flag in enumerate(batched)]
    asked = [False] * len(single.outputs)
    for place, flag in zip(places, has_ct, strict=True):
        asked[place] = flag
    whole = _together(examples, single, own, asked)
    if whole is None:
        return examples.one_by_one(
            _there_and_back(single, examples.specs, wanted), xs[:-1], examples.batched[:-1]
        )
    given = whole.given(operands, batched)
    _, record = bind_loop(whole.loop, given, wanted)
    arriving = zip(places, cts, has_ct, strict=True)
    seeds = [whole.cotangent(place, ct, flag) for place, ct, flag in arriving]
    found = run_backward(whole.loop, given, seeds, record, wanted)
    return [whole.for_operand(k, x) for k, x in zip(wanted, found, strict=True)]


def _there_and_back(loop: Loop, specs: Sequence[Spec], wanted: tuple[int, ...]) -> Graph:
    """Return the graph from operands and cotangents to the cotangents of some operands."""
    inputs = tuple([Value(Spec(s.shape, s.dtype)) for s in specs[:-1]])
    operands = inputs[: len(inputs) - len(differentiable(loop))]
    results = tuple([Value(spec) for spec in (*loop.outputs, _RECORD)])
    there = Node(_loop, operands, {"keep": wanted, **_params(loop)}, results)
    found = tuple([Value(Spec(specs[k].shape, specs[k].dtype)) for k in wanted])
    params = {"wanted": wanted, **_params(loop)}
    back = Node(_loop_backward, (*inputs, results[-1]), params, found)
    return Graph(inputs, (there, back), found)


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
    batching=_back_for_examples,
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
