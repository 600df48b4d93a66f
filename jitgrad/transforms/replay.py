"""Runs a graph through the operations again: eagerly, or into another trace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitgrad.core.bind import bind
from jitgrad.ir.graph import Graph, Literal, Value


def replay(graph: Graph, arguments: Sequence[Any]) -> list[Any]:
    """Return the outputs of `graph` on Tensors, each operation called as the user would.

    Parameters
    ----------
    graph : Graph
        The computation.
    arguments : sequence of Tensor
        Its inputs; with a trace active, Tensors of that trace.

    Returns
    -------
    list of Tensor or number
        Its outputs; recorded for `backward` where recording is on.
    """
    environment: dict[Value, Any] = dict(zip(graph.inputs, arguments, strict=True))

    def read(operand: Any) -> Any:
        return operand.number if isinstance(operand, Literal) else environment[operand]

    for node in graph.nodes:
        result = bind(node.primitive, tuple(map(read, node.inputs)), dict(node.params))
        outputs = result if isinstance(result, tuple) else (result,)
        environment.update(zip(node.outputs, outputs, strict=True))
    return [read(operand) for operand in graph.outputs]
