"""What holds for every graph, checked after each pass in the tests."""

from __future__ import annotations

from jitgrad.core.errors import GraphError
from jitgrad.core.spec import Spec
from jitgrad.ir.graph import Graph, Literal, Node, Value
from jitgrad.ir.subgraph import subgraphs_of


def verify(graph: Graph) -> Graph:
    """Return `graph` if it is well formed.

    Every value is made once and before it is used, every node has the operation's number of
    inputs and hashable parameters, and the specs of its outputs are those the operation infers.
    The same holds for the graphs among its parameters.

    Raises
    ------
    GraphError
        If an invariant is broken; names the node.
    """
    defined: set[Value] = set()
    for value in graph.inputs:
        _define(value, defined, "the inputs")
    for number, node in enumerate(graph.nodes):
        place = f"node {number} ({node.primitive.name})"
        for value in node.value_inputs():
            if value not in defined:
                raise GraphError(f"{place} uses a value that no earlier node makes")
        _check_node(node, place)
        for value in node.outputs:
            _define(value, defined, place)
    for operand in graph.outputs:
        if not isinstance(operand, Literal) and operand not in defined:
            raise GraphError("an output of the graph is not computed by it")
    return graph


def _define(value: Value, defined: set[Value], place: str) -> None:
    if value in defined:
        raise GraphError(f"{place}: a value is made twice")
    defined.add(value)


def _check_node(node: Node, place: str) -> None:
    if not node.primitive.variadic and len(node.inputs) != len(node.primitive.inputs):
        raise GraphError(f"{place} has {len(node.inputs)} inputs")
    try:
        hash(tuple(node.params.values()))
    except TypeError:
        raise GraphError(f"{place} has a parameter that can't be hashed") from None
    for parameter in node.params.values():
        for inner in subgraphs_of(parameter):
            verify(inner.graph)
    inferred = node.primitive.output_specs(node.specs, dict(node.params))
    actual = [value.spec for value in node.outputs]
    if [_strong(s) for s in inferred] != [_strong(s) for s in actual]:
        raise GraphError(f"{place} has outputs {actual}, its operation infers {inferred}")


def _strong(spec: Spec) -> tuple[object, object]:
    return spec.shape, spec.dtype
