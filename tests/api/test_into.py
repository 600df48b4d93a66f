"""Results in arrays that the caller gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.core.errors import ArgumentError
from jitgrad.runtime.graph_function import GraphFunction

X = np.linspace(-1.0, 2.0, 12).reshape(3, 4)


def both(x: Any) -> Any:
    return {"slope": x * x, "rows": (x.sum(1), x.max())}


def _buffers() -> Any:
    return {"slope": np.full((3, 4), np.nan), "rows": (np.full(3, np.nan), np.full((), np.nan))}


def test_results_are_written_into_the_given_arrays() -> None:
    compiled, out = jg.compile(both), _buffers()
    for factor in (1.0, 2.0, 3.0, 4.0):
        assert compiled(factor * X, out=out)["slope"] is out["slope"]
        expected = both(factor * X)
        np.testing.assert_array_equal(out["slope"], expected["slope"])
        np.testing.assert_allclose(out["rows"][0], expected["rows"][0])
        assert out["rows"][1] == expected["rows"][1]


def test_they_are_written_without_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    plain = GraphFunction.apply_into

    def noted(self: Any, arguments: Any, into: Any) -> Any:
        seen.append(plain(self, arguments, into))
        return seen[-1]

    monkeypatch.setattr(GraphFunction, "apply_into", noted)
    step = jg.compile(jg.value_and_grad(lambda x: (x * x).sum()))
    slope = np.empty((3, 4))
    for _ in range(3):
        value, found = step(X, out=(None, slope))
        assert found is slope
        np.testing.assert_allclose(value, (X * X).sum())
        np.testing.assert_array_equal(slope, 2.0 * X)
    assert any(tensor._raw is slope for tensor in seen[-1])


def test_tensors_strided_arrays_and_branches() -> None:
    double = jg.compile(lambda x: 2.0 * x if x.sum() > 0 else x - 1.0)
    target = jg.zeros(3, 4, dtype=jg.float64)
    wide = np.zeros((3, 8))
    for _ in range(3):
        assert double(jg.tensor(X), out=target) is target
        np.testing.assert_array_equal(target.numpy(), 2.0 * X)
        assert double(-X, out=wide[:, ::2]) is not None
        np.testing.assert_array_equal(wide[:, ::2], -X - 1.0)
        np.testing.assert_array_equal(wide[:, 1::2], 0.0)
    with pytest.raises(ArgumentError, match="requires a gradient"):
        double(jg.tensor(X).requires_grad_(), out=target)


def test_the_same_result_twice_fills_both() -> None:
    pair = jg.compile(lambda x: (x, x + 1.0, x + 1.0))
    out = [np.zeros((3, 4)) for _ in range(3)]
    for _ in range(3):
        pair(X, out=tuple(out))
        for one, other in zip(out, (X, X + 1.0, X + 1.0), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros((4, 3)), r"shape \(4, 3\) and dtype float64"),
        (np.zeros((3, 4), np.float32), "dtype float32"),
        (jg.zeros(3, 4, dtype=jg.float64), "out holds Tensor for a result that is ndarray"),
        ([np.zeros((3, 4))], "another structure"),
        (7, "out holds int"),
        (X[:], "shares memory with another one or an argument"),
        (np.broadcast_to(np.zeros(4), (3, 4)), "read-only"),
    ],
)
def test_buffers_that_do_not_fit_are_refused(out: Any, message: str) -> None:
    double = jg.compile(lambda x: 2.0 * x)
    before = X.copy()
    for _ in range(3):
        with pytest.raises(ArgumentError, match=message):
            double(X, out=out)
    np.testing.assert_array_equal(X, before)


def test_buffers_that_overlap_are_refused() -> None:
    pair = jg.compile(lambda x: (x + 1.0, x - 1.0))
    memory = np.zeros((4, 4))
    with pytest.raises(ArgumentError, match="shares memory"):
        pair(X, out=(memory[:3], memory[1:]))


def test_out_of_the_function_itself_stays_its_own() -> None:
    shifted = jg.compile(lambda x, out=1.0: x + out)
    for _ in range(3):
        np.testing.assert_array_equal(shifted(X, out=5.0), X + 5.0)


def test_an_error_is_that_of_the_plain_function() -> None:
    pick = jg.compile(lambda x, k: jg.tensor(x)[k] * 2.0)
    out = jg.zeros(2, 4, dtype=jg.float64)
    pick(X, np.array([0, 1]), out=out)
    pick(X, np.array([0, 1]), out=out)
    with pytest.raises(IndexError):
        pick(X, np.array([0, 9]), out=out)
