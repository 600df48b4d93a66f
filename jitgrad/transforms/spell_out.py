"""Operations of NumPy's that are elementwise operations where there is little to compute."""

from __future__ import annotations

from typing import Any

from jitgrad.core.bind import tracing
from jitgrad.core.extents import has_extents
from jitgrad.core.primitive import External
from jitgrad.ir.graph import Graph, Node, Value
from jitgrad.ir.subgraph import SubGraph, subgraphs_of
from jitgrad.ops.creation import clone_primitive
from jitgrad.tensor.modes import no_grad
from jitgrad.tensor.tensor import make_tensor
from jitgrad.trace.recorder import Recorder
from jitgrad.transforms.simplify import simplify


def spell_out(graph: Graph) -> Graph:
    """Return a graph with calls on small arrays written as operations that kernels are made of.

    Before: ``k = argmin x`` for an `x` of two elements.
    After: ``a = slice x 0; b = slice x 1; less = lt b a; k = where less 1 0``.
    """
    if not _has_small_calls(graph):
        return graph
    recorder = Recorder()
    with tracing(recorder), no_grad():
        for node in graph.nodes:
            if _is_small_call(node):
                _write(recorder, node)
            else:
                recorder.builder.nodes.append(_inside(node))
    return simplify(Graph(graph.inputs, tuple(recorder.builder.nodes), graph.outputs), False)


def _is_small_call(node: Node) -> bool:
    lowering = node.primitive.lowering
    return (
        isinstance(lowering, External)
        and lowering.spelled is not None
        and all(isinstance(o, Value) and not has_extents(o.spec.shape) for o in node.inputs)
        and lowering.fits(*node.specs, **node.params)
    )


def _has_small_calls(graph: Graph) -> bool:
    return any(
        _is_small_call(node)
        or any(_has_small_calls(s.graph) for v in node.params.values() for s in subgraphs_of(v))
        for node in graph.nodes
    )


def _write(recorder: Recorder, node: Node) -> None:
    lowering = node.primitive.lowering
    assert isinstance(lowering, External)
    assert lowering.spelled is not None
    location = recorder.location
    recorder.location = node.location
    result = lowering.spelled(*[make_tensor(o) for o in node.inputs], **node.params)
    recorder.location = location
    recorder.builder.nodes.append(Node(clone_primitive, (result._raw,), {}, node.outputs))


def _inside(node: Node) -> Node:
    """Return a node in whose graphs the same has been done."""
    params = {name: _of_parameter(value) for name, value in node.params.items()}
    return Node(node.primitive, node.inputs, params, node.outputs, node.location, node.adjoint)


def _of_parameter(value: Any) -> Any:
    if isinstance(value, SubGraph):
        return SubGraph(spell_out(value.graph), value.name)
    if isinstance(value, tuple) and any(isinstance(item, SubGraph) for item in value):
        return tuple(map(_of_parameter, value))
    return value
