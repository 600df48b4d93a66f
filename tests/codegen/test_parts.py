"""Sums of parts of an array are written once; what is cheap is computed again at another index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.codegen.parts import Part, regions
from jitgrad.ir.graph import Literal


def _rosenbrock(x: Any) -> Any:
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


def _laplacian(u: Any) -> Any:
    inner = u[1:-1, 1:-1]
    around = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
    return ((around - 4.0 * inner) ** 2).sum()


def _every_other(x: Any) -> Any:
    return (x[::2] * x[1::2]).sum() + (x[1:] * x[:-1]).sum()


def _joined(x: Any) -> Any:
    padded = jg.cat([x[:1], x, x[-1:]])
    return jg.tanh(padded[2:] - padded[:-2]).sum()


def _two_steps(u: Any) -> Any:
    flux = u[1:] - u[:-1]
    inner = u[1:-1] + 0.1 * (flux[1:] - flux[:-1])
    return (inner**2).sum()


def _dense_and_part(x: Any) -> Any:
    return (x * x).sum() + (x[2:5] ** 3).sum() + x[3]


def _backwards(x: Any) -> Any:
    return (x[::-1] * x * x[0]).sum()


FUNCTIONS: list[tuple[Callable[[Any], Any], tuple[int, ...]]] = [
    (_rosenbrock, (7,)),
    (_rosenbrock, (2,)),
    (_laplacian, (5, 6)),
    (_laplacian, (3, 3)),
    (_every_other, (8,)),
    (_joined, (5,)),
    (_joined, (1,)),
    (_two_steps, (9,)),
    (_two_steps, (3,)),
    (_dense_and_part, (6,)),
    (_backwards, (4,)),
]


@pytest.mark.parametrize(("function", "shape"), FUNCTIONS)
def test_compiled_gradients_of_slices_equal_eager_ones(
    function: Callable[[Any], Any], shape: tuple[int, ...]
) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    value, gradient = jg.compile(jg.value_and_grad(function))(x)
    expected, expected_gradient = jg.value_and_grad(function)(x)
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-12, atol=1e-13)


def test_the_adjoint_of_overlapping_slices_needs_no_memory_but_the_gradient() -> None:
    step = jg.compile(jg.value_and_grad(_rosenbrock))
    source = step.source(np.ones(50))
    assert "arena" not in source
    assert source.count("for ") == 1


def test_cheap_values_read_at_another_index_are_not_stored() -> None:
    source = jg.compile(_two_steps).source(np.ones(50))
    assert "arena" not in source
    assert source.count("for ") == 1


def test_costly_values_read_at_another_index_are_stored() -> None:
    source = jg.compile(lambda x: (jg.exp(x)[1:] - jg.exp(x)[:-1]).sum()).source(np.ones(50))
    assert source.count("= exp(") == 1


def test_a_second_derivative_through_overlapping_slices_is_right() -> None:
    def product(x: Any, v: Any) -> Any:
        return (jg.grad(_rosenbrock)(x) * v).sum()

    x, v = np.random.default_rng(1).normal(size=(2, 6))
    compiled = jg.compile(jg.grad(product))(x, v)
    step = 1e-6
    forth, back = jg.grad(_rosenbrock)(x + step * v), jg.grad(_rosenbrock)(x - step * v)
    np.testing.assert_allclose(compiled, (forth - back) / (2 * step), rtol=1e-6)


def test_regions_of_overlapping_parts_are_disjoint_and_complete() -> None:
    parts = [_part((0, 5)), _part((1, 5)), _part((3, 3))]
    found = regions(parts, (6,))
    assert found is not None
    assert [region.box for region in found] == [((0, 1),), ((1, 2),), ((3, 2),), ((5, 1),)]
    assert [len(region.parts) for region in found] == [1, 2, 3, 2]


def test_parts_with_too_many_regions_are_added_one_by_one() -> None:
    parts = [_part((2 * k, 1), (2 * k, 1)) for k in range(4)]
    assert regions(parts, (9, 9)) is None


def _part(*box: tuple[int, int]) -> Part:
    return Part(box, lambda index: Literal.of(0))


def test_a_sum_of_shifted_reads_shares_the_loop_of_its_gradient() -> None:
    step = jg.compile(jg.value_and_grad(_rosenbrock))
    x = np.random.default_rng(5).normal(size=50)
    expected = jg.value_and_grad(_rosenbrock)(x)
    for found, wanted in zip(step(x), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-10)
    assert [kernel.nests for kernel in step.explain().kernels] == [1]
