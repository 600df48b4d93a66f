"""Runs generated source as the plain Python that it is, without compiling it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from jitgrad.codegen.generate import ProgramText, generate, module_source
from jitgrad.codegen.nests import ExternalCall
from jitgrad.ir.graph import Graph
from jitgrad.runtime import program as programs
from jitgrad.runtime.program import USUAL_LAYOUT, Program, make_program


def plain_kernel(source: str, entry: str, types: Sequence[Any]) -> Any:
    """Return what stands for a kernel: the function of `source`, run by Python."""
    namespace: dict[str, Any] = {}
    exec(compile(source, "<generated>", "exec"), namespace)
    function = namespace[entry]

    def quiet(*arguments: Any) -> None:
        with np.errstate(all="ignore"):
            function(*arguments)

    return SimpleNamespace(
        unchecked=quiet, source=source, origin="python", seconds=0.0, path="", address=0, passed=()
    )


@contextlib.contextmanager
def plain_kernels() -> Iterator[None]:
    """Make every program that is built meanwhile run its kernels as Python."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "build_kernel", plain_kernel)
        yield


def plain_program(graph: Graph) -> Program:
    """Return the program of `graph`, its kernels run by Python."""
    with plain_kernels():
        program = make_program(graph, [USUAL_LAYOUT] * len(graph.inputs), "plain")
    assert not program.fallback
    return program


def text_of(graph: Graph) -> ProgramText:
    """Return the generated text of `graph` for inputs that are contiguous."""
    return generate(graph, lambda value: True)


def source_of(graph: Graph) -> str:
    """Return the modules of the kernels of `graph`, one after the other."""
    return "\n\n".join(
        module_source(part.source, "golden")
        for part in text_of(graph).parts
        if not isinstance(part, ExternalCall)
    )
