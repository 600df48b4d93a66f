"""Dtypes of results, compared with what PyTorch gives."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad import DtypeError

_DTYPES = {
    "f32": np.float32,
    "f64": np.float64,
    "i32": np.int32,
    "i64": np.int64,
    "bool": np.bool_,
}
_NUMBERS = {"float": 2.0, "int": 2, "truth": True}
# Where PyTorch refuses and the mathematics does too; elsewhere more dtypes are taken here.
_REFUSED = {"neg", "mean", "var", "std"}

_CASES: dict[str, list[list[str]]] = defaultdict(list)
for _name, *_case in json.loads(
    (Path(__file__).parents[1] / "golden" / "promotion.json").read_text()
):
    _CASES[_name].append(_case)


def _operand(name: str) -> Any:
    if name in _NUMBERS:
        return _NUMBERS[name]
    return jg.tensor(np.asarray(1 if name.endswith(".") else [1, 1], _DTYPES[name.rstrip(".")]))


def _apply(name: str, operands: list[Any]) -> Any:
    if name in ("softmax", "log_softmax", "logsumexp", "cumprod"):
        return getattr(jg, name)(operands[0], dim=0)
    if name == "where":
        return jg.where(jg.tensor([True, False]), *operands)
    if name in ("rsub", "rdiv", "rpow"):
        x, y = operands
        return {"rsub": lambda: x - y, "rdiv": lambda: x / y, "rpow": lambda: x**y}[name]()
    return getattr(jg, name)(*operands)


@pytest.mark.parametrize("name", _CASES)
def test_dtypes_of_results_are_those_of_pytorch(name: str) -> None:
    wrong = []
    for *operands, expected in _CASES[name]:
        if expected == "error":
            continue
        given = _apply(name, [_operand(o) for o in operands]).dtype
        if given != _DTYPES[expected]:
            wrong.append((operands, expected, given))
    assert wrong == []


@pytest.mark.parametrize("name", sorted(_REFUSED))
def test_dtypes_without_a_result_are_refused(name: str) -> None:
    refused = [operands for *operands, expected in _CASES[name] if expected == "error"]
    assert refused
    for operands in refused:
        with pytest.raises(jg.DtypeError):
            _apply(name, [_operand(o) for o in operands])


def test_operators_of_bits_are_those_of_integers_and_of_logic_for_booleans() -> None:
    x, y = jg.tensor([6, -4, 1]), jg.tensor([3, 5, 0])
    assert (x & y).tolist() == [2, 4, 0]
    assert (x | 1).tolist() == [7, -3, 1]
    assert (x ^ y).tolist() == [5, -7, 1]
    assert (~x).tolist() == [-7, 3, -2]
    assert (~(x > 0)).tolist() == [False, True, False]
    with pytest.raises(DtypeError, match="float32 elements have no bits to work on"):
        jg.ones(2) & jg.ones(2)
