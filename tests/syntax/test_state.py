"""What changes between calls is seen by the next one, in functions with loops as well."""

from __future__ import annotations

import itertools
import types
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.core.errors import FallbackWarning

_RATE = 2.0


def _x(n: int = 6) -> Any:
    return jg.tensor(np.linspace(-1.0, 2.0, n))


def _agree(compiled: Any, plain: Any, *arguments: Any) -> None:
    for _ in range(2):
        np.testing.assert_allclose(compiled(*arguments).numpy(), plain(*arguments).numpy())


def _with_global(x: Any) -> Any:
    for i in range(x.shape[0]):
        x = x + _RATE * x[i]
    return x


def test_a_global_that_a_loop_reads() -> None:
    global _RATE
    compiled = jg.compile(_with_global)
    for rate in (2.0, 3.0, 2.0):
        _RATE = rate
        _agree(compiled, _with_global, _x())


def test_a_closure_variable_that_a_loop_reads() -> None:
    rate = 0.5

    def decayed(x: Any) -> Any:
        for i in range(x.shape[0]):
            x = x * rate + i
        return x

    compiled = jg.compile(decayed)
    for new in (0.5, 0.25, 0.125):
        rate = new
        _agree(compiled, decayed, _x())


def test_an_attribute_of_a_module_that_a_loop_reads() -> None:
    module = types.SimpleNamespace(rate=0.5)

    def decayed(x: Any) -> Any:
        for i in range(x.shape[0]):
            x = x * module.rate + i
        return x

    compiled = jg.compile(decayed)
    for rate in (0.5, 0.25, 0.125):
        module.rate = rate
        _agree(compiled, decayed, _x())


def test_the_length_of_a_list_that_a_loop_goes_along() -> None:
    weights = [1.0, 2.0]

    def weighted(x: Any) -> Any:
        for w in weights:
            for i in range(x.shape[0]):
                x = x + w * x[i]
        return x

    compiled = jg.compile(weighted)
    _agree(compiled, weighted, _x())
    weights.append(3.0)
    _agree(compiled, weighted, _x())
    weights[0] = 5.0
    _agree(compiled, weighted, _x())


def test_a_default_that_a_loop_reads() -> None:
    def scaled(x: Any, n: int = 6, rate: float = 0.5) -> Any:
        for i in range(n):
            x = x * rate + i
        return x

    compiled = jg.compile(scaled)
    _agree(compiled, scaled, _x())
    scaled.__defaults__ = (7, 0.25)
    _agree(compiled, scaled, _x())


def test_another_dtype_and_shape() -> None:
    def summed(x: Any) -> Any:
        s = 0.0
        for i in range(x.shape[0]):
            s = s + x[i]
        return s

    compiled = jg.compile(summed)
    for x in (_x(), _x().float(), _x(9), jg.arange(7), _x(5).float()):
        found, expected = compiled(x), summed(x)
        assert found.dtype == expected.dtype
        assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_requires_grad_and_grad_mode() -> None:
    w = jg.tensor(0.5, dtype=np.float64)

    def powers(x: Any) -> Any:
        for i in range(6):
            x = x * w + i
        return x.sum()

    compiled = jg.compile(powers)
    assert not compiled(_x()).requires_grad
    w.requires_grad = True
    for _ in range(2):
        w.grad = None
        compiled(_x()).backward()
        found, w.grad = w.grad, None
        powers(_x()).backward()
        np.testing.assert_allclose(found.numpy(), w.grad.numpy())
    with jg.no_grad():
        assert not compiled(_x()).requires_grad
    assert compiled(_x()).requires_grad


def test_no_grad_inside_a_loop() -> None:
    def stopped(x: Any) -> Any:
        s = x[0]
        for i in range(x.shape[0]):
            with jg.no_grad():
                scale = s * 0.5
            s = s + scale * x[i]
        return s

    x = _x()
    expected = jg.grad(stopped)(x).numpy()
    np.testing.assert_allclose(jg.compile(jg.grad(stopped))(x).numpy(), expected)


def test_a_function_that_counts_its_calls_is_left_to_python() -> None:
    calls = 0

    def counted(x: Any) -> Any:
        nonlocal calls
        for i in range(x.shape[0]):
            calls += 1
            x = x + i
        return x * calls

    compiled = jg.compile(counted)
    with pytest.warns(FallbackWarning, match="closure variable"):
        first = compiled(_x())
    assert calls == 6
    np.testing.assert_allclose(first.numpy(), (_x() + 15.0).numpy() * 6)
    np.testing.assert_allclose(compiled(_x()).numpy(), (_x() + 15.0).numpy() * 12)
    assert calls == 12


def test_a_mutable_default_is_left_to_python() -> None:
    def remembered(x: Any, seen: list[int] = []) -> Any:  # noqa: B006 - that is the point
        for i in range(x.shape[0]):
            seen.append(i)
            x = x + len(seen)
        return x

    compiled = jg.compile(remembered)
    with pytest.warns(FallbackWarning, match="changes"):
        compiled(_x())
    assert remembered.__defaults__ == (list(range(6)),)
    np.testing.assert_allclose(compiled(_x()).numpy(), (_x() + sum(range(7, 13))).numpy())


def test_a_generator_from_outside_is_left_to_python() -> None:
    numbers = itertools.count()

    def numbered(x: Any) -> Any:
        for _ in range(6):
            x = x + next(numbers)
        return x

    compiled = jg.compile(numbered)
    with pytest.warns(FallbackWarning):
        np.testing.assert_allclose(compiled(_x()).numpy(), (_x() + 15.0).numpy())
    np.testing.assert_allclose(compiled(_x()).numpy(), (_x() + 51.0).numpy())


def test_random_draws_in_a_loop() -> None:
    def walk(x: Any) -> Any:
        for _ in range(6):
            x = x + jg.randn(3)
        return x

    compiled = jg.compile(walk)
    jg.manual_seed(3)
    expected = [walk(jg.zeros(3)).numpy() for _ in range(4)]
    jg.manual_seed(3)
    found = [compiled(jg.zeros(3)).numpy() for _ in range(4)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert not np.allclose(found[0], found[1])


def test_try_and_except_around_a_loop() -> None:
    def tried(x: Any, n: int) -> Any:
        s = jg.zeros((), dtype=np.float64)
        try:
            for i in range(n):
                s = s + x[i]
        except IndexError:
            return s * 0.0 - 1.0
        return s

    compiled = jg.compile(tried)
    for n in (5, 6, 7, 8, 5):
        assert compiled(_x(), n).item() == pytest.approx(tried(_x(), n).item())


def test_errors_are_those_of_the_plain_function() -> None:
    def wrong(x: Any) -> Any:
        for i in range(6):
            x = x + jg.ones(i + 2)
        return x

    compiled = jg.compile(wrong)
    with pytest.raises(ValueError, match="broadcast") as caught:
        compiled(jg.ones(2))
    assert f"test_state.py:{wrong.__code__.co_firstlineno + 2}" in str(caught.value)


def test_recursion_with_a_loop_inside() -> None:
    def nested(x: Any, n: int) -> Any:
        if n == 0:
            return x
        for i in range(6):
            x = x + 0.1 * i
        return nested(x * 0.5, n - 1)

    _agree(jg.compile(nested), nested, _x(), 3)


def test_an_array_from_outside_is_read_at_the_index_of_a_loop() -> None:
    data = np.linspace(1.0, 2.0, 6)

    def weighted(x: Any) -> Any:
        s = x[0] * 0.0
        for i in range(x.shape[0]):
            s = s + x[i] * data[i]
        return s

    compiled = jg.compile(weighted)
    _agree(compiled, weighted, _x())
    assert " = loop " in compiled.graph(_x())
    data[2] = 7.0
    _agree(compiled, weighted, _x())


def test_plain_loops_in_the_bodies_of_loop_functions() -> None:
    def body(i: Any, c: Any) -> Any:
        for k in range(6):
            if c[k] > 1.0:
                c[k] -= 0.5
        return c + 0.1 * i

    expected = _x().numpy().copy()
    for i in range(4):
        expected = np.where(expected > 1.0, expected - 0.5, expected) + 0.1 * i
    np.testing.assert_allclose(jg.fori_loop(0, 4, body, _x()).numpy(), expected)
