"""What was traced for one kind of arguments in one state of the world around the function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitgrad.trace.environment import Environment
from jitgrad.trace.segments import SegmentTree


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
        # How often a quick function was written for its calls.
        self.straights = 0
        # What comes in place of the elements of Tensors that a call uses up, by leaf.
        self.spent: dict[int, Any] = {}

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
