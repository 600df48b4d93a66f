"""The generated source of a function, with what each part takes and makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jitgrad.codegen.generate import generate, module_source
from jitgrad.codegen.nests import ExternalCall
from jitgrad.codegen.text import KernelText
from jitgrad.diagnostics.path import trace_path
from jitgrad.diagnostics.programs import Names, names_in, program_runs
from jitgrad.ir.graph import Literal, Operand
from jitgrad.ir.printer import format_graph
from jitgrad.runtime.program import Program


def annotated_source(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """Return all that runs for a call as one text: kernels and the calls between them.

    Each program (forward, then adjoint where something requires a gradient) begins with what it
    takes and returns; each kernel with the shapes of what it reads and writes. Operations that
    NumPy carries out between kernels stand where they run, as comments. The call is traced anew,
    so a compiled function's own record stays as it is.

    Parameters
    ----------
    function : callable
        Compiled, or plain to see how it would be compiled.
    *args, **kwargs
        Arguments as for a call.

    Returns
    -------
    str
        Python text with comments.

    Raises
    ------
    ArgumentError
        If the function can't be captured.
    """
    runs = program_runs(trace_path(function, args, kwargs))
    return "\n\n\n".join(part for run in runs for part in _parts(run.program))


def _parts(program: Program) -> Iterator[str]:
    graph = program.graph
    names = names_in(program)
    yield "\n".join(
        [
            f"# ==== {program.title}",
            f"# takes    {_listed(graph.inputs, names)}",
            f"# returns  {_listed(graph.outputs, names)}",
        ]
    )
    if program.fallback:
        text = format_graph(graph, program.title.partition(" ")[0])
        lines = [f"runs on the interpreter: {program.fallback}", *text.splitlines()]
        yield "\n".join(f"# {line}" for line in lines)
        return
    texts = iter(program.texts)
    if not program.external:
        yield from (_kernel(text, names) for text in texts)
        return
    for part in generate(graph, lambda value: True).parts:
        yield _call(part, names) if isinstance(part, ExternalCall) else _kernel(next(texts), names)


def _call(call: ExternalCall, names: Names) -> str:
    node = call.node
    what = f"{node.primitive.name} of {_listed(call.operands, names)}"
    lines = [f"# -- call: {_listed(node.outputs, names)} = {what}"]
    if node.location is not None:
        lines.append(f"# {'adjoint of ' if node.adjoint else ''}{node.location.describe()}")
    return "\n".join(lines)


def _kernel(text: KernelText, names: Names) -> str:
    reads = [v for v in text.arguments if v not in text.written]
    writes = [v for v in text.arguments if v in text.written]
    title = f"-- kernel: makes {_listed(writes, names)}\n#    of {_listed(reads, names)}"
    return module_source(text.source, title).rstrip()


def _listed(operands: Iterable[Operand], names: Names) -> str:
    listed = [
        operand.sign if isinstance(operand, Literal) else f"{names[operand]}: {operand.spec}"
        for operand in operands
    ]
    return ", ".join(listed) or "nothing"
