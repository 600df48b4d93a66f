"""Changes in place: what they do to values that `backward` needs, to views and to their bases."""

from __future__ import annotations

import re

import numpy as np
import pytest

import jitgrad
from jitgrad import GradientError, Tensor
from jitgrad.testing import assert_close
from tests.messages import message_of


def leaf(*values: float) -> Tensor:
    return jitgrad.tensor(list(values), requires_grad=True)


def test_a_leaf_that_requires_a_gradient_can_not_be_changed() -> None:
    x = leaf(1.0, 2.0)

    def provoke() -> None:
        x.add_(1)

    assert message_of(GradientError, provoke) == (
        "add_: a leaf that requires a gradient can't be changed in place\n"
        "  why:   the gradient is asked for the value that the leaf had\n"
        "  do:    do it inside `with no_grad():`, or on a copy: x.clone()"
    )


def test_a_view_of_such_a_leaf_can_not_be_changed_either() -> None:
    part = leaf(1.0, 2.0)[0:1]

    def provoke() -> None:
        part.add_(1)

    assert message_of(GradientError, provoke) == (
        "add_: a view of a leaf that requires a gradient can't be changed in place\n"
        "  why:   the gradient is asked for the value that the leaf had\n"
        "  do:    do it inside `with no_grad():`, or on a copy: x.clone()"
    )


def test_elements_of_such_a_leaf_can_not_be_assigned() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(GradientError, match="can't be changed in place"):
        x[0] = 3.0
    assert_close(x.detach(), [1.0, 2.0])


def test_a_value_that_backward_needs_must_not_be_changed() -> None:
    x = leaf(1.0, 2.0)
    hidden = x * 1
    y = (hidden * hidden).sum()
    hidden.add_(1)

    def provoke() -> None:
        y.backward()

    message = re.sub(r"at \S+:\d+,", "at FILE,", message_of(GradientError, provoke))
    assert message == (
        "backward: a value needed for the gradient was changed in place\n"
        "  why:   MulBackward0 saved a Tensor of shape (2,) at version 0; it is at version 1 now,"
        " by add_ at FILE, in test_a_value_that_backward_needs_must_not_be_changed: "
        " hidden.add_(1)\n"
        "  do:    use an out-of-place operation (x = x + 1), or change a copy: x.clone()"
    )


def test_an_output_that_backward_needs_must_not_be_changed() -> None:
    y = leaf(1.0).exp()
    z = y.sum()
    y.add_(1)
    with pytest.raises(GradientError, match="ExpBackward0 saved a Tensor"):
        z.backward()


def test_a_value_that_backward_does_not_need_may_be_changed() -> None:
    x = leaf(1.0, 2.0)
    hidden = x + 1
    y = hidden.sum()
    hidden.mul_(10)
    y.backward()
    assert_close(x.grad, [1.0, 1.0])


def test_changing_a_view_of_a_needed_value_is_noticed() -> None:
    hidden = leaf(1.0, 2.0) * 1
    y = (hidden * hidden).sum()
    hidden[0:1].zero_()
    with pytest.raises(GradientError, match="was changed in place"):
        y.backward()


def test_changing_the_base_of_a_needed_view_is_noticed() -> None:
    hidden = leaf(1.0, 2.0) * 1
    part = hidden[0:1]
    y = (part * part).sum()
    hidden.zero_()
    with pytest.raises(GradientError, match="was changed in place"):
        y.backward()


def test_changing_a_detached_alias_of_a_needed_value_is_noticed() -> None:
    hidden = leaf(1.0, 2.0) * 1
    y = (hidden * hidden).sum()
    hidden.detach().zero_()
    with pytest.raises(GradientError, match="was changed in place"):
        y.backward()


def test_gradients_flow_through_changes_in_place() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2
    y.add_(1).mul_(3)
    assert y.grad_fn is not None
    assert y.grad_fn.name() == "MulBackward0"
    (y * y).sum().backward()
    assert_close(x.grad, [2 * 9 * 6.0, 2 * 15 * 6.0])


def test_a_constant_gets_a_history_by_an_in_place_change() -> None:
    x = leaf(2.0, 3.0)
    buffer = jitgrad.ones(2)
    buffer.mul_(x)
    assert buffer.requires_grad
    buffer.sum().backward()
    assert_close(x.grad, [1.0, 1.0])


def test_an_operation_in_place_keeps_what_it_needs_of_the_old_value() -> None:
    x = leaf(2.0, 3.0)
    y = x * 1
    y.mul_(y)
    y.pow_(3)
    y.sum().backward()
    assert_close(y.detach(), [64.0, 729.0])
    assert_close(x.grad, [6 * 2.0**5, 6 * 3.0**5])


def test_retain_grad_follows_a_change_in_place() -> None:
    x = leaf(2.0)
    y = x * 3
    y.retain_grad()
    y.mul_(5)
    y.sum().backward()
    assert_close(y.grad, [1.0])
    assert_close(x.grad, [15.0])


def test_a_change_through_a_view_reaches_the_base_and_its_gradient() -> None:
    x = jitgrad.ones(4, requires_grad=True)
    y = x * 1
    y[:2].mul_(3)
    assert_close(y.detach(), [3.0, 3.0, 1.0, 1.0])
    y.sum().backward()
    assert_close(x.grad, [3.0, 3.0, 1.0, 1.0])


def test_a_change_of_the_base_reaches_its_views_and_their_gradients() -> None:
    x = jitgrad.ones(4, requires_grad=True)
    y = x * 1
    part = y[1:3]
    y.mul_(jitgrad.tensor([2.0, 3.0, 4.0, 5.0]))
    assert_close(part.detach(), [3.0, 4.0])
    part.sum().backward()
    assert_close(x.grad, [0.0, 3.0, 4.0, 0.0])


def test_a_change_through_a_view_of_a_view_reaches_every_alias() -> None:
    x = jitgrad.ones(2, 3, requires_grad=True)
    y = x * 1
    row = y[1]
    element = row[2:]
    other = y.T[2]
    element.mul_(10)
    assert_close(y.detach(), [[1.0, 1.0, 1.0], [1.0, 1.0, 10.0]])
    assert_close(other.detach(), [1.0, 10.0])
    (row.sum() + other.sum()).backward()
    assert_close(x.grad, [[0.0, 0.0, 1.0], [1.0, 1.0, 20.0]])


def test_a_view_can_be_changed_twice() -> None:
    x = jitgrad.ones(2, requires_grad=True)
    y = x * 1
    part = y[0]
    part.mul_(3)
    part.add_(1)
    y.sum().backward()
    assert_close(y.detach(), [4.0, 1.0])
    assert_close(x.grad, [3.0, 1.0])


def test_assigned_elements_take_their_gradient_from_the_assigned_value() -> None:
    x, v = jitgrad.ones(3, requires_grad=True), leaf(5.0)
    y = x * 2
    y[1] = v[0] * 3
    assert_close(y.detach(), [2.0, 15.0, 2.0])
    (y * y).sum().backward()
    assert_close(x.grad, [8.0, 0.0, 8.0])
    assert_close(v.grad, [90.0])


def test_a_change_under_no_grad_is_not_differentiated() -> None:
    x = jitgrad.ones(2, requires_grad=True)
    y = x * 2
    with jitgrad.no_grad():
        y.mul_(100)
    (y + 0).sum().backward()
    assert_close(y.detach(), [200.0, 200.0])
    assert_close(x.grad, [2.0, 2.0])


def test_a_view_keeps_its_history_when_it_is_read_under_no_grad() -> None:
    x = jitgrad.ones(2, requires_grad=True)
    y = x * 2
    part = y[:1]
    y.mul_(5)
    with jitgrad.no_grad():
        assert part.requires_grad
        assert_close(part.detach(), [10.0])
    part.sum().backward()
    assert_close(x.grad, [10.0, 0.0])


def test_a_view_made_under_no_grad_has_no_history_whatever_happens_to_its_base() -> None:
    y = jitgrad.ones(2, requires_grad=True) * 2
    with jitgrad.no_grad():
        part = y[:1]
    y.mul_(5)
    assert not part.requires_grad
    assert_close(part, [10.0])


def test_a_needed_value_is_shared_by_all_that_saved_it_until_it_changes() -> None:
    x = leaf(3.0)
    hidden = x * 1
    first = hidden * hidden
    hidden.add_(1)
    second = hidden * hidden
    second.sum().backward(retain_graph=True)
    assert_close(x.grad, [8.0])
    with pytest.raises(GradientError, match="was changed in place"):
        first.sum().backward()


def test_data_shares_memory_and_assigning_it_keeps_the_leaf() -> None:
    x = leaf(1.0, 2.0)
    x.data.mul_(2)
    x.data = np.asarray(x.data) + 1
    assert x.is_leaf
    assert x.requires_grad
    assert_close(x.detach(), [3.0, 5.0])
    (x * x).sum().backward()
    assert_close(x.grad, [6.0, 10.0])


def test_fill_and_copy_write_values_of_any_dtype_that_broadcast() -> None:
    x = jitgrad.zeros(2, 2, dtype=jitgrad.int64)
    x.fill_(7.9)
    assert_close(x, [[7, 7], [7, 7]])
    x.copy_([1.5, 2.5])
    assert_close(x, [[1, 2], [1, 2]])
    x[0].zero_()
    assert_close(x, [[0, 0], [1, 2]])


def test_gradients_flow_to_what_is_copied() -> None:
    source = leaf(1.0, 2.0)
    buffer = jitgrad.zeros(2, 2)
    buffer.copy_(source * 3)
    buffer[0].fill_(source[0])
    buffer.sum().backward()
    assert_close(source.grad, [3.0 + 2.0, 3.0])
