"""Losses and activations: against formulas, at extremes, and their errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special

import jitgrad as jg
from jitgrad.nn import functional as F  # noqa: N812 - everyone's name for it
from jitgrad.testing import check_grads
from tests.messages import message_of

REDUCTIONS: dict[str, Any] = {"mean": np.mean, "sum": np.sum, "none": np.asarray}


@pytest.fixture
def logits(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    return rng.normal(size=(4, 3))


@pytest.fixture
def probabilities(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    return rng.dirichlet(np.ones(3), 4)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_binary_cross_entropy_is_its_formula(
    reduction: str, logits: Any, probabilities: Any
) -> None:
    p, weight, positive = special.expit(logits), np.array([1.0, 2.0, 0.5]), np.array(3.0)
    first, second = -probabilities * np.log(p), -(1 - probabilities) * np.log1p(-p)
    reduce = REDUCTIONS[reduction]
    for given, losses in [
        (
            F.binary_cross_entropy_with_logits(logits, probabilities, reduction=reduction),
            first + second,
        ),
        (F.binary_cross_entropy(p, probabilities, reduction=reduction), first + second),
        (F.binary_cross_entropy(p, probabilities, weight, reduction), (first + second) * weight),
        (
            F.binary_cross_entropy_with_logits(
                logits, probabilities, weight, positive, reduction=reduction
            ),
            (positive * first + second) * weight,
        ),
    ]:
        np.testing.assert_allclose(given.numpy(), reduce(losses), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_binary_cross_entropy_is_finite_for_all_finite_logits(dtype: Any) -> None:
    extreme = np.array([0.0, 1.0, -1.0, 50.0, -50.0, 1e4, -1e4, 1e30, -1e30], dtype)
    for target in (0.0, 0.5, 1.0):
        x = jg.tensor(extreme, requires_grad=True)
        loss = F.binary_cross_entropy_with_logits(x, jg.full_like(x, target), reduction="none")
        loss.sum().backward()
        assert np.isfinite(loss.detach().numpy()).all()
        assert x.grad is not None
        with np.errstate(over="ignore"):
            expected = special.expit(extreme) - dtype(target)
        np.testing.assert_allclose(x.grad.numpy(), expected, atol=np.finfo(dtype).eps)
    with jg.no_grad():
        tiny = F.binary_cross_entropy_with_logits(
            jg.tensor(np.array([30.0], dtype)), jg.tensor(np.array([1.0], dtype))
        )
    np.testing.assert_allclose(tiny.item(), np.exp(-30.0), rtol=1e-6)


def test_binary_cross_entropy_shows_the_name_of_pytorch(logits: Any) -> None:
    x = jg.tensor(logits, requires_grad=True)
    for reduction in REDUCTIONS:
        loss = F.binary_cross_entropy_with_logits(x, jg.zeros_like(x), reduction=reduction)
        assert loss.grad_fn is not None
        assert loss.grad_fn.name() == "BinaryCrossEntropyWithLogitsBackward0"


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_squared_error_is_its_formula(reduction: str, logits: Any, probabilities: Any) -> None:
    given = F.mse_loss(logits, probabilities, reduction=reduction)
    expected = REDUCTIONS[reduction]((logits - probabilities) ** 2)
    np.testing.assert_allclose(given.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_classes_is_its_formula(
    weighted: bool, smoothing: float, logits: Any
) -> None:
    classes = np.array([2, 0, -100, 1])
    weight = np.array([1.0, 2.0, 0.5]) if weighted else np.ones(3)
    log_p = special.log_softmax(logits, axis=1)
    kept = classes != -100
    safe = np.where(kept, classes, 0)
    hard = -log_p[np.arange(4), safe] * weight[safe]
    soft = -(log_p * weight).sum(1) / 3
    losses = ((1 - smoothing) * hard + smoothing * soft) * kept
    expected = {
        "none": losses,
        "sum": losses.sum(),
        "mean": losses.sum() / (weight[safe] * kept).sum(),
    }
    for reduction in REDUCTIONS:
        given = F.cross_entropy(
            logits,
            classes,
            jg.tensor(weight) if weighted else None,
            reduction=reduction,
            label_smoothing=smoothing,
        )
        np.testing.assert_allclose(given.numpy(), expected[reduction], rtol=1e-12)


def test_cross_entropy_of_probabilities_is_its_formula(logits: Any, probabilities: Any) -> None:
    losses = -(special.log_softmax(logits, axis=1) * probabilities).sum(1)
    given = F.cross_entropy(logits, probabilities)
    np.testing.assert_allclose(given.item(), losses.mean(), rtol=1e-12)


def test_cross_entropy_takes_one_example_and_images(rng: np.random.Generator) -> None:
    one = rng.normal(size=3)
    assert np.isclose(F.cross_entropy(one, 2).item(), -special.log_softmax(one)[2])
    image, classes = rng.normal(size=(2, 3, 4, 5)), rng.integers(0, 3, (2, 4, 5))
    log_p = special.log_softmax(image, axis=1)
    expected = -np.take_along_axis(log_p, classes[:, None], 1)[:, 0]
    given = F.cross_entropy(image, classes, reduction="none")
    np.testing.assert_allclose(given.numpy(), expected, rtol=1e-12)


def test_cross_entropy_is_log_softmax_then_nll(logits: Any) -> None:
    classes = np.array([2, 0, 1, 1])
    given = F.nll_loss(jg.log_softmax(logits, 1), classes)
    np.testing.assert_allclose(given.item(), F.cross_entropy(logits, classes).item(), rtol=1e-15)


def test_cross_entropy_is_finite_for_all_finite_logits() -> None:
    x = jg.tensor([[1e4, -1e4], [-1e30, 1e30]], requires_grad=True)
    loss = F.cross_entropy(x, jg.tensor([1, 1]), reduction="none")
    loss.sum().backward()
    assert loss.tolist() == [2e4, 0.0]
    assert x.grad is not None
    assert x.grad.tolist() == [[1.0, -1.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: F.binary_cross_entropy_with_logits(x, np.full((4, 3), 0.3)),
        lambda x: F.binary_cross_entropy_with_logits(
            x, np.full((4, 3), 0.3), pos_weight=np.array([1.0, 2.0, 3.0])
        ),
        lambda x: F.mse_loss(x, np.ones((4, 3))),
        lambda x: F.cross_entropy(x, np.array([0, 2, -100, 1]), label_smoothing=0.1),
        lambda x: F.cross_entropy(x, np.full((4, 3), 1 / 3)),
        lambda x: F.softplus(x, beta=2.0),
        F.logsigmoid,
        F.silu,
        F.gelu,
        lambda x: F.gelu(x, approximate="tanh"),
        F.elu,
        lambda x: F.linear(x, np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 2.0]]), np.array([1.0, 2.0])),
    ],
)
def test_derivatives_are_right_to_second_order(loss: Any, logits: Any) -> None:
    check_grads(loss, [logits], order=2)


def test_softplus_is_smooth_and_finite() -> None:
    x = np.array([-1000.0, -1.0, 0.0, 1.0, 1000.0])
    np.testing.assert_allclose(F.softplus(x).numpy(), np.logaddexp(x, 0), rtol=1e-12)
    np.testing.assert_allclose(
        F.softplus(x, beta=2.0).numpy(), np.logaddexp(2 * x, 0) / 2, rtol=1e-12
    )
    assert F.softplus(jg.tensor([2.0]), threshold=1.0).tolist() == [2.0]


def test_linear_takes_any_leading_axes(rng: np.random.Generator) -> None:
    weight, bias = rng.normal(size=(2, 3)), rng.normal(size=2)
    for shape in [(3,), (4, 3), (5, 4, 3)]:
        x = rng.normal(size=shape)
        np.testing.assert_allclose(F.linear(x, weight, bias).numpy(), x @ weight.T + bias)
        np.testing.assert_allclose(F.linear(x, weight).numpy(), x @ weight.T)


# -- errors --------------------------------------------------------------------------------


def test_target_of_another_shape_is_an_error() -> None:
    x = jg.ones(3, 1)
    assert message_of(jg.ShapeError, lambda: F.mse_loss(x, jg.ones(3))) == (
        "mse_loss: the target has shape (3,)\n"
        "  why:   the input has shape (3, 1); they must be the same\n"
        "  do:    reshape one of them, so that no element is compared with several"
    )


def test_unknown_reduction_is_an_error() -> None:
    x = jg.ones(3)
    assert message_of(jg.ArgumentError, lambda: F.mse_loss(x, x, reduction="avg")) == (
        "mse_loss: there is no reduction 'avg'\n"
        "  do:    pass 'mean', 'sum' or 'none'"
    )  # fmt: skip


def test_classes_that_are_not_integers_are_an_error() -> None:
    x = jg.ones(2, 3)
    assert message_of(jg.DtypeError, lambda: F.cross_entropy(x, jg.ones(2))) == (
        "cross_entropy: the target has dtype float32\n"
        "  why:   classes are integers; probabilities have the shape of the input, (2, 3), and the"
        " target has (2,)\n"
        "  do:    convert classes with target.long()"
    )


def test_classes_of_another_shape_are_an_error() -> None:
    x = jg.ones(2, 3)
    assert message_of(jg.ShapeError, lambda: F.cross_entropy(x, jg.tensor([1, 2, 0]))) == (
        "cross_entropy: the target has shape (3,)\n"
        "  why:   the input has shape (2, 3) with classes along axis 1, so the target must have"
        " shape (2,)"
    )


def test_class_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(jg.IndexingError):
        F.cross_entropy(jg.ones(2, 3), jg.tensor([0, 3]))
