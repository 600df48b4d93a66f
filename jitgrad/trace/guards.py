"""Guards as one generated function: what is checked, and what is read, at each call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jitgrad.trace.reads import Guard, Kind, Reads

Check = Callable[[Sequence[Any]], tuple[Any, ...] | None]


@dataclass(frozen=True, slots=True)
class GuardText:
    """The text that checks guards, to be put into a function that has ``leaves``.

    Parameters
    ----------
    lines : tuple of str
        Statements, of which any may raise one of `GUARD_ERRORS` if a guard fails.
    captured : tuple of str
        Expressions, to be evaluated after them, of the captured Tensors and arrays.
    bound : dict
        What the names in it stand for.
    """

    lines: tuple[str, ...]
    captured: tuple[str, ...]
    bound: dict[str, Any]


GUARD_ERRORS = "(AttributeError, KeyError, IndexError, ValueError, TypeError)"


def guard_text(reads: Reads, on_failure: str) -> GuardText:
    """Return the text that checks all guards; `on_failure` is the statement where one fails."""
    bound: dict[str, Any] = dict(reads.roots)
    bound["same"] = same
    paths = _Paths([guard.path for guard in reads.guards])
    lines: list[str] = []
    values: dict[str, Any] = {}
    for number, guard in enumerate(reads.guards):
        if guard.kind == "is" and reads.roots.get(guard.path, reads) is guard.expected:
            continue  # a name stands for what it stood for
        if guard.kind == "same" and guard.path == guard.expected:
            continue  # it is read in several places
        if guard.kind == "equal":
            if same(values.get(guard.path, reads), guard.expected):
                continue
            values[guard.path] = guard.expected
        bound[f"e{number}"] = guard.expected
        read = paths.read(guard.path, lines)
        if guard.kind == "same":
            condition = f"{read} is not {paths.read(guard.expected, lines)}"
        else:
            condition = _condition(replace(guard, path=read), f"e{number}", bound)
        lines.append(f"if {condition}: {on_failure}")
    captured = tuple([paths.read(path, lines) for path in reads.captured.values()])
    return GuardText(tuple(lines), captured, bound)


def compile_guards(reads: Reads) -> Check:
    """Return a function that checks all guards and reads the captured Tensors and arrays.

    Parameters
    ----------
    reads : Reads
        What a function reads from outside its arguments.

    Returns
    -------
    callable
        Takes the leaves of the arguments; gives the captured objects, None if a guard fails.
    """
    checks = guard_text(reads, "return None")
    results = "".join([f"{path}, " for path in checks.captured])
    text = "\n".join(
        [
            f"def check(leaves, {', '.join(f'{n}={n}' for n in checks.bound)}):",
            "    try:",
            *[f"        {line}" for line in checks.lines],
            f"        return ({results})",
            f"    except {GUARD_ERRORS}:",
            "        return None",
        ]
    )
    namespace = dict(checks.bound)
    exec(text, namespace)
    check: Check = namespace["check"]
    return check


class _Paths:
    """Reads each object on the way to several others once, into a local variable.

    Parameters
    ----------
    paths : list of str
        Everything that is going to be read.
    """

    def __init__(self, paths: list[str]) -> None:
        self.on_the_way: set[str] = set()
        seen: set[str] = set()
        for path in dict.fromkeys(paths):
            for prefix in _prefixes(path):
                (self.on_the_way if prefix in seen else seen).add(prefix)
            (self.on_the_way if path in seen else seen).add(path)
        self.names: dict[str, str] = {}

    def read(self, path: str, lines: list[str]) -> str:
        """Return the text that reads `path`, adding lines for what is on the way to it."""
        if path in self.names:
            return self.names[path]
        text = path
        for prefix in _prefixes(path):
            if prefix in self.on_the_way:
                text = self.read(prefix, lines) + path[len(prefix) :]
                break
        if path not in self.on_the_way:
            return text
        name = self.names[path] = f"p{len(self.names)}"
        lines.append(f"{name} = {text}")
        return name


def _prefixes(path: str) -> list[str]:
    """Return the paths to the objects on the way, the nearest first."""
    if path.startswith("["):
        return []
    found = []
    depth = 0
    quote = ""
    for position, letter in enumerate(path):
        if quote:
            # Keys are written by repr, in which a quote inside is escaped.
            if letter == quote and path[position - 1] != "\\":
                quote = ""
        elif letter in "'\"":
            quote = letter
        elif letter == "]":
            depth -= 1
        elif letter in ".[":
            if depth == 0 and position:
                found.append(path[:position])
            depth += letter == "["
    return found[::-1]


def _condition(guard: Guard, expected: str, bound: dict[str, Any]) -> str:
    """Return the text of the condition under which the guard fails."""
    path, value = guard.path, guard.expected
    if guard.kind == "is" or value is None or value is True or value is False:
        return f"{path} is not {expected}"
    if guard.kind == "equal":
        kind = f"{expected}_type"
        bound[kind] = type(value)
        if isinstance(value, (int, str, bytes)):
            return f"type(v := {path}) is not {kind} or v != {expected}"
        if isinstance(value, (float, complex, np.generic)):
            # Mostly it is the very same number, and `same` takes longer.
            return f"(v := {path}) is not {expected} and not same(v, {expected})"
        return f"not same({path}, {expected})"
    if guard.kind == "length":
        return f"len({path}) != {value}"
    if guard.kind == "type":
        return f"type({path}) is not {expected}"
    if guard.kind == "keys":
        return f"[*{path}] != {expected}" if _plain_keys(value) else f"len({path}) != {len(value)}"
    if guard.kind == "missing":
        return f"{expected} in {path}"
    if guard.kind == "given":
        return f"{path} is None"
    if guard.kind == "absent":
        return f"not {expected}.isdisjoint({path})"
    if guard.kind == "content":
        return f"not same({path}, {expected})"
    return _array_condition(path, value, expected, bound)


def _plain_keys(keys: list[Any]) -> bool:
    return all(isinstance(key, (str, int)) for key in keys)


def _array_condition(path: str, value: Kind, expected: str, bound: dict[str, Any]) -> str:
    kind, shape, dtype = f"{expected}_type", f"{expected}_shape", f"{expected}_dtype"
    bound[kind], bound[shape], bound[dtype] = value.type, value.shape, value.dtype
    if value.requires_grad is None:
        return f"type(v := {path}) is not {kind} or v.shape != {shape} or v.dtype != {dtype}"
    # What the properties of a Tensor return, mostly without asking them.
    text = (
        f"type(v := {path}) is not {kind} or (r := v._raw).shape != {shape} or r.dtype != {dtype}"
    )
    requires = "(v._requires_grad if v._view is None else v.requires_grad)"
    return f"{text} or {requires} is not {value.requires_grad}"


def same(found: Any, expected: Any) -> bool:
    """Return whether two values are indistinguishable: type, value, nan, sign of zero."""
    if type(found) is not type(expected):
        return False
    if isinstance(expected, np.ndarray):
        if found.shape != expected.shape or found.dtype != expected.dtype:
            return False
        return bool(found.tobytes() == expected.tobytes())
    if isinstance(expected, (float, complex, np.floating)):
        return repr(found) == repr(expected)
    if isinstance(expected, (list, tuple)):
        # Zeros are equal whatever their sign.
        return bool(found == expected) and (0 not in expected or repr(found) == repr(expected))
    return bool(found == expected)


def first_failure(reads: Reads, leaves: Sequence[Any]) -> str:
    """Return in words which guard fails now; ``""`` if all hold."""
    for guard in reads.guards:
        single = Reads([guard], roots=reads.roots)
        if compile_guards(single)(leaves) is None:
            return f"{guard.description} {_change(guard, reads, leaves)}"
    return ""


def _change(guard: Guard, reads: Reads, leaves: Sequence[Any]) -> str:
    try:
        now = eval(guard.path, {**reads.roots, "leaves": leaves})
    except Exception:
        return "is gone"
    if guard.kind == "missing":
        return "did not exist before"
    if guard.kind == "absent":
        return f"have {', '.join(sorted(guard.expected & now.keys()))}, which they had not before"
    if guard.kind == "content":
        return "has other elements"
    if guard.kind == "given":
        return "is None now"
    if guard.kind == "length":
        return f"had length {guard.expected}, has {len(now)}"
    if guard.kind == "tensor":
        return "has another type, shape, dtype or requires_grad"
    if guard.kind == "equal":
        return f"was {guard.expected!r}, is {now!r}"
    return "is another object than before"
