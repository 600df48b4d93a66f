"""`vjp`, `jvp` and `hvp` against differences, the definition and each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import ArgumentError, DtypeError, GradientError, ShapeError, Tensor
from jitgrad.testing import assert_close

RNG = np.random.default_rng(0)
X = RNG.uniform(0.4, 1.6, (3, 3))
T = RNG.standard_normal((3, 3))
CT = RNG.standard_normal((3, 3))


def tensor(data: Any) -> Tensor:
    return jitgrad.tensor(data, dtype=jitgrad.float64)


def looped(x: Any) -> Any:
    y = x
    for _ in range(4):
        y = jitgrad.sin(y) * x + y
    return y


def branching(x: Any) -> Any:
    return x * x if x.sum() > 0 else -x


def overwriting(x: Any) -> Any:
    y = x * 2.0
    y[1] = x[0] * x[2]
    y[:, 0] += jitgrad.exp(x[:, 1])
    return y


def until_large(x: Any) -> Any:
    while x.sum() < 100.0:
        x = x * x + x
    return x


FUNCTIONS: list[Callable[[Any], Any]] = [
    lambda x: x,
    lambda x: x + x,
    lambda x: x * x * x,
    lambda x: jitgrad.tanh(x) / (1.0 + x),
    lambda x: jitgrad.exp(-x) * jitgrad.log(x),
    lambda x: x @ x.T,
    lambda x: jitgrad.softmax(x, dim=1),
    lambda x: jitgrad.logsumexp(x, dim=0) + x.mean(),
    lambda x: jitgrad.where(x > 1.0, x * x, jitgrad.sqrt(x)),
    lambda x: jitgrad.cumsum(x, dim=0) * x[0],
    lambda x: x[[0, 0, 2]] * x[:, :1],
    lambda x: jitgrad.sort(x, dim=1)[0] * x,
    lambda x: jitgrad.linalg.inv(x @ x.T + jitgrad.eye(3, dtype=jitgrad.float64)),
    lambda x: x.amax(dim=1, keepdim=True) - x,
    lambda x: jitgrad.stack([x[0], x[1] * x[2], x[2]]),
    lambda x: jitgrad.fori_loop(0, 5, lambda i, y: jitgrad.sin(y) * x, x),
    lambda x: jitgrad.scan(lambda c, row: (c * row, c + row), x[0], x)[1],
    lambda x: jitgrad.cond(x.sum() > 0, lambda y: y * y, lambda y: -y, x),
    lambda x: jitgrad.while_loop(lambda y: y.sum() < 100.0, lambda y: y * y + y, x),
    looped,
    branching,
    overwriting,
    until_large,
]
NUMBERED = pytest.mark.parametrize("number", range(len(FUNCTIONS)))


def differences(function: Callable[[Any], Any], h: float = 1e-6) -> Any:
    above, below = (function(tensor(X + s * h * T)).numpy() for s in (1, -1))
    return (above - below) / (2 * h)


@NUMBERED
def test_jvp_is_the_difference_quotient_and_vjp_its_transpose(number: int) -> None:
    function = FUNCTIONS[number]
    value, tangent = jitgrad.jvp(function, (tensor(X),), (tensor(T),))
    assert_close(value, function(tensor(X)))
    assert_close(tangent, differences(function), rtol=1e-6, atol=1e-6)
    same, back = jitgrad.vjp(function, tensor(X))
    assert_close(same, value)
    ct = tensor(CT.ravel()[: value.numel()].reshape(value.shape))
    for _ in range(2):
        assert_close((back(ct)[0] * tensor(T)).sum(), (ct * tangent).sum())
    assert not tangent.requires_grad
    assert not value.requires_grad


@NUMBERED
def test_hvp_is_the_derivative_of_the_gradient(number: int) -> None:
    def loss(x: Any) -> Any:
        return (FUNCTIONS[number](x) ** 2).sum()

    (product,) = jitgrad.hvp(loss, (tensor(X),), (tensor(T),))
    assert_close(product, differences(jitgrad.grad(loss)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("number", [3, 6, 15, 18, 20, 21])
def test_compiled_products_are_the_eager_ones(number: int) -> None:
    function = FUNCTIONS[number]

    def all_of_them(x: Any, t: Any) -> Any:
        value, tangent = jitgrad.jvp(function, (x,), (t,))
        back = jitgrad.vjp(function, x)[1]
        hessian_times = jitgrad.hvp(lambda y: function(y).sum(), (x,), (t,))[0]
        return value, tangent, back(value)[0], hessian_times

    expected = all_of_them(tensor(X), tensor(T))
    compiled = jitgrad.compile(all_of_them)
    for _ in range(2):
        for found, wanted in zip(compiled(tensor(X), tensor(T)), expected, strict=True):
            assert_close(found, wanted)


def test_a_compiled_function_has_products() -> None:
    compiled = jitgrad.compile(lambda x: jitgrad.sin(x) * x)
    for _ in range(2):
        _, tangent = jitgrad.jvp(compiled, (tensor(X),), (tensor(T),))
        assert_close(tangent, tensor((np.cos(X) * X + np.sin(X)) * T))


def test_arrays_are_taken_as_tensors() -> None:
    value, tangent = jitgrad.jvp(np.sin, (X,), (T,))
    assert_close(value, tensor(np.sin(X)))
    assert_close(tangent, tensor(np.cos(X) * T))


def test_derivatives_of_products_in_any_order() -> None:
    def along(x: Any) -> Any:
        return jitgrad.jvp(lambda y: y**3, (x,), (1.0,))[1]

    assert float(jitgrad.grad(along)(2.0)) == 12.0
    assert float(jitgrad.jvp(along, (2.0,), (1.0,))[1]) == 12.0
    assert float(jitgrad.jvp(jitgrad.grad(jitgrad.grad(lambda x: x**3)), (2.0,), (1.0,))[1]) == 6.0
    assert float(jitgrad.grad(lambda x: jitgrad.vjp(lambda y: y**3, x)[1](x)[0])(2.0)) == 36.0
    assert float(jitgrad.grad(lambda t: jitgrad.jvp(lambda y: y**3, (2.0,), (t,))[1])(1.0)) == 12.0


def test_structures_and_aux() -> None:
    def function(p: Any, z: Any) -> Any:
        return {"a": p["w"] * z, "n": 3}, "note"

    p, z = {"w": tensor([1.0, 2.0])}, tensor(3.0)
    value, tangent, aux = jitgrad.jvp(
        function, (p, z), ({"w": tensor([1.0, 0.0])}, tensor(1.0)), has_aux=True
    )
    assert aux == "note"
    assert_close(tangent["a"], tensor([4.0, 2.0]))
    assert int(tangent["n"]) == 0
    _, back, _ = jitgrad.vjp(lambda p, z: (p["w"] * z, None), p, z, has_aux=True)
    of_p, of_z = back(tensor([1.0, 1.0]))
    assert_close(of_p["w"], tensor([3.0, 3.0]))
    assert_close(of_z, tensor(3.0))
    assert_close(value["a"], tensor([3.0, 6.0]))


def test_what_is_not_used_has_zeros() -> None:
    value, tangent = jitgrad.jvp(lambda x, y: x.detach() * 2.0, (2.0, 1.0), (1.0, 1.0))
    assert (float(value), float(tangent)) == (4.0, 0.0)
    assert [float(ct) for ct in jitgrad.vjp(lambda x, y: x * 2.0, 2.0, 1.0)[1](1.0)] == [2.0, 0.0]


def test_misuse_is_explained() -> None:
    x = tensor([1.0, 2.0])
    with pytest.raises(ShapeError, match=r"jvp: tangent 0 has shape \(3,\)"):
        jitgrad.jvp(jitgrad.sin, (x,), (tensor([1.0, 2.0, 3.0]),))
    with pytest.raises(DtypeError, match="jvp: tangent 0 has dtype float32"):
        jitgrad.jvp(jitgrad.sin, (x,), (x.to(jitgrad.float32),))
    with pytest.raises(DtypeError, match="jvp: argument 0 has dtype int64"):
        jitgrad.jvp(jitgrad.sin, (jitgrad.tensor([1, 2]),), (x,))
    with pytest.raises(DtypeError, match="vjp: argument 1 holds int 3"):
        jitgrad.vjp(lambda x, y: x * y, x, 3)
    with pytest.raises(ArgumentError, match="jvp: primals and tangents must be tuples"):
        jitgrad.jvp(jitgrad.sin, x, x)
    with pytest.raises(ArgumentError, match="another structure"):
        jitgrad.jvp(jitgrad.sin, (x,), (x, x))
    with pytest.raises(ShapeError, match=r"vjp: cotangent 0 has shape \(\)"):
        jitgrad.vjp(jitgrad.sin, x)[1](1.0)
    with pytest.raises(GradientError, match="it returned str"):
        jitgrad.vjp(lambda x: "text", x)
    with pytest.raises(GradientError, match="must return a pair"):
        jitgrad.jvp(jitgrad.sin, (x,), (x,), has_aux=True)
    with pytest.raises(GradientError, match=r"the function returned shape \(2,\)"):
        jitgrad.hvp(jitgrad.sin, (x,), (x,))


@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
def test_linearized_functions_give_the_products_again_and_again(number: int) -> None:
    function = FUNCTIONS[number]
    value, forward = jitgrad.linearize(function, tensor(X))
    for scale in (1.0, -2.0):
        direction = tensor(scale * np.cos(X))
        expected, tangent = jitgrad.jvp(function, (tensor(X),), (direction,))
        assert_close(value, expected)
        assert_close(forward(direction), tangent)


def test_a_linear_function_takes_directions_like_its_arguments() -> None:
    _, forward = jitgrad.linearize(lambda x, y: (x * y, 7.0), tensor(X), tensor(X))
    assert_close(forward(tensor(X), tensor(X))[0], tensor(2 * X * X))
    assert_close(forward(tensor(X), tensor(X))[1], jitgrad.tensor(0.0))
    with pytest.raises(ShapeError, match="tangent 1 has shape"):
        forward(tensor(X), tensor([1.0]))
    with pytest.raises(ArgumentError, match="another structure"):
        forward(tensor(X))
    with pytest.raises(DtypeError, match="dtype int64"):
        jitgrad.linearize(jitgrad.sin, jitgrad.tensor([1, 2]))
