"""Where the time of a compiled function goes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from jitgrad.core.errors import ArgumentError
from jitgrad.diagnostics.path import trace_path
from jitgrad.diagnostics.programs import ProgramRun, names_in, program_runs
from jitgrad.ir.interpret import evaluate_primitive
from jitgrad.ops.generators import generator_state, set_generator_state
from jitgrad.runtime.program import Program


@dataclass(frozen=True, slots=True)
class PartTime:
    """How long one part of a program takes.

    Parameters
    ----------
    name : str
        Such as ``"kernel 1"`` or ``"call of cholesky"``; ``"between"`` for what is outside of
        these: allocations and Python.
    does : str
        What a kernel writes.
    seconds : float
        Median over the runs.
    """

    name: str
    does: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ProgramTime:
    """How long one program takes.

    Parameters
    ----------
    title : str
        The user's function and which side of it.
    seconds : float
        Median over the runs.
    parts : tuple of PartTime
        Its kernels and external calls in order, then what is between them.
    """

    title: str
    seconds: float
    parts: tuple[PartTime, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """Times of the programs of one call; print it.

    Parameters
    ----------
    programs : tuple of ProgramTime
        Forward programs, then adjoint programs, in the order in which they run.
    repeat : int
        How often each was run.
    """

    programs: tuple[ProgramTime, ...]
    repeat: int

    @property
    def seconds(self) -> float:
        """All programs together."""
        return sum(program.seconds for program in self.programs)

    def __str__(self) -> str:
        rows = [(p.name, _microseconds(p.seconds), p.does) for t in self.programs for p in t.parts]
        width = max((len(name) for name, _, _ in rows), default=0)
        digits = max((len(us) for _, us, _ in rows), default=0)
        lines = []
        for program in self.programs:
            lines.append(f"{program.title}: {_microseconds(program.seconds)} us")
            for part in program.parts:
                share = part.seconds / program.seconds if program.seconds else 0.0
                us = _microseconds(part.seconds)
                line = f"  {part.name:{width}}  {us:>{digits}} us  {share:4.0%}  {part.does}"
                lines.append(line.rstrip())
        lines.append(f"all: {_microseconds(self.seconds)} us, medians of {self.repeat} runs")
        return "\n".join(lines)


def profile(function: Callable[..., Any], *args: Any, repeat: int = 20, **kwargs: Any) -> Profile:
    """Return how long each kernel and external call of a compiled function takes.

    The call is traced anew, so a compiled function's own record stays as it is, and its programs
    run on the arguments; Tensors changed in place and ``.grad`` stay as they are. Where something
    requires a gradient the adjoint's programs run, too, on cotangents of ones.

    Parameters
    ----------
    function : callable
        Compiled, or plain to see how it would run.
    *args, **kwargs
        Arguments as for a call.
    repeat : int
        How often to run each program; at least 1.

    Returns
    -------
    Profile
        Print it, or read its fields.

    Raises
    ------
    ArgumentError
        If `repeat` is less than 1, or the function can't be captured.
    """
    if repeat < 1:
        raise ArgumentError(f"profile: repeat is {repeat}", why="it must be at least 1")
    runs = program_runs(trace_path(function, args, kwargs))
    state = generator_state()
    try:
        return Profile(tuple([_time(run, repeat) for run in runs]), repeat)
    finally:
        set_generator_state(state)


def _time(run: ProgramRun, repeat: int) -> ProgramTime:
    program = run.program
    clock = _Clock()
    timed = _with_clock(program, clock)
    totals: list[float] = []
    laps: list[list[float]] = []
    for _ in range(repeat):
        clock.laps = []
        start = time.perf_counter()
        timed(*run.inputs)
        totals.append(time.perf_counter() - start)
        laps.append([seconds for _, _, seconds in clock.laps])
    parts = [
        PartTime(name, does, statistics.median(times))
        for (name, does, _), times in zip(clock.laps, zip(*laps, strict=True), strict=True)
    ]
    rest = [total - sum(times) for total, times in zip(totals, laps, strict=True)]
    name = "between" if parts else "interpreter" if program.fallback else "all of it"
    parts.append(PartTime(name, program.fallback, statistics.median(rest)))
    return ProgramTime(program.title, statistics.median(totals), tuple(parts))


class _Clock:
    """Collects a lap for each part that runs: name, what it does, seconds."""

    def __init__(self) -> None:
        self.laps: list[tuple[str, str, float]] = []

    def kernel(self, function: Callable[..., Any], name: str, does: str) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            start = time.perf_counter()
            result = function(*args)
            self.laps.append((name, does, time.perf_counter() - start))
            return result

        return timed

    def external(self, primitive: Any, arrays: Any, params: Any) -> Any:
        start = time.perf_counter()
        result = evaluate_primitive(primitive, arrays, params)
        self.laps.append((f"call of {primitive.name}", "", time.perf_counter() - start))
        return result


def _with_clock(program: Program, clock: _Clock) -> Callable[..., Any]:
    """Return a program's `run` that tells the clock of its parts; as it is if it has none."""
    run = program.run
    if not isinstance(run, FunctionType) or run.__closure__ or program.fallback:
        return run
    kernels = list(zip(program.kernels, program.texts, strict=True))
    # The driver finds its parts among its globals, kernels in order; a copy of it finds timed ones.
    parts = dict(run.__globals__)
    names = names_in(program)
    taken = 0
    for name, part in run.__globals__.items():
        if part is evaluate_primitive:
            parts[name] = clock.external
        elif taken < len(kernels) and part is kernels[taken][0].unchecked:
            text = kernels[taken][1]
            taken += 1
            written = [v for v in text.arguments if v in text.written]
            does = "makes " + ", ".join(f"{names[v]}: {v.spec}" for v in written)
            parts[name] = clock.kernel(part, f"kernel {taken}", does)
    return FunctionType(run.__code__, parts, run.__name__, run.__defaults__)


def _microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.1f}"
