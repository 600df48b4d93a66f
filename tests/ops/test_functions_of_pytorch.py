"""Results and gradients are those that PyTorch gives, as recorded in tests/golden."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
import jitgrad.nn

RECORDED = Path(__file__).parents[1] / "golden" / "functions.json"
CASES: list[dict[str, Any]] = json.loads(RECORDED.read_text(encoding="utf-8"))


def _kind(argument: Any) -> str:
    nested = argument
    while isinstance(nested, list) and nested:
        nested = nested[0]
    return type(nested).__name__


def _tensor(argument: Any) -> Any:
    if _kind(argument) == "float":
        return jg.tensor(np.asarray(argument, np.float64), requires_grad=True)
    nested = isinstance(argument, list) and isinstance(argument[0], list)
    return jg.tensor(argument) if nested else argument


def _label(case: dict[str, Any]) -> str:
    strings = [str(a) for a in case["arguments"] if isinstance(a, str)]
    others = [f"{k}={v}" for k, v in case["others"].items()]
    return "-".join([case["function"].split(".")[-1], *strings, *others]).replace(" ", "")


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("case", CASES, ids=_label)
def test_results_and_gradients_are_those_of_pytorch(case: dict[str, Any], compiled: bool) -> None:
    function: Any = functools.reduce(getattr, case["function"].split("."), jg)
    tensors = [_tensor(a) for a in case["arguments"]]
    inputs = [t for t in tensors if isinstance(t, jg.Tensor) and t.requires_grad]

    def outputs_of(*floating: Any) -> list[Any]:
        given = iter(floating)
        arguments = [next(given) if t is not None and id(t) in leaves else t for t in tensors]
        result = function(*arguments, **case["others"])
        return list(result) if isinstance(result, tuple) else [result]

    leaves = {id(t) for t in inputs}
    outputs = (jg.compile(outputs_of) if compiled else outputs_of)(*inputs)
    total: Any = 0.0
    for y in outputs:
        if y.requires_grad:
            weights = np.cos(np.arange(float(y.numel()))).reshape(y.shape)
            total = total + (y * weights).nan_to_num().sum()
    total.backward()
    assert len(outputs) == len(case["outputs"])
    for y, expected in zip(outputs, case["outputs"], strict=True):
        np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-10, atol=1e-12)
    for x, expected in zip(inputs, case["gradients"], strict=True):
        found = np.zeros(x.shape) if x.grad is None else x.grad.numpy()
        wanted = np.zeros(x.shape) if expected is None else expected
        np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-10)
