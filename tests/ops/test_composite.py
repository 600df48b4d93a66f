"""Functions made of operations: forms of arguments, stability, derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special

import jitgrad as jg
from jitgrad.testing import check_grads
from tests.messages import message_of


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    return rng.normal(size=(2, 3, 4))


# -- averages and deviations ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["var", "std"])
def test_correction_is_subtracted_from_the_count(name: str, x: Any) -> None:
    ours, numpys = getattr(jg, name), getattr(np, name)
    for given, expected in [
        (ours(x), numpys(x, ddof=1)),
        (ours(x, correction=0), numpys(x, ddof=0)),
        (ours(x, 1, correction=2), numpys(x, axis=1, ddof=2)),
        (ours(x, 1, unbiased=False), numpys(x, axis=1)),
        (ours(x, False), numpys(x)),
        (ours(x, dim=(0, 2), keepdim=True), numpys(x, axis=(0, 2), ddof=1, keepdims=True)),
    ]:
        np.testing.assert_allclose(given.numpy(), expected, rtol=1e-12)


def test_variance_of_one_element_is_nan_with_correction() -> None:
    assert np.isnan(jg.var(jg.tensor([2.0])).item())
    assert jg.var(jg.tensor([2.0]), correction=0).item() == 0.0


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jg.mean(x, 1),
        lambda x: jg.var(x, (0, 2)),
        lambda x: jg.std(x, -1, correction=0),
        lambda x: jg.logsumexp(x, (0, 1)),
        lambda x: jg.softmax(x, 1),
        lambda x: jg.log_softmax(x, -1),
        lambda x: jg.cumprod(x, 1),
        lambda x: jg.logcumsumexp(x, 2),
        lambda x: jg.nansum(x, 0),
    ],
)
def test_derivatives_of_composites_are_right_to_second_order(function: Any, x: Any) -> None:
    check_grads(function, [x], order=2)


# -- exponentials --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4])
def test_exponentials_stay_finite_and_exact(dtype: Any, shift: float, x: Any) -> None:
    logits = (x + shift).astype(dtype)
    for ours, scipys in [
        (jg.softmax, special.softmax),
        (jg.log_softmax, special.log_softmax),
        (jg.logsumexp, special.logsumexp),
    ]:
        result = ours(logits, 1)
        assert result.dtype == dtype
        expected = scipys(logits.astype(np.float64), axis=1)
        np.testing.assert_allclose(result.numpy(), expected, rtol=20 * np.finfo(dtype).eps)


def test_exponentials_of_no_elements_have_the_right_shapes() -> None:
    empty = jg.zeros(0, 3, requires_grad=True)
    assert jg.softmax(empty, 0).shape == (0, 3)
    assert jg.log_softmax(empty, 1).shape == (0, 3)
    assert jg.logsumexp(empty, 1).shape == (0,)
    jg.softmax(empty, 0).sum().backward()
    assert empty.grad is not None
    assert empty.grad.shape == (0, 3)


def test_infinite_logits_are_sure_or_impossible() -> None:
    assert jg.softmax(jg.tensor([-np.inf, 1.0]), 0).tolist() == [0.0, 1.0]
    assert jg.logsumexp(jg.tensor([-np.inf, -np.inf]), 0).item() == -np.inf
    assert jg.logsumexp(jg.tensor([np.inf, 0.0]), 0).item() == np.inf


def test_softmax_converts_first_where_a_dtype_is_given() -> None:
    assert jg.softmax(jg.tensor([1, 2]), 0, dtype=jg.float64).dtype == np.float64
    assert jg.log_softmax(jg.tensor([1, 2]), 0, dtype=jg.float32).dtype == np.float32


def test_softmax_of_whole_numbers_is_an_error() -> None:
    assert message_of(jg.DtypeError, lambda: jg.softmax(jg.tensor([1, 2]), 0)) == (
        "softmax: the input has dtype int64\n"
        "  why:   the result is floating, in the dtype of the input\n"
        "  do:    convert it first: x.float().softmax(...)"
    )


# -- powers --------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [-3, -2, -1, -0.5, 0, 0.5, 1, 1.5, 2, 2.0, 3, 4, 5])
def test_power_by_a_number_is_that_of_numpy(exponent: float, rng: np.random.Generator) -> None:
    base = rng.uniform(0.2, 3, 5)
    x = jg.tensor(base, requires_grad=True)
    result = x**exponent
    assert result.grad_fn is not None
    assert result.grad_fn.name() == "PowBackward0"
    np.testing.assert_allclose(result.detach().numpy(), base**exponent, rtol=1e-14)
    check_grads(lambda x: x**exponent, [base], order=2)


def test_powers_of_whole_numbers_are_exact() -> None:
    x = jg.tensor([3, -2, 10])
    assert (x**3).tolist() == [27, -8, 1000]
    assert (x**0).tolist() == [1, 1, 1]
    assert (x**13).tolist() == [3**13, (-2) ** 13, 10**13]
    assert (2 ** x.abs()).tolist() == [8, 4, 1024]
    assert (jg.tensor([2, 1, -1, -1]) ** jg.tensor([-1, -5, -2, -3])).tolist() == [0, 1, 1, -1]
    assert (x**0.5).dtype == np.float32
    assert jg.square(jg.tensor([True])).tolist() == [1]


def test_whole_numbers_to_a_negative_number_are_an_error() -> None:
    assert message_of(jg.ArgumentError, lambda: jg.tensor([1, 2]) ** -1) == (
        "pow: whole numbers can't be raised to the power -1\n"
        "  why:   the results would not be whole numbers\n"
        "  do:    convert the base first, for instance with x.float()"
    )


# -- derivatives where dtypes differ -------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: x / y,
        lambda x, y: jg.xlogy(x, y),
        lambda x, y: jg.special.xlog1py(x, y),
        lambda x, y: y**x,
        lambda x, y: jg.atan2(x, y),
        lambda x, y: jg.hypot(x, y),
        lambda x, y: jg.logaddexp(x, y),
    ],
)
@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_gradient_is_as_precise_as_the_output(function: Any, dtype: Any) -> None:
    other = np.array([3, 7, 11], dtype)
    x = jg.tensor(np.array([0.3, 1.7, 2.9]), requires_grad=True)
    function(x, jg.tensor(other)).sum().backward()
    first = x.grad
    x.grad = None
    function(x, jg.tensor(other.astype(np.float64))).sum().backward()
    assert first is not None
    assert x.grad is not None
    np.testing.assert_allclose(first.numpy(), x.grad.numpy(), rtol=1e-14)


@pytest.mark.parametrize("number", [2, 0.5, -3])
def test_numbers_take_part_in_derivatives(number: float) -> None:
    values = np.array([0.4, 1.3])
    for function in (
        lambda x: x / number, lambda x: number / x, lambda x: jg.atan2(x, number),
        lambda x: jg.hypot(x, number), lambda x: jg.logaddexp(x, number),
        lambda x: jg.maximum(x, number), lambda x: jg.fmin(x, number),
        lambda x: jg.xlogy(x, abs(number)), lambda x: jg.xlogy(number, x),
        lambda x: abs(number) ** x, lambda x: x - number, lambda x: number - x,
    ):  # fmt: skip
        check_grads(function, [values], order=2)


def test_division_by_the_number_zero_has_an_infinite_derivative() -> None:
    x = jg.tensor([1.0], requires_grad=True)
    (x / 0).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [np.inf]


# -- arguments of elementwise functions ----------------------------------------------------


def test_factors_scale_the_second_term() -> None:
    x, y = jg.tensor([1.0, 2.0]), jg.tensor([3.0, 4.0])
    assert jg.add(x, y, alpha=2).tolist() == [7.0, 10.0]
    assert x.sub(y, alpha=0.5).tolist() == [-0.5, 0.0]
    assert jg.addcmul(x, y, y, value=2).tolist() == [19.0, 34.0]
    assert jg.addcdiv(x, y, y).tolist() == [2.0, 3.0]
    assert jg.lerp(x, y, 0.5).tolist() == [2.0, 3.0]


def test_quotients_are_rounded_on_request() -> None:
    x, y = jg.tensor([7, -7, 7, -7]), jg.tensor([2, 2, -2, -2])
    assert jg.div(x, y, rounding_mode="trunc").tolist() == [3, -3, -3, 3]
    assert jg.div(x, y, rounding_mode="floor").tolist() == [3, -4, -4, 3]
    assert jg.div(x * 1.0, y, rounding_mode="trunc").tolist() == [3.0, -3.0, -3.0, 3.0]
    assert (x // 2).tolist() == [3, -4, 3, -4]
    assert (x % 4).tolist() == [3, 1, 3, 1]
    assert jg.fmod(x, 4).tolist() == [3, -3, 3, -3]


def test_unknown_rounding_mode_is_an_error() -> None:
    assert message_of(jg.ArgumentError, lambda: jg.div(1.0, 2.0, rounding_mode="up")) == (
        "div: there is no rounding mode 'up'\n"
        "  do:    pass None, 'trunc' or 'floor'"
    )  # fmt: skip


def test_rounding_goes_to_even_and_takes_decimals() -> None:
    assert jg.round(jg.tensor([0.5, 1.5, 2.5])).tolist() == [0.0, 2.0, 2.0]
    np.testing.assert_allclose(jg.round(np.array([1.2345]), decimals=2).numpy(), [1.23])
    assert jg.round(jg.tensor([1234.0]), decimals=-2).tolist() == [1200.0]


def test_one_bound_is_enough_and_none_an_error() -> None:
    x = jg.tensor([-2, 0, 2])
    assert jg.clamp(x, max=1).tolist() == [-2, 0, 1]
    assert x.clip(min=0.5).tolist() == [0.5, 0.5, 2.0]
    assert jg.clamp(x, 1, -1).tolist() == [-1, -1, -1]
    assert message_of(jg.ArgumentError, lambda: jg.clamp(x)) == (
        "clamp: no bound is given\n"
        "  do:    pass min=..., max=..., or both"
    )  # fmt: skip


def test_booleans_are_not_subtracted_or_negated() -> None:
    truths = jg.tensor([True, False])
    assert message_of(jg.DtypeError, lambda: truths - truths) == (
        "sub: booleans are not taken\n"
        "  do:    use x ^ y, or logical_xor"
    )  # fmt: skip
    assert message_of(jg.DtypeError, lambda: -truths) == (
        "neg: booleans are not taken\n"
        "  do:    use ~x, or logical_not"
    )  # fmt: skip


def test_where_takes_numbers_conditions_only_and_methods() -> None:
    x = jg.tensor([1.0, -2.0])
    assert jg.where(x > 0, 1.0, 0.0).dtype == np.float32
    assert jg.where(x > 0, 1, 0).dtype == np.int64
    assert x.where(x > 0, 5.0).tolist() == [1.0, 5.0]
    (places,) = jg.where(x > 0)
    assert places.tolist() == [0]


def test_condition_that_is_not_boolean_is_an_error() -> None:
    assert message_of(jg.DtypeError, lambda: jg.where(jg.tensor([1.0]), 1.0, 2.0)) == (
        "where: the condition has dtype float32\n"
        "  why:   only booleans say which side to take\n"
        "  do:    compare it, for instance x != 0"
    )


def test_where_with_one_side_is_an_error() -> None:
    assert message_of(jg.ArgumentError, lambda: jg.where(jg.tensor([True]), 1.0)) == (
        "where: one of x and y is missing\n"
        "  do:    pass both, or neither"
    )  # fmt: skip


def test_masked_places_take_one_number() -> None:
    x = jg.tensor([1.0, 2.0])
    assert x.masked_fill(x > 1, 0).tolist() == [1.0, 0.0]
    assert message_of(jg.ShapeError, lambda: x.masked_fill(x > 1, [1.0, 2.0])) == (
        "masked_fill: the value has shape (2,)\n"
        "  why:   one number is stored in all places\n"
        "  do:    use where(mask, value, x) to take each element from an array"
    )


def test_closeness_has_relative_and_absolute_tolerance() -> None:
    x = jg.tensor([1.0, 1e-9, np.inf, np.nan])
    y = jg.tensor([1.000001, 0.0, np.inf, np.nan])
    assert jg.isclose(x, y).tolist() == [True, True, True, False]
    assert jg.isclose(x, y, equal_nan=True).tolist() == [True] * 4
    assert jg.allclose(x[:3], y[:3]) is True
    assert jg.allclose(x, y) is False
    assert jg.equal(jg.tensor([1, 2]), jg.tensor([1, 2])) is True
    assert jg.equal(jg.tensor([1, 2]), jg.tensor([[1, 2]])) is False
