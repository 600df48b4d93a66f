"""Python's functions of numbers, for numbers that only a run of the graph knows."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from jitgrad.control.captured import as_number, strong_operand
from jitgrad.core.dtypes import float64
from jitgrad.ops.cast import convert
from jitgrad.syntax.booleans import choose
from jitgrad.syntax.conditions import is_undecided, truth
from jitgrad.trace.stand_ins import NumberStandIn


def _is_unknown(number: Any, kinds: str) -> bool:
    return type(number) is NumberStandIn and number.dtype.kind in kinds and is_undecided(number)


def int_(*args: Any, **kwargs: Any) -> Any:
    """Return ``int(x)``."""
    if len(args) == 1 and not kwargs and _is_unknown(args[0], "i"):
        return args[0]
    return builtins.int(*args, **kwargs)


def float_(*args: Any) -> Any:
    """Return ``float(x)``."""
    if len(args) == 1 and _is_unknown(args[0], "if"):
        return as_number(convert(strong_operand(args[0]), float64))
    return builtins.float(*args)


def bool_(*args: Any) -> Any:
    """Return ``bool(x)``."""
    if len(args) == 1 and type(args[0]) is NumberStandIn and is_undecided(args[0]):
        return as_number(truth(args[0]))
    return builtins.bool(*args)


def _extreme(plain: Callable[..., Any], comes_first: Callable[[Any, Any], Any]) -> Any:
    def function(*args: Any, **kwargs: Any) -> Any:
        if len(args) < 2 or kwargs or not any(map(is_undecided, args)):
            return plain(*args, **kwargs)
        best = args[0]
        for other in args[1:]:
            best = _one_of(comes_first(other, best), other, best)
        return best

    function.__name__ = plain.__name__
    return function


def _one_of(condition: Any, a: Any, b: Any) -> Any:
    return choose(condition, lambda: a, lambda: b, 0)


max_ = _extreme(builtins.max, lambda a, b: a > b)
min_ = _extreme(builtins.min, lambda a, b: a < b)
