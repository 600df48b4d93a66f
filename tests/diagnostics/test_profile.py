"""What a profile lists; not how long anything takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import ArgumentError, profile
from jitgrad.testing import assert_close


def volume(w: Any, x: Any) -> Any:
    h = jitgrad.tanh(x @ w)
    lower = jitgrad.linalg.cholesky(h.T @ h + 3.0 * jitgrad.eye(2, dtype=np.float64))
    return (lower * lower).sum()


W, X = np.ones((3, 2)), np.linspace(0.0, 1.0, 15).reshape(5, 3)


def test_a_forward_program_has_its_kernels_and_calls_in_order() -> None:
    report = profile(jitgrad.compile(volume), W, X, repeat=2)
    (program,) = report.programs
    names = [part.name for part in program.parts]
    assert names.index("call of cholesky") > names.index("kernel 1")
    assert names[-2:] == ["kernel 3", "between"]
    assert all(part.seconds >= 0 for part in program.parts[:-1])
    assert report.repeat == 2


def test_a_call_that_requires_a_gradient_has_an_adjoint_program() -> None:
    w = jitgrad.tensor(W, requires_grad=True)
    report = profile(jitgrad.compile(volume), w, X, repeat=1)
    titles = [program.title for program in report.programs]
    assert [title.rpartition(" ")[2] for title in titles] == ["forward", "adjoint"]
    assert w.grad is None


def test_a_profile_is_printed_as_a_table() -> None:
    lines = str(profile(volume, W, X, repeat=1)).splitlines()
    assert lines[0].startswith("volume (test_profile.py:")
    assert lines[1].startswith("  kernel 1")
    assert "  makes " in lines[1]
    assert lines[-1].endswith(" us, medians of 1 runs")


def test_every_segment_is_timed() -> None:
    def f(x: Any) -> Any:
        y = jitgrad.sin(x)
        if y.sum() > 0:
            y = jitgrad.exp(y)
        return y * 2.0

    x = jitgrad.tensor(np.ones(3), requires_grad=True)
    assert len(profile(f, x, repeat=1).programs) == 4
    assert len(profile(f, x.detach(), repeat=1).programs) == 2


def test_a_profile_changes_nothing() -> None:
    def step(x: Any) -> Any:
        x.add_(1.0)
        return x * jitgrad.rand(3, dtype=np.float64)

    f = jitgrad.compile(step)
    jitgrad.manual_seed(5)
    expected = f(jitgrad.zeros(3, dtype=np.float64))
    x = jitgrad.zeros(3, dtype=np.float64)
    jitgrad.manual_seed(5)
    profile(f, x, repeat=3)
    assert_close(x, np.zeros(3))
    assert_close(f(x), expected)
    assert not f.explain().retraces


def test_a_program_on_odd_memory_is_timed_as_a_whole() -> None:
    x = np.zeros(25, np.uint8)[1:].view(np.float64)
    (program,) = profile(lambda x: x + 1.0, x, repeat=1).programs
    assert [part.name for part in program.parts] == ["all of it"]


def test_repeat_must_be_positive() -> None:
    with pytest.raises(ArgumentError, match="repeat is 0"):
        profile(volume, W, X, repeat=0)
