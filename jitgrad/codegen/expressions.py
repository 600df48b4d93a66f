"""Scalar expressions of generated source: templates, literals, casts, index arithmetic."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from jitgrad.codegen.nests import IndexEntry, Lookup
from jitgrad.core.affine import Affine
from jitgrad.core.dtypes import DType, bool_, float64, int64, is_floating, result_dtype
from jitgrad.core.primitive import Template
from jitgrad.core.spec import Count, Spec
from jitgrad.ir.graph import Literal

CAST_NAMES = {"float32": "f32", "float64": "f64", "int32": "i32", "int64": "i64", "bool": "b1"}

# A number that is not part of a name: 1, 0.5, 1e-12.
_NUMBER = re.compile(r"(?<![\w.{])\d+(?:\.\d*)?(?:[eE][+-]?\d+)?(?![\w.])")
# Larger constants in an index come from sizes, which generated source must not contain.
_LARGEST_LITERAL = 8


def follows_from_sizes(element: Literal) -> bool:
    """Return whether a number may differ with the sizes of arrays, and so is given at run time.

    Counts do; other numbers are taken to, if they are as large as sizes usually are.
    """
    number = element.number
    if isinstance(number, Count):
        return True
    return not isinstance(number, bool) and number == number // 1 and 64 < abs(number) < 2**53


def literal(number: bool | int | float, dtype: DType) -> str:
    """Return the text of `number` as a constant of `dtype`."""
    if dtype == bool_:
        return str(bool(number))
    if is_floating(dtype):
        value = float(number)
        if math.isnan(value) or math.isinf(value):
            sign = "-" if value < 0 else ""
            return f"{CAST_NAMES[dtype.name]}({sign}{'nan' if math.isnan(value) else 'inf'})"
        return repr(value) if dtype == float64 else f"{CAST_NAMES[dtype.name]}({value!r})"
    return str(int(number)) if dtype == int64 else f"{CAST_NAMES[dtype.name]}({int(number)})"


def cast(text: str, have: DType, want: DType) -> str:
    """Return `text`, of dtype `have`, as an expression of dtype `want`."""
    if have == want:
        return text
    if want == bool_:
        return f"({text} != 0)"
    return f"{CAST_NAMES[want.name]}({text})"


def computing_dtype(
    template: Template, names: tuple[str, ...], specs: list[Spec], out: Spec
) -> DType:
    """Return the dtype in which a template's inputs are combined."""
    if out.dtype != bool_ or not specs:
        return out.dtype
    taking_part = [
        (s.dtype, s.ndim, s.weak)
        for name, s in zip(names, specs, strict=True)
        if name not in template.uncast
    ]
    return result_dtype(taking_part)


def template_text(template: Template, dtype: DType) -> str:
    """Return the template's text for computing in `dtype`, its numbers typed."""
    text = template.text
    if dtype == bool_:
        return template.boolean or text
    if not is_floating(dtype):
        text = template.integer or text
    text = text.replace("{zero}", "0").replace("{one}", "1")
    if dtype in (float64, int64) and not (is_floating(dtype) and re.search(_NUMBER, text)):
        return text
    return _NUMBER.sub(lambda match: literal(_number(match.group()), dtype), text)


def _number(text: str) -> int | float:
    return int(text) if text.isdigit() else float(text)


def parenthesised(text: str) -> str:
    """Return `text` in parentheses unless it binds tightly already."""
    if re.fullmatch(r"[\w.]+|-?[\d.]+(e[+-]?\d+)?|\w+\([^()]*\)|\w+\[[^\[\]]*\]", text):
        return text
    return f"({text})"


def index_text(
    index: tuple[IndexEntry, ...],
    loop_names: list[str],
    size_parameter: Callable[[int], str],
    looked_up: dict[Lookup, str],
) -> str:
    """Return the text of an index, ``[i, j + 1]``; ``[()]`` for a 0-d array."""
    if not index:
        return "[()]"
    entries = [
        looked_up[entry]
        if isinstance(entry, Lookup)
        else _affine_text(entry, loop_names, size_parameter)
        for entry in index
    ]
    return f"[{', '.join(entries)}]"


def _affine_text(
    affine: Affine, loop_names: list[str], size_parameter: Callable[[int], str]
) -> str:
    parts: list[str] = []
    for number, coefficient in affine.terms:
        name = loop_names[number]
        if coefficient == 1:
            parts.append(f"+ {name}")
        elif coefficient == -1:
            parts.append(f"- {name}")
        else:
            parts.append(f"{'-' if coefficient < 0 else '+'} {abs(coefficient)} * {name}")
    constant = affine.constant
    if constant or not parts:
        if abs(constant) <= _LARGEST_LITERAL:
            parts.append(f"{'-' if constant < 0 else '+'} {abs(constant)}")
        else:
            parts.append(f"+ {size_parameter(constant)}")
    text = " ".join(parts)
    if text.startswith("+ "):
        return text[2:]
    return "-" + text[2:]
