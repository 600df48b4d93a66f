"""NumPy arrays in compiled functions: what NumPy would give comes back, as NumPy would give it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import Tensor
from jitgrad.testing import assert_close

X = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
F = X.astype(np.float32)
N = np.array([3, 1, 2])
B = np.array([True, False, True])


def same(found: Any, expected: Any) -> None:
    """Check type, dtype, shape and values."""
    assert type(found) is type(expected)
    if isinstance(expected, (tuple, list)):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            same(a, b)
        return
    if isinstance(expected, (np.ndarray, np.generic)):
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
    assert_close(found, expected)


# One function for many expressions: each is a result of its own, and one kernel serves all.
CASES: dict[str, Callable[..., Any]] = {
    "operators": lambda x, f, n, b: (
        x + x, x - 1, 2 * x, x / 2, x // 2, x % 2, x**2, -x, abs(x), +x, x @ x.T, 1.5 - f, f / f,
    ),
    "promotion": lambda x, f, n, b: (
        x[0] + f[0], f * 2.5, f + n, n / 2, n / n, n * 2, n + b, b * 1.0, n // 2, n % 2, n**2,
        f * x[0, 0], f * x[0, 0].item(), x[0] * n, np.float64(2.0) * f,
    ),
    "comparisons": lambda x, f, n, b: (
        x > 2, x <= f, n == 2, n != 3, b & (n > 1), b | (n > 1), ~b, b ^ b,
    ),
    "indexing": lambda x, f, n, b: (
        x[0], x[1, 2], x[:, 1], x[::-1, 1:], x[..., None], x[:, b.tolist()], x[:, [2, 0]],
    ),
    "methods": lambda x, f, n, b: (
        x.sum(), x.mean(axis=0), x.std(), x.var(axis=1, keepdims=True), x.max(), x.min(axis=1),
        x.argmax(axis=1), x.argmin(), x.prod(), x.cumsum(axis=0), x.cumsum(), x.clip(2, 5), x.T,
        x.reshape(3, 2), x.reshape((-1,)), x.ravel(), x.flatten(), x.transpose(), x.dot(x.T),
        x.transpose(1, 0), x.swapaxes(0, 1), x.copy(), x.round(), x.squeeze(), x.diagonal(),
        x.trace(), x.repeat(2, axis=1), x.take(n % 2, axis=0), x.astype(np.float32), n.sum(),
        b.any(), b.all(), x.real, n.max(),
    ),
    "attributes": lambda x, f, n, b: (x.shape, x.ndim, x.size, x.dtype, x.nbytes, len(x)),
    "functions": lambda x, f, n, b: (
        np.sin(x), np.exp(f), np.sqrt(n), np.maximum(x, 2.5), np.where(x > 2, x, 0.0),
        np.sum(x, axis=1), np.mean(f), np.std(x), np.concatenate([x, x]), np.stack([x[0], x[1]]),
        np.dot(x, x.T), np.zeros_like(x), np.full_like(x, 7), np.linalg.norm(x), np.outer(n, n),
        np.clip(x, 2, 3), np.einsum("ij,kj->ik", x, x), np.power(x, 2), np.add(x, f), np.square(n),
        np.logaddexp(x, f), np.hypot(x, x), np.transpose(x), np.expand_dims(x, 0), np.tanh(x),
    ),
    "scalars": lambda x, f, n, b: (
        x.sum() * f, np.sum(f) * x, f.sum() / 3, x.sum() * 2, np.max(x) + np.min(x), x[0, 0] * f,
    ),
    "iteration": lambda x, f, n, b: ([row * 2 for row in x], sum(x), sum(x[0]), list(x[0, :2])),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:compile")
@pytest.mark.parametrize("name", CASES)
def test_results_of_numpy_arguments_are_those_of_numpy(name: str) -> None:
    f = jitgrad.compile(CASES[name])
    for _ in range(3):
        same(f(X, F, N, B), f.__wrapped__(X, F, N, B))
    assert not f.explain().eager_reason


def test_results_of_jitgrads_functions_are_tensors() -> None:
    @jitgrad.compile
    def f(x: Any, w: Any) -> Any:
        return jitgrad.tanh(x), jitgrad.tensor(x) * 2, jitgrad.as_tensor(x) + 1, x * w, w * x

    w = jitgrad.ones(3, dtype=jitgrad.float64)
    for _ in range(3):
        results, expected = f(X, w), f.__wrapped__(X, w)
        for a, b in zip(results, expected, strict=True):
            assert type(a) is type(b) is Tensor
            assert a.dtype == b.dtype
            assert_close(a, b)


def test_a_tensor_among_arrays_makes_tensors_with_gradients() -> None:
    @jitgrad.compile
    def f(x: Any, w: Any) -> Any:
        return np.sum(np.exp(x @ w) * 0.1), np.mean(x)

    w = jitgrad.zeros(3, dtype=jitgrad.float64, requires_grad=True)
    for _ in range(2):
        w.grad = None
        loss, mean = f(X, w)
        assert type(loss) is Tensor
        assert type(mean) is np.float64
        loss.backward()
        assert_close(w.grad, X.sum(axis=0) * 0.1)


def test_arrays_changed_in_place_are_changed_for_the_caller() -> None:
    @jitgrad.compile
    def f(x: Any, y: Any) -> Any:
        x += y
        x[0] = 0.0
        x[1, 1:] *= 2.0
        np.multiply(y, 2.0, out=y)
        return x[1] + y[0]

    for _ in range(3):
        x, y = X.copy(), X * 10
        x_plain, y_plain = X.copy(), X * 10
        same(f(x, y), f.__wrapped__(x_plain, y_plain))
        same(x, x_plain)
        same(y, y_plain)
    assert not f.explain().eager_reason


def test_a_new_array_changed_in_place_is_no_input() -> None:
    @jitgrad.compile
    def f(x: Any) -> Any:
        y = np.zeros_like(x)
        y[1:] = x[:-1]
        z = x.copy()
        z -= y
        return z

    for _ in range(2):
        same(f(X.copy()), np.array([X[0], X[1] - X[0]]))


def test_arrays_that_numpy_makes_of_nothing_are_constants() -> None:
    @jitgrad.compile
    def f(x: Any) -> Any:
        return x + np.arange(3.0), np.eye(2), np.linspace(0, 1, 3) * 2.0

    for _ in range(2):
        first, second, third = f(X)
        same(first, X + np.arange(3.0))
        same(second, np.eye(2))
        same(third, np.linspace(0, 1, 3) * 2.0)
        second[:] = 9.0  # a fresh array in every call


def test_layouts_and_read_only_arrays_are_taken_as_they_are() -> None:
    f = jitgrad.compile(lambda x: np.cumsum(x * 2.0, axis=1))
    frozen = X.copy()
    frozen.flags.writeable = False
    for x in (X, X.T, X[:, ::-1], np.asfortranarray(X), frozen, X[:, ::2], np.empty((0, 3)), X):
        same(f(x), np.cumsum(x * 2.0, axis=1))


def test_writing_to_a_read_only_array_raises_what_numpy_raises() -> None:
    @jitgrad.compile
    def f(x: Any) -> Any:
        x += 1.0
        return x

    f(X.copy())
    frozen = X.copy()
    frozen.flags.writeable = False
    for _ in range(2):
        with pytest.raises(ValueError, match="read-only"):
            f(frozen)


def test_what_jitgrad_has_not_runs_as_plain_python() -> None:
    f = jitgrad.compile(lambda x: np.real_if_close(x))
    with pytest.warns(jitgrad.FallbackWarning, match="runs without being compiled"):
        result = f(X)
    same(result, np.real_if_close(X))


@pytest.mark.parametrize(
    "x", [np.array([1, "a"], dtype=object), X.astype(np.float16), X.astype(complex)]
)
def test_arrays_of_other_dtypes_run_as_plain_python(x: Any) -> None:
    f = jitgrad.compile(lambda x: x * 2)
    with pytest.warns(jitgrad.FallbackWarning, match="runs without being compiled"):
        result = f(x)
    assert result.dtype == x.dtype
    assert (result == x * 2).all()


def test_gradients_by_arrays_are_arrays() -> None:
    def loss(w: Any, x: Any) -> Any:
        return jitgrad.sum(jitgrad.tanh(x @ w) ** 2)

    w = np.ones(3)
    expected = jitgrad.value_and_grad(loss)(w, X)
    f = jitgrad.compile(jitgrad.value_and_grad(loss))
    for _ in range(2):
        same(f(w, X), expected)


def test_isinstance_tells_what_the_caller_gave() -> None:
    @jitgrad.compile
    def f(x: Any, a: Any, n: Any) -> Any:
        kinds = [np.ndarray, np.generic, np.float64, float, int, bool, str]
        return [[isinstance(v, k) for k in kinds] for v in (x, a, n, x.sum(), a > 1, x[0, 0])]

    for _ in range(2):
        assert f(X, 2.5, 3) == f.__wrapped__(X, 2.5, 3)
        assert f(X[:1], np.float64(2.5), np.int64(3))[1][1:4] == [True, True, True]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * 2 if isinstance(x, Tensor) else jitgrad.tensor(x) * 3,
        lambda x: x * 2 if type(x) is Tensor else x * 3,
    ],
)
def test_asking_whether_an_array_is_a_tensor_runs_as_plain_python(function: Any) -> None:
    f = jitgrad.compile(function)
    x = jitgrad.tensor(X)
    assert_close(f(x), x * 2)
    assert not f.explain().eager_reason
    with pytest.warns(jitgrad.FallbackWarning, match="asks for the type"):
        same(f(X), function(X))
