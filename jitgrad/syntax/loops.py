"""Loops of rewritten functions: operations of the graph where that can be, else Python's."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from typing import Any

from jitgrad.control.captured import (
    CannotRepeatError,
    CapturedBody,
)
from jitgrad.core.bind import active_trace
from jitgrad.ir.graph import Value
from jitgrad.syntax.bindings import Binding, Construct
from jitgrad.syntax.carries import Place, Settling
from jitgrad.syntax.courses import Course, course_of
from jitgrad.syntax.trials import Outcome, Surroundings, attempt, code_of, note, root_of
from jitgrad.syntax.variables import Variables
from jitgrad.tensor.tensor import Tensor
from jitgrad.trace.user_code import UserCodeRecorder

# Loops of so few iterations run one by one: what their indices pick is then known.
_FEW = 4
# The leaves of variables that kept their Tensors the last time, for each body.
_shared: dict[types.CodeType, set[Place]] = {}


def for_(
    iterable: Iterable[Any],
    body: Callable[[Any], Any],
    assigned: tuple[str, ...],
    again: tuple[str, ...],
    after: tuple[str, ...],
    stops: tuple[str, ...],
    line: int,
    obstacle: str,
) -> None:
    """Run ``for ... in iterable: body``."""
    variables = Variables([body], assigned)
    loop = Construct(body, None, variables, again, after, stops, line)
    course = course_of(iterable)
    if course is not None and isinstance(active_trace(), UserCodeRecorder):
        count = course.count
        # Where one of them may end the loop, a run decides how many there are.
        if count is not None and count <= _FEW and not stops:
            note(body, "for", line, "unrolled", f"{count} iterations")
        else:
            outcome = _captured(loop, course, obstacle)
            if outcome.kind_changes and count is not None:
                # What the first iteration makes may be what the others keep.
                body(course.first())
                if stops and loop.is_stopped():
                    return
                iterable = course = course.after_first()
                outcome = _captured(loop, course, obstacle, " after its first iteration")
            if outcome.what:
                return
    for item in iterable:
        body(item)
        if stops and loop.is_stopped():
            break


def while_(
    test: Callable[[], Any],
    body: Callable[[], Any],
    assigned: tuple[str, ...],
    again: tuple[str, ...],
    after: tuple[str, ...],
    stops: tuple[str, ...],
    line: int,
    obstacle: str,
) -> None:
    """Run ``while test: body``."""
    loop = Construct(body, test, Variables([body, test], assigned), again, after, stops, line)
    if isinstance(active_trace(), UserCodeRecorder) and _captured(loop, None, obstacle).what:
        return
    while test():
        body()
        if stops and loop.is_stopped():
            break


def _captured(loop: Construct, course: Course | None, obstacle: str, which: str = "") -> Outcome:
    """Make the loop an operation of the graph, or change nothing."""
    outcome = Outcome("", obstacle)
    if root_of(active_trace()).asks_for_types:
        outcome = Outcome("", "the function asks for the types of things")
    if not outcome.why:
        outcome = attempt(loop.parts, loop.variables, lambda s: _capture(loop, course, s))
    kind = "while" if course is None else "for"
    what = f"{outcome.what}{which}" if outcome.what else "run by Python and unrolled"
    note(loop.body, kind, loop.line, what, outcome.why)
    return outcome


def _capture(loop: Construct, course: Course | None, surroundings: Surroundings) -> str:
    """Bind the operation, and return what became of the loop."""
    code = code_of(loop.body)
    settling = Settling(loop.variables, loop.again, loop.stops, _shared.get(code, set()))
    run = settling.settled(lambda trace: _run_body(loop, course, trace))
    if not run.trace.closures and not _uses_tensors(settling, run.trace):
        raise CannotRepeatError("all of it is known when it is traced")
    _shared[code] = settling.shared
    return Binding(loop, course, settling, run, surroundings).bind()


def _uses_tensors(settling: Settling, trace: CapturedBody) -> bool:
    """Return whether a body has to do with anything but Python's numbers."""
    leaves = [leaf for held, _ in settling.leaves.values() for leaf in held]
    return any(isinstance(leaf, Tensor) for leaf in leaves) or any(
        not v.spec.weak for node in trace.builder.nodes for v in node.outputs
    )


def _run_body(loop: Construct, course: Course | None, trace: CapturedBody) -> Value:
    """Run the body once, in its trace; returns the input that is the index."""
    if course is None:
        value, _ = trace.enter_index(None)
        loop.body()
        return value
    bounds = None
    if course.count is not None:
        bounds = (course.lower, course.upper - 1)
    value, index = trace.enter_index(bounds)
    loop.body(course.item(index))
    return value
