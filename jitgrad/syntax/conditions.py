"""What decides where a program goes: known while it is traced, or only to a run of the graph."""

from __future__ import annotations

from typing import Any

from jitgrad.control.captured import strong_operand
from jitgrad.control.operands import predicate
from jitgrad.core.bind import active_trace
from jitgrad.ir.graph import Value
from jitgrad.ops.comparison import logical_or
from jitgrad.tensor.tensor import Tensor


def is_undecided(condition: Any) -> bool:
    """Return whether only a run of the graph knows if a condition holds."""
    trace = active_trace()
    if trace is None or trace.has_values or not isinstance(condition, Tensor):
        return False
    return isinstance(trace.lift(condition)._raw, Value)


def truth(condition: Any) -> Tensor:
    """Return a condition of a graph as one boolean."""
    held = strong_operand(condition) if isinstance(condition, Tensor) else condition
    found: Tensor = predicate("a condition", held)
    return found


def either(a: Any, b: Any) -> Any:
    """Return whether one of two conditions of a graph holds."""
    return logical_or(truth(a), truth(b))
