"""Runs the bodies of loops and branches: compiled, one program for each body."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from jitgrad.control.bodies import Runner, set_runner
from jitgrad.ir.graph import Graph, Literal, Value
from jitgrad.ir.interpret import interpret
from jitgrad.ir.subgraph import SubGraph
from jitgrad.runtime.native import MISS
from jitgrad.runtime.program import USUAL_LAYOUT, make_program
from jitgrad.transforms.simplify import simplify

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
    computed, place = _computed(graph)
    inner = Graph(graph.inputs, graph.nodes, computed)
    layouts = [-1 if v.spec.weak else USUAL_LAYOUT for v in graph.inputs]
    program = make_program(inner, layouts, body.name or "body")
    run = _on_interpreter(inner) if program.fallback else program.run
    native = None if program.fallback else program.make_native()
    quick = run if native is None else _native_or(native, run)
    if place == list(range(len(computed))):
        return quick
    return _handing_on(quick, place)


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


set_runner(_runner)
