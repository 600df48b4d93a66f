"""The programs that one call runs, forwards and back, each with what it runs on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitgrad.diagnostics.path import Path
from jitgrad.ir.graph import Value
from jitgrad.ir.printer import value_names
from jitgrad.ir.walk import active_values
from jitgrad.ops.generators import generator_state, set_generator_state
from jitgrad.runtime.dispatch import compile_segment
from jitgrad.runtime.graph_function import Derivative
from jitgrad.runtime.program import Program, layout_of
from jitgrad.tensor.tensor import Tensor

Raws = tuple[Any, ...]
Names = dict[Value, str]


@dataclass(frozen=True, slots=True)
class ProgramRun:
    """A program and one set of inputs for it.

    Parameters
    ----------
    program : Program
        Forward or adjoint.
    inputs : tuple of array or number
        What it takes.
    """

    program: Program
    inputs: Raws


def program_runs(path: Path) -> list[ProgramRun]:
    """Return what runs: forward through the segments, then back with cotangents of ones.

    The programs are run once, as the inputs of one come from others; nothing is changed by that.
    """
    state = generator_state()
    try:
        return list(_runs(path))
    finally:
        set_generator_state(state)


def _runs(path: Path) -> Iterator[ProgramRun]:
    values = {v: t._raw if isinstance(t, Tensor) else t for v, t in path.inputs.items()}
    active = active_values(path.nodes, path.tree.differentiable)
    backward: list[ProgramRun] = []
    for segment in path.segments:
        compiled = compile_segment(segment, path.title)
        if not compiled.outputs:
            continue
        raws = tuple([values[v] for v in compiled.inputs])
        layouts = tuple(map(layout_of, raws))
        wrt = tuple([k for k, v in enumerate(compiled.inputs) if v in active])
        derivative = compiled.function.derivative(wrt) if wrt else None
        if derivative is not None and derivative.outputs:
            forward = ProgramRun(derivative.forward_program(layouts), raws)
            results = forward.program.run(*raws)
            backward.insert(0, _backward_run(derivative, raws, results))
        else:
            forward = ProgramRun(compiled.function.forward_program(layouts), raws)
            results = forward.program.run(*raws)
        yield forward
        for value, raw in zip(compiled.outputs, results, strict=False):
            # What comes of Python numbers alone stays one.
            values[value] = np.asarray(raw).item() if value.spec.weak else raw
    yield from backward


def _backward_run(derivative: Derivative, raws: Raws, results: Raws) -> ProgramRun:
    count = len(derivative.graph.outputs)
    have: dict[Value, Any] = dict(zip(derivative.graph.inputs, raws, strict=True))
    saved = iter(results[count:])
    inputs = [have[v] if v in have else next(saved) for v in derivative.split.saved]
    inputs += [np.ones(spec.shape, spec.dtype) for spec in derivative.out_specs]
    program = derivative.backward_program(tuple(map(layout_of, inputs)))
    return ProgramRun(program, tuple(inputs))


def names_in(program: Program) -> Names:
    """Return the names that kernels give to values, and others of those they do not have."""
    names = value_names(program.graph)
    for text in program.texts:
        head, _, _ = text.source.partition(")")
        parameters = head.partition("(")[2].replace(" ", "").split(",")
        names.update(zip(text.arguments, parameters, strict=False))
    return names
