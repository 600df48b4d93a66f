"""``and``, ``or``, ``not`` and chains of comparisons, also of what only a run of a graph knows."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from jitgrad.control.captured import CapturedBody
from jitgrad.core.bind import active_trace, tracing
from jitgrad.core.dtypes import bool_
from jitgrad.core.primitive import Template
from jitgrad.ops.comparison import logical_and, logical_not, logical_or
from jitgrad.syntax.branches import alternatives
from jitgrad.syntax.conditions import is_undecided, truth
from jitgrad.tensor.tensor import Tensor

Later = Callable[[], Any]

_SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "Eq": operator.eq, "NotEq": operator.ne, "Lt": operator.lt, "LtE": operator.le,
    "Gt": operator.gt, "GtE": operator.ge, "Is": lambda a, b: _is_same(a, b),
    "IsNot": lambda a, b: not _is_same(a, b),
    "In": lambda a, b: a in b, "NotIn": lambda a, b: a not in b,
}  # fmt: skip


def _is_same(a: Any, b: Any) -> bool:
    """Return ``a is b``."""
    trace = active_trace()
    if isinstance(trace, CapturedBody) and isinstance(a, Tensor) and isinstance(b, Tensor):
        # Which Tensor a variable holds may differ from one iteration to the next.
        trace.refuse("it asks whether two Tensors are one")
    return a is b


def and_(first: Any, *later: Later) -> Any:
    """Return ``first and later()``."""
    result = first
    for number, then in enumerate(later):
        if is_undecided(result):
            rest = later[number + 1 :]
            return _both(result, lambda: and_(then(), *rest))  # noqa: B023 - called at once
        if not result:
            return result
        result = then()
    return result


def or_(first: Any, *later: Later) -> Any:
    """Return ``first or later()``."""
    result = first
    for number, then in enumerate(later):
        if is_undecided(result):
            rest = later[number + 1 :]
            return _one(result, lambda: or_(then(), *rest))  # noqa: B023 - called at once
        if result:
            return result
        result = then()
    return result


def not_(condition: Any) -> Any:
    """Return ``not condition``."""
    return logical_not(truth(condition)) if is_undecided(condition) else not condition


def chain(signs: tuple[str, ...], first: Any, *later: Later) -> Any:
    """Return ``first < second < third``, each evaluated once and only where it is needed."""
    second = later[0]()
    result = _SIGNS[signs[0]](first, second)
    if len(signs) == 1:
        return result
    return and_(result, lambda: chain(signs[1:], second, *later[1:]))


def choose(condition: Any, then: Later, other: Later, line: int) -> Any:
    """Return ``then() if condition else other()``."""
    if not is_undecided(condition):
        return then() if condition else other()
    return alternatives(truth(condition), then, other, line)


def go_on(*flags: Any) -> Any:
    """Return whether no flag is set."""
    unknown = [flag for flag in flags if is_undecided(flag)]
    if not unknown:
        return not any(flags)
    if any(flag for flag in flags if not is_undecided(flag)):
        return False
    result = truth(unknown[0])
    for flag in unknown[1:]:
        result = logical_or(result, truth(flag))
    return logical_not(result)


def _both(condition: Any, rest: Later) -> Any:
    if _is_simple(condition, rest):
        return logical_and(truth(condition), truth(rest()))
    return alternatives(truth(condition), rest, lambda: condition, 0)


def _one(condition: Any, rest: Later) -> Any:
    if _is_simple(condition, rest):
        return logical_or(truth(condition), truth(rest()))
    return alternatives(truth(condition), lambda: condition, rest, 0)


def _is_simple(condition: Any, rest: Later) -> bool:
    """Return whether two conditions may both be evaluated: neither takes long, nor can fail."""
    trace = CapturedBody("and", set())
    with tracing(trace):
        found = rest()
    if trace.failed or trace.checks or not _is_boolean(condition) or not _is_boolean(found):
        return False
    return all(isinstance(n.primitive.lowering, Template) for n in trace.builder.nodes)


def _is_boolean(thing: Any) -> bool:
    return thing.dtype == bool_ if isinstance(thing, Tensor) else isinstance(thing, bool)
