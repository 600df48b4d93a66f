"""The stages of code generation in order: graph in, program text out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jitgrad.codegen.defer import defer
from jitgrad.codegen.emit import KernelEmitter
from jitgrad.codegen.emit_parallel import ParallelEmitter
from jitgrad.codegen.loop_order import stacks_first
from jitgrad.codegen.lower import lower
from jitgrad.codegen.lowered import Lowered
from jitgrad.codegen.nests import ExternalCall, Statement
from jitgrad.codegen.parallel import plan_threads
from jitgrad.codegen.peel import peel_sums
from jitgrad.codegen.recompute import recompute_out_of_step
from jitgrad.codegen.schedule import Schedule, schedule
from jitgrad.codegen.storage import KernelPart, Storage, plan
from jitgrad.codegen.text import KernelText, name_values
from jitgrad.codegen.tiling import run_in_strips
from jitgrad.intrinsics.catalogue import all_intrinsics
from jitgrad.ir.graph import Graph, Node, Value

_RESERVED_WORDS = (
    "sizes",
    "numbers",
    "failures",
    "arena",
    "kernel",
    "range",
    "block",
    "inf",
    "nan",
    "gemm",
    "team",
    "rank",
)


@dataclass(frozen=True, slots=True, eq=False)
class ProgramText:
    """The generated text of a program.

    Parameters
    ----------
    graph : Graph
        What it computes.
    parts : list of KernelText or ExternalCall
        What runs, in order.
    storage : Storage
        Which values need arrays of their own, and which are renamed.
    """

    graph: Graph
    parts: list[KernelText | ExternalCall]
    storage: Storage


def generate(
    graph: Graph, contiguous: Callable[[Value], bool], given: Sequence[Value] = ()
) -> ProgramText:
    """Return the generated text of `graph`; see `lower` for `contiguous`, `plan` for `given`."""
    lowered = defer(recompute_out_of_step(peel_sums(lower(graph, contiguous))))
    lowered = stacks_first(lowered)
    tree = run_in_strips(schedule(lowered))
    storage = plan(lowered, tree, given)
    intrinsics = {record.name for record in all_intrinsics()}
    extra: dict[Value, Node | None] = dict.fromkeys(storage.buffers)
    extra.update((s.out, s.node) for s in lowered.steps if isinstance(s, Statement))
    names = name_values(graph, extra, intrinsics.union(_RESERVED_WORDS))
    parts: list[KernelText | ExternalCall] = [
        part if isinstance(part, ExternalCall) else _emit(part, lowered, tree, storage, names)
        for part in storage.parts
    ]
    return ProgramText(graph, parts, storage)


def _emit(
    part: KernelPart,
    lowered: Lowered,
    tree: Schedule,
    storage: Storage,
    names: dict[Value, str],
) -> KernelText:
    plan_of_threads = plan_threads(part, lowered, tree, storage)
    if plan_of_threads is None:
        return KernelEmitter(part, lowered, tree, storage, names).run()
    return ParallelEmitter(part, lowered, tree, storage, names).run_with(plan_of_threads)


def module_source(function: str, title: str) -> str:
    """Return the text of a module that holds one kernel: title, imports, function."""
    code = re.sub(r"#.*", "", function)
    words = set(re.findall(r"[A-Za-z_]\w*", code))
    origins: dict[str, list[str]] = {}
    for record in all_intrinsics():
        if record.name in words:
            origins.setdefault(record.twin.__module__, []).append(record.name)
    for module, names in _NOT_IN_CATALOGUE.items():
        found = [name for name in names if name in words]
        if found:
            origins.setdefault(module, []).extend(found)
    imports = [
        f"from {module} import {', '.join(sorted(set(names)))}"
        for module, names in sorted(origins.items())
    ]
    return "\n".join([f"# {title}", *imports, "", "", function])


_NOT_IN_CATALOGUE = {
    "math": ("inf", "nan"),
    "jitgrad.intrinsics.loops": ("independent",),
    "jitgrad.intrinsics.arithmetic": ("f32", "f64", "i32", "i64", "b1"),
}
