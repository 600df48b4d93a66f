"""Records which dtypes PyTorch gives: ``python record_promotion.py`` (PyTorch 2.13) rewrites
``promotion.json``.

Each case is ``[function, operand, ..., dtype]``. An operand is a dtype with axes (``f32``), the
same as a 0-d value (``f32.``) or a Python number (``float``); the dtype of the result is ``error``
where PyTorch refuses.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import torch

DTYPES = {
    "f32": torch.float32,
    "f64": torch.float64,
    "i32": torch.int32,
    "i64": torch.int64,
    "bool": torch.bool,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
NUMBERS = {"float": 2.0, "int": 2, "truth": True}

UNARY = """
    abs neg sign square exp log sqrt sin tanh sigmoid floor ceil round reciprocal rsqrt expm1
    isnan logical_not relu erf sum prod amax argmax all any cumsum
"""
FLOATING = "mean var std"
ALONG = "softmax log_softmax logsumexp cumprod"
BINARY = """
    add sub mul div pow maximum minimum fmax eq lt logical_and floor_divide remainder atan2
    logaddexp clamp_min
"""


def operand(name: str) -> Any:
    if name in NUMBERS:
        return NUMBERS[name]
    dtype = DTYPES[name.rstrip(".")]
    return torch.tensor(1 if name.endswith(".") else [1, 1], dtype=dtype)


def outcome(function: Any, *operands: Any) -> str:
    try:
        result = function(*operands)
    except (RuntimeError, TypeError, NotImplementedError, ValueError):
        return "error"
    return NAMES.get(result.dtype, "error") if isinstance(result, torch.Tensor) else "error"


def cases() -> list[list[str]]:
    found: list[list[str]] = []
    for name, dtype in itertools.product((UNARY + FLOATING).split(), DTYPES):
        found.append([name, dtype, outcome(getattr(torch, name), operand(dtype))])
    for name, dtype in itertools.product(ALONG.split(), DTYPES):
        along = getattr(torch, name)
        found.append([name, dtype, outcome(lambda x, f=along: f(x, dim=0), operand(dtype))])
    tensors = [*DTYPES, *[f"{name}." for name in DTYPES]]
    pairs = [*itertools.product(tensors, tensors), *itertools.product(tensors, NUMBERS)]
    for name, (a, b) in itertools.product(BINARY.split(), pairs):
        found.append([name, a, b, outcome(getattr(torch, name), operand(a), operand(b))])
    condition = torch.tensor([True, False])
    for a, b in [
        *pairs,
        *itertools.product(NUMBERS, tensors),
        *itertools.product(NUMBERS, NUMBERS),
    ]:
        result = outcome(lambda x, y: torch.where(condition, x, y), operand(a), operand(b))
        found.append(["where", a, b, result])
    for name, (a, b) in itertools.product(
        ["rsub", "rdiv", "rpow"], itertools.product(NUMBERS, tensors)
    ):
        reflected = {
            "rsub": lambda x, y: x - y, "rdiv": lambda x, y: x / y, "rpow": lambda x, y: x**y
        }[name]  # fmt: skip
        found.append([name, a, b, outcome(reflected, operand(a), operand(b))])
    return found


if __name__ == "__main__":
    lines = ",\n".join(json.dumps(case) for case in cases())
    Path(__file__).with_name("promotion.json").write_text(f"[\n{lines}\n]\n")
