"""The exceptions of jitgrad and the one way their messages are built.

Every message has the form::

    add: shapes (64, 10) and (64,) do not broadcast
      where: train.py:12, in loss:  logits = x @ w + b
      why:   the last axes are 10 and 64; they must be equal, or one of them 1
      do:    to add b to every column write b[:, None]
"""

from __future__ import annotations

import traceback
from typing import TypeGuard

from jitgrad.core.location import Location, user_location


class JitgradError(Exception):
    """Base of every error that jitgrad raises on its own account.

    Parameters
    ----------
    what : str
        What was wrong, in one line, beginning with the operation's name.
    why : str, optional
        The rule that was broken, with the values that broke it.
    do : str, optional
        What to do instead.
    where : Location, optional
        The user's line; found from the call stack where it is not given.
    """

    def __init__(
        self, what: str, why: str = "", do: str = "", where: Location | None = None
    ) -> None:
        self.what = what
        self.why = why
        self.do = do
        self.where = where or user_location()
        super().__init__(_compose(what, self.where, why, do))


class ShapeError(JitgradError, ValueError):
    """Shapes, axes or sizes that do not fit together."""


class DtypeError(JitgradError, TypeError):
    """A dtype, or a type of argument, that the operation does not take."""


class ArgumentError(JitgradError, ValueError):
    """An argument whose value is not allowed."""


class IndexingError(JitgradError, IndexError):
    """An index outside the axis, or of a form that indexing does not take."""


class GradientError(JitgradError, RuntimeError):
    """Differentiation that is impossible or would be wrong."""


class TraceError(JitgradError, RuntimeError):
    """A Tensor of a trace used where that trace no longer exists."""


class GraphError(JitgradError, RuntimeError):
    """A graph that breaks one of its invariants: a defect of jitgrad itself."""


class JitgradWarning(UserWarning):
    """Base of the warnings that jitgrad gives."""


class FallbackWarning(JitgradWarning):
    """A compiled function, or a part of it, runs without compiled kernels."""


def explains(ours: BaseException | None, other: BaseException) -> TypeGuard[JitgradError]:
    """Return whether an error of jitgrad's is about the same as another one, and may stand for it.

    Its class is a subclass of the other's, and both come from the same line.
    """
    if not isinstance(ours, JitgradError) or isinstance(other, JitgradError):
        return False
    if ours.where is None or not isinstance(ours, type(other)):
        return False
    lines = traceback.walk_tb(other.__traceback__)
    return any((f.f_code.co_filename, n) == (ours.where.file, ours.where.line) for f, n in lines)


def _compose(what: str, where: Location | None, why: str, do: str) -> str:
    lines = [what]
    if where is not None:
        lines.append(f"  where: {where.describe()}")
    if why:
        lines.append(f"  why:   {why}")
    if do:
        lines.append(f"  do:    {do}")
    return "\n".join(lines)
