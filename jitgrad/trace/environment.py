"""The world around a function: what it reads besides its arguments, checked at each call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from jitgrad.core import dtypes
from jitgrad.core.dtypes import get_default_dtype
from jitgrad.trace.capture import Source
from jitgrad.trace.contents import may_look_inside, names_in
from jitgrad.trace.guards import GuardText, compile_guards, first_failure, guard_text
from jitgrad.trace.reads import Guard, scan
from jitgrad.trace.rollback import Snapshot
from jitgrad.trace.type_questions import asks_for_types


class Environment:
    """What a function reads from outside its arguments, as it was when it was traced.

    Parameters
    ----------
    function : callable
        The user's function.
    leaves : sequence
        Leaves of the arguments of the call to be traced.

    Attributes
    ----------
    unguardable : str
        Why the function can't be checked; ``""`` if it can.
    check : callable
        ``check(leaves)`` gives the captured Tensors and arrays, None if anything has changed.
    """

    def __init__(self, function: Callable[..., Any], leaves: Sequence[Any]) -> None:
        self._reads = scan(function, leaves)
        self._root = getattr(function, "__code__", None)
        # What dtype Python's floats get is decided while tracing.
        self._reads.roots["dtypes"] = dtypes
        default = Guard("is", "dtypes._default_float", get_default_dtype(), "the default dtype")
        self._reads.guards.append(default)
        self.unguardable = self._reads.unguardable
        self.check = compile_guards(self._reads)

    def check_text(self, on_failure: str) -> GuardText:
        """Return the text of `check`; `on_failure` is the statement where a guard fails."""
        return guard_text(self._reads, on_failure)

    def asks_for_types(self) -> bool:
        """Return whether the function may tell what stands in for an argument from it."""
        return asks_for_types(self._reads.codes)

    @property
    def objects(self) -> set[int]:
        """The ``id`` of everything that the function reads from outside."""
        return {id(thing) for thing in self._reads.objects}

    def snapshot(self, captured: Sequence[Any]) -> Snapshot:
        """Return the state of what the function reads, to be compared and restored."""
        return Snapshot(self._reads, captured)

    def guard_contents(
        self, used: Iterable[int], captured: Sequence[Any], has_constants: bool
    ) -> None:
        """Check the elements of captured arrays that NumPy may have read while tracing.

        Parameters
        ----------
        used : iterable of int
            Numbers of those that became inputs of the graph.
        captured : sequence
            All captured objects.
        has_constants : bool
            Whether the graph contains arrays, or scalars of NumPy, of unknown origin.
        """
        taken = set(used)
        reads = self._reads
        guarded = {guard.path for guard in reads.guards if guard.kind == "content"}
        described = {guard.path: guard.description for guard in reads.guards}
        arrays = {
            path: (number, thing)
            for number, (path, thing) in enumerate(
                zip(reads.captured.values(), captured, strict=True)
            )
            if isinstance(thing, np.ndarray) and path not in guarded
        }
        if not arrays:
            return
        names = names_in([described[path] for path in arrays])
        every = has_constants or may_look_inside(reads.codes, self._root, names)
        for path, (number, thing) in arrays.items():
            if every or number not in taken:
                reads.guards.append(Guard("content", path, thing.copy(), described[path]))
        self.check = compile_guards(reads)

    def guard_gradients(self, reads: dict[Source, bool]) -> None:
        """Check that Tensors whose ``.grad`` mattered have one, or have none, as before."""
        paths = list(self._reads.captured.values())
        for source, given in reads.items():
            owner = (
                paths[source.number] if source.kind == "captured" else f"leaves[{source.number}]"
            )
            path, kind = f"{owner}._grad", "given" if given else "is"
            if all(guard.path != path for guard in self._reads.guards):
                self._reads.guards.append(Guard(kind, path, None, f"the .grad of {owner}"))
        self.check = compile_guards(self._reads)

    def why_stale(self, leaves: Sequence[Any]) -> str:
        """Return in words what has changed since; ``""`` if nothing has."""
        return first_failure(self._reads, leaves)

    def changed_by_itself(self, leaves: Sequence[Any], captured: Sequence[Any]) -> str:
        """Return why the function, which has just run, can't be run by kernels alone.

        It changed what it reads, or stored something outside itself.
        """
        now = self.check(leaves)
        if now is None:
            return f"it changes what it reads: {self.why_stale(leaves)}"
        for number, (before, after) in enumerate(zip(captured, now, strict=True)):
            if before is not after:
                path = list(self._reads.captured.values())[number]
                return f"it stores a Tensor outside itself ({path})"
        return ""

    def describe(self) -> list[str]:
        """Return what is checked, one line a guard."""
        return [f"{guard.description} ({guard.kind})" for guard in self._reads.guards]
