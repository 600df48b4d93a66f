"""Constructs give what plain Python gives: values and gradients, eager, compiled, interpreted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.core.tree import flatten
from jitgrad.runtime.bodies import interpreted
from jitgrad.testing import assert_close, check_grads
from tests.control.programs import PROGRAMS, Program


def tensors(program: Program) -> list[Any]:
    return [jg.tensor(x) for x in program.inputs]


def loss_of(function: Any) -> Any:
    def loss(*args: Any) -> Any:
        leaves = [y for y in flatten(function(*args))[0] if y.dtype.kind == "f"]
        return sum((y * (k + 1.5)).sum() for k, y in enumerate(leaves))

    return loss


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_values_are_those_of_plain_python(program: Program) -> None:
    expected = flatten(program.plain(*tensors(program)))[0]
    with interpreted():
        assert_close(flatten(program.written(*tensors(program)))[0], expected)
    assert_close(flatten(program.written(*tensors(program)))[0], expected)
    compiled = jg.compile(program.written)
    for _ in range(3):
        found = flatten(compiled(*tensors(program)))[0]
        assert_close(found, expected)
        assert [y.dtype for y in found] == [y.dtype for y in expected]


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_gradients_are_those_of_plain_python(program: Program) -> None:
    numbers = tuple(range(len(program.inputs)))
    written = jg.value_and_grad(loss_of(program.written), numbers)
    expected = jg.value_and_grad(loss_of(program.plain), numbers)(*tensors(program))
    with interpreted():
        assert_close(written(*tensors(program)), expected)
    assert_close(written(*tensors(program)), expected)
    compiled = jg.compile(written)
    for _ in range(3):
        assert_close(compiled(*tensors(program)), expected)


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_backward_of_a_compiled_function_fills_grad(program: Program) -> None:
    compiled = jg.compile(loss_of(program.written))
    for _ in range(3):
        ours = [x.requires_grad_() for x in tensors(program)]
        plain = [x.requires_grad_() for x in tensors(program)]
        compiled(*ours).backward()
        loss_of(program.plain)(*plain).backward()
        for a, b in zip(ours, plain, strict=True):
            assert_close(a.grad, b.grad)


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_derivatives_are_those_of_finite_differences(program: Program) -> None:
    with interpreted():
        check_grads(program.written, program.inputs, order=2, atol=1e-5)


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_second_derivatives_compile(program: Program) -> None:
    def penalty(function: Any) -> Any:
        gradient = jg.grad(loss_of(function))
        return jg.grad(lambda x, *others: (gradient(x, *others) ** 2).sum())

    expected = penalty(program.plain)(*tensors(program))
    assert_close(jg.compile(penalty(program.written))(*tensors(program)), expected)


def test_third_derivatives_agree() -> None:
    def power(x: Any) -> Any:
        return jg.fori_loop(0, 4, lambda i, c: c * x, x)

    third = jg.grad(jg.grad(jg.grad(power)))
    x = jg.tensor(np.array(1.5))
    assert_close(float(third(x)), 60 * 1.5**2)
    assert_close(float(jg.compile(third)(x)), 60 * 1.5**2)
