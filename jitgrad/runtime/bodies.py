"""Runs the bodies of loops and branches: compiled, one program for each body."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from jitgrad.control.bodies import (
    LoopEngine,
    Repeater,
    Runner,
    set_loop_engine,
    set_runners,
)
from jitgrad.core.errors import IndexingError
from jitgrad.core.extents import has_extents
from jitgrad.core.primitive import External
from jitgrad.ir.graph import Graph, GraphBuilder, Literal, Value
from jitgrad.ir.interpret import interpret
from jitgrad.ir.subgraph import SubGraph
from jitgrad.ops.creation import clone_primitive, full_primitive
from jitgrad.runtime.native import MISS
from jitgrad.runtime.program import USUAL_LAYOUT, Program, make_program
from jitgrad.runtime.repeat import repeater_of
from jitgrad.transforms.simplify import simplify
from jitgrad.transforms.spell_out import spell_out

Array = np.ndarray[Any, Any]

_interpreting: ContextVar[bool] = ContextVar("interpreting", default=False)


@contextmanager
def interpreted() -> Iterator[None]:
    """Run bodies on the reference interpreter, the oracle of the tests."""
    token = _interpreting.set(True)
    try:
        yield
    finally:
        _interpreting.reset(token)


def _runner(body: SubGraph) -> Runner:
    return _on_interpreter(body.graph) if _interpreting.get() else _compiled(body)


@functools.lru_cache(maxsize=1024)
def _compiled(body: SubGraph) -> Runner:
    """Return a function of arrays that runs the body's program."""
    graph = simplify(body.graph, differentiated=False)
    if _is_sized_late(graph):
        return _on_interpreter(graph)
    computed, place = _computed(graph)
    inner = Graph(graph.inputs, graph.nodes, computed)
    program = _program(inner, body.name)
    run = _on_interpreter(inner) if program.fallback else program.run
    native = None if program.fallback else program.make_native()
    quick = run if native is None else _native_or(native, run)
    if spell_out(inner) is not inner:
        quick = _or_interpreted(quick, inner)
    if place == list(range(len(computed))):
        return quick
    return _handing_on(quick, place)


def _or_interpreted(run: Runner, graph: Graph) -> Runner:
    """Return what says what is wrong where a kernel only finds an index that is out of range."""
    plainly = _on_interpreter(graph)

    def quick(*arrays: Any) -> tuple[Array, ...]:
        try:
            return run(*arrays)
        except IndexingError:
            return plainly(*arrays)

    return quick


def _is_sized_late(graph: Graph) -> bool:
    """Return whether sizes are known only when the graph runs: no kernels are made of it."""
    values = [*graph.inputs, *(v for node in graph.nodes for v in node.outputs)]
    return any(has_extents(value.shape) for value in values)


def _program(graph: Graph, name: str) -> Program:
    layouts = [-1 if v.spec.weak else USUAL_LAYOUT for v in graph.inputs]
    return make_program(graph, layouts, name or "body")


def _repeater(body: SubGraph) -> Repeater | None:
    return None if _interpreting.get() else _repeated(body)


@functools.lru_cache(maxsize=1024)
def _repeated(body: SubGraph) -> Repeater | None:
    """Return what repeats the body's program, which writes all outputs to memory."""
    graph = simplify(body.graph, differentiated=False)
    if _is_sized_late(graph):
        return None
    if any(isinstance(node.primitive.lowering, External) for node in graph.nodes):
        return None
    return repeater_of(_program(_with_copies(graph), body.name))


def _with_copies(graph: Graph) -> Graph:
    """Return `graph` with copies in place of outputs that are inputs, numbers, or there twice."""
    builder = GraphBuilder(list(graph.nodes))
    outputs: list[Value] = []
    for output in graph.outputs:
        if isinstance(output, Literal):
            spec = output.spec
            params = {"shape": (), "value": output.number, "dtype": spec.dtype}
            outputs += builder.emit(full_primitive, (), params)
        elif output in graph.inputs or output in outputs:
            outputs += builder.emit(clone_primitive, (output,), {})
        else:
            outputs.append(output)
    return Graph(graph.inputs, tuple(builder.nodes), tuple(outputs))


def _computed(graph: Graph) -> tuple[tuple[Value, ...], list[int | Any]]:
    """Return the outputs that are computed, and where each output is found.

    An input or number that is handed on need not be copied: nobody changes arrays in a loop.

    Returns
    -------
    tuple of Value
        What the program returns.
    list
        For each output its number there; for an input -1 less its number; for a number an array.
    """
    numbers = {v: k for k, v in enumerate(graph.inputs)}
    computed: dict[Value, int] = {}
    place: list[Any] = []
    for output in graph.outputs:
        if isinstance(output, Literal):
            place.append(np.asarray(output.number, output.spec.dtype))
        elif output in numbers:
            place.append(-1 - numbers[output])
        else:
            place.append(computed.setdefault(output, len(computed)))
    return tuple(computed), place


def _native_or(native: Callable[..., Any], run: Runner) -> Runner:
    def quick(*arrays: Any) -> tuple[Array, ...]:
        found = native(*arrays)
        return run(*arrays) if found is MISS else found

    return quick


def _handing_on(run: Runner, place: list[Any]) -> Runner:
    def handing_on(*arrays: Any) -> tuple[Array, ...]:
        found = run(*arrays)
        return tuple(
            [p if type(p) is not int else found[p] if p >= 0 else arrays[-1 - p] for p in place]
        )

    return handing_on


def _on_interpreter(graph: Graph) -> Runner:
    """Return a function that interprets `graph`, with results in memory of their own."""
    return lambda *arrays: tuple([np.array(x, order="C") for x in interpret(graph, arrays)])


def _engine() -> LoopEngine | None:
    if _interpreting.get():
        return None
    # What writes loop programs is imported when there is a loop.
    from jitgrad.runtime.loop_programs import engine

    return engine


set_runners(_runner, _repeater)
set_loop_engine(_engine)
