"""Which arrays of a call share memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from jitgrad.tensor.tensor import Tensor


def any_shared(things: Iterable[tuple[Any, bool]]) -> bool:
    """Return whether an array or Tensor that is marked shares memory with another one."""
    spans = []
    for thing, marked in things:
        array = thing._raw if isinstance(thing, Tensor) else thing
        if isinstance(array, np.ndarray) and array.size:
            spans.append((*np.lib.array_utils.byte_bounds(array), marked))
    spans.sort()
    # The end of what reaches farthest so far, of all and of what is marked.
    reach = reach_of_marked = 0
    for first, end, marked in spans:
        if first < (reach if marked else reach_of_marked):
            return True
        reach = max(reach, end)
        reach_of_marked = max(reach_of_marked, end if marked else 0)
    return False
