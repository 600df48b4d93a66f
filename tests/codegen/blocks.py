"""Makes small programs run as large ones do: in blocks, on several threads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from jitgrad.codegen import parallel


@contextlib.contextmanager
def in_blocks() -> Iterator[None]:
    """Divide every nest of the programs built meanwhile, down to blocks of a few iterations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "LEAST_NANOSECONDS", 0.0)
        patch.setattr(parallel, "BLOCK_NANOSECONDS", 0.3)
        yield
