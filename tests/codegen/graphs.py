"""Graphs of plain functions, for the tests of passes and of code generation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jitgrad
from jitgrad.ir.graph import Graph, Value
from jitgrad.ir.printer import format_graph
from jitgrad.ir.verify import verify
from jitgrad.trace.capture import Source, capture
from jitgrad.transforms.adjoint import Joint, adjoint


def graph_of(function: Callable[..., Any], **arrays: Any) -> Graph:
    """Return what `function` computes from these arguments, nothing simplified."""

    def make_arguments(trace: Any) -> tuple[Sequence[Any], dict[str, Any]]:
        return [
            trace.add_input(jitgrad.as_tensor(array), Source("argument", k), name)
            for k, (name, array) in enumerate(arrays.items())
        ], {}

    captured = capture(function, make_arguments, {})
    outputs = tuple(leaf.content for leaf in captured.leaves)
    return verify(Graph(tuple(captured.inputs), tuple(captured.nodes), outputs))


def joint_of(graph: Graph) -> Joint:
    """Return `graph` and the adjoint that carries its outputs back to all its inputs."""
    outputs = [v for v in graph.outputs if isinstance(v, Value)]
    joint = adjoint(graph, graph.inputs, outputs)
    verify(Graph((*graph.inputs, *joint.cotangents), joint.nodes, ()))
    return joint


def lines_of(graph: Graph) -> list[str]:
    """Return the lines of the graph's text without places in files."""
    return [line.split("#")[0].strip() for line in format_graph(graph).splitlines()]
