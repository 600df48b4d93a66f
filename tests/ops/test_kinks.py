"""Gradients at kinks are those of the table of conventions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad as jg
import jitgrad.nn
from tests.ops.kinks import DEVIATIONS, KINKS, Kink


def _gradients(kink: Kink, dtype: Any) -> list[np.ndarray[Any, Any]]:
    inputs = [jg.tensor(np.asarray(x, dtype), requires_grad=True) for x in kink.inputs]
    kink.function(jg, *inputs).sum().backward()
    return [x.grad.numpy() for x in inputs]


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=str)
@pytest.mark.parametrize("kink", KINKS, ids=str)
def test_gradient_at_a_kink_is_the_convention(kink: Kink, dtype: Any) -> None:
    for given, expected in zip(_gradients(kink, dtype), kink.gradients, strict=True):
        assert given.dtype == dtype
        np.testing.assert_allclose(given, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("kink", KINKS, ids=str)
def test_gradient_at_a_kink_is_the_same_compiled(kink: Kink) -> None:
    def gradients(*inputs: Any) -> Any:
        return jg.autograd.grad(kink.function(jg, *inputs).sum(), inputs)

    inputs = [jg.tensor(np.asarray(x, np.float64), requires_grad=True) for x in kink.inputs]
    for given, expected in zip(jg.compile(gradients)(*inputs), kink.gradients, strict=True):
        np.testing.assert_allclose(given.numpy(), expected, rtol=1e-6, atol=0)


def test_deviations_from_pytorch_are_rows_of_the_table() -> None:
    assert set(DEVIATIONS) <= {kink.label for kink in KINKS}
