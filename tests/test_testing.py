"""The checks of `jitgrad.testing` and `autograd.gradcheck` themselves: they pass, and they fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import ArgumentError, Tensor, autograd
from jitgrad.testing import assert_close, check_grads


class WrongSine(autograd.Function):
    """Its derivative is off by one part in a thousand."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * x.cos() * 1.001


class WrongCurvature(autograd.Function):
    """Its derivative is right, the derivative of that is not."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * 2 * x.detach()


X = np.array([0.3, -1.2, 2.0])


def test_right_gradients_pass() -> None:
    check_grads(lambda x, y: (x * y).sin().sum(), [X, X + 1], order=3)


def test_a_wrong_gradient_is_reported_with_its_place() -> None:
    with pytest.raises(AssertionError) as caught:
        check_grads(lambda y, x: y + WrongSine.apply(x), [X, X])
    text = str(caught.value)
    assert text.startswith(
        "gradient with respect to input number 1: at element (0,) the rule gives"
    )


def test_a_wrong_second_derivative_is_reported_as_such() -> None:
    check_grads(WrongCurvature.apply, [X], order=1)
    with pytest.raises(AssertionError, match=r"^derivative of order 2 with respect to input"):
        check_grads(WrongCurvature.apply, [X], order=2)


def test_a_missing_gradient_is_noticed() -> None:
    with pytest.raises(AssertionError, match=r"the rule gives 0, finite"):
        check_grads(lambda x: x.detach() * 2, [X])


def test_a_gradient_that_is_not_finite_is_noticed() -> None:
    with pytest.raises(AssertionError, match=r"it is not finite"):
        check_grads(jitgrad.sqrt, [np.array([0.0, 1.0])])


def test_large_inputs_are_checked_in_random_directions() -> None:
    large = np.linspace(-2, 2, 300)
    check_grads(jitgrad.sin, [large])
    with pytest.raises(AssertionError, match="in a random direction"):
        check_grads(WrongSine.apply, [large])


def test_inputs_and_outputs_may_be_nested_and_mixed() -> None:
    def model(params: dict[str, Any], x: Any, n: int, label: str) -> dict[str, Any]:
        assert label == "label"
        hidden = params["w"] * x**n + params["b"][0]
        return {"hidden": (hidden, hidden.sum()), "count": jitgrad.tensor(n), "n": n}

    check_grads(model, [{"w": X, "b": [jitgrad.ones(3)]}, 1.5, 2, "label"], order=2)


def test_inputs_are_converted_to_float64_and_left_alone() -> None:
    x = jitgrad.ones(2, requires_grad=True)
    seen = []

    def note(value: Tensor) -> Tensor:
        seen.append(value.dtype)
        return value * value

    check_grads(note, [x])
    assert set(seen) == {jitgrad.float64}
    assert x.grad is None


def test_without_floating_inputs_there_is_nothing_to_check() -> None:
    with pytest.raises(ArgumentError, match="none of the inputs is floating"):
        check_grads(lambda n: n, [jitgrad.tensor([1, 2])])


@pytest.mark.parametrize(("order", "modes"), [(0, ("rev",)), (1, ("sideways",))])
def test_orders_and_modes_that_do_not_exist_are_errors(order: int, modes: tuple[str]) -> None:
    with pytest.raises(ArgumentError, match="can't be checked"):
        check_grads(jitgrad.sin, [X], order=order, modes=modes)


def test_gradcheck_returns_whether_gradients_are_right() -> None:
    x = jitgrad.tensor(X, requires_grad=True)
    assert autograd.gradcheck(jitgrad.sin, x)
    assert autograd.gradgradcheck(jitgrad.sin, (x,))
    strict = {"rtol": 1e-5, "atol": 1e-6, "raise_exception": False}
    assert not autograd.gradcheck(WrongSine.apply, x, **strict)
    assert autograd.gradcheck(WrongCurvature.apply, x)
    with pytest.raises(AssertionError):
        autograd.gradgradcheck(WrongCurvature.apply, x)


def test_close_values_pass() -> None:
    assert_close(jitgrad.ones(2), np.ones(2, np.float32))
    assert_close(jitgrad.ones(2), [1.0, 1.0 + 1e-6])
    assert_close(1.0, jitgrad.ones(()))
    assert_close((jitgrad.ones(2), {"a": 3}), (jitgrad.ones(2), {"a": 3}))
    assert_close([jitgrad.ones(1), None], [[1.0], None])
    assert_close(float("nan"), float("nan"), equal_nan=True)
    assert_close(float("inf"), float("inf"))


@pytest.mark.parametrize(
    ("actual", "expected", "message"),
    [
        (
            [1.0, 2.0],
            jitgrad.tensor([1.0, 2.5]),
            "1 of 2 elements are not close; furthest apart at (1,): 2.0 and 2.5",
        ),
        (jitgrad.ones(2), jitgrad.ones(1, 2), "the shapes are (2,) and (1, 2)"),
        (jitgrad.ones(2), np.ones(2), "the dtypes are float32 and float64"),
        (float("nan"), 1.0, "1 of 1 elements are not close; furthest apart at (): nan and 1.0"),
        (
            (1, jitgrad.tensor(2)),
            (1, 3),
            "value number 1: 1 of 1 elements are not close; furthest apart at (): 2 and 3",
        ),
        ((1, 2), (1, 2, 3), "the values are nested in different ways"),
        ((1, 2), [1, 2], "the values are nested in different ways"),
        ({"a": 1}, {"b": 1}, "the values are nested in different ways"),
        (None, jitgrad.ones(1), "the values are None and tensor([1.])"),
    ],
)
def test_values_that_are_not_close_are_reported(actual: Any, expected: Any, message: str) -> None:
    with pytest.raises(AssertionError) as caught:
        assert_close(actual, expected)
    assert str(caught.value) == message


def test_dtypes_need_not_agree_on_request() -> None:
    assert_close(jitgrad.ones(2), np.ones(2), check_dtype=False)


def test_tolerances_are_given_together() -> None:
    assert_close(1.0, 1.1, rtol=0.2, atol=0.0)
    with pytest.raises(ArgumentError, match="given together"):
        assert_close(1.0, 1.1, rtol=0.2)
