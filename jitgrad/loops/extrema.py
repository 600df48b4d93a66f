"""Largest and smallest elements in a form of which a way back can be written."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

from jitgrad.control.loop_form import Loop
from jitgrad.core.bind import tracing
from jitgrad.core.primitive import Primitive, Template, partials
from jitgrad.core.spec import Spec
from jitgrad.ir.graph import Graph, Node, Value
from jitgrad.ir.subgraph import SubGraph
from jitgrad.ops.comparison import isnan
from jitgrad.ops.reduction import spread, sum_over
from jitgrad.ops.selection import select
from jitgrad.tensor.modes import no_grad
from jitgrad.tensor.tensor import make_tensor
from jitgrad.trace.recorder import Recorder

# Has the value of one operand and the derivative of another one.
_standing_for = Primitive(
    "standing_for",
    ("value", "other"),
    eager=lambda value, other: value,
    infer=lambda value, other: Spec(value.shape, value.dtype),
    derivative=partials(None, lambda: 1.0),
    lowering=Template("{value}"),
    samples=lambda rng: [],
    doc="A value with the derivative of another expression for it.",
    grad_name="",
)


def share_extrema(graph: Graph) -> Graph:
    """Return a graph in which the derivative of extrema is that of the mean of their elements.

    Before: ``m = amax x``. After: ``m = amax x; chosen = x == m;
    mean = sum(where(chosen, x, 0)) / sum(chosen); out = standing_for m mean``. The value is that
    of ``m``; elements that are equal to it share its cotangent.
    """
    recorder = Recorder()
    recorder.adjoint = True
    with tracing(recorder), no_grad():
        for node in graph.nodes:
            if node.primitive.name in ("amax", "amin"):
                _share(recorder, node)
            else:
                recorder.builder.nodes.append(_inside(node))
    return Graph(graph.inputs, tuple(recorder.builder.nodes), graph.outputs)


def _share(recorder: Recorder, node: Node) -> None:
    operand, out = node.inputs[0], node.outputs[0]
    assert isinstance(operand, Value)
    extremum = Value(out.spec)
    recorder.builder.nodes.append(
        Node(node.primitive, node.inputs, node.params, (extremum,), node.location)
    )
    axes, keepdims = node.params["axes"], node.params["keepdims"]
    x: Any = make_tensor(operand)
    chosen = (x == spread(make_tensor(extremum), operand.spec, axes, keepdims)) | isnan(x)
    count = sum_over(chosen, axes=axes, keepdims=keepdims)
    mean = sum_over(select(chosen, x, 0.0), axes=axes, keepdims=keepdims) / count
    operands = (extremum, mean._raw)
    recorder.builder.nodes.append(Node(_standing_for, operands, {}, (out,), node.location))


def _inside(node: Node) -> Node:
    """Return a node in whose graphs the same has been done."""
    params = {name: _of_parameter(value) for name, value in node.params.items()}
    return Node(node.primitive, node.inputs, params, node.outputs, node.location, node.adjoint)


def _of_parameter(value: Any) -> Any:
    if isinstance(value, SubGraph):
        return SubGraph(share_extrema(value.graph), value.name)
    if isinstance(value, tuple) and any(isinstance(item, SubGraph) for item in value):
        return tuple(map(_of_parameter, value))
    return value


@functools.lru_cache(maxsize=256)
def with_shared_extrema(loop: Loop) -> Loop:
    """Return a loop in whose graphs `share_extrema` has been done."""
    condition = loop.condition
    return replace(
        loop,
        body=_of_parameter(loop.body),
        condition=None if condition is None else _of_parameter(condition),
    )
