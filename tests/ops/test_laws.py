"""What holds for every operation of the table, on every sample of its inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import autograd
from jitgrad.core.primitive import TABLE
from jitgrad.ir.graph import Graph, GraphBuilder, Literal, Operand, Value
from jitgrad.ir.interpret import interpret, spec_of
from jitgrad.ir.verify import verify
from jitgrad.testing import check_grads
from tests.ops.cases import (
    Array,
    Case,
    all_cases,
    array_cases,
    differentiable_cases,
    linear_cases,
    promoting_cases,
    pure_cases,
)

DTYPES = [np.float64, np.float32]


def over(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=str)


def assert_same(actual: tuple[Array, ...], expected: tuple[Array, ...]) -> None:
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        assert a.dtype == e.dtype
        np.testing.assert_array_equal(a, e)


def assert_near(actual: tuple[Array, ...], expected: tuple[Array, ...]) -> None:
    # The order of elements in memory decides the order of summation.
    for a, e in zip(actual, expected, strict=True):
        assert a.dtype == e.dtype
        np.testing.assert_allclose(a, e, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_every_operation_has_samples(name: str) -> None:
    assert any(case.primitive.name == name for case in all_cases())


@over(all_cases())
def test_parameters_are_hashable(case: Case) -> None:
    hash(tuple(case.params.values()))


@pytest.mark.parametrize("dtype", DTYPES)
@over(all_cases())
def test_results_have_the_shape_and_dtype_that_was_inferred(case: Case, dtype: Any) -> None:
    args = case.in_dtype(dtype)
    specs = case.infer(args)
    outputs = case.evaluate(args)
    assert [(y.shape, y.dtype) for y in outputs] == [(s.shape, s.dtype) for s in specs]


@over(promoting_cases())
def test_python_numbers_are_promoted_as_inferred(case: Case) -> None:
    for number, arg in enumerate(case.args):
        if arg.size == 0:
            continue
        for dtype in DTYPES:
            args = case.in_dtype(dtype)
            args[number] = arg.flat[0].item()
            (spec,) = case.infer(args)
            (output,) = case.evaluate(args)
            assert (output.shape, output.dtype) == (spec.shape, spec.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@over(differentiable_cases())
def test_gradients_have_the_shape_and_dtype_of_their_inputs(case: Case, dtype: Any) -> None:
    inputs, _, gradients = gradients_for(case, case.in_dtype(dtype), np.ones)
    for number, gradient in gradients.items():
        assert gradient.shape == inputs[number].shape
        assert gradient.dtype == inputs[number].dtype


@over(differentiable_cases())
def test_gradients_in_float32_are_those_in_float64_rounded(case: Case) -> None:
    _, _, precise = gradients_for(case, case.in_dtype(np.float64), np.ones)
    _, _, rounded = gradients_for(case, case.in_dtype(np.float32), np.ones)
    for number, gradient in rounded.items():
        scale = np.max(np.abs(precise[number]), initial=1e-3)
        np.testing.assert_allclose(gradient, precise[number], rtol=0, atol=1e-4 * scale)


@over(differentiable_cases())
def test_a_zero_cotangent_gives_zero_gradients(case: Case) -> None:
    _, _, gradients = gradients_for(case, list(case.args), np.zeros)
    for gradient in gradients.values():
        np.testing.assert_array_equal(gradient, np.zeros_like(gradient))


@over(differentiable_cases())
def test_gradients_are_finite_differences(case: Case) -> None:
    check_grads(case.function, case.args, order=1, **tolerance(case))


@over(differentiable_cases())
def test_second_derivatives_are_finite_differences(case: Case) -> None:
    check_grads(case.function, case.args, order=2, **tolerance(case))


@over(linear_cases())
def test_the_transpose_of_a_linear_operation_is_its_transpose(case: Case) -> None:
    rng = np.random.default_rng(0)

    def weights(shape: tuple[int, ...], dtype: Any) -> Array:
        return np.asarray(rng.uniform(-1, 1, shape)).astype(dtype)

    for number in case.differentiable_inputs():
        args = list(case.args)
        args[number] = tangent = weights(args[number].shape, np.float64)
        _, cts, gradients = gradients_for(case, args, weights)
        (output,) = case.evaluate(args)
        there = np.sum(cts[0] * output, dtype=np.float64)
        back = np.sum(gradients[number] * tangent, dtype=np.float64)
        np.testing.assert_allclose(there, back, rtol=1e-5 if output.dtype == np.float32 else 1e-9)


@over(array_cases())
def test_the_layout_of_inputs_in_memory_changes_nothing(case: Case) -> None:
    expected = case.evaluate(case.args)
    for layout in (column_major, every_second, reversed_in_memory):
        args = [layout(a) if isinstance(a, np.ndarray) and a.ndim else a for a in case.args]
        assert_near(case.evaluate(args), expected)


@over(pure_cases())
def test_inputs_are_left_alone(case: Case) -> None:
    args = [a.copy() if isinstance(a, np.ndarray) else a for a in case.args]
    case.evaluate(args)
    for arg, original in zip(args, case.args, strict=True):
        np.testing.assert_array_equal(arg, original)


@pytest.mark.parametrize("dtype", DTYPES)
@over(pure_cases())
def test_the_interpreted_graph_gives_the_eager_result(case: Case, dtype: Any) -> None:
    args = case.in_dtype(dtype)
    arrays = [a for a in args if isinstance(a, np.ndarray)]
    assert_same(interpret(verify(graph_of(case, args)), arrays), case.evaluate(args))


def graph_of(case: Case, args: list[Any]) -> Graph:
    """Return the graph of the operation on these arguments; numbers become literals."""
    operands: list[Operand] = [
        Value(spec_of(a)) if isinstance(a, np.ndarray) else Literal.of(a) for a in args
    ]
    builder = GraphBuilder()
    outputs = builder.emit(case.primitive, tuple(operands), case.params)
    inputs = tuple([o for o in operands if isinstance(o, Value)])
    return Graph(inputs, tuple(builder.nodes), outputs)


def gradients_for(
    case: Case, args: list[Any], weights: Callable[..., Array]
) -> tuple[list[Any], list[Array], dict[int, Array]]:
    """Return the inputs as Tensors, cotangents made by `weights`, and the gradients by input."""
    inputs = [jitgrad.tensor(a) if isinstance(a, np.ndarray) else a for a in args]
    numbers = case.differentiable_inputs()
    for number in numbers:
        inputs[number].requires_grad_()
    result = case.function(*inputs)
    outputs = result if isinstance(result, tuple) else (result,)
    floating = [y for y in outputs if y.requires_grad]
    cts = [np.asarray(weights(y.shape, y.dtype)) for y in floating]
    found = autograd.grad(floating, [inputs[n] for n in numbers], cts, materialize_grads=True)
    gradients = {n: g.numpy() for n, g in zip(numbers, found, strict=True) if g is not None}
    return inputs, cts, gradients


def tolerance(case: Case) -> dict[str, float]:
    """Return tolerances and step for differences of the case's outputs."""
    if any(spec.dtype == np.float32 for spec in case.infer(case.args)):
        # The outputs are float32 whatever the inputs are, so a step must be seen in 24 bits.
        return {"eps": 1e-2, "rtol": 1e-3, "atol": 1e-3}
    return {}


def column_major(x: Array) -> Array:
    return np.asfortranarray(x)


def every_second(x: Array) -> Array:
    spread = np.zeros([2 * n for n in x.shape], x.dtype)
    view = spread[(*[slice(None, None, 2)] * x.ndim, ...)]
    view[...] = x
    return view


def reversed_in_memory(x: Array) -> Array:
    backwards = tuple([slice(None, None, -1)] * x.ndim)
    return np.array(x[backwards], order="C")[(*backwards, ...)]
