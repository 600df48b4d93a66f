"""What was traced for one kind of arguments in one state of the world around the function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitgrad.trace.environment import Environment
from jitgrad.trace.segments import SegmentTree

# Up to this many, each new path is worth a new quick function at once.
_FEW_PATHS = 8


class Variant:
    """The paths traced for one kind of arguments while certain guards held.

    Parameters
    ----------
    environment : Environment
        What the function reads from outside its arguments, and the guards on it.
    leaves, captured : sequence
        The arguments' leaves, and what is read from outside, of the call it is made for.
    """

    def __init__(
        self, environment: Environment, leaves: Sequence[Any], captured: Sequence[Any]
    ) -> None:
        self.environment = environment
        self.shared = shared_objects(leaves, captured)
        self.tree = SegmentTree()
        self.traces = 0
        # How often a quick function was written for its calls since the last new path.
        self._written = 0
        self._known_paths = 0
        # What comes in place of the elements of Tensors that a call uses up, by leaf.
        self.spent: dict[int, Any] = {}

    def may_write(self, limit: int) -> bool:
        """Return whether a quick function is worth writing: so often for the same paths.

        Where many paths keep coming it is when their number has doubled.
        """
        return self._written < limit or self._has_more_paths()

    def note_written(self) -> None:
        """Note that a quick function was written, or could not be."""
        if self._has_more_paths():
            self._known_paths, self._written = self.tree.paths, 0
        self._written += 1

    def _has_more_paths(self) -> bool:
        known, now = self._known_paths, self.tree.paths
        return now > known and (now <= _FEW_PATHS or now >= 2 * known)

    def matches(self, leaves: Sequence[Any]) -> tuple[Any, ...] | None:
        """Return what the function reads from outside; None if the call is another variant's."""
        captured = self.environment.check(leaves)
        if captured is None or (captured and shared_objects(leaves, captured) != self.shared):
            return None
        return captured


def shared_objects(leaves: Sequence[Any], captured: Sequence[Any]) -> list[tuple[int, int]]:
    """Return which leaves of the arguments are read from outside, too, as pairs of numbers."""
    place = {id(thing): number for number, thing in enumerate(captured)}
    return [(k, place[id(leaf)]) for k, leaf in enumerate(leaves) if id(leaf) in place]
