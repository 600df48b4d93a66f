"""Annotated source shows all that runs, in order."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np

import jitgrad
from jitgrad import annotated_source


def volume(w: Any, x: Any) -> Any:
    h = jitgrad.tanh(x @ w)
    lower = jitgrad.linalg.cholesky(h.T @ h + 3.0 * jitgrad.eye(2, dtype=np.float64))
    return (lower * lower).sum()


W, X = np.ones((3, 2)), np.linspace(0.0, 1.0, 15).reshape(5, 3)


def test_kernels_stand_between_the_calls_as_they_run() -> None:
    text = annotated_source(jitgrad.compile(volume), W, X)
    ast.parse(text)
    places = [
        text.index("==== volume (test_source.py:"),
        text.index("h = jitgrad.tanh(x @ w)"),
        text.index("# -- call: lower: f64[2, 2] = cholesky of "),
        text.rindex("def kernel"),
    ]
    assert places == sorted(places)


def test_programs_and_kernels_say_what_they_take_and_make() -> None:
    lines = annotated_source(lambda x: jitgrad.sin(x) * 2.0, X).splitlines()
    assert lines[1] == "# takes    x: f64[5, 3]"
    assert lines[2] == "# returns  mul1: f64[5, 3]"
    assert "# -- kernel: makes mul1: f64[5, 3]" in lines
    assert "#    of x: f64[5, 3]" in lines


def test_the_adjoint_is_shown_where_a_gradient_is_required() -> None:
    w = jitgrad.tensor(W, requires_grad=True)
    assert " adjoint\n" in annotated_source(volume, w, X)
    assert " adjoint\n" not in annotated_source(volume, w.detach(), X)
