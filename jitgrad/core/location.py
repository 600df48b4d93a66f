"""The line of the user's program that is responsible for what happens now."""

from __future__ import annotations

import linecache
import os
import sys
from dataclasses import dataclass
from types import FrameType

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
# The demonstration stands in for a user's program.
_DEMO = _PACKAGE + "demo" + os.sep
# NumPy and SciPy ask Tensors for what they are; their frames are not the user's.
_CALLERS = (os.sep + "numpy" + os.sep, os.sep + "scipy" + os.sep)


@dataclass(frozen=True, slots=True)
class Location:
    """A line of source.

    Parameters
    ----------
    file : str
        Path of the file as Python knows it.
    line : int
        Line number, from 1.
    function : str
        Name of the function that the line stands in.
    """

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}"

    def source(self) -> str:
        """Return the text of the line without indentation, or ``""`` where it can't be read."""
        return linecache.getline(self.file, self.line).strip()

    def describe(self) -> str:
        """Return ``file:line, in function:  source`` for a message."""
        source = self.source()
        return f"{self}, in {self.function}" + (f":  {source}" if source else "")


def user_frame() -> FrameType | None:
    """Return the innermost frame that is neither jitgrad's nor NumPy's nor SciPy's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        ours = file.startswith(_PACKAGE) and not file.startswith(_DEMO)
        if not (ours or any(caller in file for caller in _CALLERS)):
            return frame
        frame = frame.f_back
    return None


def location_of(frame: FrameType) -> Location:
    """Return where `frame` stands now."""
    return Location(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


def user_location() -> Location | None:
    """Return the innermost line of the user's own code, or None where there is none."""
    frame = user_frame()
    return None if frame is None else location_of(frame)
