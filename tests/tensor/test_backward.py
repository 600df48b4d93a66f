"""What `backward` and `autograd.grad` promise."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

import jitgrad
from jitgrad import GradientError, JitgradWarning, ShapeError, Tensor, autograd
from jitgrad.testing import assert_close
from tests.messages import message_of


def leaf(*values: float) -> Tensor:
    return jitgrad.tensor(list(values), requires_grad=True)


def test_leaves_accumulate_over_calls() -> None:
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    assert_close(x.grad, [2.0, 4.0])
    (3 * x).sum().backward()
    assert_close(x.grad, [5.0, 7.0])


def test_contributions_of_all_uses_add_up() -> None:
    x = leaf(2.0)
    shared = x * x
    (shared * 3 + shared * shared).sum().backward()
    assert_close(x.grad, [3 * 4.0 + 4 * 8.0])


def test_a_value_used_twice_by_one_operation_counts_twice() -> None:
    x = leaf(3.0)
    (x * x + x + x).sum().backward()
    assert_close(x.grad, [8.0])


def test_backward_of_a_scalar_is_that_with_a_gradient_of_one() -> None:
    x, y = leaf(2.0), leaf(2.0)
    (x**3).sum().backward()
    (y**3).sum().backward(jitgrad.tensor(1.0))
    assert_close(x.grad, y.grad)


def test_an_output_of_one_element_needs_no_gradient_whatever_its_shape() -> None:
    x = jitgrad.ones(1, 1, requires_grad=True)
    (2 * x).backward()
    assert_close(x.grad, [[2.0]])


def test_several_elements_without_a_gradient_are_an_error() -> None:
    y = leaf(1.0, 2.0) * 2

    def provoke() -> None:
        y.backward()

    assert message_of(GradientError, provoke) == (
        "backward: an output of shape (2,) needs a gradient\n"
        "  why:   only an output of one element has an implied gradient of 1\n"
        "  do:    pass gradient=..., of the output's shape, or reduce it with sum()"
    )


def test_a_gradient_of_the_wrong_shape_is_an_error() -> None:
    y = leaf(1.0, 2.0) * 2

    def provoke() -> None:
        y.backward(jitgrad.ones(3))

    assert message_of(ShapeError, provoke) == (
        "backward: the gradient has shape (3,)\n"
        "  why:   the output has shape (2,); they must be the same"
    )


def test_an_output_that_needs_no_gradient_is_an_error() -> None:
    y = jitgrad.ones(2).sum()

    def provoke() -> None:
        y.backward()

    assert message_of(GradientError, provoke) == (
        "backward: the output does not require a gradient\n"
        "  why:   it was computed without any Tensor that has requires_grad=True, or under"
        " no_grad, or from detached values\n"
        "  do:    set requires_grad=True on the inputs before the computation"
    )


def test_a_second_backward_needs_the_graph_to_be_retained() -> None:
    x = leaf(3.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert_close(x.grad, [12.0])

    def provoke() -> None:
        y.backward()

    assert message_of(GradientError, provoke) == (
        "backward: the graph was freed by an earlier backward\n"
        "  why:   the values that MulBackward0 had saved are gone\n"
        "  do:    pass retain_graph=True to the earlier call, or compute the output again"
    )


def test_a_graph_that_saved_nothing_can_be_swept_again() -> None:
    x = leaf(3.0)
    y = (x + 1).sum()
    y.backward()
    y.backward()
    assert_close(x.grad, [2.0])


def test_gradients_come_in_the_dtype_of_their_inputs() -> None:
    single = jitgrad.ones(2, requires_grad=True)
    double = jitgrad.ones(2, dtype=jitgrad.float64, requires_grad=True)
    (single * double).sum().backward()
    assert single.grad is not None
    assert double.grad is not None
    assert single.grad.dtype == jitgrad.float32
    assert double.grad.dtype == jitgrad.float64


def test_a_given_gradient_is_cast_to_the_dtype_of_the_output() -> None:
    x = leaf(1.0, 2.0)
    (x * 2).backward(np.array([1.0, 10.0]))
    assert_close(x.grad, [2.0, 20.0])


def test_gradients_share_no_memory_with_each_other_or_the_given_one() -> None:
    a, b, given = leaf(1.0, 2.0), leaf(3.0, 4.0), jitgrad.ones(2)
    (a + b).backward(given)
    assert a.grad is not None
    assert b.grad is not None
    arrays = [a.grad.numpy(), b.grad.numpy(), given.numpy()]
    assert not np.shares_memory(arrays[0], arrays[1])
    assert not np.shares_memory(arrays[0], arrays[2])
    assert not np.shares_memory(arrays[1], arrays[2])
    a.grad.zero_()
    assert_close(b.grad, [1.0, 1.0])


def test_gradients_share_no_memory_when_a_graph_of_them_is_made() -> None:
    a, b, given = leaf(1.0, 2.0), leaf(3.0, 4.0), jitgrad.ones(2)
    (a + b).backward(given, create_graph=True)
    assert a.grad is not None
    assert b.grad is not None
    assert not np.shares_memory(a.grad.detach().numpy(), b.grad.detach().numpy())
    assert not np.shares_memory(a.grad.detach().numpy(), given.numpy())


def test_only_the_given_inputs_accumulate() -> None:
    x, w = leaf(2.0), leaf(3.0)
    hidden = x * w
    (hidden * hidden).sum().backward(inputs=[w])
    assert x.grad is None
    assert_close(w.grad, [24.0])


def test_inputs_may_be_on_the_way_to_the_leaves() -> None:
    x = leaf(2.0)
    hidden = x * 3
    hidden.retain_grad()
    (hidden * hidden).sum().backward(inputs=hidden)
    assert x.grad is None
    assert_close(hidden.grad, [12.0])


def test_inputs_that_need_no_gradient_are_an_error() -> None:
    y, constant = leaf(1.0).sum(), jitgrad.ones(1)

    def provoke() -> None:
        y.backward(inputs=[constant])

    assert message_of(GradientError, provoke) == (
        "backward: one of the inputs does not require a gradient\n"
        "  why:   nothing was recorded of how the output depends on it\n"
        "  do:    set requires_grad=True on it before the computation"
    )


def test_a_gradient_made_with_a_graph_can_be_differentiated() -> None:
    x = leaf(2.0)
    (x**3).sum().backward(create_graph=True)
    first = x.grad
    assert first is not None
    x.grad = None
    first.sum().backward()
    assert_close(first.detach(), [12.0])
    assert_close(x.grad, [12.0])


def test_grad_touches_no_leaf() -> None:
    x = leaf(2.0)
    (gradient,) = autograd.grad((x**2).sum(), x)
    assert x.grad is None
    assert_close(gradient, [4.0])
    assert gradient is not None
    assert not gradient.requires_grad


def test_grad_reaches_values_between_leaves_and_outputs() -> None:
    x = leaf(2.0)
    hidden = x * 5
    gradients = autograd.grad((hidden**2).sum(), [hidden, x])
    assert_close(list(gradients), [[20.0], [100.0]])


def test_grad_of_an_output_with_respect_to_itself_is_the_cotangent() -> None:
    y = leaf(1.0, 2.0) * 2
    assert_close(autograd.grad(y, y, jitgrad.tensor([3.0, 4.0]))[0], [3.0, 4.0])


def test_grad_of_several_outputs_is_that_of_their_sum() -> None:
    x = leaf(2.0)
    (gradient,) = autograd.grad([(x**2).sum(), x * 3], [x], [None, [10.0]])
    assert_close(gradient, [34.0])


def test_grad_of_an_unused_input_is_an_error_unless_allowed() -> None:
    x, unused = leaf(1.0), leaf(1.0)
    y = x.sum()

    def provoke() -> None:
        autograd.grad(y, [x, unused], retain_graph=True)

    assert message_of(GradientError, provoke) == (
        "grad: input number 1 was not used to compute the outputs\n"
        "  why:   so there is no gradient with respect to it\n"
        "  do:    pass allow_unused=True to get None for it"
    )
    assert autograd.grad(y, [x, unused], allow_unused=True)[1] is None


def test_grad_of_an_unused_input_can_be_zeros() -> None:
    x, unused = leaf(1.0), leaf(1.0, 2.0)
    gradients = autograd.grad(x.sum(), [x, unused], materialize_grads=True)
    assert_close(list(gradients), [[1.0], [0.0, 0.0]])


def test_third_derivatives_come_from_repeated_grad() -> None:
    x = jitgrad.tensor(0.7, dtype=jitgrad.float64, requires_grad=True)
    value = x.sin()
    for _ in range(3):
        (derivative,) = autograd.grad(value, x, create_graph=True)
        assert derivative is not None
        value = derivative
    assert_close(value.detach(), -np.cos(np.float64(0.7)), check_dtype=False)


def test_nodes_are_named_as_in_pytorch_and_know_their_inputs() -> None:
    x, y = leaf(1.0), jitgrad.ones(1)
    z = x * y + 1
    node = z.grad_fn
    assert node is not None
    assert node.name() == "AddBackward0"
    assert repr(node).startswith("<AddBackward0 object at 0x")
    (product, slot), constant = node.next_functions
    assert product is not None
    assert (product.name(), slot, constant) == ("MulBackward0", 0, (None, 0))
    (accumulate, _), (nothing, _) = product.next_functions
    assert accumulate is not None
    assert accumulate.name() == "AccumulateGrad"
    assert accumulate.variable is x
    assert nothing is None
    assert accumulate.next_functions == ()


def test_leaves_are_what_was_not_computed_from_what_requires_a_gradient() -> None:
    x, constant = leaf(1.0), jitgrad.ones(1)
    assert x.is_leaf
    assert x.grad_fn is None
    assert constant.is_leaf
    assert (constant * 2).is_leaf
    assert not (x * 2).is_leaf
    assert (x * 2).detach().is_leaf


def test_reading_grad_of_what_is_no_leaf_warns() -> None:
    y = leaf(1.0) * 2
    text = (
        "the .grad of a Tensor that is not a leaf is not filled by backward\\(\\); "
        "call retain_grad\\(\\) on it before if you want it"
    )
    with pytest.warns(JitgradWarning, match=text):
        assert y.grad is None


def test_a_gradient_that_does_not_fit_can_not_be_assigned() -> None:
    x = leaf(1.0, 2.0)

    def provoke() -> None:
        x.grad = jitgrad.ones(3)

    assert message_of(GradientError, provoke) == (
        "grad: a gradient of shape (3,) and dtype float32 can't be assigned\n"
        "  why:   the Tensor has shape (2,) and dtype float32"
    )


def test_detach_shares_memory_and_has_no_history() -> None:
    x = leaf(1.0, 2.0)
    y = (x * 2).detach()
    assert not y.requires_grad
    assert np.shares_memory(x.detach().numpy(), x.detach().numpy())
    x.detach()[0] = 5.0
    assert_close(x.detach(), [5.0, 2.0])


def test_numpy_of_what_requires_a_gradient_is_an_error() -> None:
    x = leaf(1.0)

    def provoke() -> None:
        x.numpy()

    assert message_of(GradientError, provoke) == (
        "numpy: this Tensor requires a gradient, which NumPy would lose\n"
        "  do:    call x.detach().numpy()"
    )


def test_only_a_leaf_can_stop_requiring_a_gradient() -> None:
    x = leaf(1.0)
    y = x * 2
    x.requires_grad_(False)
    assert not x.requires_grad

    def provoke() -> None:
        y.requires_grad_(False)

    assert message_of(GradientError, provoke) == (
        "requires_grad_: only a leaf's requires_grad can be set to False\n"
        "  why:   this Tensor was computed by MulBackward0\n"
        "  do:    use x.detach() for a copy without history"
    )


def test_integers_can_not_require_a_gradient() -> None:
    counts = jitgrad.tensor([1, 2])

    def provoke() -> None:
        counts.requires_grad_()

    assert message_of(jitgrad.DtypeError, provoke) == (
        "requires_grad: a Tensor of dtype int64 can't have a gradient\n"
        "  why:   only floating values vary continuously\n"
        "  do:    convert it first: x.float().requires_grad_()"
    )


def test_a_view_of_a_constant_can_become_a_leaf() -> None:
    base = jitgrad.zeros(3)
    part = base[1:].requires_grad_()
    base.add_(1)
    assert part.requires_grad
    (part * part).sum().backward()
    assert_close(part.grad, [2.0, 2.0])


def test_frozen_inputs_get_no_gradient_and_nothing_is_saved_for_them() -> None:
    x, frozen = leaf(1.0, 2.0), jitgrad.ones(2)
    y = x * frozen
    node = y.grad_fn
    assert node is not None
    assert set(node.saved) == {"y"}
    y.sum().backward()
    assert frozen.grad is None
    assert (frozen * frozen).grad_fn is None


def test_graphs_of_any_depth_can_be_made_swept_and_destroyed() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(200_000):
        y = y + 1.0
    y.sum().backward()
    assert_close(x.grad, [1.0])
    (gradient,) = autograd.grad(y.sum(), x)
    assert_close(gradient, [1.0])
    del y


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_a_graph_is_freed_with_its_output_without_the_garbage_collector() -> None:
    x = leaf(1.0, 2.0)
    y = ((x * 2).exp().tanh() ** 3)[0:1].reshape(1, 1)
    nodes = [weakref.ref(y.grad_fn)]
    while (held := nodes[-1]().next_functions[0][0]) is not None and held.next_functions:
        nodes.append(weakref.ref(held))
    assert len(nodes) >= 6
    del y, held
    assert [node() for node in nodes] == [None] * len(nodes)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("create_graph", [False, True])
def test_leaves_and_their_gradients_are_freed_without_the_garbage_collector(
    create_graph: bool,
) -> None:
    x = leaf(1.0, 2.0)
    y = (x**3).sum()
    y.backward(create_graph=create_graph)
    alive = [weakref.ref(x), weakref.ref(x.grad), weakref.ref(y)]
    del x, y
    assert [reference() for reference in alive] == [None, None, None]


@pytest.mark.usefixtures("no_collector")
def test_values_saved_for_backward_are_freed_by_backward() -> None:
    x = leaf(1.0, 2.0)
    factor = jitgrad.ones(2)
    array = weakref.ref(factor.numpy())
    y = (x * factor).sum()
    del factor
    assert array() is not None
    y.backward()
    assert array() is None
