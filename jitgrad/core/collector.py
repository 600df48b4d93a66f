"""Python's collection of cyclic garbage, which has nothing to find while graphs are made."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collection_paused() -> Iterator[None]:
    """Let no collection begin: each one would visit all objects of the process.

    Graphs and syntax trees are so many objects, all of them alive, that several would.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
