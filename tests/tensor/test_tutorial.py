"""The four items of the autograd tutorial that this library started from.

The computations are functions of Tensors, so that they can also be run compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import jitgrad
from jitgrad import GradientError, JitgradWarning, Tensor, nn
from jitgrad.testing import assert_close

Wrapper = Callable[[Callable[..., Any]], Callable[..., Any]]


def eager(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


@pytest.fixture(params=[eager, jitgrad.compile], ids=["eager", "compiled"])
def wrap(request: pytest.FixtureRequest) -> Wrapper:
    """Return how the computations of this file are run."""
    wrapper: Wrapper = request.param
    return wrapper


def affine(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return jitgrad.matmul(x, w) + b


def loss_of(z: Tensor, y: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(z, y)


def square_of_successor(x: Tensor) -> Tensor:
    return (x + 1).pow(2)


def parameters() -> tuple[Tensor, Tensor]:
    w = jitgrad.randn(5, 3, requires_grad=True)
    b = jitgrad.randn(3, requires_grad=True)
    return w, b


def test_grad_fns_are_printed_with_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    w, b = parameters()
    z = affine(jitgrad.ones(5), w, b)
    loss = loss_of(z, jitgrad.zeros(3))
    print(f"Gradient function for z = {z.grad_fn}")
    print(f"Gradient function for loss = {loss.grad_fn}")
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("Gradient function for z = <AddBackward0 object at 0x")
    name = "<BinaryCrossEntropyWithLogitsBackward0 object at 0x"
    assert second.startswith(f"Gradient function for loss = {name}")


def test_gradients_of_the_loss_are_sigmoid_over_three(wrap: Wrapper) -> None:
    @wrap
    def whole(x: Tensor, w: Tensor, b: Tensor, y: Tensor) -> Tensor:
        return loss_of(affine(x, w, b), y)

    x, y = jitgrad.ones(5), jitgrad.zeros(3)
    w, b = parameters()
    whole(x, w, b, y).backward()
    expected = affine(x, w, b).detach().sigmoid() / 3
    assert_close(b.grad, expected)
    assert w.grad is not None
    assert w.grad.shape == (5, 3)
    for row in w.grad:
        assert_close(row, expected)


def test_tracking_is_on_by_default_and_off_under_no_grad(wrap: Wrapper) -> None:
    x = jitgrad.ones(5)
    w, b = parameters()
    run = wrap(affine)
    assert run(x, w, b).requires_grad
    with jitgrad.no_grad():
        assert not run(x, w, b).requires_grad
    z = run(x, w, b)
    assert not z.detach().requires_grad
    assert z.requires_grad


def test_frozen_parameters_get_no_gradient(wrap: Wrapper) -> None:
    w, b = parameters()
    w.requires_grad_(False)
    z = wrap(affine)(jitgrad.ones(5), w, b)
    z.sum().backward()
    assert w.grad is None
    assert_close(b.grad, [1.0, 1.0, 1.0])


def test_no_work_is_recorded_for_frozen_parameters() -> None:
    w, b = parameters()
    w.requires_grad_(False)
    product = jitgrad.matmul(jitgrad.ones(5), w)
    assert product.grad_fn is None
    node = (product + b).grad_fn
    assert node is not None
    assert node.next_functions[0] == (None, 0)


def test_gradients_accumulate_until_they_are_set_to_zero(wrap: Wrapper) -> None:
    inp = jitgrad.eye(5, requires_grad=True)
    ones, diagonal = jitgrad.ones_like(inp), jitgrad.eye(5)
    once = 2 * ones + 2 * diagonal.detach()
    out = wrap(square_of_successor)(inp)

    out.backward(ones, retain_graph=True)
    assert_close(inp.grad, once)
    assert_close(once.diagonal(), jitgrad.full((5,), 4.0))
    out.backward(ones, retain_graph=True)
    assert_close(inp.grad, 2 * once)
    assert inp.grad is not None
    inp.grad.zero_()
    out.backward(ones, retain_graph=True)
    assert_close(inp.grad, once)

    out.backward(ones)
    assert_close(inp.grad, 2 * once)
    with pytest.raises(GradientError, match="was freed by an earlier backward"):
        out.backward(ones)


def test_only_leaves_keep_their_gradient(wrap: Wrapper) -> None:
    x = jitgrad.ones(3, requires_grad=True)
    y = wrap(square_of_successor)(x)
    y.sum().backward()
    assert x.is_leaf
    assert_close(x.grad, [4.0, 4.0, 4.0])
    assert not y.is_leaf
    with pytest.warns(JitgradWarning, match="is not a leaf"):
        assert y.grad is None


def test_backward_of_a_scalar_is_that_with_a_gradient_of_one(wrap: Wrapper) -> None:
    run = wrap(lambda x: square_of_successor(x).sum())
    implied, given = (jitgrad.ones(3, requires_grad=True) for _ in range(2))
    run(implied).backward()
    run(given).backward(jitgrad.tensor(1.0))
    assert_close(implied.grad, given.grad)


def changing(x: Tensor, rounds: int, stretched: bool) -> Tensor:
    """Compute with other shapes, sizes and operations for other arguments."""
    for number in range(rounds):
        x = x.sin() if number % 2 else x * (number + 1)
        if stretched:
            x = jitgrad.cat([x, x[:1]])
    return (x.sum() if x.detach().sum() > 0 else (x * x).sum()) * 2


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("stretched", [False, True])
@pytest.mark.parametrize("rounds", [0, 1, 4])
def test_the_graph_is_made_anew_by_each_run(
    rounds: int, stretched: bool, sign: float, wrap: Wrapper
) -> None:
    start = jitgrad.tensor([0.1, 0.2, 0.3], dtype=jitgrad.float64) * sign
    x = start.clone().requires_grad_()
    wrap(changing)(x, rounds, stretched).backward()
    gradient = x.grad
    assert gradient is not None
    for number in range(3):
        step = jitgrad.zeros(3, dtype=jitgrad.float64)
        step[number] = 1e-6
        up, down = (changing(side, rounds, stretched) for side in (start + step, start - step))
        assert_close(gradient[number], (up - down) / 2e-6, rtol=1e-6, atol=1e-8)
