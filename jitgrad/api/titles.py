"""What a compiled function is called, and where warnings about it point."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

from jitgrad.core.location import user_frame


def title_of(function: Callable[..., Any]) -> str:
    """Return the name of a function, with its file and line where it has any."""
    plain = inspect.unwrap(function)
    code = getattr(plain, "__code__", None) or getattr(
        getattr(plain, "__func__", None), "__code__", None
    )
    name = getattr(plain, "__name__", type(plain).__name__).replace("<lambda>", "lambda")
    if code is None:
        return name
    return f"{name} ({code.co_filename.rsplit('/', 1)[-1]}:{code.co_firstlineno})"


def frames_of_our_own() -> int:
    """Return the ``stacklevel`` that makes a caller's warning point at the user's line."""
    level, frame = 1, sys._getframe(1)
    user = user_frame()
    while frame is not None and frame is not user:
        level += 1
        frame = frame.f_back  # type: ignore[assignment]
    return level
