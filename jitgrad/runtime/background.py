"""Programs that run on the interpreter until a thread beside the user's has built their kernels."""

from __future__ import annotations

import atexit
import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from jitgrad.core.errors import FallbackWarning
from jitgrad.ir.graph import Graph, Value
from jitgrad.ir.interpret import interpret
from jitgrad.runtime.bodies import interpreted
from jitgrad.runtime.program import Program, build_program, fallback_text


def make_in_background(
    graph: Graph, layouts: Sequence[int], title: str, given: Sequence[Value] = ()
) -> Program:
    """Return a program at once: it is interpreted until its kernels are built.

    Parameters
    ----------
    graph, layouts, title, given
        As of `make_program`.

    Returns
    -------
    Program
        Whose `run`, also where somebody has kept it, runs kernels as soon as there are any.
    """

    def run(*inputs: Any) -> tuple[Any, ...]:
        if not program.pending:
            return program.run(*inputs)
        _builder.go_on()
        with interpreted():
            return interpret(graph, inputs)

    def build() -> None:
        built = build_program(graph, layouts, title, given)
        program.kernels, program.texts = built.kernels, built.texts
        program.external, program.seconds = built.external, built.seconds
        program.fallback = built.fallback
        program.make_native, program.root_of = built.make_native, built.root_of
        program.run = _warning_once(built) if built.fallback else built.run
        program.pending = False

    program = Program(graph, title, run, pending=True)
    _builder.add(build)
    return program


def wait(programs: Sequence[Program], timeout: float | None) -> bool:
    """Wait until programs have kernels; return whether all of them do."""
    return _builder.wait(lambda: not any(program.pending for program in programs), timeout)


def _warning_once(built: Program) -> Callable[..., tuple[Any, ...]]:
    """Return what runs a program without kernels, and says so in the thread of its first caller."""
    told: list[bool] = []

    def run(*inputs: Any) -> tuple[Any, ...]:
        if not told:
            told.append(True)
            warnings.warn(fallback_text(built), FallbackWarning, stacklevel=2)
        return built.run(*inputs)

    return run


class _Builder:
    """Builds one program after the other in a thread that ends when there is nothing to build."""

    def __init__(self) -> None:
        self.jobs: deque[Callable[[], None]] = deque()
        self.current: Callable[[], None] | None = None
        self.changed = threading.Condition()
        self.thread: threading.Thread | None = None

    def add(self, job: Callable[[], None]) -> None:
        """Have a program built."""
        with self.changed:
            self.jobs.append(job)
        self.go_on()

    def go_on(self) -> None:
        """Start the thread if there is something to build; after a fork there is none."""
        if self.thread is not None or not self.jobs:
            return
        with self.changed:
            if self.thread is None and self.jobs:
                # The process need not wait for it when it ends.
                self.thread = threading.Thread(
                    target=self.work, name="jitgrad builds kernels", daemon=True
                )
                self.thread.start()

    def work(self) -> None:
        while True:
            with self.changed:
                self.current = self.jobs.popleft() if self.jobs else None
                self.changed.notify_all()
                if self.current is None:
                    self.thread = None
                    return
            self.current()

    def wait(self, is_done: Callable[[], bool], timeout: float | None) -> bool:
        """Wait for the thread until something holds; return whether it does."""
        self.go_on()
        with self.changed:
            return self.changed.wait_for(lambda: is_done() or self.thread is None, timeout) and (
                is_done()
            )

    def stop(self) -> None:
        """Begin nothing more."""
        self.jobs.clear()

    def start_anew(self) -> None:
        """Forget the thread, which a forked process does not have, but not its work."""
        self.changed = threading.Condition()
        self.thread = None
        if self.current is not None:
            self.jobs.appendleft(self.current)
            self.current = None


_builder = _Builder()
atexit.register(_builder.stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_builder.start_anew)
