"""A graph as text: one line a node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jitgrad.ir.graph import Graph, Literal, Operand, Value
from jitgrad.ir.subgraph import subgraphs_of


def value_names(graph: Graph) -> dict[Value, str]:
    """Return a unique name for each value: the user's where known, else ``v0, v1, ...``."""
    names: dict[Value, str] = {}
    taken: set[str] = set()
    counter = 0
    for value in [*graph.inputs, *(v for node in graph.nodes for v in node.outputs)]:
        if value in names:
            continue
        if value.name and value.name not in taken:
            name = value.name
        elif value.name:
            number = 2
            while f"{value.name}_{number}" in taken:
                number += 1
            name = f"{value.name}_{number}"
        else:
            while f"v{counter}" in taken:
                counter += 1
            name = f"v{counter}"
        names[value] = name
        taken.add(name)
    return names


def format_graph(graph: Graph, title: str = "graph") -> str:
    """Return `graph` as text.

    Examples
    --------
    A line reads ``h: f32[5, 3] = tanh v0    # train.py:12``.
    """
    names = value_names(graph)

    def show(operand: Operand) -> str:
        return operand.sign if isinstance(operand, Literal) else names[operand]

    head = ", ".join(f"{names[v]}: {v.spec}" for v in graph.inputs)
    lines = [f"{title}({head}):"]
    for node in graph.nodes:
        left = ", ".join(f"{names[v]}: {v.spec}" for v in node.outputs)
        right = " ".join([node.primitive.name, *map(show, node.inputs)])
        text = f"  {left} = {right}{_format_params(node.params)}"
        if node.location is not None:
            text += f"    # {'adjoint of ' if node.adjoint else ''}{node.location}"
        lines.append(text)
        for parameter in node.params.values():
            for inner in subgraphs_of(parameter):
                body = format_graph(inner.graph, repr(inner))
                lines.extend(f"    {line}" for line in body.split("\n"))
    lines.append("  return " + ", ".join(map(show, graph.outputs)))
    return "\n".join(lines)


def _format_params(params: Mapping[str, Any]) -> str:
    return "".join(f" {name}={_format_param(value)}" for name, value in params.items())


def _format_param(value: Any) -> str:
    if isinstance(value, np.dtype):
        return value.name
    return str(value).replace(" ", "")
