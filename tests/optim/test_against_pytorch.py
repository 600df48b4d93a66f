"""Steps and learning rates are those that PyTorch took; see tests/golden/record_optim.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import Tensor, optim

GOLDEN = Path(__file__).parents[1] / "golden" / "optim.json"
RECORD: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))


def _loss(params: list[Tensor], step: int) -> Tensor:
    total = jitgrad.zeros((), dtype=params[0].dtype)
    for p in params:
        count = np.arange(1, 1 + p.numel(), dtype=np.dtype(p.dtype))
        target = np.sin(count * (step + 1)).reshape(p.shape)
        total = total + ((p - target) ** 2).sum() * (p * p).mean()
    return total


def _params(dtype: type[np.floating[Any]]) -> list[Tensor]:
    first = np.linspace(-1, 2, 6).reshape(2, 3).astype(dtype)
    second = np.linspace(0.5, 1, 3).astype(dtype)
    return [jitgrad.tensor(values, requires_grad=True) for values in (first, second)]


def _case_name(case: dict[str, Any]) -> str:
    return str(case["label"])


@pytest.mark.parametrize("case", RECORD["optimizers"], ids=_case_name)
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-12), (np.float32, 1e-4)])
def test_steps_are_those_of_pytorch(
    case: dict[str, Any], dtype: type[np.floating[Any]], rtol: float
) -> None:
    params = _params(dtype)
    optimizer = getattr(optim, case["name"])(params, **case["settings"])
    for step, expected in enumerate(case["taken"]):
        optimizer.zero_grad()
        _loss(params, step).backward()
        optimizer.step()
        for param, values in zip(params, expected, strict=True):
            got = param.detach().numpy()
            assert got.dtype == dtype
            # float32: the error of a step is carried into the next ones
            np.testing.assert_allclose(got.ravel(), values, rtol=rtol, atol=rtol / 10)


@pytest.mark.parametrize("case", RECORD["schedules"], ids=_case_name)
def test_learning_rates_are_those_of_pytorch(case: dict[str, Any]) -> None:
    optimizer = optim.SGD([jitgrad.zeros(1, requires_grad=True)], lr=0.4)
    schedule = getattr(optim, case["name"])(optimizer, **case["settings"])
    rates = []
    for figure in RECORD["figures"]:
        (group,) = optimizer.param_groups
        rates.append(group["lr"])
        optimizer.step()
        if case["name"] == "ReduceLROnPlateau":
            schedule.step(figure)
        else:
            schedule.step()
    np.testing.assert_allclose(rates, case["rates"], rtol=1e-12)
