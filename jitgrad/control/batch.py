"""Graphs that do for many examples at once what a graph does for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitgrad.control.loop import bind_loop
from jitgrad.control.loop_examples import repeated
from jitgrad.control.loop_form import Loop
from jitgrad.control.operands import asked_for
from jitgrad.core.bind import bind, box, tracing
from jitgrad.core.dtypes import int64, is_floating
from jitgrad.core.errors import TraceError
from jitgrad.core.primitive import Examples, Shared
from jitgrad.core.spec import Spec
from jitgrad.ir.graph import Graph, Literal, Node, Operand, Value
from jitgrad.ir.subgraph import SubGraph
from jitgrad.ops.cast import convert
from jitgrad.tensor.modes import no_grad
from jitgrad.tensor.tensor import make_tensor
from jitgrad.trace.recorder import Recorder
from jitgrad.transforms.simplify import simplify


def batch(
    graph: Graph, batched: Sequence[bool], count: int, wanted: Sequence[bool] = ()
) -> tuple[Graph, tuple[bool, ...]]:
    """Return the graph of many examples, and which of its outputs have an axis of examples.

    Before, of ``x: f64[3]`` with an example each, and ``w: f64[3]`` that is the same for all::

        p = mul x w; s = sum p axes=(0,)

    After, for 10 examples, with ``x: f64[10, 3]``::

        p = mul x w; s = sum p axes=(1,)

    Parameters
    ----------
    graph : Graph
        What is done for one example.
    batched : sequence of bool
        Which inputs are different for each example; their first axis is that of the examples.
    count : int
        How many examples there are.
    wanted : sequence of bool
        Which outputs are to have the axis even where they are the same for all.
    """
    recorder = Recorder()
    pairs = zip(graph.inputs, batched, strict=True)
    inputs = tuple([_with_axis(v, count) if flag else v for v, flag in pairs])
    with tracing(recorder), no_grad():
        found = run_batched(graph, [make_tensor(v) for v in inputs], batched, count, recorder)
        specs = [operand.spec for operand in graph.outputs]
        if wanted:
            found = [
                (repeated(x, spec, count), True) if forced and not flag else (x, flag)
                for (x, flag), spec, forced in zip(found, specs, wanted, strict=True)
            ]
        outputs = tuple([box(x)._raw for x, _ in found])
    made = Graph(inputs, tuple(recorder.builder.nodes), outputs)
    return simplify(made, False), tuple([flag for _, flag in found])


def _with_axis(value: Value, count: int) -> Value:
    return Value(Spec((count, *value.spec.shape), value.spec.dtype), value.name)


def run_batched(
    graph: Graph,
    arguments: Sequence[Any],
    batched: Sequence[bool],
    count: int,
    recorder: Recorder | None = None,
) -> list[tuple[Any, bool]]:
    """Run a graph for many examples; return its outputs, and which have an axis of examples.

    Parameters
    ----------
    graph : Graph
        What is done for one example.
    arguments : sequence of Tensor
        Its inputs, with an axis of examples in front where they are `batched`.
    batched : sequence of bool
        Which are different for each example.
    count : int
        How many examples there are.
    recorder : Recorder, optional
        The trace that runs, if the nodes are to have the lines of those they are made of.
    """
    if any(batched) and any(node.sizes() for node in graph.nodes):
        # Parts of different sizes do not make one array; each is gone before the next one comes.
        found = one_by_one(graph, arguments, batched, count)
        return [(x, True) for x in found]
    environment = dict(zip(graph.inputs, zip(arguments, batched, strict=True), strict=True))

    def read(operand: Operand) -> tuple[Any, bool]:
        if isinstance(operand, Literal):
            return operand.number, False
        return environment[operand]

    for node in graph.nodes:
        if recorder is not None:
            recorder.location, recorder.adjoint = node.location, node.adjoint
        outputs = _run_node(node, [read(operand) for operand in node.inputs], count)
        environment.update(zip(node.outputs, outputs, strict=True))
    return [read(operand) for operand in graph.outputs]


def _run_node(node: Node, given: Sequence[tuple[Any, bool]], count: int) -> list[tuple[Any, bool]]:
    if node.sizes():
        raise TraceError(
            "vmap: the size of a part depends on values",
            why="examples of different sizes do not make one array",
            where=node.location,
        )
    inputs = [x for x, _ in given]
    flags = tuple([flag for _, flag in given])
    if not any(flags):
        made = bind(node.primitive, tuple(inputs), dict(node.params))
        return [(x, False) for x in (made if isinstance(made, tuple) else (made,))]
    specs = tuple([v.spec for v in node.outputs])
    if specs[0].weak and is_floating(specs[0].dtype):
        # Python computes with integers and floats in float64, arrays of the former would not.
        inputs = [
            convert(x, specs[0].dtype) if flag and spec.dtype.kind == "i" else x
            for (x, flag), spec in zip(given, node.specs, strict=True)
        ]
    rule = node.primitive.batching
    made = None
    if rule is not None:
        examples = Examples(
            node.primitive,
            count,
            flags,
            node.specs,
            specs,
            lambda graph, batched, wanted=(): batch(graph, batched, count, wanted),
            lambda graph, inputs, batched: one_by_one(graph, inputs, batched, count),
        )
        made = rule(examples, *inputs, **node.params)
    if made is None:
        made = one_by_one(_graph_of(node), inputs, flags, count)
    outputs = made if isinstance(made, tuple | list) else (made,)
    return [_output(x, spec) for x, spec in zip(outputs, specs, strict=True)]


def _output(x: Any, spec: Spec) -> tuple[Any, bool]:
    if isinstance(x, Shared):
        return x.value, False
    # With one more axis a number may have taken part in promotion.
    return convert(x, spec.dtype), True


def _graph_of(node: Node) -> Graph:
    """Return the graph of nothing but a node, whose inputs are all of its operands."""
    inputs = tuple([Value(Spec(o.spec.shape, o.spec.dtype, o.spec.weak)) for o in node.inputs])
    outputs = tuple([Value(v.spec) for v in node.outputs])
    copied = Node(node.primitive, inputs, node.params, outputs, node.location, node.adjoint)
    return Graph(inputs, (copied,), outputs)


def one_by_one(
    graph: Graph, inputs: Sequence[Any], batched: Sequence[bool], count: int
) -> list[Any]:
    """Return the outputs of a graph that runs for one example after the other.

    Parameters
    ----------
    graph : Graph
        What is done for one example.
    inputs : sequence of Tensor or number
        Of the graph, with an axis of examples in front where they are `batched`.
    batched : sequence of bool
        Which are different for each example.
    count : int
        How many examples there are.
    """
    own = [k for k, flag in enumerate(batched) if flag]
    same = [k for k, flag in enumerate(batched) if not flag]
    values = (Value(Spec((), int64)), *(graph.inputs[k] for k in (*own, *same)))
    body = SubGraph(Graph(values, graph.nodes, graph.outputs), "one example")
    loop = Loop(body, None, 0, len(own), count, False)
    operands = [0, count, *(inputs[k] for k in own), *(box(inputs[k]) for k in same)]
    results, _ = bind_loop(loop, operands, asked_for(operands))
    return results
