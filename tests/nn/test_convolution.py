"""Layers that convolve and pool."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import ArgumentError, nn
from jitgrad.nn import functional as F  # noqa: N812 - as everyone calls it

LAYERS: list[tuple[nn.Module, tuple[int, ...], tuple[int, ...], str]] = [
    (
        nn.Conv2d(4, 6, 3, padding=1, groups=2, bias=False),
        (2, 4, 5, 7),
        (2, 6, 5, 7),
        "Conv2d(4, 6, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), groups=2, bias=False)",
    ),
    (
        nn.Conv2d(4, 6, (3, 2), padding="same"),
        (2, 4, 5, 7),
        (2, 6, 5, 7),
        "Conv2d(4, 6, kernel_size=(3, 2), stride=(1, 1), padding=same)",
    ),
    (
        nn.Conv1d(4, 6, 3, 2, dilation=2),
        (4, 9),
        (6, 3),
        "Conv1d(4, 6, kernel_size=(3,), stride=(2,), dilation=(2,))",
    ),
    (
        nn.ConvTranspose2d(4, 6, 3, 2, 1, 1),
        (2, 4, 5, 7),
        (2, 6, 10, 14),
        "ConvTranspose2d(4, 6, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1),"
        " output_padding=(1, 1))",
    ),
    (
        nn.ConvTranspose1d(4, 6, 3),
        (2, 4, 5),
        (2, 6, 7),
        "ConvTranspose1d(4, 6, kernel_size=(3,), stride=(1,))",
    ),
    (
        nn.MaxPool2d(2),
        (2, 4, 5, 7),
        (2, 4, 2, 3),
        "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)",
    ),
    (
        nn.MaxPool1d(3, 1, ceil_mode=True),
        (2, 4, 5),
        (2, 4, 3),
        "MaxPool1d(kernel_size=3, stride=1, padding=0, dilation=1, ceil_mode=True)",
    ),
    (
        nn.AvgPool2d(3, 2, 1, divisor_override=2),
        (2, 4, 5, 7),
        (2, 4, 3, 4),
        "AvgPool2d(kernel_size=3, stride=2, padding=1)",
    ),
    (nn.AvgPool1d(3), (2, 4, 7), (2, 4, 2), "AvgPool1d(kernel_size=3, stride=3, padding=0)"),
    (
        nn.AdaptiveAvgPool2d((2, None)),
        (2, 4, 5, 7),
        (2, 4, 2, 7),
        "AdaptiveAvgPool2d(output_size=(2, None))",
    ),
    (nn.AdaptiveAvgPool1d(3), (2, 4, 7), (2, 4, 3), "AdaptiveAvgPool1d(output_size=3)"),
]


@pytest.mark.parametrize(
    ("layer", "shape", "out", "text"), LAYERS, ids=[type(row[0]).__name__ for row in LAYERS]
)
def test_a_layer_gives_the_shape_of_pytorchs_and_is_shown_like_it(
    layer: nn.Module, shape: tuple[int, ...], out: tuple[int, ...], text: str
) -> None:
    assert layer(jitgrad.ones(*shape)).shape == out
    assert repr(layer) == text


def test_a_layer_convolves_with_its_parameters() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 5)).astype(np.float32)
    layer = nn.Conv2d(3, 4, 3, 2, 1)
    expected = F.conv2d(x, layer.weight, layer.bias, 2, 1)
    np.testing.assert_array_equal(layer(x).detach().numpy(), expected.detach().numpy())


def test_a_pool_returns_places_when_asked() -> None:
    values, places = nn.MaxPool2d(2, return_indices=True)(jitgrad.ones(1, 1, 4, 4))
    assert values.shape == places.shape == (1, 1, 2, 2)


@pytest.mark.parametrize("layer", [nn.Conv2d(8, 6, 5, groups=2), nn.ConvTranspose2d(6, 8, 5)])
def test_first_values_are_uniform_within_a_bound(layer: Any) -> None:
    bound = 1 / math.sqrt(math.prod(layer.weight.shape[1:]))
    for parameter in (layer.weight, layer.bias):
        values = parameter.detach().numpy()
        assert np.abs(values).max() <= bound
        assert np.ptp(values) > bound / 2


def test_channels_must_be_divisible_by_groups() -> None:
    with pytest.raises(ArgumentError, match="must be divisible"):
        nn.Conv2d(4, 6, 3, groups=4)
