"""Sums over the iterations of a loop: added up on the way, or left to one operation after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitgrad.core.extents import has_extents
from jitgrad.core.primitive import Fill, Template
from jitgrad.core.spec import Spec
from jitgrad.ir.graph import Graph, GraphBuilder, Node, Operand, Value
from jitgrad.ir.walk import producers
from jitgrad.ops.arithmetic import add
from jitgrad.transforms.simplify import simplify, swaps_axes


@dataclass(frozen=True, slots=True)
class Factor:
    """An input of an operation that is left until after the loop.

    Parameters
    ----------
    number : int
        Of the factor among what the graph returns for such operations, or among what is held.
    is_held : bool
        Whether it is something that is held of each iteration anyway.
    is_swapped : bool
        Whether the operation takes the transpose.
    """

    number: int
    is_held: bool
    is_swapped: bool


@dataclass(frozen=True, slots=True, eq=False)
class Later:
    """An operation that is left until after the loop, and then runs on the stacks of its inputs.

    Parameters
    ----------
    node : Node
        The operation.
    factors : tuple of Factor
        Its inputs.
    """

    node: Node
    factors: tuple[Factor, ...]

    def total(self, stacks: Sequence[Any], held: Sequence[Any]) -> Any:
        """Return the sum over all iterations.

        Parameters
        ----------
        stacks, held : sequence of array
            What was left, and what is held, of all iterations.
        """
        assert self.node.primitive.summed is not None
        found = [(held if f.is_held else stacks)[f.number] for f in self.factors]
        found = [
            np.swapaxes(stack, 1, 2) if factor.is_swapped else stack
            for stack, factor in zip(found, self.factors, strict=True)
        ]
        return self.node.primitive.summed.function(*found, **self.node.params)


@dataclass(frozen=True, slots=True, eq=False)
class Sum:
    """How an output is summed over iterations.

    Parameters
    ----------
    spec : Spec
        Shape and dtype of the output.
    running : bool
        Whether there is a sum that goes from iteration to iteration.
    later : tuple of Later
        Operations left until after the loop.
    """

    spec: Spec
    running: bool
    later: tuple[Later, ...]


def sum_over_iterations(
    graph: Graph, count: int, held: Sequence[Value] = ()
) -> tuple[Graph, tuple[Sum, ...]]:
    """Let the last `count` outputs be summed over the runs of `graph`.

    What comes of a product of matrices, or is added to a few elements of a large array, is not
    computed in each run; the graph returns the factors instead, once each, unless they, or what
    they are transposes of, are inputs that are `held` of each run.

    Examples
    --------
    Before: ``f(s, d, w): p = reshape s; q = reshape d; g = matmul q p; h = tanh w; a = add g h;
    return d, a`` with ``count=1``.
    After: ``f(s, d, w, sum): p = reshape s; q = reshape d; h = tanh w; t = add sum h;
    return d, t, q, p``.

    Returns
    -------
    Graph
        With an input more for each running sum; returns the other outputs, the new sums, and the
        inputs of operations that are left.
    tuple of Sum
        One for each of these outputs.
    """
    makers = producers(graph)
    builder = GraphBuilder(list(graph.nodes))
    inputs: list[Value] = []
    new: list[Operand] = []
    factors: dict[Operand, int] = {}
    number_of = {value: number for number, value in enumerate(held)}

    def factor(operand: Operand) -> Factor:
        maker = makers.get(operand) if isinstance(operand, Value) else None
        is_swapped = maker is not None and swaps_axes(maker)
        if is_swapped:
            assert maker is not None
            operand = maker.inputs[0]
        if isinstance(operand, Value) and operand in number_of:
            return Factor(number_of[operand], True, is_swapped)
        return Factor(factors.setdefault(operand, len(factors)), False, is_swapped)

    sums: list[Sum] = []
    kept = len(graph.outputs) - count
    for output in graph.outputs[kept:]:
        now, later = _terms(output, makers)
        if now:
            total = Value(Spec(output.spec.shape, output.spec.dtype), "sum")
            inputs.append(total)
            for term in now:
                (total,) = builder.emit(add, (total, term), {}, adjoint=True)
            new.append(total)
        left = [Later(node, tuple([factor(operand) for operand in node.inputs])) for node in later]
        sums.append(Sum(output.spec, bool(now), tuple(left)))
    outputs = (*graph.outputs[:kept], *new, *factors)
    changed = Graph((*graph.inputs, *inputs), tuple(builder.nodes), outputs)
    return simplify(changed), tuple(sums)


def _terms(output: Operand, makers: dict[Value, Node]) -> tuple[list[Operand], list[Node]]:
    """Return the terms of a sum: those to be added in each run, and operations left until later."""
    now: list[Operand] = []
    later: list[Node] = []
    waiting = [output]
    while waiting:
        term = waiting.pop()
        node = makers.get(term) if isinstance(term, Value) else None
        lowering = None if node is None else node.primitive.lowering
        if node is None:
            now.append(term)
        elif isinstance(lowering, Template) and lowering.adds and _is_whole(node):
            waiting += node.inputs
        elif isinstance(lowering, Fill) and node.params["value"] == 0:
            continue
        elif _can_wait(node):
            later.append(node)
        else:
            now.append(term)
    return now, later


def _is_whole(node: Node) -> bool:
    out = node.outputs[0].spec
    return all((o.spec.shape, o.spec.dtype) == (out.shape, out.dtype) for o in node.inputs)


def _can_wait(node: Node) -> bool:
    """Return whether the inputs are kept for less than the output costs in each run."""
    summed = node.primitive.summed
    if summed is None or not all(isinstance(operand, Value) for operand in node.inputs):
        return False
    if any(has_extents(spec.shape) for spec in node.specs):
        # The parts of two iterations differ in size and can't be stacked.
        return False
    if not summed.fits(*node.specs, **node.params):
        return False
    return sum(spec.size for spec in node.specs) < node.outputs[0].spec.size
