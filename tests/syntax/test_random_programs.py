"""Random programs in plain Python give compiled what they give plainly, gradients included."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import jitgrad as jg
from jitgrad.core.errors import GradientError
from tests.syntax.random_programs import arguments, load, write_program

# More of them by hand: JITGRAD_PROGRAMS=2000 pytest tests/syntax/test_random_programs.py
COUNT = int(os.environ.get("JITGRAD_PROGRAMS", "30"))
_numbers = itertools.count()


def _values(things: Any) -> list[Any]:
    return [np.asarray(t.detach().numpy() if hasattr(t, "detach") else t, float) for t in things]


def _outcome(function: Any) -> Any:
    """Return what a program gives and makes of its arguments, or the type of what it raises."""
    given = arguments()
    try:
        return [*_values(function(*given)), *_values(given)]
    except Exception as error:
        return type(error)


def _gradient(function: Any) -> Any:
    def loss(x: Any, y: Any) -> Any:
        s, t, z, y, _ = function(x * 1.0, y * 1.0)
        return s * 1.0 + 2.0 * t + (z * y).sum()

    try:
        return jg.grad(loss)(*arguments()).numpy()
    except GradientError as error:
        return type(error)


def _slope(function: Any, step: float) -> Any:
    x, y = arguments()
    found = np.empty(x.shape[0])
    for k in range(x.shape[0]):
        ends = []
        for sign in (1.0, -1.0):
            moved = x.numpy().copy()
            moved[k] += sign * step
            s, t, z, w, _ = function(jg.tensor(moved), y.clone())
            ends.append(float(s) + 2.0 * float(t) + float((z * w).sum()))
        found[k] = (ends[0] - ends[1]) / (2.0 * step)
    return found


@pytest.fixture(autouse=True)
def _double_precision() -> Iterator[None]:
    before = jg.get_default_dtype()
    jg.set_default_dtype(np.float64)
    yield
    jg.set_default_dtype(before)


@settings(
    max_examples=COUNT,
    deadline=None,
    derandomize="JITGRAD_PROGRAMS" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
@given(st.randoms(use_true_random=False))
def test_random_programs_compute_what_python_computes(random: Random) -> None:
    text = write_program(random)
    number = next(_numbers)
    program = load(text, number)
    expected = _outcome(program)
    with warnings.catch_warnings():
        # Some can't be compiled as a whole; what they compute is the same.
        warnings.simplefilter("ignore")
        compiled = jg.compile(program)
        for _ in range(3):
            found = _outcome(compiled)
            if isinstance(expected, type):
                assert found is expected, text
                return
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9, err_msg=text)
        if number % 4 == 0:
            _check_gradient(program, text)


def _check_gradient(program: Any, text: str) -> None:
    slopes = [_slope(program, step) for step in (1e-5, 2e-6)]
    if not np.allclose(*slopes, rtol=1e-3, atol=1e-5) or np.abs(slopes).max() > 1e9:
        return  # it jumps here, or is the sine of a number without digits behind the point
    plain = _gradient(program)

    def loss(x: Any, y: Any) -> Any:
        s, t, z, y, _ = program(x * 1.0, y * 1.0)
        return s * 1.0 + 2.0 * t + (z * y).sum()

    try:
        found = jg.compile(jg.grad(loss))(*arguments()).numpy()
    except GradientError:
        assert plain is GradientError, text
        return
    np.testing.assert_allclose(found, slopes[1], rtol=1e-3, atol=1e-5, err_msg=text)
