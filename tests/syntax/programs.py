"""Runs a program plainly and compiled, several times, and compares everything that can be seen."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

import jitgrad as jg
from jitgrad.core.tree import flatten
from jitgrad.tensor.tensor import Tensor


def _own(arguments: Any) -> Any:
    return [a.clone() if isinstance(a, Tensor) else copy.deepcopy(a) for a in arguments]


def _same(a: Any, b: Any, tolerance: float) -> None:
    ours, tree = flatten(a)
    theirs, other_tree = flatten(b)
    assert tree == other_tree
    for x, y in zip(ours, theirs, strict=True):
        assert type(x) is type(y), (x, y)
        if isinstance(x, Tensor):
            assert x.dtype == y.dtype
            x, y = x.detach().numpy(), y.detach().numpy()
        if isinstance(x, str | int | None):
            assert x == y
        else:
            assert np.asarray(x).dtype == np.asarray(y).dtype
            np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def compare(
    function: Callable[..., Any],
    *arguments: Any,
    loops: int | None = None,
    tolerance: float = 1e-10,
) -> Any:
    """Check that compiling changes nothing, the arguments that are changed in place included.

    `loops` is how many operations of the graph, at any depth, have to be loops.
    """
    compiled = jg.compile(function)
    given = _own(arguments)
    expected = function(*given)
    for _ in range(3):
        taken = _own(arguments)
        found = compiled(*taken)
        _same(found, expected, tolerance)
        _same(taken, given, tolerance)
    if loops is not None:
        assert count_loops(compiled, *_own(arguments)) == loops, compiled.explain()
    return compiled


def count_loops(compiled: Any, *arguments: Any) -> int:
    """Return how many loops there are in the graph of a compiled function."""
    text = compiled.graph(*arguments)
    return sum(" = loop " in line for line in text.splitlines())


def compare_gradients(
    function: Callable[..., Any], *arguments: Any, tolerance: float = 1e-9
) -> None:
    """Check the compiled gradient by the first argument against the plain one."""
    plain = jg.value_and_grad(function)
    expected = plain(*_own(arguments))
    compiled = jg.compile(plain)
    for _ in range(3):
        _same(compiled(*_own(arguments)), expected, tolerance)
