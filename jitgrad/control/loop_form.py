"""What a loop is: a body, a condition, how many operands of each kind; and graphs made of it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from jitgrad.control.deferred import Sum, sum_over_iterations
from jitgrad.control.derive import active_outputs, backward_graph, there_and_back
from jitgrad.core.dtypes import is_floating
from jitgrad.core.spec import Spec
from jitgrad.ir.graph import Graph, Literal, Node, Operand, Value
from jitgrad.ir.subgraph import SubGraph

INDEX = 2  # operands before the carries: the first index, and the one after the last


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
    memory : int
        How many bytes may be kept for the way back; 0 for as many as it takes.
    unread : tuple of int
        Numbers of the results of a loop without a way back that nobody reads: they may be anything.
    """

    body: SubGraph
    condition: SubGraph | None
    carried: int
    sliced: int
    length: int
    reverse: bool
    memory: int = 0
    unread: tuple[int, ...] = ()

    @property
    def read(self) -> list[int]:
        """Numbers of the results that somebody may read."""
        return [k for k in range(len(self.body.graph.outputs)) if k not in self.unread]

    @staticmethod
    def of(params: Mapping[str, Any]) -> Loop:
        """Return the loop that static parameters of a node say, among others."""
        return Loop(**{field.name: params[field.name] for field in fields(Loop)})

    @property
    def outputs(self) -> tuple[Spec, ...]:
        """Specs of the results: last carries, then stacked outputs."""
        specs = [Spec(v.spec.shape, v.spec.dtype) for v in self.body.graph.outputs]
        stacked = [Spec((self.length, *s.shape), s.dtype) for s in specs[self.carried :]]
        return (*specs[: self.carried], *stacked)

    def split(self, operands: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Return carries, sliced arrays and constants among the operands."""
        first, second = INDEX + self.carried, INDEX + self.carried + self.sliced
        return list(operands[INDEX:first]), list(operands[first:second]), list(operands[second:])


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
def active_parts(loop: Loop, wanted: tuple[int, ...]) -> Active:
    """Return what takes part where gradients by the operands numbered `wanted` are asked for."""
    slices_from = INDEX + loop.carried
    constants_from = slices_from + loop.sliced
    slices = tuple([k - slices_from for k in wanted if slices_from <= k < constants_from])
    constants = tuple([k - constants_from for k in wanted if k >= constants_from])
    carries = tuple([k - INDEX for k in wanted if k < slices_from])
    while True:
        found = Active(carries, slices, constants, ())
        reached = active_outputs(loop.body.graph, found.inputs(loop))
        more = sorted({*carries, *(k for k in reached if k < loop.carried)})
        if tuple(more) == carries:
            stacked = tuple([k - loop.carried for k in reached if k >= loop.carried])
            return Active(carries, slices, constants, stacked)
        carries = tuple(more)


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """One iteration of a loop, and its way back.

    Parameters
    ----------
    forward : SubGraph
        The body; its last outputs are what is kept for the way back.
    back : SubGraph
        From index, carries, slices, constants, what was kept, cotangents of carries and stacked
        outputs, and running sums, to cotangents of carries and slices, new sums, and what is left
        until after the loop.
    sums : tuple of Sum
        How constants' cotangents are summed.
    kept : tuple of Spec
        What is kept of each iteration.
    left : tuple of Spec
        What is left of each iteration.
    """

    forward: SubGraph
    back: SubGraph
    sums: tuple[Sum, ...]
    kept: tuple[Spec, ...]
    left: tuple[Spec, ...]


@functools.lru_cache(maxsize=1024)
def steps(loop: Loop, wanted: tuple[int, ...]) -> Steps:
    """Return an iteration and its way back, for gradients by the operands numbered `wanted`."""
    active = active_parts(loop, wanted)
    body, wrt, outputs = loop.body.graph, active.inputs(loop), active.outputs(loop)
    if loop.condition is None:
        forward, back, count = there_and_back(body, wrt, outputs)
    else:
        forward, back, count = body, backward_graph(body, wrt, outputs), 0
    # What the states hold of each iteration.
    held = back.inputs[1 : 1 + loop.carried]
    held += back.inputs[len(body.inputs) : len(body.inputs) + count]
    graph, sums = sum_over_iterations(back, len(active.constants), held)
    moved = len(active.carries) + len(active.slices) + sum(total.running for total in sums)
    return Steps(
        loop.body if not count else SubGraph(forward, loop.body.name),
        SubGraph(graph, f"adjoint of {loop.body.name}"),
        sums,
        tuple([value.spec for value in forward.outputs[len(body.outputs) :]]),
        tuple([value.spec for value in graph.outputs[moved:]]),
    )


def differentiable(loop: Loop) -> list[int]:
    """Return the numbers of the loop's results that have cotangents."""
    return [k for k, spec in enumerate(loop.outputs) if is_floating(spec.dtype)]


@functools.lru_cache(maxsize=1024)
def body_then_condition(loop: Loop) -> SubGraph:
    """Return the graph of the body that also tells, as its last output, whether to go on."""
    assert loop.condition is not None
    body, condition = loop.body.graph, loop.condition.graph
    constants = body.inputs[1 + loop.carried + loop.sliced :]
    asked = (*body.outputs[: loop.carried], *constants)
    place: dict[Value, Operand] = dict(zip(condition.inputs, asked, strict=True))

    def placed(operand: Operand) -> Operand:
        return operand if isinstance(operand, Literal) else place.get(operand, operand)

    nodes = [
        Node(n.primitive, tuple(map(placed, n.inputs)), n.params, n.outputs, n.location, n.adjoint)
        for n in condition.nodes
    ]
    outputs = (*body.outputs, *map(placed, condition.outputs))
    return SubGraph(Graph(body.inputs, (*body.nodes, *nodes), outputs), loop.body.name)
