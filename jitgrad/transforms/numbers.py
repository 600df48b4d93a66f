"""Values are read themselves where it makes no difference that they stand for Python numbers."""

from __future__ import annotations

from jitgrad.ir.graph import Graph, Node, Operand, Value
from jitgrad.ops.cast import number_primitive


def read_values_for_numbers(graph: Graph) -> Graph:
    """Let operations read a value in place of the number that was made of it.

    A number has no say in what dtype comes out; often that would be the same with the value.

    Before: ``n = number i; k = sub n 1; j = cast k dtype=int64; y = take x j``.
    After: ``k = sub i 1; j = cast k dtype=int64; y = take x j``.
    """
    value_of: dict[Operand, Operand] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.primitive is number_primitive:
            value_of[node.outputs[0]] = value_of.get(node.inputs[0], node.inputs[0])
            nodes.append(node)
            continue
        inputs = tuple([value_of.get(operand, operand) for operand in node.inputs])
        if inputs == node.inputs:
            nodes.append(node)
            continue
        specs = node.primitive.output_specs([o.spec for o in inputs], dict(node.params))
        if [(s.shape, s.dtype) for s in specs] != [(v.shape, v.dtype) for v in node.outputs]:
            nodes.append(node)
            continue
        if any(v.spec.weak for v in node.outputs):
            # What cares for the difference goes on reading the number.
            nodes.append(node)
            outputs = tuple([Value(s, v.name) for s, v in zip(specs, node.outputs, strict=True)])
            value_of.update(zip(node.outputs, outputs, strict=True))
        else:
            outputs = node.outputs
        nodes.append(
            Node(node.primitive, inputs, node.params, outputs, node.location, node.adjoint)
        )
    kept = tuple([value_of.get(operand, operand) for operand in graph.outputs])
    return Graph(graph.inputs, tuple(nodes), kept)
