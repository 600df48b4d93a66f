"""`jacrev`, `jacfwd` and `hessian` against columns by `jvp`, and each other's structure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import ArgumentError, DtypeError, GradientError, JitgradWarning
from jitgrad.testing import assert_close
from tests.api.test_directional import FUNCTIONS, X, tensor


@pytest.mark.parametrize("transform", [jitgrad.jacrev, jitgrad.jacfwd])
@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
def test_a_jacobian_has_the_products_with_unit_directions_as_columns(
    number: int, transform: Any
) -> None:
    function = FUNCTIONS[number]
    jacobian = transform(function)(tensor(X)).numpy()
    assert not np.isnan(jacobian).any()
    for i, j in np.ndindex(3, 3):
        direction = np.zeros((3, 3))
        direction[i, j] = 1.0
        column = jitgrad.jvp(function, (tensor(X),), (tensor(direction),))[1]
        assert_close(jacobian[..., i, j], column.numpy())


@pytest.mark.parametrize("number", [3, 6, 9, 15, 20])
def test_a_hessian_is_symmetric_and_gives_the_products(number: int) -> None:
    def loss(x: Any) -> Any:
        return (FUNCTIONS[number](x) ** 2).sum()

    found = jitgrad.hessian(loss)(tensor(X)).numpy()
    assert_close(found, found.transpose(2, 3, 0, 1))
    (product,) = jitgrad.hvp(loss, (tensor(X),), (tensor(X),))
    assert_close(np.tensordot(found, X, 2), product.numpy())


def test_a_compiled_hessian_is_the_eager_one() -> None:
    hessian = jitgrad.hessian(lambda x: (jitgrad.sin(x) * x[0]).sum())
    x = tensor([0.5, 1.0, 2.0])
    compiled = jitgrad.compile(hessian)
    for _ in range(2):
        assert_close(compiled(x), hessian(x))


@pytest.mark.parametrize("outer", [jitgrad.jacrev, jitgrad.jacfwd, jitgrad.compile])
@pytest.mark.parametrize("inner", [jitgrad.jacrev, jitgrad.jacfwd, jitgrad.grad])
def test_transforms_compose_in_any_order(outer: Any, inner: Any) -> None:
    def loss(x: Any) -> Any:
        for _ in range(6):
            x = jitgrad.sin(x) * x[0]
        return (x * x).sum()

    x = tensor([0.5, 1.0, 2.0])
    if outer is jitgrad.compile:
        assert_close(outer(inner(loss))(x), inner(loss)(x))
    else:
        assert_close(outer(inner(loss))(x), jitgrad.hessian(loss)(x))
        assert_close(jitgrad.compile(outer(inner(loss)))(x), jitgrad.hessian(loss)(x))


@pytest.mark.parametrize("transform", [jitgrad.jacrev, jitgrad.jacfwd])
def test_jacobians_of_compiled_functions(transform: Any) -> None:
    x = tensor([0.5, 1.0, 2.0])
    compiled = jitgrad.compile(lambda x: jitgrad.sin(x) * x[0])
    expected = transform(lambda x: jitgrad.sin(x) * x[0])(x)
    assert_close(transform(compiled)(x), expected)
    assert_close(jitgrad.compile(transform(compiled))(x), expected)


@pytest.mark.parametrize("transform", [jitgrad.jacrev, jitgrad.jacfwd])
def test_structures_of_values_and_arguments(transform: Any) -> None:
    def function(p: Any, scale: Any) -> Any:
        return {"a": p["w"] * scale, "b": p["w"].sum()}, 7

    p, scale = {"w": tensor([1.0, 2.0])}, tensor(3.0)
    found, aux = transform(function, argnums=(0, 1), has_aux=True)(p, scale)
    assert aux == 7
    assert_close(found["a"][0]["w"], tensor([[3.0, 0.0], [0.0, 3.0]]))
    assert_close(found["a"][1], tensor([1.0, 2.0]))
    assert_close(found["b"][0]["w"], tensor([1.0, 1.0]))
    assert tuple(transform(lambda x: x[:0])(tensor([1.0, 2.0])).shape) == (0, 2)


def test_misuse_is_explained() -> None:
    with pytest.raises(ArgumentError, match="argnums asks for number 1"):
        jitgrad.jacrev(jitgrad.sin, argnums=1)(tensor([1.0]))
    with pytest.raises(DtypeError, match="has dtype int64"):
        jitgrad.jacrev(jitgrad.sin)(jitgrad.tensor([1, 2]))


def residual(u: Any) -> Any:
    r = np.zeros(u.shape[0])
    r[0] = u[0]
    for i in range(1, u.shape[0]):
        r[i] = u[i] * u[i - 1]
    return r


@pytest.mark.parametrize("wrap", [lambda f: f, jitgrad.compile], ids=["eager", "compiled"])
def test_programs_in_numpy_that_fill_arrays(wrap: Any) -> None:
    u = np.linspace(0.5, 2.0, 4)
    expected = np.diag([1.0, *u[:-1]]) + np.diag(u[1:], -1)
    assert_close(wrap(jitgrad.jacrev(residual))(u), expected)
    assert_close(wrap(jitgrad.jacfwd(residual))(u), expected)
    value, tangent = wrap(lambda u: jitgrad.jvp(residual, (u,), (u,)))(u)
    assert_close(value, residual(u))
    assert_close(tangent, expected @ u)
    hessian = wrap(jitgrad.hessian(lambda u: residual(u).sum()))(u)
    assert_close(hessian, np.diag(np.ones(3), 1) + np.diag(np.ones(3), -1))


def test_an_array_that_would_lose_a_gradient_is_an_error() -> None:
    # NumPy raises an error of its own, of which ours is the cause.
    with pytest.raises(ValueError, match="setting an array element") as caught:
        jitgrad.jacrev(residual)(tensor([1.0, 2.0]))
    assert isinstance(caught.value.__cause__, GradientError)
    assert "takes a Tensor that requires a gradient" in str(caught.value.__cause__)
    x = jitgrad.ones(2, requires_grad=True)
    with pytest.warns(JitgradWarning, match="no gradient flows"):
        residual(x)
    with jitgrad.no_grad():
        residual(x)
