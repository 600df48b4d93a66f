"""Derivatives of the user's own: decorators and `autograd.Function`, compiled too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad import ArgumentError, GradientError, autograd
from jitgrad.testing import assert_close

X = np.array([0.5, -1.0, 2.0])


@jg.custom_vjp
def cubed(x: Any) -> Any:
    return x**3


def _cubed_forward(x: Any) -> Any:
    square = x * x
    return square * x, square


# Twice the derivative, so that it can be told from that of the operations.
cubed.defvjp(_cubed_forward, lambda square, ct: (6 * square * ct,))


@jg.custom_jvp
def sine(x: Any) -> Any:
    return jg.sin(x)


@sine.defjvp
def _sine_rule(primals: Any, tangents: Any) -> Any:
    return sine(primals[0]), 2 * jg.cos(primals[0]) * tangents[0]


class Cube(autograd.Function):
    @staticmethod
    def forward(x: Any, factor: float) -> Any:
        return x**3 * factor

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.factor = inputs[1]

    @staticmethod
    def backward(ctx: Any, ct: Any) -> Any:
        (x,) = ctx.saved_tensors
        return 6 * x**2 * ctx.factor * ct, None


FUNCTIONS: dict[str, tuple[Callable[..., Any], Any, Any]] = {
    "custom_vjp": (cubed, 6 * X**2, 12 * X),
    "custom_jvp": (sine, 2 * np.cos(X), -2 * np.sin(X)),
    "Function": (lambda x: Cube.apply(x, 1.0), 6 * X**2, 12 * X),
}


@pytest.mark.parametrize(("function", "slope", "_"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_their_own_derivative_holds_wherever_they_are_called(
    function: Callable[..., Any], slope: Any, _: Any
) -> None:
    def loss(x: Any) -> Any:
        return (function(x) * 3.0).sum()

    def looped(x: Any) -> Any:
        return jg.fori_loop(0, 2, lambda i, c: c + function(x), jg.zeros(3, dtype=np.float64)).sum()

    assert_close(jg.grad(loss)(X), 3 * slope)
    assert_close(jg.compile(jg.grad(loss))(X), 3 * slope)
    assert_close(jg.grad(looped)(X), 2 * slope)
    x = jg.tensor(X, requires_grad=True)
    compiled = jg.compile(loss)
    for _ in range(2):
        x.grad = None
        compiled(x).backward()
        assert_close(x.grad, 3 * slope)


@pytest.mark.parametrize(("function", "slope", "bend"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_the_gradient_of_the_gradient_is_that_of_the_rule(
    function: Callable[..., Any], slope: Any, bend: Any
) -> None:
    def slope_of(x: Any) -> Any:
        return jg.grad(lambda x: function(x).sum())(x).sum()

    assert_close(jg.grad(slope_of)(X), bend)
    assert_close(jg.compile(jg.grad(slope_of))(X), bend)


def test_the_graph_is_put_in_line_so_that_kernels_fuse_it() -> None:
    compiled = jg.compile(lambda x: (jg.tanh(cubed(x)) * 2.0).sum())
    x = jg.tensor(X, requires_grad=True)
    compiled(x).backward()
    assert "user_function" not in compiled.source(x) + compiled.adjoint_source(x)
    assert compiled.source(x).count("for ") == 1


def test_structures_and_constant_arguments() -> None:
    @jg.custom_vjp
    def scaled(mode: Any, pair: Any, shift: Any) -> Any:
        return {"y": pair[0] * pair[1] + shift, "mode": pair[0]}

    scaled = jg.custom_vjp(scaled.fun, nondiff_argnums=(0,))

    def forward(mode: Any, pair: Any, shift: Any) -> Any:
        assert mode == "m"
        return {"y": pair[0] * pair[1] + shift, "other": pair[0]}, pair

    def backward(mode: Any, pair: Any, ct: Any) -> Any:
        assert mode == "m"
        return (pair[1] * ct["y"] + ct["other"], None), ct["y"] * 10

    scaled.defvjp(forward, lambda m, kept, ct: _with_zero(backward(m, kept, ct), kept))

    def loss(a: Any, b: Any, c: Any) -> Any:
        found = scaled("m", (a, b), c)
        return (found["y"] + found["other"]).sum()

    expected = (X + 2, np.zeros(3), np.full(3, 10.0))
    assert_close(jg.grad(loss, (0, 1, 2))(X, X + 1, X), expected)
    assert_close(jg.compile(jg.grad(loss, (0, 1, 2)))(X, X + 1, X), expected)


def _with_zero(cts: Any, kept: Any) -> Any:
    (first, _), second = cts
    return (first, kept[1] * 0), second


def test_misuse_is_told() -> None:
    bare = jg.custom_vjp(lambda x: x)
    with pytest.raises(ArgumentError, match="it has no derivative yet"):
        bare(jg.tensor(X))
    bare.defvjp(lambda x: (x, None), lambda kept, ct: ct)
    with pytest.raises(GradientError, match="its backward function returned Tensor"):
        jg.grad(lambda x: bare(x).sum())(X)
