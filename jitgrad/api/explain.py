"""What became of a compiled function, for people who ask why it retraced or what was fused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jitgrad.control.limited import in_blocks
from jitgrad.control.loop_form import Loop
from jitgrad.ir.graph import Node
from jitgrad.runtime.dispatch import compile_segment
from jitgrad.runtime.program import Program
from jitgrad.runtime.variant import Variant


@dataclass(frozen=True, slots=True)
class KernelReport:
    """One generated function.

    Parameters
    ----------
    name : str
        The user's function and which part of it.
    statements : int
        How many of the graph's operations are loop statements in it.
    nests : int
        How many outermost loops they share.
    origin : str
        ``"compiled"`` or ``"disk"``.
    seconds : float
        Time to build it.
    path : str
        File with its source.
    """

    name: str
    statements: int
    nests: int
    origin: str
    seconds: float
    path: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Report of a compiled function; print it.

    Parameters
    ----------
    title : str
        The function and where it stands.
    eager_reason : str
        Why it is left to plain Python; ``""`` where it is compiled.
    variants : int
        How many kinds of arguments and outside state were traced.
    paths : int
        How many paths through the function are known, all kinds together.
    segments : int
        In how many pieces these are cut by values that it asks for.
    retraces : tuple of str
        Why each trace after the first happened.
    constructs : tuple of str
        What became of each loop in the source, and why where it was unrolled.
    guards : tuple of str
        What is checked at each call.
    kernels : tuple of KernelReport
        The generated functions.
    external : tuple of str
        What is carried out between kernels: operations by NumPy, and large loops, which are kernels
        of their own, or run iteration by iteration for the reason that is given.
    fallbacks : tuple of str
        Programs that run on the interpreter, and why.
    pending : tuple of str
        Programs that run on the interpreter while their kernels are built.
    kept_bytes : int
        Memory kept between forward and backward, beyond inputs and outputs.
    build_seconds : float
        Time spent on generating and building.
    disk_hits, compiles : int
        Kernels that came from the disk cache, and that were compiled.
    """

    title: str
    eager_reason: str
    variants: int
    paths: int
    segments: int
    retraces: tuple[str, ...]
    constructs: tuple[str, ...]
    guards: tuple[str, ...]
    kernels: tuple[KernelReport, ...]
    external: tuple[str, ...]
    fallbacks: tuple[str, ...]
    pending: tuple[str, ...]
    kept_bytes: int
    build_seconds: float
    disk_hits: int
    compiles: int

    def __str__(self) -> str:
        if self.eager_reason:
            return f"{self.title}: runs without being compiled: {self.eager_reason}"
        lines = [
            self.title,
            f"  traced: {self.variants} kinds of calls, {self.paths} paths,"
            f" {self.segments} segments",
            f"  built:  {len(self.kernels)} kernels in {self.build_seconds:.3f} s"
            f" ({self.compiles} compiled, {self.disk_hits} from disk)",
            f"  kept for backward: {self.kept_bytes} bytes",
        ]
        lines += [f"  retrace: {reason}" for reason in self.retraces]
        lines += [f"  source: {construct}" for construct in self.constructs]
        lines += [f"  guard:  {guard}" for guard in self.guards]
        lines += [
            f"  kernel: {k.name}: {k.statements} statements in {k.nests} loop nests"
            f" ({k.origin}, {k.seconds:.3f} s) {k.path}"
            for k in self.kernels
        ]
        lines += [f"  external call: {name}" for name in self.external]
        lines += [f"  interpreted: {reason}" for reason in self.fallbacks]
        lines += [f"  interpreted while kernels are built: {title}" for title in self.pending]
        return "\n".join(lines)


def explain(
    title: str, eager_reason: str, log: Sequence[str], variants: Sequence[Variant]
) -> Explanation:
    """Return the report of a function with these variants; see `Explanation`."""
    segments = [s for variant in variants for s in variant.tree.in_order()]
    functions = [compile_segment(segment, title).function for segment in segments]
    programs = [program for function in functions for program in function.all_programs()]
    kernels = tuple([report for program in programs for report in _kernel_reports(program)])
    return Explanation(
        title=title,
        eager_reason=eager_reason,
        variants=len(variants),
        paths=sum(variant.tree.paths for variant in variants),
        segments=len(segments),
        retraces=tuple(log),
        constructs=tuple(
            dict.fromkeys(
                f"{place}: {what}"
                for variant in variants
                for place, what in variant.tree.constructs.items()
            )
        ),
        guards=tuple([g for variant in variants for g in variant.environment.describe()]),
        kernels=kernels,
        external=tuple([_described(node) for program in programs for node in program.external]),
        fallbacks=tuple([f"{p.title}: {p.fallback}" for p in programs if p.fallback]),
        pending=tuple([program.title for program in programs if program.pending]),
        kept_bytes=sum(function.kept_bytes() for function in functions),
        build_seconds=sum(program.seconds for program in programs),
        disk_hits=sum(k.origin == "disk" for k in kernels),
        compiles=sum(k.origin == "compiled" for k in kernels),
    )


def _described(node: Node) -> str:
    """Return what is carried out between kernels; of a loop also how."""
    name = node.primitive.name
    if name not in ("loop", "loop_backward"):
        return name
    where = "" if node.location is None else f" of {node.location}"
    # What writes loop programs is imported when there is a loop.
    from jitgrad.runtime.loop_programs import engine

    loop = Loop.of(node.params)
    how = engine.describe(replace(loop, memory=0))
    return f"{name}{where}: {how}{in_blocks(loop)}"


def _kernel_reports(program: Program) -> list[KernelReport]:
    return [
        KernelReport(
            program.title,
            text.statements,
            text.nests,
            kernel.origin,
            kernel.seconds,
            str(kernel.path),
        )
        for kernel, text in zip(program.kernels, program.texts, strict=True)
    ]
