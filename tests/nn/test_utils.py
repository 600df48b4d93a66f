"""What is done with all parameters of a model at once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import GradientError, ShapeError, nn
from jitgrad.nn import utils
from jitgrad.testing import assert_close


def _parameters() -> list[nn.Parameter]:
    parameters = [nn.Parameter(jitgrad.ones(2)), nn.Parameter(3.0), nn.Parameter(1.0)]
    parameters[0].grad = jitgrad.tensor([2.0, -1.0])
    parameters[1].grad = jitgrad.tensor(2.0)
    return parameters


@pytest.mark.parametrize(("order", "norm"), [(2.0, 3.0), (1.0, 5.0), (math.inf, 2.0)])
def test_gradients_are_scaled_to_a_norm(order: float, norm: float) -> None:
    parameters = _parameters()
    assert_close(utils.clip_grad_norm_(parameters, 0.5, order), norm)
    assert_close(parameters[0].grad, np.float32([2, -1]) * np.float32(0.5 / norm))
    assert_close(utils.clip_grad_norm_(parameters, 9.0, order), 0.5)
    assert_close(parameters[1].grad, 1.0 / norm)
    assert parameters[2].grad is None
    assert utils.clip_grad_norm_([], 1.0).item() == 0.0


def test_a_norm_that_is_not_finite_can_be_an_error() -> None:
    parameters = _parameters()
    parameters[1].grad = jitgrad.tensor(math.nan)
    with pytest.raises(GradientError, match="the norm of the gradients is nan"):
        utils.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)


def test_gradients_are_restricted_to_an_interval() -> None:
    parameters = _parameters()
    utils.clip_grad_value_(parameters, 1.5)
    assert_close(parameters[0].grad, [1.5, -1.0])


def test_parameters_become_a_vector_and_back() -> None:
    layer = nn.Linear(2, 3)
    vector = utils.parameters_to_vector(layer.parameters())
    assert vector.shape == (9,)
    vector.sum().backward()
    assert_close(layer.bias.grad, np.ones(3, np.float32))
    utils.vector_to_parameters(jitgrad.arange(9.0), layer.parameters())
    assert layer.bias.tolist() == [6.0, 7.0, 8.0]
    with pytest.raises(ShapeError, match="the parameters have 9 elements"):
        utils.vector_to_parameters(jitgrad.ones(8), layer.parameters())


def test_a_compiled_step_clips_as_the_plain_one() -> None:
    def trained(compiled: bool) -> Any:
        jitgrad.manual_seed(0)
        layer = nn.Linear(3, 2)
        optimizer = jitgrad.optim.SGD(layer.parameters(), lr=0.1)
        x, y = jitgrad.ones(4, 3), jitgrad.zeros(4, 2)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            nn.functional.mse_loss(layer(x), y).backward()
            norm = utils.clip_grad_norm_(layer.parameters(), 0.1)
            optimizer.step()
            return norm

        run = jitgrad.compile(step) if compiled else step
        norms = [run(x, y).item() for _ in range(3)]
        return [*norms, *layer.weight.flatten().tolist()]

    np.testing.assert_allclose(trained(True), trained(False), rtol=1e-5)
