"""Functions that see gradients on their way, and gradients kept on the way."""

from __future__ import annotations

import gc
import weakref

import pytest

import jitgrad
from jitgrad import GradientError, ShapeError, Tensor
from jitgrad.testing import assert_close
from tests.messages import message_of


def leaf(*values: float) -> Tensor:
    return jitgrad.tensor(list(values), requires_grad=True)


def test_a_hook_of_a_leaf_sees_each_gradient_once_and_complete() -> None:
    seen = []
    x = leaf(2.0)
    x.register_hook(lambda g: seen.append(g.tolist()))
    (x * x + 3 * x).sum().backward()
    x.sum().backward()
    assert seen == [[7.0], [1.0]]
    assert_close(x.grad, [8.0])


def test_a_hook_of_a_value_between_sees_its_gradient() -> None:
    seen = []
    x = leaf(2.0)
    hidden = x * 3
    hidden.register_hook(lambda g: seen.append(g.tolist()))
    (hidden * hidden).sum().backward()
    assert seen == [[12.0]]


def test_what_a_hook_returns_takes_the_place_of_the_gradient() -> None:
    x = leaf(2.0)
    hidden = x * 3
    hidden.register_hook(lambda g: g * 10)
    hidden.register_hook(lambda g: g + 1)
    hidden.sum().backward()
    assert_close(x.grad, [33.0])


def test_a_hook_of_a_leaf_can_replace_its_gradient() -> None:
    x = leaf(2.0)
    x.register_hook(lambda g: -g)
    x.sum().backward()
    assert_close(x.grad, [-1.0])


def test_a_hook_that_is_removed_is_not_called() -> None:
    x = leaf(2.0)
    handle = x.register_hook(lambda g: -g)
    handle.remove()
    handle.remove()
    x.sum().backward()
    assert_close(x.grad, [1.0])


def test_hooks_apply_to_what_grad_returns() -> None:
    x = leaf(2.0)
    x.register_hook(lambda g: g * 5)
    (gradient,) = jitgrad.autograd.grad(x.sum(), x)
    assert_close(gradient, [5.0])


def test_a_hook_is_not_called_for_what_no_gradient_reaches() -> None:
    seen = []
    x, y = leaf(2.0), leaf(3.0)
    y.register_hook(seen.append)
    x.sum().backward()
    assert seen == []


def test_a_hook_may_be_part_of_a_second_derivative() -> None:
    x = leaf(2.0)
    y = x**2
    y.register_hook(lambda g: g * x)
    (gradient,) = jitgrad.autograd.grad(y.sum(), x, create_graph=True)
    assert gradient is not None
    assert_close(gradient.detach(), [8.0])
    assert_close(jitgrad.autograd.grad(gradient.sum(), x)[0], [8.0])


def test_a_replacement_of_another_shape_is_an_error() -> None:
    x = leaf(2.0)
    y = (x * 2).exp()
    y.register_hook(lambda g: jitgrad.ones(3))

    def provoke() -> None:
        y.sum().backward()

    assert message_of(ShapeError, provoke) == (
        "register_hook: a hook of ExpBackward0 returned shape (3,)\n"
        "  why:   the gradient that it replaces has shape (1,)"
    )


def test_a_hook_of_what_needs_no_gradient_is_an_error() -> None:
    constant = jitgrad.ones(2)

    def provoke() -> None:
        constant.register_hook(print)

    assert message_of(GradientError, provoke) == (
        "register_hook: this Tensor does not require a gradient\n"
        "  why:   no gradient will ever come by\n"
        "  do:    set requires_grad=True on it, or register the hook on a Tensor computed from one"
    )


def test_retain_grad_keeps_the_gradient_of_a_value_between() -> None:
    x = leaf(2.0)
    hidden = x * 3
    hidden.retain_grad()
    hidden.retain_grad()
    assert hidden.retains_grad
    (hidden * hidden).sum().backward()
    assert_close(hidden.grad, [12.0])


def test_retained_gradients_accumulate() -> None:
    x = leaf(2.0)
    hidden = x * 3
    hidden.retain_grad()
    hidden.sum().backward(retain_graph=True)
    (2 * hidden).sum().backward()
    assert_close(hidden.grad, [3.0])


def test_retain_grad_keeps_what_hooks_made_of_the_gradient() -> None:
    hidden = leaf(2.0) * 3
    hidden.retain_grad()
    hidden.register_hook(lambda g: g * 7)
    hidden.sum().backward()
    assert_close(hidden.grad, [7.0])


def test_a_retained_gradient_shares_no_memory_with_the_given_one() -> None:
    given = jitgrad.ones(1)
    hidden = leaf(2.0) * 3
    hidden.retain_grad()
    hidden.backward(given)
    given.zero_()
    assert_close(hidden.grad, [1.0])


def test_retain_grad_of_a_leaf_changes_nothing() -> None:
    x = leaf(2.0)
    x.retain_grad()
    assert not x.retains_grad
    x.sum().backward()
    assert_close(x.grad, [1.0])


def test_retain_grad_of_what_needs_no_gradient_is_an_error() -> None:
    constant = jitgrad.ones(2)

    def provoke() -> None:
        constant.retain_grad()

    assert message_of(GradientError, provoke) == (
        "retain_grad: this Tensor does not require a gradient\n"
        "  why:   no gradient will ever come by\n"
        "  do:    set requires_grad=True on what it is computed from"
    )


def test_retain_grad_keeps_nothing_alive() -> None:
    gc.collect()
    gc.disable()
    try:
        hidden = leaf(2.0) * 3
        hidden.retain_grad()
        alive = weakref.ref(hidden)
        del hidden
        assert alive() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("hooked", ["leaf", "between"])
def test_errors_of_hooks_reach_the_caller(hooked: str) -> None:
    def complain(gradient: Tensor) -> None:
        raise KeyError("complaint")

    x = leaf(2.0)
    y = x * 2
    (x if hooked == "leaf" else y).register_hook(complain)
    with pytest.raises(KeyError, match="complaint"):
        y.sum().backward()
