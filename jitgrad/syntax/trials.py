"""Trying to make a construct part of a graph, in such a way that a failure leaves no trace."""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jitgrad.control.captured import CannotRepeatError, KindChangesError
from jitgrad.core.bind import active_trace
from jitgrad.core.errors import JitgradError
from jitgrad.syntax.variables import Variables
from jitgrad.trace.capture import CannotCaptureError
from jitgrad.trace.reads import scan
from jitgrad.trace.rollback import Snapshot
from jitgrad.trace.user_code import UserCodeRecorder

# So often the same body is tried in one trace after it has failed.
_TRIALS = 3


class Surroundings:
    """The state of everything that functions read, their variables included.

    Parameters
    ----------
    parts : sequence of function
        What a construct was divided into.
    """

    def __init__(self, parts: Sequence[Callable[..., Any]]) -> None:
        self._snapshots = []
        for part in parts:
            reads = scan(part, [])
            if reads.unguardable:
                raise CannotRepeatError(reads.unguardable)
            found = [eval(path, dict(reads.roots)) for path in reads.captured.values()]
            self._snapshots.append(Snapshot(reads, found))

    def check(self) -> None:
        """Refuse to capture what has changed anything.

        Raises
        ------
        CannotRepeatError
            Saying what.
        """
        for snapshot in self._snapshots:
            changed = snapshot.what_changed()
            if changed:
                raise CannotRepeatError(changed)

    def restore(self) -> None:
        """Make everything what it was."""
        for snapshot in self._snapshots:
            snapshot.restore()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a construct.

    Parameters
    ----------
    what : str
        In words; ``""`` if it could not be made part of the graph.
    why : str
        The reason for that.
    kind_changes : bool
        Whether the reason is that what goes in is of another kind than what comes out.
    """

    what: str
    why: str = ""
    kind_changes: bool = False


def attempt(
    parts: Sequence[Callable[..., Any]],
    variables: Variables,
    capture: Callable[[Surroundings], str],
) -> Outcome:
    """Run `capture`, undoing everything if it fails.

    Parameters
    ----------
    parts : sequence of function
        What the construct was divided into, the body first.
    variables : Variables
        Those that they assign.
    capture : callable
        Returns what became of the construct.

    Returns
    -------
    Outcome
        What became of it.
    """
    trace: Any = active_trace()
    root = root_of(trace)
    failures: dict[types.CodeType, int] = root.failures
    code = code_of(parts[0])
    if code in root.barred:
        return Outcome("", "what it leaves is changed in place later on")
    if failures.get(code, 0) >= _TRIALS:
        return Outcome("", "it has failed before")
    entry = variables.all()
    surroundings: Surroundings | None = None
    try:
        surroundings = Surroundings(parts)
        return Outcome(capture(surroundings))
    except (Exception, CannotCaptureError) as error:
        variables.restore(entry)
        if surroundings is not None:
            surroundings.restore()
        failures[code] = failures.get(code, 0) + 1
        return Outcome("", _reason(error), isinstance(error, KindChangesError))


def _reason(error: BaseException) -> str:
    if isinstance(error, CannotCaptureError):
        return str(error)
    text = error.what if isinstance(error, JitgradError) else f"{type(error).__name__}: {error}"
    return text.partition("\n")[0]


def code_of(function: Any) -> types.CodeType:
    """Return the code of a function."""
    code: types.CodeType = function.__code__
    return code


def root_of(trace: Any) -> Any:
    """Return the outermost trace around `trace` that records a user's code."""
    while isinstance(getattr(trace, "outer", None), UserCodeRecorder):
        trace = trace.outer
    return trace


def note(body: Callable[..., Any], kind: str, line: int, what: str, why: str = "") -> None:
    """Remember what became of a construct."""
    code = code_of(body)
    place = f"{os.path.basename(code.co_filename)}:{line}"
    reason = f": {why}" if why else ""
    root_of(active_trace()).constructs[f"{place} {kind}"] = f"{what}{reason}"
