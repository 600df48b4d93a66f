"""Whole programs in plain NumPy: compiled and differentiated as they are."""

import copy
from typing import Any

import numpy as np
import pytest

import jitgrad
from bench.numpy_programs import PROGRAMS
from jitgrad.testing import assert_close

pytestmark = pytest.mark.filterwarnings("error")


def inputs_of(name: str) -> tuple[Any, ...]:
    program = PROGRAMS[name]
    return program.inputs(program.size, np.random.default_rng(3))


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_compiled_program_gives_what_plain_python_gives(name: str) -> None:
    function = PROGRAMS[name].function
    plain, given = inputs_of(name), inputs_of(name)
    expected = function(*plain)
    found = jitgrad.compile(function)(*given)
    assert type(found) is np.ndarray
    assert_close(found, expected)
    # What it writes to its arguments is seen by the caller.
    for a, b in zip(given, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def loss_of(name: str) -> Any:
    function = PROGRAMS[name].function

    def loss(*args: Any) -> Any:
        out = function(*args)
        return (np.cos(out) * out).sum()

    return loss


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_gradient_of_a_program_is_that_of_finite_differences(name: str) -> None:
    numbers = PROGRAMS[name].differentiate
    loss = loss_of(name)
    value, gradients = jitgrad.compile(jitgrad.value_and_grad(loss, numbers))(*inputs_of(name))
    assert_close(np.asarray(value), np.asarray(loss(*inputs_of(name))))
    rng = np.random.default_rng(0)
    for number, gradient in zip(numbers, gradients, strict=True):
        direction = rng.uniform(-1, 1, gradient.shape)
        difference = 0.0
        for step in (1e-6, -1e-6):
            args = list(copy.deepcopy(inputs_of(name)))
            args[number] = args[number] + step * direction
            difference += loss(*args) / (2 * step)
        np.testing.assert_allclose(np.sum(gradient * direction), difference, rtol=1e-5, atol=1e-7)
