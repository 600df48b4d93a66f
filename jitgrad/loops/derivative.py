"""The derivative of an elementwise operation, for one element."""

from __future__ import annotations

from typing import Any

from jitgrad.control.derive import backward_graph
from jitgrad.core.spec import Spec
from jitgrad.ir.graph import Graph, Literal, Node, Operand, Value

_derivatives: dict[Any, Graph] = {}


def derivative(node: Node, wrt: tuple[int, ...]) -> Graph:
    """Return the graph from numbers and a cotangent to cotangents, for one element of a node."""
    params = tuple([f"{k}={v!r}" for k, v in node.params.items()])
    key = (node.primitive.name, params, wrt, node.outputs[0].dtype, *map(_kind, node.inputs))
    found = _derivatives.get(key)
    if found is None:
        operands = [
            o if isinstance(o, Literal) else Value(Spec((), o.dtype, o.spec.weak))
            for o in node.inputs
        ]
        values = [o for o in operands if isinstance(o, Value)]
        out = Value(Spec((), node.outputs[0].dtype))
        single = Node(node.primitive, tuple(operands), node.params, (out,), node.location)
        places = tuple([values.index(operands[k]) for k in wrt])  # type: ignore[arg-type]
        graph = Graph(tuple(values), (single,), (out,))
        found = _derivatives[key] = backward_graph(graph, places, (0,))
    return found


def _kind(operand: Operand) -> Any:
    return operand if isinstance(operand, Literal) else (operand.dtype, operand.spec.weak)
