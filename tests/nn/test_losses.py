"""Losses as Modules are the functions of `nn.functional` with their settings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import nn
from jitgrad.nn import functional as F  # noqa: N812 - as everyone calls it
from jitgrad.testing import assert_close

X, Y, Z = np.random.default_rng(0).normal(size=(3, 4, 3))
SIGNS = np.where(Y > 0, 1.0, -1.0)
SHARES = np.exp(Y) / np.exp(Y).sum(-1, keepdims=True)

# A loss, its function, arguments, and settings.
LOSSES: list[tuple[Any, Any, tuple[Any, ...], dict[str, Any]]] = [
    (nn.SmoothL1Loss, F.smooth_l1_loss, (X, Y), {"beta": 0.5}),
    (nn.KLDivLoss, F.kl_div, (X, SHARES), {"reduction": "batchmean"}),
    (nn.KLDivLoss, F.kl_div, (X, Y), {"log_target": True}),
    (nn.PoissonNLLLoss, F.poisson_nll_loss, (X, SHARES), {"log_input": True, "eps": 1e-3}),
    (nn.GaussianNLLLoss, F.gaussian_nll_loss, (X, Y, SHARES), {"full": True, "eps": 0.3}),
    (nn.MarginRankingLoss, F.margin_ranking_loss, (X, Y, SIGNS), {"margin": 0.3}),
    (nn.HingeEmbeddingLoss, F.hinge_embedding_loss, (X, SIGNS), {"margin": 0.7}),
    (nn.CosineEmbeddingLoss, F.cosine_embedding_loss, (X, Y, SIGNS[:, 0]), {"margin": 0.1}),
    (nn.TripletMarginLoss, F.triplet_margin_loss, (X, Y, Z), {"p": 1.0, "swap": True}),
    (nn.SoftMarginLoss, F.soft_margin_loss, (X, SIGNS), {"reduction": "sum"}),
    (
        nn.MultiLabelSoftMarginLoss,
        F.multilabel_soft_margin_loss,
        (X, SIGNS > 0),
        {"weight": np.array([1.0, 2.0, 0.5])},
    ),
]


@pytest.mark.parametrize(("make", "function", "arguments", "settings"), LOSSES)
def test_a_loss_is_its_function_with_its_settings(
    make: Any, function: Any, arguments: tuple[Any, ...], settings: dict[str, Any]
) -> None:
    given = [jitgrad.tensor(a) for a in arguments]
    loss = make(**settings)
    assert_close(loss(*given), function(*given, **settings))
    assert_close(jitgrad.compile(loss)(*given), function(*given, **settings))
