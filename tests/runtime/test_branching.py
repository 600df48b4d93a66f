"""Calls that take branches: a generated function walks the paths that are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.api.compile import CompiledFunction

ROWS = [np.array([1.0, 2.0, 3.0]), np.array([-1.0, 0.5, -3.0]), np.array([10.0, 20.0, 30.0])]


def two_sides(x: Any) -> Any:
    total = x.sum()
    if total > 0:
        return x * 2.0, total
    return x - 1.0, total


def nested(x: Any) -> Any:
    y = x * 3.0
    if y.sum() > 0:
        z = jg.tanh(y)
        if z[0] > 0.9 and y.max() > 50.0:
            return z * y
        return [z, x, 7, "name"]
    return {"shifted": y + 1.0, "same": y}


def by_number(x: Any) -> Any:
    count = int(abs(x[0]))
    return x * count + float(x[1])


def with_numbers(x: Any, factor: float = 0.5) -> Any:
    if x[0] * factor > 0:
        return x * factor
    return x.sum() * factor


def slope(x: Any) -> Any:
    return jg.value_and_grad(lambda x: two_sides(x)[0].sum() * two_sides(x)[1])(x)


def is_quick(compiled: Any, *args: Any) -> bool:
    """Return whether a call is made without the general way."""
    general: Callable[..., Any] = CompiledFunction._dispatch
    calls: list[Any] = []

    def noted(self: Any, *given: Any) -> Any:
        calls.append(given)
        return general(self, *given)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(CompiledFunction, "_dispatch", noted)
        compiled(*args)
    return not calls


def assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, (tuple, list)):
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, dict):
        assert_same(list(one.items()), list(other.items()))
    elif isinstance(one, jg.Tensor):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-14)
    elif isinstance(one, np.ndarray):
        np.testing.assert_allclose(one, other, rtol=1e-14)
    else:
        assert one == pytest.approx(other)


@pytest.mark.parametrize("make", [np.array, jg.tensor], ids=["arrays", "tensors"])
@pytest.mark.parametrize("function", [two_sides, nested, by_number, with_numbers, slope])
def test_each_path_gives_what_plain_python_gives(function: Any, make: Any) -> None:
    compiled = jg.compile(function)
    for row in [*ROWS, *ROWS, *reversed(ROWS), *ROWS]:
        assert_same(compiled(make(row)), function(make(row)))
    assert all(is_quick(compiled, make(row)) for row in ROWS)


def test_a_path_that_is_met_later_is_added() -> None:
    compiled = jg.compile(two_sides)
    for _ in range(4):
        compiled(ROWS[0])
    assert is_quick(compiled, ROWS[0])
    assert not is_quick(compiled, ROWS[1])
    for _ in range(3):
        assert_same(compiled(ROWS[1]), two_sides(ROWS[1]))
    assert is_quick(compiled, ROWS[0])
    assert is_quick(compiled, ROWS[1])


def test_results_of_a_path_have_memory_of_their_own() -> None:
    compiled = jg.compile(nested)
    results = [compiled(ROWS[1]) for _ in range(6)]
    results[0]["same"][:] = 77.0
    assert results[-1]["same"][0] == -3.0
    assert results[0]["shifted"][0] == -2.0


def test_what_is_read_outside_decides_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"least": 0.0}

    def clipped(x: Any) -> Any:
        return x if x.sum() > limits["least"] else -x

    compiled = jg.compile(clipped)
    for least in (0.0, 0.0, 0.0, 100.0, 100.0, 0.0, 0.0):
        limits["least"] = least
        assert_same(compiled(ROWS[0]), clipped(ROWS[0]))


def test_gradients_effects_and_random_numbers_go_the_general_way() -> None:
    compiled = jg.compile(two_sides)
    x = jg.tensor(ROWS[0]).requires_grad_()
    for _ in range(4):
        x.grad = None
        compiled(x)[0].sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), [2.0, 2.0, 2.0])

    def counted(x: Any, total: Any) -> Any:
        total += x
        return total.sum() if total.sum() > 20 else x

    step, total = jg.compile(counted), np.zeros(3)
    plain = np.zeros(3)
    for _ in range(6):
        assert_same(step(ROWS[0], total), counted(ROWS[0], plain))
    np.testing.assert_array_equal(total, plain)

    def noisy(x: Any) -> Any:
        noise = jg.randn(3)
        return noise if noise.sum() > 0 else x

    compiled = jg.compile(noisy)
    jg.manual_seed(0)
    seen = [compiled(jg.tensor(ROWS[0])).numpy() for _ in range(8)]
    jg.manual_seed(0)
    for one in seen:
        np.testing.assert_allclose(one, noisy(jg.tensor(ROWS[0])).numpy(), rtol=1e-6)


def test_an_error_of_a_path_is_that_of_plain_python() -> None:
    def pick(x: Any, k: Any) -> Any:
        if x.sum() > 0:
            return jg.tensor(x)[k]
        return jg.tensor(x)[0]

    compiled = jg.compile(pick)
    for _ in range(4):
        compiled(ROWS[0], np.array(2))
    with pytest.raises(IndexError):
        compiled(ROWS[0], np.array(3))
    assert compiled(ROWS[0], np.array(1)).item() == 2.0
