"""What is called in place of a function that rewritten code calls."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from jitgrad.core.bind import active_trace
from jitgrad.syntax.convert import converted

_replacements: dict[Any, Callable[..., Any]] = {}


def replace_when_called(function: Callable[..., Any], ours: Callable[..., Any]) -> None:
    """Let `ours` be called where traced code of the user's calls `function`.

    Parameters
    ----------
    function : callable
        Found by equality, under whatever name the user's code has it.
    ours : callable
        Takes the same arguments, whatever these are; leaves to `function` what it has nothing to
        do with.
    """
    _replacements[function] = ours


def callee(function: Any) -> Any:
    """Return what is to be called where rewritten code calls `function`."""
    if active_trace() is None:
        return function
    if isinstance(function, Hashable):
        try:
            ours = _replacements.get(function)
        except Exception:  # an object whose class has a hash that fails
            ours = None
        if ours is not None:
            return ours
    return converted(function)
