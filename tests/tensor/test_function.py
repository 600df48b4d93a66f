"""Operations that users write: `autograd.Function`."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import ArgumentError, GradientError, ShapeError, Tensor, autograd
from jitgrad.testing import assert_close, check_grads
from tests.messages import message_of


def leaf(*values: float) -> Tensor:
    return jitgrad.tensor(list(values), requires_grad=True)


class Cube(autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * grad


class Exponential(autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        result = x.exp()
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (result,) = ctx.saved_tensors
        return grad * result


class ScaledSumAndDifference(autograd.Function):
    """Two outputs, an argument that is no Tensor, and a note of what backward was given."""

    given: tuple[Any, ...] = ()
    materialize = True

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, factor: float) -> tuple[Tensor, Tensor]:
        ctx.factor = factor
        ctx.set_materialize_grads(ScaledSumAndDifference.materialize)
        return factor * (x + y), factor * (x - y)

    @staticmethod
    def backward(ctx: Any, of_sum: Any, of_difference: Any) -> tuple[Any, Any, None]:
        ScaledSumAndDifference.given = (of_sum, of_difference)
        total = 0 if of_sum is None else of_sum
        change = 0 if of_difference is None else of_difference
        return ctx.factor * (total + change), ctx.factor * (total - change), None


def test_apply_runs_forward_and_backward() -> None:
    x = leaf(2.0, 3.0)
    y = Cube.apply(x)
    assert_close(y.detach(), [8.0, 27.0])
    y.sum().backward()
    assert_close(x.grad, [12.0, 27.0])


def test_the_node_is_named_after_the_class() -> None:
    y = Cube.apply(leaf(2.0))
    assert y.grad_fn.name() == "CubeBackward"
    assert repr(y.grad_fn).startswith("<CubeBackward object at 0x")
    assert repr(y) == "tensor([8.], grad_fn=<CubeBackward>)"


@pytest.mark.parametrize("function", [Cube, Exponential])
def test_backward_is_recorded_so_that_it_can_be_differentiated(function: Any) -> None:
    check_grads(function.apply, [np.array([0.5, -1.5])], order=3)


def test_outputs_and_non_tensor_arguments_are_passed_through() -> None:
    x, y = leaf(1.0), leaf(2.0)
    total, change = ScaledSumAndDifference.apply(x, y, 3.0)
    (2 * total + change).sum().backward()
    assert_close([x.grad, y.grad], [[9.0], [3.0]])


def test_outputs_without_a_gradient_get_zeros() -> None:
    total, _ = ScaledSumAndDifference.apply(leaf(1.0), leaf(2.0), 3.0)
    total.sum().backward()
    assert_close(list(ScaledSumAndDifference.given), [[1.0], [0.0]])


def test_outputs_without_a_gradient_get_none_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScaledSumAndDifference, "materialize", False)
    x = leaf(1.0)
    _, change = ScaledSumAndDifference.apply(x, leaf(2.0), 3.0)
    change.sum().backward()
    assert ScaledSumAndDifference.given[0] is None
    assert_close(x.grad, [3.0])


def test_context_says_which_inputs_need_a_gradient() -> None:
    seen = []

    class Product(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, y: Tensor, n: int) -> Tensor:
            seen.append(ctx.needs_input_grad)
            ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, y)
            return x * y * n

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
            x, y = ctx.saved_tensors
            seen.append((x, ctx.needs_input_grad))
            return grad * y, None, None

    Product.apply(leaf(1.0), jitgrad.ones(1), 2).sum().backward()
    assert seen == [(True, False, False), (None, (True, False, False))]


def test_nothing_is_recorded_without_an_input_that_needs_a_gradient() -> None:
    assert Cube.apply(jitgrad.ones(1)).grad_fn is None
    with jitgrad.no_grad():
        assert Cube.apply(leaf(1.0)).grad_fn is None


def test_forward_runs_without_being_recorded() -> None:
    modes = []

    class Note(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            modes.append(jitgrad.is_grad_enabled())
            return x * 1

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Tensor:
            modes.append(jitgrad.is_grad_enabled())
            return grad

    x = leaf(1.0)
    y = Note.apply(x)
    autograd.grad(y, x, retain_graph=True)
    autograd.grad(y, x, create_graph=True)
    assert modes == [False, False, True]


def test_an_input_may_be_returned_as_it_is() -> None:
    class Identity(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Tensor:
            return grad * 10

    x = leaf(1.0)
    y = Identity.apply(x)
    assert y is not x
    assert x.is_leaf
    y.sum().backward()
    assert_close(x.grad, [10.0])


def test_outputs_can_be_marked_as_without_gradient() -> None:
    class Sort(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor, int]:
            order = np.argsort(x.detach().numpy())
            ranks = jitgrad.tensor(order.astype(np.float32))
            ctx.mark_non_differentiable(ranks)
            ctx.order = order
            return x[order.tolist()], ranks, len(order)

        @staticmethod
        def backward(ctx: Any, grad: Tensor, of_ranks: Tensor, of_count: Any) -> Tensor:
            assert of_count is None
            assert_close(of_ranks, [0.0, 0.0, 0.0])
            return grad[np.argsort(ctx.order).tolist()]

    x = leaf(3.0, 1.0, 2.0)
    ordered, ranks, count = Sort.apply(x)
    assert not ranks.requires_grad
    assert count == 3
    (ordered * jitgrad.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert_close(x.grad, [100.0, 1.0, 10.0])


def test_an_input_changed_in_place_is_marked_and_returned() -> None:
    class Double(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Tensor:
            return grad * 2

    x = leaf(3.0)
    y = x * 1
    z = Double.apply(y)
    assert z is y
    assert y.grad_fn is not None
    assert y.grad_fn.name() == "DoubleBackward"
    (y * y).sum().backward()
    assert_close(x.grad, [24.0])

    def provoke() -> None:
        Double.apply(x)

    assert message_of(GradientError, provoke) == (
        "Double.forward: a leaf that requires a gradient can't be changed in place\n"
        "  do:    work on a copy: x.clone()"
    )


def test_forward_without_ctx_and_setup_context_are_an_alternative() -> None:
    class Power(autograd.Function):
        @staticmethod
        def forward(x: Tensor, n: int) -> Tensor:
            return x**n

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
            x, ctx.n = inputs
            ctx.save_for_backward(x)

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
            (x,) = ctx.saved_tensors
            return grad * ctx.n * x ** (ctx.n - 1), None

    check_grads(lambda x: Power.apply(x, 4), [np.array([0.5, 2.0])], order=2)


def test_a_gradient_is_summed_over_broadcast_axes_and_cast() -> None:
    class Stretch(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return jitgrad.ones(3, 2) * x

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Tensor:
            return grad.to(jitgrad.float64)

    x = leaf(1.0, 2.0)
    Stretch.apply(x).sum().backward()
    assert_close(x.grad, [3.0, 3.0])


def with_backward(returned: Any) -> Any:
    class Wrong(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, n: int) -> Tensor:
            return x * n

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Any:
            return returned

    return Wrong.apply(leaf(1.0, 2.0), 2).sum()


def test_a_wrong_number_of_gradients_is_an_error() -> None:
    y = with_backward(jitgrad.ones(2))

    def provoke() -> None:
        y.backward()

    assert message_of(GradientError, provoke) == (
        "Wrong.backward: returned 1 gradients\n"
        "  why:   forward takes 2 inputs after ctx; each needs one\n"
        "  do:    return None for inputs that have no gradient"
    )


def test_a_gradient_of_the_wrong_shape_is_an_error() -> None:
    y = with_backward((jitgrad.ones(3), None))

    def provoke() -> None:
        y.backward()

    assert message_of(ShapeError, provoke) == (
        "Wrong.backward: the gradient of input number 0 has shape (3,)\n"
        "  why:   the input has shape (2,); they must be the same"
    )


def test_a_gradient_for_what_is_no_tensor_is_an_error() -> None:
    y = with_backward((jitgrad.ones(2), jitgrad.ones(())))

    def provoke() -> None:
        y.backward()

    assert message_of(GradientError, provoke) == (
        "Wrong.backward: returned a gradient for input number 1\n"
        "  why:   that input is not a Tensor\n"
        "  do:    return None in its place"
    )


def test_only_tensors_can_be_saved() -> None:
    class Wrong(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(2.0)
            return x

    with pytest.raises(ArgumentError, match="save_for_backward: a float is not a Tensor"):
        Wrong.apply(leaf(1.0))


def test_a_class_without_forward_says_so() -> None:
    class Nothing(autograd.Function):
        pass

    with pytest.raises(NotImplementedError, match="must define a static method forward"):
        Nothing.apply(leaf(1.0))


def test_saved_tensors_are_freed_by_backward() -> None:
    y = Cube.apply(leaf(2.0)).sum()
    y.backward()

    def provoke() -> None:
        y.backward()

    assert message_of(GradientError, provoke, "backward") == (
        "backward: the graph was freed by an earlier backward\n"
        "  why:   the values that CubeBackward had saved are gone\n"
        "  do:    pass retain_graph=True to the earlier call, or compute the output again"
    )


def test_saved_tensors_must_not_be_changed_in_place() -> None:
    x = leaf(2.0)
    saved = x * 1
    y = Cube.apply(saved).sum()
    with jitgrad.no_grad():
        saved.add_(1)

    def provoke() -> None:
        y.backward()

    message = message_of(GradientError, provoke, "backward")
    assert message.startswith(
        "backward: a value needed for the gradient was changed in place\n"
        "  why:   CubeBackward saved a Tensor of shape (1,) at version 0; it is at version 1 now,"
        " by add_ at "
    )


def test_a_backward_can_be_declared_differentiable_only_once() -> None:
    class Sine(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        @autograd.once_differentiable
        def backward(ctx: Any, grad: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors
            return jitgrad.from_numpy(np.cos(x.detach().numpy()) * grad.numpy())

    x = leaf(0.5)
    (gradient,) = autograd.grad(Sine.apply(x), x, create_graph=True)
    assert gradient is not None
    assert_close(gradient.detach(), [np.cos(0.5)])

    def provoke() -> None:
        autograd.grad(gradient, x)

    assert message_of(GradientError, provoke) == (
        "backward: Sine can't be differentiated twice\n"
        "  why:   its backward is marked with once_differentiable\n"
        "  do:    write its backward with jitgrad's operations and without the mark"
    )


@pytest.mark.parametrize("function", [Cube, Exponential])
def test_the_node_is_freed_without_the_garbage_collector(function: Any) -> None:
    gc.collect()
    gc.disable()
    try:
        y = function.apply(leaf(2.0))
        node = weakref.ref(y.grad_fn)
        del y
        assert node() is None
    finally:
        gc.enable()
