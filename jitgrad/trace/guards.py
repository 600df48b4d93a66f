"""Guards as one generated function: what is checked, and what is read, at each call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.core.bind import Boxed
from jitgrad.trace.reads import Guard, Reads

Check = Callable[[Sequence[Any]], tuple[Any, ...] | None]


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
    bound: dict[str, Any] = dict(reads.roots)
    bound["same"] = same
    lines = []
    for number, guard in enumerate(reads.guards):
        bound[f"e{number}"] = guard.expected
        condition = _condition(guard, f"e{number}", bound)
        if condition:
            lines.append(f"        if {condition}: return None")
    results = ", ".join(reads.captured.values())
    comma = "," if len(reads.captured) == 1 else ""
    text = "\n".join(
        [
            f"def check(leaves, {', '.join(f'{n}={n}' for n in bound)}):",
            "    try:",
            *lines,
            f"        return ({results}{comma})",
            "    except (AttributeError, KeyError, IndexError, ValueError, TypeError):",
            "        return None",
        ]
    )
    namespace = dict(bound)
    exec(text, namespace)
    check: Check = namespace["check"]
    return check


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
        return f"not same({path}, {expected})"
    if guard.kind == "length":
        return f"len({path}) != {value}"
    if guard.kind == "type":
        return f"type({path}) is not {expected}"
    if guard.kind == "keys":
        return f"[*{path}] != {expected}" if _plain_keys(value) else f"len({path}) != {len(value)}"
    if guard.kind == "missing":
        return f"{expected} in {path}"
    if guard.kind == "content":
        bound[expected] = np.array(value)
        return f"not same({path}, {expected})"
    return _array_condition(path, value, expected, bound)


def _plain_keys(keys: list[Any]) -> bool:
    return all(isinstance(key, (str, int)) for key in keys)


def _array_condition(path: str, value: Any, expected: str, bound: dict[str, Any]) -> str:
    kind, shape, dtype = f"{expected}_type", f"{expected}_shape", f"{expected}_dtype"
    bound[kind], bound[shape], bound[dtype] = type(value), value.shape, value.dtype
    # The object itself must not be kept alive, nor bound, by its guard.
    bound[expected] = None
    text = f"type(v := {path}) is not {kind} or v.shape != {shape} or v.dtype != {dtype}"
    if isinstance(value, Boxed):
        text += f" or v.requires_grad is not {value.requires_grad}"  # type: ignore[attr-defined]
    return text


def same(found: Any, expected: Any) -> bool:
    """Return whether two values are indistinguishable: type, value, nan, sign of zero."""
    if type(found) is not type(expected):
        return False
    if isinstance(expected, np.ndarray):
        return (
            found.shape == expected.shape
            and found.dtype == expected.dtype
            and found.tobytes() == expected.tobytes()
        )
    if isinstance(expected, (float, complex, np.floating)):
        return repr(found) == repr(expected)
    return bool(found == expected)


def first_failure(reads: Reads, leaves: Sequence[Any]) -> str:
    """Return in words which guard fails now; ``""`` if all hold."""
    for guard in reads.guards:
        single = Reads([guard], {}, [], reads.roots)
        if compile_guards(single)(leaves) is None:
            return f"{guard.description} {_change(guard, reads, leaves)}"
    return ""


def _change(guard: Guard, reads: Reads, leaves: Sequence[Any]) -> str:
    try:
        now = eval(guard.path, {**reads.roots, "leaves": leaves})
    except Exception:  # noqa: BLE001 - user objects may raise anything when read
        return "is gone"
    if guard.kind == "missing":
        return "did not exist before"
    if guard.kind == "length":
        return f"had length {guard.expected}, has {len(now)}"
    if guard.kind == "tensor":
        return "has another type, shape, dtype or requires_grad"
    if guard.kind == "equal":
        return f"was {guard.expected!r}, is {now!r}"
    return "is another object than before"
