"""Further names of public functions: those that PyTorch and NumPy also know them by."""

from __future__ import annotations

import jitgrad.ops.arithmetic
import jitgrad.ops.comparison
import jitgrad.ops.exponential
import jitgrad.ops.rounding
import jitgrad.ops.selection
import jitgrad.ops.special
import jitgrad.ops.trigonometric  # noqa: F401 - these publish the functions
from jitgrad.core.public import FUNCTIONS, publish

_ALIASES = {
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "true_divide": "div",
    "negative": "neg",
    "absolute": "abs",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arctan2": "atan2",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
    "fix": "trunc",
    "not_equal": "ne",
    "less": "lt",
    "less_equal": "le",
    "greater": "gt",
    "greater_equal": "ge",
}

for _alias, _name in _ALIASES.items():
    _entry = FUNCTIONS[_name]
    publish(_entry.function, _alias, method=_entry.method, inplace=_entry.inplace)
