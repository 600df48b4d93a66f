"""Questions that passes ask of a graph: who makes a value, who uses it, what is needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jitgrad.core.dtypes import is_floating
from jitgrad.ir.graph import Graph, Literal, Node, Operand, Value


def producers(graph: Graph) -> dict[Value, Node]:
    """Return the node that computes each value; inputs have none."""
    return {value: node for node in graph.nodes for value in node.outputs}


def uses(graph: Graph) -> dict[Value, list[Node]]:
    """Return the nodes that read each value, in order, once each."""
    found: dict[Value, list[Node]] = {}
    for node in graph.nodes:
        for value in dict.fromkeys(node.value_inputs()):
            found.setdefault(value, []).append(node)
    return found


def values_of(operands: Iterable[Operand]) -> list[Value]:
    """Return the operands that are values, without literals, once each and in order."""
    return list(dict.fromkeys(o for o in operands if not isinstance(o, Literal)))


def needed_nodes(nodes: Sequence[Node], wanted: Iterable[Operand]) -> list[Node]:
    """Return the nodes that `wanted` depends on, in their order; impure ones are always kept."""
    live = set(values_of(wanted))
    kept: list[Node] = []
    for node in reversed(nodes):
        if node.primitive.impure or any(value in live for value in node.outputs):
            kept.append(node)
            live.update(node.value_inputs())
    kept.reverse()
    return kept


def depends_on(nodes: Sequence[Node], sources: Iterable[Value]) -> set[Value]:
    """Return `sources` and every value computed by `nodes` that depends on one of them."""
    reached = set(sources)
    for node in nodes:
        if any(value in reached for value in node.value_inputs()):
            reached.update(node.outputs)
    return reached


def active_values(nodes: Iterable[Node], wrt: Iterable[Value]) -> set[Value]:
    """Return the values that depend differentiably on those of `wrt`, themselves included."""
    active = set(wrt)
    for node in nodes:
        if any(
            operand in active and node.primitive.rule_for(index) is not None
            for index, operand in enumerate(node.inputs)
        ):
            active.update(v for v in node.outputs if is_floating(v.dtype))
    return active
