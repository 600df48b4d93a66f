"""Reading ``x[i]``, and ``x[i] += v``."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.core.bind import active_trace
from jitgrad.syntax.conditions import is_undecided
from jitgrad.tensor.tensor import Tensor, box_tensor, make_tensor
from jitgrad.trace.stand_ins import ArrayStandIn, stand_in


def item(container: Any, index: Any) -> Any:
    """Return ``container[index]``, also of an array at an index that only a run knows."""
    if type(container) is np.ndarray:
        parts = index if isinstance(index, tuple) else (index,)
        ends = [e for p in parts for e in ((p.start, p.stop) if isinstance(p, slice) else (p,))]
        if any(map(is_undecided, ends)):
            trace: Any = active_trace()
            held = trace.lift(box_tensor(container))
            return stand_in(make_tensor(held._raw), ArrayStandIn)[index]
    return container[index]


def augment(container: Any, index: Any, sign: str, value: Callable[[], Any]) -> None:
    """Run ``container[index] += value()``, for any sign.

    Python reads the part, changes it in place and stores it where it was. A part of a Tensor is a
    view: changed in place, it is stored.
    """
    part = item(container, index)
    changed = getattr(operator, sign)(part, value())
    stored = changed is part and isinstance(part, Tensor) and part._view is not None
    if not stored or active_trace() is None:
        container[index] = changed
