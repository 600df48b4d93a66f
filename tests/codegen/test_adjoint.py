from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.core.primitive import TABLE, Primitive, Template
from jitgrad.core.spec import Spec
from jitgrad.ir.graph import Graph, GraphBuilder, Literal, Value
from jitgrad.ir.verify import verify
from jitgrad.transforms.adjoint import adjoint
from tests.codegen.graphs import graph_of, joint_of, lines_of

x = np.arange(3.0)

# The inputs of with_value have one shape; it is for rules, and never given a number.
ELEMENTWISE = [
    p
    for p in TABLE.values()
    if isinstance(p.lowering, Template)
    and len(p.inputs) > 1
    and p.differentiable
    and p.name != "with_value"
]


def test_the_adjoint_is_the_one_of_its_docstring() -> None:
    def f(x: Any) -> Any:
        h = jg.tanh(x)
        return h.sum(0)

    joint = joint_of(graph_of(f, x=x))
    whole = Graph((*joint.primal.inputs, *joint.cotangents), joint.nodes, joint.gradients)
    assert lines_of(verify(whole)) == [
        "graph(x: f64[3], ct: f64[]):",
        "h: f64[3] = tanh x",
        "v0: f64[] = sum h axes=(0,) keepdims=False",
        "v1: f64[1] = reshape ct shape=(1,)",
        "dh: f64[3] = broadcast_to v1 shape=(3,)",
        "v2: f64[3] = mul h h",
        "v3: f64[3] = sub 1.0 v2",
        "v4: f64[3] = mul dh v3",
        "return v4",
    ]


def test_an_input_that_no_output_depends_on_has_no_gradient() -> None:
    def f(x: Any, y: Any) -> Any:
        return x * 2.0 + y.detach()

    joint = joint_of(graph_of(f, x=x, y=x))
    assert joint.gradients[0] is not None
    assert joint.gradients[1] is None


def test_an_output_that_is_an_input_passes_its_cotangent_on() -> None:
    graph = graph_of(lambda x: (x * 2.0,), x=x)
    graph = Graph(graph.inputs, graph.nodes, (*graph.outputs, graph.inputs[0]))
    joint = joint_of(graph)
    assert [node.primitive.name for node in joint.nodes if node.adjoint] == ["mul", "add"]


def test_cotangents_of_several_uses_are_added() -> None:
    def f(x: Any) -> Any:
        return jg.sin(x) * jg.cos(x)

    names = [node.primitive.name for node in joint_of(graph_of(f, x=x)).nodes if node.adjoint]
    assert names.count("add") == 1


def test_what_no_gradient_passes_is_not_differentiated() -> None:
    def f(x: Any, y: Any) -> Any:
        return jg.tanh(x) * jg.exp(y)

    graph = graph_of(f, x=x, y=x)
    joint = adjoint(graph, graph.inputs[:1], graph.outputs)
    assert [node.primitive.name for node in joint.nodes if node.adjoint] == [
        "mul", "mul", "sub", "mul",
    ]  # fmt: skip


def test_adjoint_nodes_name_the_line_that_they_differentiate() -> None:
    def f(x: Any) -> Any:
        return jg.tanh(x)

    joint = joint_of(graph_of(f, x=x))
    lines = {node.location.line for node in joint.nodes if node.location is not None}
    assert len(lines) == 1
    assert [node.adjoint for node in joint.nodes] == [False, True, True, True]


@pytest.mark.parametrize("primitive", ELEMENTWISE, ids=str)
def test_rules_take_python_numbers_in_place_of_the_other_inputs(primitive: Primitive) -> None:
    for index in range(len(primitive.inputs)):
        if primitive.rule_for(index) is None:
            continue
        operands: list[Value | Literal] = [Literal.of(0.3) for _ in primitive.inputs]
        x = operands[index] = Value(Spec((3,), np.dtype(np.float64)), "x")
        builder = GraphBuilder()
        outputs = builder.emit(primitive, tuple(operands), {})
        graph = verify(Graph((x,), tuple(builder.nodes), outputs))
        assert joint_of(graph).gradients[0] is not None
