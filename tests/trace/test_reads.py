"""What the scan of a function finds: everything that it may read besides its arguments."""

from __future__ import annotations

import functools
import math
import types
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad.trace.reads import scan

SCALE = 2.0
DATA = np.ones(3)


class Holder:
    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def described(function: Any, *leaves: Any) -> list[str]:
    return [guard.description for guard in scan(function, leaves).guards]


def helper(x: Any) -> Any:
    return x * SCALE


def test_globals_of_called_functions_are_found() -> None:
    assert "global `SCALE`" in described(lambda x: helper(x))


def test_code_that_is_never_reached_counts_as_read() -> None:
    def f(x: Any) -> Any:
        if False:
            return x * SCALE

        def inner() -> Any:
            return SCALE + 1

        return x

    assert "global `SCALE`" in described(f)


def test_tensors_and_arrays_are_captured_by_their_paths() -> None:
    w = jitgrad.ones(2)
    table = {"w": [w, (DATA,)]}
    reads = scan(lambda x: (table["w"], Holder, DATA), [])
    assert list(reads.captured) == [id(w), id(DATA)]
    paths = list(reads.captured.values())
    assert paths[0].endswith("['w'][0]")


def test_slots_partials_methods_and_defaults_are_followed() -> None:
    w = jitgrad.ones(2)
    holder = Holder(w)

    def f(x: Any, y: Any, h: Any = holder) -> Any:
        return h.value

    reads = scan(functools.partial(f, 1, y=DATA), [])
    assert {id(w), id(DATA)} <= set(reads.captured)
    reads = scan(types.MethodType(lambda self: self.value, holder), [])
    assert id(w) in reads.captured


def test_attributes_that_no_code_names_are_left_alone() -> None:
    holder = types.SimpleNamespace(a=1.0)

    class Mine:
        pass

    mine: Any = Mine()
    vars(mine).update(read=1.0, unread=iter([]))
    found = described(lambda x: mine.read)
    assert "closure variable `mine`.read" in found
    assert not any("unread" in text for text in found)
    assert "closure variable `holder`.a" in described(lambda x: holder)


def test_objects_that_contain_themselves_are_no_problem() -> None:
    loop: list[Any] = [1.0]
    loop.append(loop)
    reads = scan(lambda x: loop, [])
    assert not reads.unguardable


def test_library_functions_are_taken_as_they_are() -> None:
    reads = scan(lambda x: math.sqrt(2.0) + np.sqrt(x) + jitgrad.sin(x), [])
    assert not reads.unguardable
    assert not reads.captured


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: open("file"), "open"),  # noqa: SIM115 - only scanned
        (lambda x: input(), "input"),
        (lambda x: eval("x"), "eval"),
        (lambda x: globals(), "globals"),
    ],
)
def test_what_can_not_be_checked_is_named(function: Any, reason: str) -> None:
    assert reason in scan(function, []).unguardable


def test_modules_imported_inside_are_checked() -> None:
    def f(x: Any) -> Any:
        import random

        return x * random.random()

    def g(x: Any) -> Any:
        from datetime import datetime

        return datetime.now()

    assert "random" in scan(f, []).unguardable
    assert "datetime" in scan(g, []).unguardable


def test_too_many_objects_are_too_many() -> None:
    data = [[k] for k in range(30_000)]
    assert "more than" in scan(lambda x: data, []).unguardable
