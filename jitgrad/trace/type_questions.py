"""Whether code asks what the arguments are in a way in which stand-ins would answer wrongly.

A stand-in tells ``isinstance`` that it is an array or a float, as it should. But it is a Tensor,
too, and ``type`` can't be answered otherwise than by its own class.
"""

from __future__ import annotations

import dis
import types
from collections.abc import Iterable
from itertools import pairwise

_LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF")


def asks_for_types(codes: Iterable[types.CodeType]) -> bool:
    """Return whether some code calls ``type(x)`` or ``isinstance(x, Tensor)``.

    Parameters
    ----------
    codes : iterable of code
        The user's code that may run.
    """
    return any(_asks(list(dis.get_instructions(code))) for code in codes)


def _asks(instructions: list[dis.Instruction]) -> bool:
    names = {i.argval for i in instructions if "ATTR" in i.opname or i.opname in _LOADS}
    if "isinstance" in names and not names.isdisjoint({"Tensor", "Parameter"}):
        return True
    # That of the object whose method runs is asked for often, and is no stand-in.
    return any(
        first.opname in _LOADS and first.argval == "type" and second.argval not in ("self", "cls")
        for first, second in pairwise(instructions)
    )
