"""First values have the distributions that they are named for."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import jitgrad
from jitgrad import Tensor, nn
from jitgrad.nn import init


def test_numbers_fill_in_place_and_leave_the_leaf_as_it_is() -> None:
    p = nn.Parameter(np.full((2, 3), 7.0))
    for fill, expected in [
        (lambda: init.constant_(p, 2.5), np.full((2, 3), 2.5)),
        (lambda: init.zeros_(p), np.zeros((2, 3))),
        (lambda: init.ones_(p), np.ones((2, 3))),
        (lambda: init.eye_(p), np.eye(2, 3)),
    ]:
        assert fill() is p
        assert p.requires_grad
        assert p.is_leaf
        assert p.dtype == np.float64
        np.testing.assert_array_equal(p.detach().numpy(), expected)


@pytest.mark.parametrize(
    ("fill", "low", "high"),
    [
        (lambda t: init.uniform_(t, -2.0, 3.0), -2.0, 3.0),
        (init.kaiming_uniform_, -math.sqrt(6 / 300), math.sqrt(6 / 300)),
        (
            lambda t: init.kaiming_uniform_(t, mode="fan_out", nonlinearity="linear"),
            -math.sqrt(3 / 200),
            math.sqrt(3 / 200),
        ),
        (lambda t: init.kaiming_uniform_(t, a=math.sqrt(5)), -(300**-0.5), 300**-0.5),
        (init.xavier_uniform_, -math.sqrt(6 / 500), math.sqrt(6 / 500)),
    ],
)
def test_uniform_values_fill_their_interval(
    fill: Callable[[Tensor], Tensor], low: float, high: float
) -> None:
    values = fill(jitgrad.zeros(200, 300)).numpy()
    width = high - low
    assert low <= values.min() < low + width / 1000
    assert high - width / 1000 < values.max() <= high
    np.testing.assert_allclose(values.mean(), (low + high) / 2, atol=width / 100)


@pytest.mark.parametrize(
    ("fill", "mean", "std"),
    [
        (lambda t: init.normal_(t, 2.0, 3.0), 2.0, 3.0),
        (init.kaiming_normal_, 0.0, math.sqrt(2 / 300)),
        (lambda t: init.xavier_normal_(t, gain=2.0), 0.0, 2 * math.sqrt(2 / 500)),
    ],
)
def test_normal_values_have_their_moments(
    fill: Callable[[Tensor], Tensor], mean: float, std: float
) -> None:
    values = fill(jitgrad.zeros(200, 300)).numpy()
    np.testing.assert_allclose(values.mean(), mean, atol=std / 30)
    np.testing.assert_allclose(values.std(), std, rtol=0.02)
    assert (np.abs(values - mean) > 3 * std).any()


def test_axes_beyond_the_second_count_as_inputs_of_each_output() -> None:
    values = init.kaiming_uniform_(jitgrad.zeros(50, 4, 5, 5)).numpy()
    bound = math.sqrt(6 / 100)
    assert 0.99 * bound < np.abs(values).max() <= bound


@pytest.mark.parametrize(
    ("name", "gain"),
    [
        ("linear", 1.0),
        ("sigmoid", 1.0),
        ("tanh", 5 / 3),
        ("relu", math.sqrt(2)),
        ("leaky_relu", math.sqrt(2 / (1 + 0.01**2))),
        ("selu", 0.75),
    ],
)
def test_gains_are_those_of_pytorch(name: str, gain: float) -> None:
    assert init.calculate_gain(name) == pytest.approx(gain, rel=1e-15)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(jitgrad.ArgumentError) as caught:
        init.calculate_gain("softmax")
    assert caught.value.what == "calculate_gain: there is no gain for 'softmax'"
    assert caught.value.why == "those known: leaky_relu, linear, relu, selu, sigmoid, tanh"
    with pytest.raises(jitgrad.ArgumentError) as caught:
        init.kaiming_normal_(jitgrad.zeros(2, 2), mode="fan")
    assert caught.value.what == "kaiming_normal_: mode is 'fan'"
    assert caught.value.why == 'it must be "fan_in" or "fan_out"'
    with pytest.raises(jitgrad.ShapeError) as shapes:
        init.xavier_uniform_(jitgrad.zeros(2))
    assert shapes.value.what == "xavier_uniform_: a Tensor of shape (2,) has no inputs and outputs"
    assert shapes.value.do == "use normal_ or uniform_"
    with pytest.raises(jitgrad.ShapeError) as shapes:
        init.eye_(jitgrad.zeros(2))
    assert shapes.value.what == "eye_: a Tensor of shape (2,) has no diagonal"
