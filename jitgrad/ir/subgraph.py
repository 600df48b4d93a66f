"""A graph as a static parameter of a node: the body of a loop, a branch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from jitgrad.ir.graph import Graph, Literal, Value


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SubGraph:
    """A graph that compares by what it computes, as static parameters do.

    Parameters
    ----------
    graph : Graph
        The function; captured values are among its inputs.
    name : str
        What reports and files call it; says nothing of what it computes.
    """

    graph: Graph
    name: str = ""
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", _digest(self.graph))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SubGraph) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"graph_{self.digest[:12]}"


def subgraphs_of(parameter: Any) -> Iterator[SubGraph]:
    """Yield the graphs that a static parameter is or holds."""
    if isinstance(parameter, SubGraph):
        yield parameter
    elif isinstance(parameter, tuple):
        for item in parameter:
            yield from subgraphs_of(item)


def _digest(graph: Graph) -> str:
    """Return a text that is the same for graphs that compute the same by the same steps."""
    numbers: dict[Value, int] = {}

    def number(value: Value) -> str:
        return str(numbers.setdefault(value, len(numbers)))

    def operand(item: Value | Literal) -> str:
        return f"{item.kind} {item.sign}" if isinstance(item, Literal) else number(item)

    lines = [f"{number(v)}:{v.spec}" for v in graph.inputs]
    for node in graph.nodes:
        params = [f"{k}={type(v).__name__} {v!r}" for k, v in sorted(node.params.items())]
        inputs, outputs = map(operand, node.inputs), map(number, node.outputs)
        lines.append(" ".join([*outputs, "=", node.primitive.name, *inputs, *params]))
    lines.append(" ".join(map(operand, graph.outputs)))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
