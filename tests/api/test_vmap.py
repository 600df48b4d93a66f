"""Mapped functions do for many examples what a loop over the examples does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.core.errors import ArgumentError, ShapeError, TraceError

EXAMPLES = 4
_rng = np.random.default_rng(3)
WEIGHTS = _rng.uniform(-1, 1, (3, 3))
X = _rng.uniform(0.2, 2.0, (EXAMPLES, 3)) * np.array([1, -1, 1])


def _loop_in_place(x: Any) -> Any:
    out = jg.zeros(3, dtype=jg.float64)
    for i in range(3):
        out[i] = x[i] * x[i - 1]
    return out


def _branch(x: Any) -> Any:
    return jg.cond(x.sum() > 1, lambda v: jg.log(jg.abs(v)), lambda v: v * v, x)


def _choice(x: Any) -> Any:
    number = (x.sum() > 1).long() + (x[0] > 1).long()
    return jg.switch(number, [jg.sin, jg.exp, lambda v: 2 * v], x)


def _scanned(x: Any) -> Any:
    last, all_of_them = jg.scan(lambda c, v: (c * v + 1, c), 1.0, x)
    return last + all_of_them.sum()


def _until(x: Any) -> Any:
    return jg.while_loop(lambda c: (c * c).sum() < 40, lambda c: 1.3 * c + 0.1, x)


def _counted_by_itself(x: Any) -> Any:
    times = jg.floor(jg.abs(x[0]) * 3).long()
    return jg.fori_loop(0, times, lambda i, c: jg.tanh(c) + 0.1 * i, x)


def _nested_loops(x: Any) -> Any:
    def inner(j: Any, c: Any) -> Any:
        return c + 0.1 * x[j] * jg.sin(c)

    return jg.fori_loop(0, 2, lambda i, c: jg.fori_loop(0, 3, inner, c) * (i + 1), x)


def _written_where_it_is_large(x: Any) -> Any:
    y = x * x
    y[y > 1] = x.sum()
    return y * x


def _ends_early(x: Any) -> Any:
    total = x[0]
    for i in range(3):
        if x[i] < 0:
            return total * (i * 0.1)
        if x[i] > 1.5:
            break
        total = total + x[i]
    else:
        total = total * 2
    return total


def _parts_of_many_sizes(x: Any) -> Any:
    total = x[0] * 0
    for i in range(4):
        total = total + x[:i].sum() * i
    return jg.fori_loop(0, 3, lambda i, c: c * 0.5 + (x[: i + 1] * x[2 - i :]).sum(), total)


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "elementwise": lambda x: jg.tanh(x) * x + 1,
    "numbers": lambda x: x[0] * x[1] - jg.exp(x[2]),
    "sum": lambda x: (x * x).sum(),
    "norm": lambda x: x.norm(),
    "mean and variance": lambda x: x.mean() + x.var(),
    "largest": lambda x: x.max(dim=0).values,
    "softmax": lambda x: jg.softmax(x, 0),
    "product": lambda x: jg.tensor(WEIGHTS) @ x,
    "outer product": lambda x: jg.outer(x, x),
    "einsum": lambda x: jg.einsum("i,ij,j->", x, jg.tensor(WEIGHTS), x),
    "linear system": lambda x: jg.linalg.solve(jg.outer(x, x) + jg.eye(3, dtype=jg.float64), x),
    "determinant": lambda x: jg.linalg.det(jg.outer(x, x) + jg.eye(3, dtype=jg.float64)),
    "eigenvalues": lambda x: jg.linalg.eigvalsh(jg.outer(x, x) + jg.diag(x)),
    "cumulated": lambda x: jg.cumsum(x, 0) * x,
    "sorted": lambda x: jg.sort(x).values * jg.tensor([1.0, 2.0, 3.0]),
    "places": lambda x: x[jg.argsort(x)] ** 2,
    "slices": lambda x: jg.cat([x[1:], x[:1] * 2]),
    "masked": lambda x: jg.where(x > 0, jg.log(jg.abs(x)), 0.0),
    "spectrum": lambda x: jg.fft.rfft(x).real,
    "constant": lambda x: jg.ones(2, dtype=jg.float64),
    "loop in place": _loop_in_place,
    "branch": _branch,
    "choice": _choice,
    "scan": _scanned,
    "while": _until,
    "counted by itself": _counted_by_itself,
    "nested loops": _nested_loops,
    "written where it is large": _written_where_it_is_large,
    "ends early": _ends_early,
    "parts of many sizes": _parts_of_many_sizes,
}
over_functions = pytest.mark.parametrize("name", FUNCTIONS)


def one_by_one(function: Callable[[Any], Any], xs: Any = X) -> Any:
    return np.stack([function(jg.tensor(x)).detach().numpy() for x in xs])


def assert_same(found: Any, expected: Any) -> None:
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)


@over_functions
def test_values_are_those_of_each_example(name: str) -> None:
    function = FUNCTIONS[name]
    assert_same(jg.vmap(function)(X), one_by_one(function))


@over_functions
def test_gradients_of_each_example_are_its_own(name: str) -> None:
    gradient = jg.grad(lambda x: (FUNCTIONS[name](x) * 0.7).sum())
    assert_same(jg.vmap(gradient)(X), one_by_one(gradient))


@over_functions
def test_gradients_through_a_mapped_function_are_those_of_a_loop(name: str) -> None:
    function = FUNCTIONS[name]
    found = jg.grad(lambda x: jg.sin(jg.vmap(function)(x)).sum())(jg.tensor(X))
    expected = one_by_one(jg.grad(lambda x: jg.sin(function(x)).sum()))
    assert_same(found, expected)


@pytest.mark.parametrize(
    "name", ["elementwise", "product", "largest", "branch", "while", "scan", "counted by itself"]
)
def test_compiled_ones_are_the_same(name: str) -> None:
    gradient = jg.grad(lambda x: (FUNCTIONS[name](x) * 0.7).sum())
    compiled = jg.compile(jg.vmap(gradient))
    with jg.no_grad():
        for _ in range(2):
            assert_same(compiled(jg.tensor(X)), one_by_one(gradient))


def test_a_mapped_function_with_a_loop_is_differentiated_by_an_array() -> None:
    def function(x: Any) -> Any:
        total = x[0]
        for i in range(3):
            total = total + x[i] * x[i - 1]
        return total

    found = jg.grad(lambda x: jg.vmap(function)(x).sum())(X)
    np.testing.assert_allclose(found, np.stack([jg.grad(function)(x) for x in X]))


def test_plain_branches_of_a_compiled_function_are_each_examples_own() -> None:
    def chosen(x: Any) -> Any:
        if x.sum() > 1:
            return jg.log(jg.abs(x))
        return x * x

    assert_same(jg.compile(jg.vmap(chosen))(jg.tensor(X)), one_by_one(chosen))


def test_mapped_twice_it_takes_two_axes() -> None:
    table = jg.vmap(jg.vmap(lambda a, b: a * b[0], in_axes=(None, 0)), in_axes=(0, None))
    assert_same(table(X[:, 0], X), np.outer(X[:, 0], X[:, 0]))


def test_examples_lie_along_any_axis() -> None:
    cube = _rng.uniform(-1, 1, (2, 5, 3))
    found = jg.vmap(lambda a: a.sum(0) * 2, in_axes=1, out_axes=-1)(cube)
    assert_same(found, 2 * cube.sum(0).T)
    found = jg.vmap(lambda a: a.sum(0) * 2, in_axes=-1, out_axes=0)(cube)
    assert_same(found, 2 * cube.sum(0).T)


class Pair(NamedTuple):
    left: Any
    right: Any


def test_arguments_and_results_are_structures() -> None:
    def swapped(pair: Pair, more: dict[str, Any], scale: float) -> dict[str, Any]:
        return {"sum": pair.left + pair.right * scale, "rest": [more["a"], more["b"][0] * 2]}

    more = {"a": X[0], "b": (X.T,)}
    found = jg.vmap(swapped, in_axes=(0, {"a": None, "b": (1,)}, None))(Pair(X, 2 * X), more, 3.0)
    assert_same(found["sum"], 7 * X)
    assert_same(found["rest"][0], np.stack([X[0]] * EXAMPLES))
    assert_same(found["rest"][1], 2 * X)


def test_results_may_be_the_same_for_all_examples() -> None:
    weights = jg.tensor(WEIGHTS)
    found = jg.vmap(lambda x: (weights.sum(), x.sum()), out_axes=(None, 0))(X)
    assert_same(found[0], np.asarray(WEIGHTS.sum()))
    assert found[1].shape == (EXAMPLES,)


def test_tensors_from_outside_get_gradients() -> None:
    weights = jg.tensor(WEIGHTS, requires_grad=True)
    jg.vmap(lambda x: jg.tanh(weights @ x))(X).sum().backward()
    expected = jg.grad(lambda w: jg.tanh(jg.tensor(X) @ w.T).sum())(jg.tensor(WEIGHTS))
    assert weights.grad is not None
    assert_same(weights.grad, expected.numpy())


def test_gradients_of_each_example_by_what_is_the_same_for_all() -> None:
    def loss(w: Any, x: Any) -> Any:
        return jg.fori_loop(0, 3, lambda i, h: jg.tanh(w @ h), x).sum()

    found = jg.vmap(jg.grad(loss), in_axes=(None, 0))(WEIGHTS, X)
    each = [jg.grad(loss)(jg.tensor(WEIGHTS), jg.tensor(x)).numpy() for x in X]
    assert_same(found, np.stack(each))


def test_numbers_take_part_in_promotion_as_those_of_one_example_do() -> None:
    scale, x = np.linspace(1, 2, EXAMPLES), jg.ones(EXAMPLES, 3, dtype=jg.float32)
    found = jg.vmap(lambda s, v: s * v)(scale, x)
    assert found.dtype == jg.float32
    assert found.shape == (EXAMPLES, 3)


@pytest.mark.parametrize("wrap", [lambda f: f, jg.compile], ids=["eager", "compiled"])
def test_what_an_example_does_not_run_raises_no_error(wrap: Callable[..., Any]) -> None:
    table = jg.tensor(np.arange(5.0))

    def looked_up(k: Any) -> Any:
        return jg.cond(k < 5, lambda k: table[k], lambda k: table[0] - 1, k)

    found = wrap(jg.vmap(looked_up))(jg.tensor([4, 7, 1]))
    assert_same(found, np.array([4.0, -1.0, 1.0]))

    def until(k: Any, most: Any) -> Any:
        def step(c: Any) -> Any:
            return c[0] + 1, c[1] + table[c[0]]

        start = (k, jg.zeros((), dtype=jg.float64))
        return jg.while_loop(lambda c: (c[0] < 5) & (c[1] < most), step, start)[1]

    slopes = wrap(jg.vmap(until))(jg.tensor([4, 0, 2]), jg.tensor([9.0, 5.0, 9.0]))
    assert_same(slopes, np.array([4.0, 6.0, 9.0]))


def test_no_examples_give_no_results() -> None:
    assert jg.vmap(lambda x: x.sum())(np.zeros((0, 3))).shape == (0,)


def test_jacobians_are_mapped_products() -> None:
    def function(x: Any) -> Any:
        return jg.tensor(WEIGHTS) @ jg.sin(x)

    _, back = jg.vjp(function, jg.tensor(X[0]))
    (rows,) = jg.vmap(back)(np.eye(3))
    assert_same(rows, WEIGHTS * np.cos(X[0]))


@pytest.mark.parametrize("randomness", ["different", "same"])
def test_random_numbers_differ_if_they_are_to(randomness: str) -> None:
    jg.manual_seed(1)
    noisy = jg.vmap(lambda x: x * 0 + jg.randn(3, dtype=jg.float64), randomness=randomness)
    drawn = noisy(X).numpy()
    assert (np.ptp(drawn, axis=0) > 0).all() == (randomness == "different")
    assert not np.array_equal(drawn, noisy(X).numpy())


def test_a_function_with_a_derivative_of_its_own_is_mapped() -> None:
    class Doubled(jg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, w: Any) -> Any:
            ctx.save_for_backward(x, w)
            return x * w

        @staticmethod
        def backward(ctx: Any, ct: Any) -> Any:
            x, w = ctx.saved_tensors
            return 10 * ct * w, 20 * ct * x

    def loss(w: Any, x: Any) -> Any:
        return Doubled.apply(x, w).sum()

    by_w, by_x = jg.vmap(jg.grad(loss, argnums=(0, 1)), in_axes=(None, 0))(WEIGHTS[0], X)
    assert_same(by_w, 20 * X)
    assert_same(by_x, np.stack([10 * WEIGHTS[0]] * EXAMPLES))


@pytest.mark.parametrize(
    ("call", "kind", "parts"),
    [
        (lambda: jg.vmap(jg.add, in_axes=(0,))(X, X), ArgumentError, ["1 entries for 2"]),
        (lambda: jg.vmap(jg.add, in_axes=None)(X, X), ArgumentError, ["no argument"]),
        (lambda: jg.vmap(jg.add)(X, 2.0), ArgumentError, ["argument 1", "in_axes"]),
        (lambda: jg.vmap(jg.add, in_axes=(0, "a"))(X, X), ArgumentError, ["in_axes", "'a'"]),
        (lambda: jg.vmap(jg.sin, in_axes=2)(X), ShapeError, ["(4, 3)", "axis 2"]),
        (lambda: jg.vmap(jg.add)(X, X.T), ShapeError, ["argument 0 has 4", "argument 1 has 3"]),
        (lambda: jg.vmap(jg.sin, out_axes=None)(X), ArgumentError, ["result", "out_axes"]),
        (lambda: jg.vmap(jg.sin, out_axes=3)(X), ShapeError, ["result", "axis 3"]),
        (lambda: jg.vmap(lambda x: x.item())(X[:, 0]), TraceError, ["asks for the value"]),
        (lambda: jg.vmap(lambda x: x.add_(1))(X), TraceError, ["argument in place"]),
        (lambda: jg.vmap(lambda x: jg.rand(2))(X), ArgumentError, ["randomness='different'"]),
        (lambda: jg.vmap(jg.sin, randomness="no"), ArgumentError, ["randomness", "'no'"]),
        (lambda: jg.vmap(lambda x: "no")(X), TraceError, ["'no'"]),
    ],
)
def test_misuse_is_named(call: Callable[[], Any], kind: type[Exception], parts: list[str]) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert all(part in str(caught.value) for part in parts)
