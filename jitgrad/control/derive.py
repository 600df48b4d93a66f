"""Graphs of bodies to graphs of their derivatives, backwards and forwards."""

from __future__ import annotations

from collections.abc import Sequence

from jitgrad.core.bind import tracing
from jitgrad.core.extents import has_extents
from jitgrad.core.spec import Spec
from jitgrad.ir.graph import Graph, Node, Operand, Value
from jitgrad.ir.walk import active_values, values_of
from jitgrad.ops.arithmetic import add
from jitgrad.ops.creation import clone_primitive, full_primitive
from jitgrad.tensor.modes import no_grad
from jitgrad.tensor.tensor import Tensor, make_tensor
from jitgrad.trace.recorder import Recorder
from jitgrad.transforms.adjoint import Joint, adjoint
from jitgrad.transforms.residuals import split
from jitgrad.transforms.simplify import simplify


def active_outputs(graph: Graph, wrt: Sequence[int]) -> tuple[int, ...]:
    """Return the numbers of the outputs that depend differentiably on inputs numbered `wrt`."""
    active = active_values(graph.nodes, [graph.inputs[k] for k in wrt])
    return tuple([k for k, v in enumerate(graph.outputs) if v in active])


def backward_graph(graph: Graph, wrt: Sequence[int], outputs: Sequence[int]) -> Graph:
    """Return the graph from inputs and cotangents to cotangents.

    Parameters
    ----------
    graph : Graph
        The function.
    wrt : sequence of int
        Numbers of the inputs whose cotangents are asked for.
    outputs : sequence of int
        Numbers of the outputs that have cotangents.
    """
    joint = _adjoint(graph, wrt, outputs)
    return _gradients_of(joint, graph.inputs, joint.nodes, wrt)


def there_and_back(
    graph: Graph, wrt: Sequence[int], outputs: Sequence[int]
) -> tuple[Graph, Graph, int]:
    """Return a body that keeps what its way back needs besides its inputs, and that way back.

    Parameters
    ----------
    graph, wrt, outputs
        As of `backward_graph`.

    Returns
    -------
    Graph
        From the inputs to the outputs, and what is kept.
    Graph
        From the inputs, what is kept, and cotangents, to cotangents.
    int
        How many values are kept.
    """
    joint = _adjoint(graph, wrt, outputs)
    parts = split(joint, is_repeated=True)
    kept = parts.kept
    if any(has_extents(value.shape) for value in kept):
        # Two iterations may keep arrays that differ in size.
        return graph, backward_graph(graph, wrt, outputs), 0
    back = _gradients_of(joint, (*graph.inputs, *kept), parts.backward.nodes, wrt)
    return simplify(parts.forward), back, len(kept)


def _gradients_of(
    joint: Joint, inputs: tuple[Value, ...], nodes: Sequence[Node], wrt: Sequence[int]
) -> Graph:
    """Return the graph that computes cotangents of inputs, zeros where there are none."""
    recorder = Recorder(list(nodes))
    recorder.adjoint = True
    found: list[Operand] = []
    with tracing(recorder), no_grad():
        for k, gradient in zip(wrt, joint.gradients, strict=True):
            spec = Spec(inputs[k].shape, inputs[k].dtype)
            found.append(Tensor.zeros_of(spec)._raw if gradient is None else gradient)
    made = tuple(recorder.builder.nodes)
    return simplify(Graph((*inputs, *joint.cotangents), made, tuple(found)))


def tangent_graph(graph: Graph, wrt: Sequence[int], outputs: Sequence[int]) -> Graph:
    """Return the graph from inputs and tangents to outputs and tangents of some of them.

    The tangent is what the adjoint of the adjoint gives: cotangents are carried back linearly,
    and the transpose of that carries tangents forward.

    Parameters
    ----------
    graph : Graph
        The function.
    wrt : sequence of int
        Numbers of the inputs that have tangents.
    outputs : sequence of int
        Numbers of the outputs whose tangents are asked for.
    """
    joint = _adjoint(graph, wrt, outputs)
    tangents = [Value(Spec(graph.inputs[k].shape, graph.inputs[k].dtype)) for k in wrt]
    gradients = values_of([g for g in joint.gradients if g is not None])
    # Where the cotangents are does not matter; at ones nothing is degenerate.
    ones = [
        Node(full_primitive, (), {"shape": v.shape, "value": 1, "dtype": v.dtype}, (v,))
        for v in joint.cotangents
    ]
    linear = Graph(graph.inputs, (*ones, *joint.nodes), tuple(gradients))
    twice = adjoint(linear, joint.cotangents, gradients)
    seeds = dict(zip(gradients, twice.cotangents, strict=True))
    recorder = Recorder()
    recorder.adjoint = True
    with tracing(recorder), no_grad():
        # Inputs that share a cotangent (both summands of a sum) share the sum of their tangents.
        for shared, seed in seeds.items():
            own = [t for t, g in zip(tangents, joint.gradients, strict=True) if g is shared]
            total = make_tensor(own[0])
            for other in own[1:]:
                total = add(total, make_tensor(other))
            recorder.builder.nodes.append(Node(clone_primitive, (total._raw,), {}, (seed,)))
        found: list[Operand] = []
        for k, gradient in zip(outputs, twice.gradients, strict=True):
            spec = graph.outputs[k].spec
            zeros = Tensor.zeros_of(Spec(spec.shape, spec.dtype))
            found.append(zeros._raw if gradient is None else gradient)
    nodes = (*recorder.builder.nodes, *twice.nodes)
    return simplify(Graph((*graph.inputs, *tangents), nodes, (*graph.outputs, *found)))


def _adjoint(graph: Graph, wrt: Sequence[int], outputs: Sequence[int]) -> Joint:
    chosen = [graph.outputs[k] for k in outputs]
    return adjoint(graph, [graph.inputs[k] for k in wrt], chosen)  # type: ignore[arg-type]
