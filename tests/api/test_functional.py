"""``autograd.functional`` gives what the transforms do, in PyTorch's nesting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.autograd import functional
from jitgrad.core.errors import ArgumentError, GradientError, ShapeError
from jitgrad.testing import assert_close

X = jg.tensor(np.linspace(0.2, 1.4, 3))
Y = jg.tensor(np.linspace(-1.0, 1.0, 3))


def both(x: Any, y: Any) -> Any:
    return jg.sin(x) * y, (x * x).sum()


@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
def test_jacobians_are_nested_like_outputs_and_inputs(strategy: str) -> None:
    single = functional.jacobian(jg.sin, X, strategy=strategy)
    assert_close(single, jg.diag(jg.cos(X)))
    (by_x,) = functional.jacobian(jg.sin, (X,), strategy=strategy)
    assert_close(by_x, single)
    first, second = functional.jacobian(both, (X, Y), strategy=strategy)
    assert_close(first[0], jg.diag(jg.cos(X) * Y))
    assert_close(first[1], jg.diag(jg.sin(X)))
    assert_close(second[0], 2 * X)
    assert_close(second[1], jg.zeros_like(Y))
    outputs = functional.jacobian(lambda x: both(x, Y), X, strategy=strategy)
    assert_close(outputs[0], first[0])
    assert_close(outputs[1], second[0])


@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
def test_hessians_have_a_block_for_each_two_inputs(strategy: str) -> None:
    def energy(x: Any, y: Any) -> Any:
        return (x**3 * y).sum()

    single = functional.hessian(lambda x: energy(x, Y), X, outer_jacobian_strategy=strategy)
    assert_close(single, jg.diag(6 * X * Y))
    blocks = functional.hessian(energy, (X, Y), outer_jacobian_strategy=strategy)
    assert_close(blocks[0][0], single)
    assert_close(blocks[0][1], jg.diag(3 * X**2))
    assert_close(blocks[1][0], jg.diag(3 * X**2))
    assert_close(blocks[1][1], jg.zeros(3, 3, dtype=jg.float64))


def test_products_with_jacobians() -> None:
    outputs, product = functional.vjp(both, (X, Y), (Y, jg.tensor(2.0, dtype=jg.float64)))
    assert_close(outputs[0], jg.sin(X) * Y)
    assert_close(product[0], Y * jg.cos(X) * Y + 4 * X)
    assert_close(product[1], Y * jg.sin(X))
    value, slope = functional.vjp(lambda x: (x * x).sum(), X)
    assert_close(value, (X * X).sum())
    assert_close(slope, 2 * X)
    outputs, product = functional.jvp(both, (X, Y), (Y, X))
    assert_close(product[0], jg.cos(X) * Y * Y + jg.sin(X) * X)
    assert_close(product[1], 2 * (X * Y).sum())
    assert_close(functional.jvp(jg.sin, X[0])[1], jg.cos(X[0]))


@pytest.mark.parametrize("product", [functional.vhp, functional.hvp])
def test_products_with_hessians(product: Callable[..., Any]) -> None:
    value, found = product(lambda x: (x**3).sum(), X, Y)
    assert_close(value, (X**3).sum())
    assert_close(found, 6 * X * Y)
    _, (by_x, by_y) = product(lambda x, y: (x * x * y).sum(), (X, Y), (Y, X))
    assert_close(by_x, 2 * Y * Y + 2 * X * X)
    assert_close(by_y, 2 * X * Y)


def test_results_can_be_differentiated_if_asked_for() -> None:
    x = X.clone().requires_grad_()
    assert not functional.jacobian(jg.sin, x).requires_grad
    functional.jacobian(jg.sin, x, create_graph=True).sum().backward()
    assert x.grad is not None
    assert_close(x.grad, -jg.sin(X))


def test_misuse_is_named() -> None:
    with pytest.raises(GradientError, match="output 1 does not depend on input 1"):
        functional.jacobian(both, (X, Y), strict=True)
    with pytest.raises(ShapeError, match="vector v is missing"):
        functional.vjp(jg.sin, X)
    with pytest.raises(ArgumentError, match="inputs must be a Tensor"):
        functional.jacobian(jg.sin, [1.0])  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="strategy is 'both'"):
        functional.jacobian(jg.sin, X, strategy="both")
    with pytest.raises(ArgumentError, match="outer_jacobian_strategy"):
        functional.hessian(jg.sin, X, outer_jacobian_strategy="both")
