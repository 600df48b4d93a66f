"""``x[i] += v``, without writing back what is there already."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from jitgrad.core.bind import active_trace
from jitgrad.tensor.tensor import Tensor


def augment(container: Any, index: Any, sign: str, value: Callable[[], Any]) -> None:
    """Run ``container[index] += value()``, for any sign.

    Python reads the part, changes it in place and stores it where it was. A part of a Tensor is a
    view: changed in place, it is stored.
    """
    part = container[index]
    changed = getattr(operator, sign)(part, value())
    stored = changed is part and isinstance(part, Tensor) and part._view is not None
    if not stored or active_trace() is None:
        container[index] = changed
