"""Changes in place: the values, the history that follows them, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import ArgumentError, DtypeError, GradientError, ShapeError, Tensor, no_grad
from jitgrad.testing import assert_close, check_grads
from tests.messages import message_of


def leaf(*values: float) -> Tensor:
    return jitgrad.tensor(np.array(values), requires_grad=True)


def test_methods_with_an_underscore_change_the_tensor_and_return_it() -> None:
    x = jitgrad.tensor([1.0, 4.0])
    array = x.numpy()
    assert x.mul_(2).add_(1).sqrt_() is x
    x += 1
    x[0] = 0
    np.testing.assert_allclose(array, [0, 4])
    assert x.tolist() == [0.0, 4.0]


def test_a_change_through_a_view_updates_the_base_and_its_gradient() -> None:
    x = leaf(1.0, 1.0, 1.0, 1.0)
    y = x * 1.0
    y[:2].mul_(3)
    assert_close(y, np.array([3.0, 3.0, 1.0, 1.0]))
    y.sum().backward()
    assert_close(x.grad, np.array([3.0, 3.0, 1.0, 1.0]))


def test_a_view_sees_a_later_change_of_its_base() -> None:
    x = leaf(1.0, 2.0)
    y = x * 1.0
    view = y[1:]
    y.mul_(10)
    assert_close(view, np.array([20.0]))
    view.sum().backward()
    assert_close(x.grad, np.array([0.0, 10.0]))


def test_views_of_views_are_followed_to_the_base() -> None:
    x = jitgrad.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    y = x * 1.0
    y.T[1:][0].mul_(5)
    assert_close(y, np.array([[0.0, 5, 2], [3, 20, 5]]))
    y.sum().backward()
    assert_close(x.grad, np.array([[1.0, 5, 1], [1, 5, 1]]))


VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "slice": lambda y: y[1:, ::-2],
    "item": lambda y: y[1],
    "permute": lambda y: y.T,
    "reshape": lambda y: y.view(-1)[2:],
    "diagonal": lambda y: y.diagonal(),
    "unsqueeze": lambda y: y.unsqueeze(1)[:, 0],
    "split": lambda y: y.split(1, 1)[1],
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_gradients_through_written_views_equal_finite_differences(
    view: Callable[[Tensor], Tensor],
) -> None:
    def function(x: Tensor, w: Tensor) -> Tensor:
        y = x * x
        part = view(y)
        part.mul_(3.0)
        part += w
        return y * y

    check_grads(function, [np.arange(1.0, 10).reshape(3, 3), np.array(2.0)], order=2)


def test_assignment_carries_the_gradient_of_what_is_assigned() -> None:
    x, w = leaf(1.0, 2.0, 3.0), leaf(5.0)
    y = x * 1.0
    y[1] = w[0] * 2
    y[[0, 2]] = y[[2, 0]]
    assert_close(y, np.array([3.0, 10.0, 1.0]))
    (y * np.array([1.0, 10.0, 100.0])).sum().backward()
    assert_close(x.grad, np.array([100.0, 0.0, 1.0]))
    assert_close(w.grad, np.array([20.0]))


def test_a_buffer_filled_element_by_element_has_the_right_gradient() -> None:
    def cumulative(x: Tensor) -> Tensor:
        out = jitgrad.zeros(4, dtype=np.float64)
        for i in range(4):
            # Without the clone the product would need a value that is changed later.
            out[i] = x[i] + (out[i - 1].clone() * x[i] if i else 0.0)
        return out

    check_grads(cumulative, [np.array([1.0, 2.0, 3.0, 4.0])], order=2)


def test_an_overlapping_assignment_reads_before_it_writes() -> None:
    x = jitgrad.arange(5)
    x[1:] = x[:-1]
    assert x.tolist() == [0, 0, 1, 2, 3]


def test_an_assignment_of_nothing_changes_nothing() -> None:
    x = jitgrad.arange(3)
    x[3:] = 7
    x[[]] = 7
    assert x.tolist() == [0, 1, 2]


def test_a_large_buffer_is_written_without_a_copy() -> None:
    x = jitgrad.zeros(10)
    memory = x.numpy()
    x[[1, 2]] = 1.0
    x[jitgrad.arange(10) > 7] = 2.0
    x[3:5] = 3.0
    np.testing.assert_array_equal(memory, [0, 1, 1, 3, 3, 0, 0, 0, 2, 2])


def test_a_detached_tensor_is_written_without_history() -> None:
    x = leaf(1.0, 2.0)
    x.detach()[0] = 5.0
    x.data.mul_(2)
    assert_close(x.detach(), np.array([10.0, 4.0]))
    assert x.is_leaf
    (x * x).sum().backward()
    assert_close(x.grad, np.array([20.0, 8.0]))


def test_a_leaf_is_changed_in_place_under_no_grad() -> None:
    x = leaf(1.0, 2.0)
    with no_grad():
        x -= 0.5
        x[1] = 7
    assert x.requires_grad
    assert x.is_leaf
    assert_close(x.detach(), np.array([0.5, 7.0]))


def test_a_view_taken_under_no_grad_still_changes_the_history_of_its_base() -> None:
    x = leaf(1.0, 2.0)
    y = x * 3
    with no_grad():
        view = y[:1]
    view[[0]] = 0.0
    y.sum().backward()
    assert_close(x.grad, np.array([0.0, 3.0]))


def test_a_leaf_that_requires_a_gradient_can_not_be_changed() -> None:
    x = leaf(1.0, 2.0)

    def provoke() -> Any:
        return x.add_(1)

    assert message_of(GradientError, provoke) == (
        "add_: a leaf that requires a gradient can't be changed in place\n"
        "  why:   the gradient is asked for the value that the leaf had\n"
        "  do:    do it inside `with no_grad():`, or on a copy: x.clone()"
    )


def test_a_view_of_such_a_leaf_can_not_be_changed() -> None:
    x = leaf(1.0, 2.0)

    def provoke() -> Any:
        x[0] = 1

    assert message_of(GradientError, provoke).startswith(
        "x[...] = v: a leaf that requires a gradient can't be changed in place"
    )
    with pytest.raises(GradientError, match="a view of a leaf that requires a gradient"):
        x[:1].mul_(2)


def test_an_expanded_tensor_can_not_be_changed() -> None:
    x = jitgrad.zeros(1).expand(3)

    def provoke() -> Any:
        return x.add_(1)

    assert message_of(GradientError, provoke) == (
        "add_: this view can't be changed in place\n"
        "  why:   several of its elements are the same element of the Tensor it shows\n"
        "  do:    change a copy: x.clone()"
    )


def test_read_only_memory_can_not_be_changed() -> None:
    array = np.zeros(3)
    array.flags.writeable = False
    x = jitgrad.from_numpy(array)

    def provoke() -> Any:
        x[0] = 1.0

    assert message_of(ArgumentError, provoke) == (
        "x[...] = v: the Tensor's memory can't be written to\n"
        "  why:   it shows a NumPy array that is read-only, or one element in several places\n"
        "  do:    change a copy: x.clone()"
    )
    with pytest.raises(ArgumentError, match="memory can't be written to"):
        x[[0]] = 1.0


def test_a_result_of_another_shape_or_a_higher_kind_does_not_fit() -> None:
    x = jitgrad.zeros(3)
    with pytest.raises(ShapeError, match=r"add_: a result of shape \(2, 3\) does not fit in place"):
        x.add_(jitgrad.ones(2, 3))
    whole = jitgrad.arange(3)
    with pytest.raises(DtypeError, match="mul_: a float32 result does not fit in place"):
        whole.mul_(0.5)


def test_a_detached_tensor_takes_a_history_of_its_own() -> None:
    x = leaf(1.0, 2.0)
    y = x.detach()
    y[0] = x[1] * 3
    y.sum().backward()
    assert_close(x.grad, np.array([0.0, 3.0]))
    assert_close(x.detach(), np.array([6.0, 2.0]))


def test_a_saved_value_that_was_changed_is_refused_by_backward() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2
    z = y * y
    y[0] = 5.0
    with pytest.raises(GradientError, match="a value needed for the gradient was changed in place"):
        z.sum().backward()


def test_reading_by_index_does_not_keep_the_whole_for_backward() -> None:
    x = leaf(1.0, 2.0, 3.0)
    y = x * 1.0
    total = y[0] + y[[1]].sum() + y[2:].sum()
    y.mul_(10)
    total.backward()
    assert_close(x.grad, np.ones(3))
