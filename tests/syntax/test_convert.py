"""Rewritten functions are the user's functions in everything but their code."""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.core.bind import tracing
from jitgrad.syntax.calls import callee, replace_when_called
from jitgrad.syntax.convert import converted
from jitgrad.trace.recorder import Recorder

_SCALE = 3.0


def _doubled(x: Any) -> Any:
    return 2 * x


def _scaled(x: Any, /, by: float = 2.0, *more: float, shift: float = 0.5, **named: float) -> Any:
    """Scale."""
    return _doubled(x) * by * _SCALE + shift + sum(more) + sum(named.values())


class _Base:
    def value(self, x: Any) -> Any:
        return x + 1


class _Derived(_Base):
    def __init__(self) -> None:
        self.__hidden = 5.0

    def value(self, x: Any) -> Any:
        return super().value(x) * self.__hidden


def _counter() -> tuple[Callable[[], int], Callable[[], int]]:
    count = 0

    def up() -> int:
        nonlocal count
        count += 1
        return count

    def read() -> int:
        return int(count)

    return up, read


def _factorial(n: int) -> int:
    return 1 if n <= 0 else n * _factorial(n - 1)


def _raising(x: Any) -> Any:
    y = _doubled(x)
    raise ValueError(f"no {y}")


def test_a_rewritten_function_has_other_code_and_gives_the_same() -> None:
    rewritten = converted(_scaled)
    assert rewritten is not _scaled
    assert rewritten.__code__ is not _scaled.__code__
    assert rewritten(1.0) == _scaled(1.0)
    args, named = (1.0, 4.0, 2.0), {"shift": 1.0, "z": 2.0}
    assert rewritten(*args, **named) == _scaled(*args, **named)


def test_a_rewritten_function_looks_like_the_plain_one() -> None:
    rewritten = converted(_scaled)
    assert inspect.signature(rewritten) == inspect.signature(_scaled)
    assert (rewritten.__name__, rewritten.__doc__) == ("_scaled", "Scale.")
    assert rewritten.__qualname__ == rewritten.__code__.co_qualname == "_scaled"
    assert rewritten.__globals__ is _scaled.__globals__
    assert inspect.getsource(rewritten) == inspect.getsource(_scaled)


def test_methods_keep_private_names_and_the_short_super() -> None:
    rewritten = converted(_Derived().value)
    assert rewritten.__func__ is not _Derived.value
    assert rewritten(1.0) == 10.0


def test_closure_cells_are_shared() -> None:
    up, read = _counter()
    assert converted(up)() == 1
    assert up() == 2
    assert converted(read)() == read() == 2


def test_lambdas_and_partial_applications_are_rewritten() -> None:
    pair = (lambda x: _doubled(x), lambda x: _doubled(x) + 1)
    assert [converted(f)(1.0) for f in pair] == [2.0, 3.0]
    assert converted(pair[1]).__code__ is not pair[1].__code__
    partial = functools.partial(_scaled, by=3.0)
    assert converted(partial).func is not _scaled
    assert converted(partial)(1.0) == partial(1.0)


def test_a_function_finds_itself_among_the_globals() -> None:
    rewritten = converted(_factorial)
    assert rewritten.__code__ is not _factorial.__code__
    assert rewritten(5) == 120


def test_parts_of_functions_inside_have_the_name_of_the_function() -> None:
    def outer(x: Any) -> Any:
        def inner(v: Any) -> Any:
            if v > 0:
                raise ValueError("inside")
            return v

        return inner(x)

    with pytest.raises(ValueError, match="inside") as caught:
        converted(outer)(1)
    names = [f.name for f in traceback.extract_tb(caught.value.__traceback__)]
    assert set(names[1:]) <= {"outer", "inner", "if_"}


def test_changed_defaults_are_seen() -> None:
    def shifted(x: float, by: float = 1.0) -> float:
        return float(x) + by

    assert converted(shifted)(1.0) == 2.0
    shifted.__defaults__ = (2.0,)
    assert converted(shifted)(1.0) == 3.0


def test_functions_of_libraries_and_without_source_stay_as_they_are() -> None:
    namespace: dict[str, Any] = {}
    exec("def f(x):\n    return abs(x)", namespace)
    for function in (np.mean, inspect.getsource, jg.tanh, abs, namespace["f"], _Derived):
        assert converted(function) is function


def test_tracebacks_show_the_lines_of_the_user() -> None:
    frames = []
    for function in (_raising, converted(_raising)):
        with pytest.raises(ValueError, match="no 2") as caught:
            function(1)
        summary = traceback.extract_tb(caught.value.__traceback__)[1:]
        frames.append([(f.filename, f.lineno, f.name, f.line) for f in summary])
    assert frames[0] == frames[1]


def test_calls_of_functions_of_the_user_are_rewritten_only_while_tracing() -> None:
    assert callee(_doubled) is _doubled
    with tracing(Recorder()):
        assert callee(_doubled).__code__ is not _doubled.__code__
        assert callee(callee(_doubled)).__code__ is callee(_doubled).__code__


def test_a_function_can_have_another_one_in_its_place() -> None:
    def plain() -> int:
        return 1

    replace_when_called(plain, lambda: 2)

    def caller() -> int:
        renamed = plain
        return renamed()

    assert converted(caller)() == 1
    with tracing(Recorder()):
        assert converted(caller)() == 2


def test_graphs_name_the_lines_of_the_user() -> None:
    def loss(x: Any) -> Any:
        return _doubled(x).sum()

    text = jg.compile(loss).graph(jg.ones(3))
    line = loss.__code__.co_firstlineno + 1
    assert f"test_convert.py:{line}" in text
    assert f"test_convert.py:{_doubled.__code__.co_firstlineno + 1}" in text
