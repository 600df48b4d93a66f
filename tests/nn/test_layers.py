"""Layers, activations and losses as Modules; `nn.functional`'s own functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import Tensor, nn
from jitgrad.nn import functional as F  # noqa: N812 - as everyone calls it
from jitgrad.testing import check_grads

X = np.array([[-2.0, -0.5, 0.25], [0.5, 1.0, 2.75]])
Y = np.array([[-1.0, -0.75, 2.5], [0.5, 1.25, 2.0]])
Array = np.ndarray[Any, Any]


def _log_softmax(x: Array) -> Array:
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


_ERF = np.vectorize(math.erf)

ACTIVATIONS: list[tuple[nn.Module, Callable[[Array], Array], str]] = [
    (nn.ReLU(), lambda x: np.maximum(x, 0), "ReLU()"),
    (nn.LeakyReLU(0.1), lambda x: np.where(x > 0, x, 0.1 * x), "LeakyReLU(negative_slope=0.1)"),
    (nn.ELU(2.0), lambda x: np.where(x > 0, x, 2 * np.expm1(x)), "ELU(alpha=2.0)"),
    (nn.GELU(), lambda x: x * (1 + _ERF(x / math.sqrt(2))) / 2, "GELU(approximate='none')"),
    (nn.SiLU(), lambda x: x / (1 + np.exp(-x)), "SiLU()"),
    (nn.Tanh(), np.tanh, "Tanh()"),
    (nn.Sigmoid(), lambda x: 1 / (1 + np.exp(-x)), "Sigmoid()"),
    (nn.LogSigmoid(), lambda x: -np.log1p(np.exp(-x)), "LogSigmoid()"),
    (nn.Softplus(2.0), lambda x: np.log1p(np.exp(2 * x)) / 2, "Softplus(beta=2.0, threshold=20.0)"),
    (nn.Softmax(), lambda x: np.exp(_log_softmax(x)), "Softmax(dim=-1)"),
    (nn.LogSoftmax(dim=1), _log_softmax, "LogSoftmax(dim=1)"),
    (nn.ReLU6(), lambda x: np.clip(x, 0, 6), "ReLU6()"),
    (nn.Hardtanh(-1.5, 2.0), lambda x: np.clip(x, -1.5, 2), "Hardtanh(min_val=-1.5, max_val=2.0)"),
    (nn.Hardsigmoid(), lambda x: np.clip(x / 6 + 0.5, 0, 1), "Hardsigmoid()"),
    (nn.Hardswish(), lambda x: x * np.clip(x / 6 + 0.5, 0, 1), "Hardswish()"),
    (nn.Mish(), lambda x: x * np.tanh(np.log1p(np.exp(x))), "Mish()"),
    (
        nn.SELU(),
        lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
        "SELU()",
    ),
    (nn.CELU(2.0), lambda x: np.where(x > 0, x, 2 * np.expm1(x / 2)), "CELU(alpha=2.0)"),
    (nn.Softsign(), lambda x: x / (1 + np.abs(x)), "Softsign()"),
    (nn.Softshrink(0.3), lambda x: x - np.clip(x, -0.3, 0.3), "Softshrink(lambd=0.3)"),
    (nn.Hardshrink(0.3), lambda x: np.where(np.abs(x) > 0.3, x, 0), "Hardshrink(lambd=0.3)"),
    (nn.Tanhshrink(), lambda x: x - np.tanh(x), "Tanhshrink()"),
    (
        nn.Threshold(0.3, 2.0),
        lambda x: np.where(x > 0.3, x, 2.0),
        "Threshold(threshold=0.3, value=2.0)",
    ),
    (
        nn.GLU(0),
        lambda x: x[:1] / (1 + np.exp(-x[1:])),
        "GLU(dim=0)",
    ),
    (
        nn.PReLU(3).double(),
        lambda x: np.where(x > 0, x, 0.25 * x),
        "PReLU(num_parameters=3)",
    ),
    (nn.Identity(4, name="any"), lambda x: x, "Identity()"),
    (nn.Flatten(0), lambda x: x.ravel(), "Flatten(start_dim=0, end_dim=-1)"),
]


@pytest.mark.parametrize(
    ("module", "formula", "text"), ACTIVATIONS, ids=[row[2] for row in ACTIVATIONS]
)
def test_an_activation_follows_its_formula(
    module: nn.Module, formula: Callable[[Array], Array], text: str
) -> None:
    np.testing.assert_allclose(module(jitgrad.tensor(X)).detach().numpy(), formula(X), rtol=1e-12)
    assert repr(module) == text
    check_grads(module, (X,), order=1)


WEIGHT = np.array([1.0, 2.0, 0.5])
LABELS = np.array([2, 0])
BINARY = np.array([[0.0, 1.0, 0.5], [1.0, 1.0, 0.0]])
_D = X - Y
_PICKED = -_log_softmax(X)[[0, 1], LABELS]

LOSSES: list[tuple[Callable[..., nn.Module], Array, Array]] = [
    (nn.MSELoss, Y, _D**2),
    (nn.L1Loss, Y, np.abs(_D)),
    (
        lambda **k: nn.HuberLoss(delta=0.5, **k),
        Y,
        np.where(np.abs(_D) <= 0.5, _D**2 / 2, 0.5 * (np.abs(_D) - 0.25)),
    ),
    (nn.BCEWithLogitsLoss, BINARY, np.log1p(np.exp(X)) - X * BINARY),
    (
        lambda **k: nn.BCEWithLogitsLoss(weight=WEIGHT, pos_weight=WEIGHT + 1, **k),
        BINARY,
        WEIGHT
        * (BINARY * (WEIGHT + 1) * np.log1p(np.exp(-X)) + (1 - BINARY) * np.log1p(np.exp(X))),
    ),
    (nn.CrossEntropyLoss, LABELS, _PICKED),
    (
        lambda **k: nn.CrossEntropyLoss(label_smoothing=0.3, **k),
        LABELS,
        0.7 * _PICKED - 0.1 * _log_softmax(X).sum(1),
    ),
]


@pytest.mark.parametrize(("make", "target", "expected"), LOSSES)
def test_a_loss_follows_its_formula(
    make: Callable[..., nn.Module], target: Array, expected: Array
) -> None:
    x = jitgrad.tensor(X)
    np.testing.assert_allclose(make(reduction="none")(x, target).numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(make()(x, target).numpy(), expected.mean(), rtol=1e-12)
    np.testing.assert_allclose(make(reduction="sum")(x, target).numpy(), expected.sum(), rtol=1e-12)
    check_grads(lambda value: make()(value, target), (X,), order=1)


def test_losses_of_probabilities_follow_their_formulas() -> None:
    p = 1 / (1 + np.exp(-X))
    expected = WEIGHT * (np.log1p(np.exp(X)) - X * BINARY)
    loss = nn.BCELoss(weight=WEIGHT, reduction="none")
    np.testing.assert_allclose(loss(jitgrad.tensor(p), BINARY).numpy(), expected, rtol=1e-12)
    weighted = nn.NLLLoss(weight=WEIGHT)(jitgrad.tensor(_log_softmax(X)), LABELS)
    factors = WEIGHT[LABELS]
    np.testing.assert_allclose(weighted.numpy(), (factors * _PICKED).sum() / factors.sum())
    ignoring = nn.CrossEntropyLoss(ignore_index=0)(jitgrad.tensor(X), LABELS)
    np.testing.assert_allclose(ignoring.numpy(), _PICKED[0])


def test_the_weight_of_a_loss_is_a_buffer() -> None:
    loss = nn.CrossEntropyLoss(weight=WEIGHT)
    assert [name for name, _ in loss.named_buffers()] == ["weight"]
    assert loss.float().weight.dtype == np.float32  # type: ignore[union-attr]
    assert list(nn.CrossEntropyLoss().named_buffers()) == []


def test_linear_multiplies_by_its_rows() -> None:
    layer = nn.Linear(3, 2, dtype=np.float64)
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    np.testing.assert_allclose(layer(jitgrad.tensor(X)).detach().numpy(), X @ weight.T + bias)
    assert layer(jitgrad.ones(3, dtype=np.float64)).shape == (2,)
    assert layer(jitgrad.ones(4, 5, 3, dtype=np.float64)).shape == (4, 5, 2)
    assert nn.Linear(3, 2, bias=False).bias is None


def test_linear_begins_with_values_as_pytorch_draws_them() -> None:
    layer = nn.Linear(100, 400)
    for values in (layer.weight.detach().numpy(), layer.bias.detach().numpy()):
        assert np.abs(values).max() <= 0.1
        assert np.abs(values).max() > 0.099
        np.testing.assert_allclose(values.std(), 0.1 / math.sqrt(3), rtol=0.1)
    jitgrad.manual_seed(3)
    first = nn.Linear(2, 2).weight.detach().numpy()
    jitgrad.manual_seed(3)
    np.testing.assert_array_equal(nn.Linear(2, 2).weight.detach().numpy(), first)


def test_dropout_drops_in_training_only() -> None:
    drop = nn.Dropout(0.25)
    x = jitgrad.ones(100, 100, requires_grad=True)
    y = drop(x)
    values = y.detach().numpy()
    np.testing.assert_allclose(np.unique(values), [0, 4 / 3], rtol=1e-6)
    # the mean of ten thousand draws of variance 1/3: six standard deviations
    assert abs(values.mean() - 1) < 6 * math.sqrt(1 / 3) / 100
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), values)
    assert drop.eval()(x) is x
    assert repr(drop) == "Dropout(p=0.25)"
    assert not F.dropout(x, 1.0).any()
    assert F.dropout(x, 0.0) is x


@pytest.mark.parametrize("make", [lambda p: nn.Dropout(p), lambda p: F.dropout([1.0], p)])
def test_a_probability_is_from_zero_to_one(make: Callable[[float], object]) -> None:
    with pytest.raises(jitgrad.ArgumentError) as caught:
        make(1.5)
    assert caught.value.what.lower() == "dropout: p is 1.5"
    assert caught.value.why == "a probability is from 0 to 1"


def test_layer_norm_has_mean_zero_and_variance_one() -> None:
    weight, bias = np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.0, -0.5])
    centred = X - X.mean(1, keepdims=True)
    plain = centred / np.sqrt(X.var(1, keepdims=True) + 1e-5)
    got = F.layer_norm(jitgrad.tensor(X), 3)
    np.testing.assert_allclose(got.numpy(), plain, rtol=1e-12)
    got = F.layer_norm(jitgrad.tensor(X), (3,), weight, bias)
    np.testing.assert_allclose(got.numpy(), plain * weight + bias, rtol=1e-12)
    over_both = F.layer_norm(jitgrad.tensor(X), (2, 3), eps=0.1).numpy()
    np.testing.assert_allclose(over_both, (X - X.mean()) / np.sqrt(X.var() + 0.1), rtol=1e-12)
    check_grads(lambda x, w, b: F.layer_norm(x, 3, w, b), (X, weight, bias), order=2)
    with pytest.raises(jitgrad.ShapeError) as caught:
        F.layer_norm(X, 2)
    assert caught.value.what == "layer_norm: an input of shape (2, 3) does not end in (2,)"
    assert caught.value.why == "mean and variance are taken over axes of these sizes"


def test_smooth_l1_loss_is_a_scaled_huber_loss() -> None:
    x: Tensor = jitgrad.tensor(X)
    away = np.abs(_D)
    expected = np.where(away < 0.5, away**2, away - 0.25)
    got = F.smooth_l1_loss(x, Y, reduction="none", beta=0.5)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12)
    got = F.smooth_l1_loss(x, Y, reduction="none", beta=0.0)
    np.testing.assert_allclose(got.numpy(), away, rtol=1e-12)


def test_losses_refuse_what_makes_no_sense() -> None:
    with pytest.raises(jitgrad.ArgumentError) as caught:
        F.huber_loss([1.0], [2.0], delta=0.0)
    assert caught.value.what == "huber_loss: delta is 0.0"
    assert caught.value.why == "it must be positive"
    with pytest.raises(jitgrad.ArgumentError) as caught:
        F.smooth_l1_loss([1.0], [2.0], beta=-1.0)
    assert caught.value.what == "smooth_l1_loss: beta is -1.0"
    assert caught.value.why == "it must not be negative"
    with pytest.raises(jitgrad.ShapeError) as shapes:
        F.l1_loss([1.0], [[1.0]])
    assert shapes.value.what == "l1_loss: the target has shape (1, 1)"


def test_functional_has_the_functions_of_the_table() -> None:
    wanted = {"relu", "softmax", "log_softmax", "softplus", "linear", "mse_loss", "cross_entropy"}
    assert wanted | {"binary_cross_entropy_with_logits", "dropout"} <= set(F.__all__)
    assert all(callable(getattr(F, name)) for name in F.__all__)
    with pytest.raises(AttributeError, match=r"jitgrad\.nn\.functional has no function fold_it"):
        _ = F.fold_it
