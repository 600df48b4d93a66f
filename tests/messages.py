"""Whole messages of errors, compared without the line number that every edit of a test moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jitgrad.core.errors import JitgradError


def message_of(kind: type[JitgradError], provoke: Callable[[], Any], place: str = "") -> str:
    """Return the message of the error that `provoke`, a function of one line, raises.

    Its line "where" must show that line, or one of the function called `place`, in the same file;
    it is left out of what is returned.
    """
    with pytest.raises(kind) as caught:
        provoke()
    assert type(caught.value) is kind
    error = caught.value
    assert error.where is not None
    assert error.where.file == provoke.__code__.co_filename
    assert error.where.function == (place or provoke.__name__)
    lines = str(error).splitlines()
    assert lines[1] == f"  where: {error.where.describe()}"
    return "\n".join([lines[0], *lines[2:]])
