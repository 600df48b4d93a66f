"""Layers that normalize, and the table of vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import ArgumentError, ShapeError, Tensor, nn
from jitgrad.testing import assert_close, check_grads

X = np.random.default_rng(0).normal(2.0, 3.0, (5, 4, 3))


def _scaled(x: Any, axes: tuple[int, ...]) -> Any:
    centred = x - x.mean(axes, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axes, keepdims=True) + 1e-5)


LAYERS: dict[str, tuple[Callable[[], nn.Module], Callable[[Any], Any]]] = {
    "LayerNorm((4, 3), eps=1e-05, elementwise_affine=True)": (
        lambda: nn.LayerNorm((4, 3)),
        lambda x: _scaled(x, (1, 2)),
    ),
    "RMSNorm((3,), eps=1e-05, elementwise_affine=True)": (
        lambda: nn.RMSNorm(3, eps=1e-5),
        lambda x: x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5),
    ),
    "GroupNorm(4, 4, eps=1e-05, affine=True)": (
        lambda: nn.GroupNorm(4, 4),
        lambda x: _scaled(x, (2,)),
    ),
    "BatchNorm1d(4, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)": (
        lambda: nn.BatchNorm1d(4),
        lambda x: _scaled(x, (0, 2)),
    ),
    "InstanceNorm1d(4, eps=1e-05, momentum=0.1, affine=False, track_running_stats=False)": (
        lambda: nn.InstanceNorm1d(4),
        lambda x: _scaled(x, (2,)),
    ),
}


@pytest.mark.parametrize("text", LAYERS)
def test_a_layer_follows_its_formula(text: str) -> None:
    make, formula = LAYERS[text]
    layer = make().double()
    assert repr(layer) == text
    assert_close(layer(jitgrad.tensor(X)), formula(X))
    check_grads(lambda x: layer(x) ** 2, (X,), order=1)
    assert_close(jitgrad.compile(layer)(jitgrad.tensor(X)), formula(X))


def test_factors_and_summands_are_trained() -> None:
    layer = nn.BatchNorm2d(2)
    layer(jitgrad.randn(3, 2, 4, 4)).sum().backward()
    assert_close(layer.bias.grad, [48.0, 48.0])
    assert list(layer.state_dict()) == [
        "weight", "bias", "running_mean", "running_var", "num_batches_tracked"
    ]  # fmt: skip
    layer.weight.data = [5.0, 6.0]
    layer.reset_parameters()
    assert_close(layer.weight, [1.0, 1.0])


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("compiled", [False, True])
def test_averages_over_batches_are_used_after_training(
    momentum: float | None, compiled: bool
) -> None:
    layer = nn.BatchNorm1d(4, momentum=momentum).double()
    run = jitgrad.compile(layer) if compiled else layer
    mean, variance = np.zeros(4), np.ones(4)
    for count in (1, 2, 3):
        batch = X * count
        run(jitgrad.tensor(batch))
        share = 1 / count if momentum is None else momentum
        mean = mean * (1 - share) + share * batch.mean((0, 2))
        variance = variance * (1 - share) + share * batch.var((0, 2), ddof=1)
    assert_close(layer.running_mean, mean)
    assert_close(layer.running_var, variance)
    assert layer.num_batches_tracked.item() == 3
    layer.eval()
    expected = (X - mean[:, None]) / np.sqrt(variance[:, None] + 1e-5)
    assert_close(run(jitgrad.tensor(X)), expected)
    assert layer.num_batches_tracked.item() == 3


def test_inputs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="it must have 4 axes"):
        nn.BatchNorm2d(3)(jitgrad.ones(2, 3))
    with pytest.raises(ArgumentError, match="5 channels can't be divided into 2 groups"):
        nn.GroupNorm(2, 5)


@pytest.mark.parametrize("compiled", [False, True])
def test_vectors_are_looked_up_and_trained(compiled: bool) -> None:
    layer = nn.Embedding(5, 2, padding_idx=1)
    assert repr(layer) == "Embedding(5, 2, padding_idx=1)"
    assert layer.weight[1].tolist() == [0.0, 0.0]
    run = jitgrad.compile(layer) if compiled else layer
    numbers = jitgrad.tensor([[0, 1], [4, 0]])
    found: Tensor = run(numbers)
    assert_close(found, layer.weight.detach().numpy()[[[0, 1], [4, 0]]])
    found.sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [[2, 2], [0, 0], [0, 0], [0, 0], [1, 1]]
