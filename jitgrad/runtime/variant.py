"""What was traced for one kind of arguments in one state of the world around the function."""

from __future__ import annotations

from jitgrad.trace.environment import Environment
from jitgrad.trace.segments import SegmentTree


class Variant:
    """The paths traced for one kind of arguments while certain guards held.

    Parameters
    ----------
    environment : Environment
        What the function reads from outside its arguments, and the guards on it.
    """

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.tree = SegmentTree()
        self.traces = 0
