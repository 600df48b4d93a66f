"""The ways in which a program can be run: each gives the same `Outcome`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import jitgrad
from jitgrad.core.dtypes import is_floating
from jitgrad.ir.graph import Graph, Value
from jitgrad.ir.interpret import interpret
from jitgrad.ir.verify import verify
from jitgrad.ir.walk import active_values
from jitgrad.trace.capture import Source, capture
from jitgrad.transforms.adjoint import adjoint
from jitgrad.transforms.residuals import split
from jitgrad.transforms.simplify import simplify
from tests.properties.programs import Program
from tests.properties.vocabulary import Array


@dataclass
class Outcome:
    """What a run gives: outputs, the arguments afterwards, and gradients.

    Gradients are those of the sum of outputs times fixed random numbers; None where they can't be
    had, and None for an argument that no output depends on.
    """

    outputs: list[Array]
    arguments: list[Array]
    gradients: list[Array | None] | None


def tensors_of(program: Program, arguments: Sequence[Any]) -> list[Any]:
    """Return the arguments as Tensors (Python numbers stay), those to differentiate marked."""
    tensors: list[Any] = []
    for number, argument in enumerate(arguments):
        if isinstance(argument, float):
            tensors.append(argument)
            continue
        tensor = jitgrad.from_numpy(argument.copy())
        tensors.append(tensor.requires_grad_(number in program.differentiated))
    return tensors


def cotangent(number: int, shape: tuple[int, ...], dtype: Any) -> Array:
    """Return the fixed random numbers that output number `number` is multiplied by."""
    return np.asarray(np.random.default_rng(number).uniform(-1, 1, shape).astype(dtype))


def run(function: Callable[..., Any], program: Program, arguments: Sequence[Any]) -> Outcome:
    """Run `function`, plain or compiled, on Tensors, and differentiate its outputs."""
    tensors = tensors_of(program, arguments)
    outputs = function(*tensors)
    arrays = [out.detach().numpy().copy() for out in outputs]
    after = [np.array(t.detach().numpy()) for t in tensors if not isinstance(t, float)]
    wanted = [tensors[k] for k in program.differentiated]
    numbered = [(k, out) for k, out in enumerate(outputs) if out.requires_grad]
    if not wanted or not numbered:
        return Outcome(arrays, after, [None] * len(wanted))
    cts = [cotangent(k, tuple(out.shape), out.dtype) for k, out in numbered]
    try:
        found = jitgrad.autograd.grad(
            [out for _, out in numbered],
            wanted,
            [jitgrad.from_numpy(ct) for ct in cts],
            allow_unused=True,
        )
    except jitgrad.GradientError:
        # Something that the derivative needs was changed in place; that is the user's to mend.
        return Outcome(arrays, after, None)
    return Outcome(arrays, after, [None if g is None else g.numpy() for g in found])


def captured_graph(program: Program) -> tuple[Graph, list[Any], int]:
    """Return the graph of a program, what it is to be run on, and how many outputs it has.

    After these its outputs are the arguments, as they are when the program ends.
    """
    given = tensors_of(program, program.arguments)

    def make_arguments(trace: Any) -> tuple[list[Any], dict[str, Any]]:
        return [
            (trace.add_number if isinstance(argument, float) else trace.add_input)(
                argument, Source("argument", number), name
            )
            for number, (argument, name) in enumerate(zip(given, program.parameters, strict=True))
        ], {}

    captured = capture(program.function(), make_arguments, {})
    by_source = {source: value for value, source in captured.inputs.items()}
    final = {**by_source, **dict(captured.writes)}
    outputs = [
        leaf.content if isinstance(leaf.content, Value) else final[leaf.content]
        for leaf in captured.leaves
    ]
    sources = [Source("argument", k) for k in range(len(given))]
    afterwards = [final[s] for s in sources if not isinstance(given[s.number], float)]
    constants = [source for source in by_source if source.kind == "constant"]
    graph = verify(
        Graph(
            tuple([by_source[source] for source in (*sources, *constants)]),
            tuple(captured.nodes),
            (*outputs, *afterwards),
        )
    )
    arguments = [a if isinstance(a, float) else a.copy() for a in program.arguments]
    arguments += [captured.constants[source.number] for source in constants]
    return graph, arguments, len(outputs)


def interpreted(program: Program) -> Outcome:
    """Run the captured graph and its adjoint on the interpreter, each pass verified."""
    graph, arguments, count = captured_graph(program)
    results = list(map(np.asarray, interpret(graph, arguments)))
    tidy = interpret(verify(simplify(graph)), arguments)
    for plain, simplified in zip(results, tidy, strict=True):
        np.testing.assert_allclose(simplified, plain, rtol=1e-6, atol=1e-6)
    gradients = _interpreted_gradients(program, graph, arguments, count)
    return Outcome(results[:count], results[count:], gradients)


def differentiated_outputs(graph: Graph, wrt: list[Value], count: int) -> list[tuple[int, Value]]:
    """Return those of the first `count` outputs that have a cotangent, with their numbers."""
    active = active_values(graph.nodes, wrt)
    return [
        (k, v)
        for k, v in enumerate(graph.outputs[:count])
        if isinstance(v, Value) and v in active and is_floating(v.dtype)
    ]


def _interpreted_gradients(
    program: Program, graph: Graph, arguments: list[Any], count: int
) -> list[Array | None]:
    """Return the gradients that the two halves of the joint graph compute."""
    wrt = [graph.inputs[k] for k in program.differentiated]
    graph = simplify(graph)
    numbered = differentiated_outputs(graph, wrt, count)
    if not numbered:
        return [None] * len(wrt)
    joint = adjoint(graph, wrt, [v for _, v in numbered])
    verify(Graph((*graph.inputs, *joint.cotangents), joint.nodes, ()))
    both = split(joint)
    kept = interpret(verify(both.forward), arguments)[len(graph.outputs) :]
    known = dict(zip(graph.inputs, arguments, strict=True))
    known.update(zip(both.kept, kept, strict=True))
    backward = verify(simplify(verify(both.backward), differentiated=False))
    cts = [cotangent(k, v.shape, v.dtype) for k, v in numbered]
    found = iter(interpret(backward, [*(known[v] for v in both.saved), *cts]))
    return [None if g is None else np.asarray(next(found)) for g in joint.gradients]
