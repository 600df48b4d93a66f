"""Reverse mode: the graph of a function becomes the graph of its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jitgrad.core.bind import tracing
from jitgrad.core.spec import Spec
from jitgrad.ir.graph import Graph, Literal, Node, Operand, Value
from jitgrad.ir.walk import active_values
from jitgrad.ops.arithmetic import add
from jitgrad.ops.derivatives import input_cotangents
from jitgrad.tensor.modes import no_grad
from jitgrad.tensor.tensor import Tensor, make_tensor
from jitgrad.trace.recorder import Recorder


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """A function and its adjoint in one graph.

    Parameters
    ----------
    primal : Graph
        The function.
    nodes : tuple of Node
        Those of the function, then those of the adjoint.
    cotangents : tuple of Value
        The adjoint's own inputs: a cotangent for each differentiated output.
    gradients : tuple of Value or None
        The cotangent of each input asked for; None where no output depends on it.
    """

    primal: Graph
    nodes: tuple[Node, ...]
    cotangents: tuple[Value, ...]
    gradients: tuple[Value | None, ...]


def adjoint(graph: Graph, wrt: Sequence[Value], outputs: Sequence[Value]) -> Joint:
    """Append to `graph` the nodes that carry cotangents of `outputs` back to `wrt`.

    Each node is visited once, last first; its rules are run on graph values and so become nodes.

    Parameters
    ----------
    graph : Graph
        The function.
    wrt : sequence of Value
        Inputs whose gradients are asked for.
    outputs : sequence of Value
        Outputs that have cotangents.

    Examples
    --------
    Before::

        f(x): h = tanh x; y = sum h axes=(0,); return y

    After::

        h = tanh x; y = sum h axes=(0,)
        dh = broadcast_to dy shape=(3,)
        a = mul h h; b = sub 1.0 a; dx = mul dh b
    """
    recorder = Recorder(list(graph.nodes))
    recorder.adjoint = True
    active = active_values(graph.nodes, wrt)
    seeds = [Value(Spec(v.shape, v.dtype), f"d{v.name}" if v.name else "ct") for v in outputs]
    arrived: dict[Value, Tensor] = {}
    with tracing(recorder), no_grad():
        for value, seed in zip(outputs, seeds, strict=True):
            _accumulate(arrived, value, make_tensor(seed))
        for node in reversed(graph.nodes):
            if any(v in arrived for v in node.outputs):
                recorder.location = node.location
                _carry_back(node, active, arrived)
    gradients = [arrived[v]._raw if v in arrived else None for v in wrt]
    return Joint(graph, tuple(recorder.builder.nodes), tuple(seeds), tuple(gradients))


def _accumulate(arrived: dict[Value, Tensor], value: Value, ct: Tensor) -> None:
    held = arrived.get(value)
    arrived[value] = ct if held is None else add(held, ct)


def _carry_back(node: Node, active: set[Value], arrived: dict[Value, Tensor]) -> None:
    """Turn the cotangents of a node's outputs into cotangents of its inputs."""
    cts = []
    for value in node.outputs:
        ct = arrived.pop(value, None) if value not in active else arrived.get(value)
        if ct is not None and value.name and not ct._raw.name:
            ct._raw.name = f"d{value.name}"
        cts.append(Tensor.zeros_of(value.spec) if ct is None else ct)
    ct_all: Any = tuple(cts) if len(cts) > 1 else cts[0]

    def saved(name: str) -> Any:
        if name == "out":
            outputs = tuple(map(make_tensor, node.outputs))
            return outputs if len(outputs) > 1 else outputs[0]
        if name == "record":
            return make_tensor(node.outputs[-1])
        if node.primitive.variadic:
            return tuple(map(_tensor_of, node.inputs))
        return _tensor_of(node.inputs[node.primitive.inputs.index(name)])

    wanted = [
        index
        for index, operand in enumerate(node.inputs)
        if operand in active and node.primitive.rule_for(index) is not None
    ]
    params = dict(node.params)
    found = input_cotangents(node.primitive, wanted, ct_all, node.specs, params, saved)
    for index, ct in zip(wanted, found, strict=True):
        if ct is not None:
            _accumulate(arrived, node.inputs[index], ct)  # type: ignore[arg-type]


def _tensor_of(operand: Operand) -> Any:
    return operand.number if isinstance(operand, Literal) else make_tensor(operand)
