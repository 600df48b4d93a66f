"""Convolutions and pools against PyTorch's, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import ArgumentError, DtypeError, ShapeError
from jitgrad.nn import functional as F  # noqa: N812 - as everyone calls it
from tests.codegen.plain import plain_kernels

GOLDEN = Path(__file__).parents[1] / "golden" / "convolution.json"
CASES: list[dict[str, Any]] = json.loads(GOLDEN.read_text(encoding="utf-8"))["cases"]


def numbers(shape: list[int] | tuple[int, ...], step: float) -> Any:
    """Return the array that the recorded cases were computed on."""
    count = np.arange(np.prod(shape)) + 1.0
    return np.round(4 * np.sin(step * count)).reshape(shape) / 4


def of_case(case: dict[str, Any]) -> tuple[Callable[..., Any], list[Any]]:
    """Return the function of a case, and its arrays."""
    function = getattr(F, case["name"])
    arrays = [numbers(shape, 1 + k) for k, shape in enumerate(case["shapes"])]
    return lambda *tensors: function(*tensors, **case["arguments"]), arrays


def label(case: dict[str, Any]) -> str:
    return f"{case['name']}-{case['arguments']}"


@pytest.mark.parametrize("case", CASES, ids=label)
def test_results_and_gradients_are_those_of_pytorch(case: dict[str, Any]) -> None:
    function, arrays = of_case(case)
    tensors = [jitgrad.tensor(array, requires_grad=True) for array in arrays]
    out = function(*tensors)
    np.testing.assert_allclose(out.detach().numpy(), case["out"], atol=1e-9)
    out.backward(jitgrad.tensor(numbers(out.shape, 0.7)))
    for tensor, expected in zip(tensors, case["gradients"], strict=True):
        assert tensor.grad is not None
        np.testing.assert_allclose(tensor.grad.numpy(), expected, atol=1e-9)


@pytest.mark.parametrize("case", [c for c in CASES if "places" in c], ids=label)
def test_places_of_largest_elements_are_those_of_pytorch(case: dict[str, Any]) -> None:
    _, arrays = of_case(case)
    _, places = getattr(F, case["name"])(*arrays, **case["arguments"], return_indices=True)
    assert places.dtype == np.int64
    np.testing.assert_array_equal(places.numpy(), case["places"])


def network(p: list[Any], x: Any, y: Any) -> Any:
    h = F.max_pool2d(F.relu(F.conv2d(x, p[0], p[1], padding=1)), 2)
    h = F.avg_pool2d(F.relu(F.conv2d(h, p[2], stride=2)), 2, 1)
    return F.cross_entropy(h.flatten(1) @ p[3], y)


def inputs_of_network() -> tuple[list[Any], Any, Any]:
    shapes = [(4, 2, 3, 3), (4,), (5, 4, 3, 2), (5, 3)]
    parameters = [jitgrad.tensor(numbers(shape, 1 + k)) for k, shape in enumerate(shapes)]
    return parameters, jitgrad.tensor(numbers((3, 2, 11, 9), 0.3)), jitgrad.tensor([0, 2, 1])


def test_a_compiled_network_is_one_kernel_and_equals_the_plain_one() -> None:
    step = jitgrad.compile(jitgrad.value_and_grad(network))
    value, gradients = step(*inputs_of_network())
    plain_value, plain = jitgrad.value_and_grad(network)(*inputs_of_network())
    np.testing.assert_allclose(value.numpy(), plain_value.numpy(), rtol=1e-12)
    for ours, reference in zip(gradients, plain, strict=True):
        np.testing.assert_allclose(ours.numpy(), reference.numpy(), rtol=1e-10, atol=1e-14)
    assert step.source(*inputs_of_network()).count("def kernel") == 1


def test_of_several_nans_the_last_one_is_the_largest_compiled_as_well() -> None:
    x = numbers((2, 3, 6, 7), 1.0)
    x[:, 1, 1:3, 2:4] = np.nan

    def places(x: Any) -> Any:
        return F.max_pool2d(x, 3, 2, 1, return_indices=True)[1]

    # the window over rows 1 to 3 and columns 1 to 3 of the second channel
    expected = 2 * 7 + 3
    assert places(x)[0, 1, 1, 1] == expected
    assert jitgrad.compile(places)(jitgrad.tensor(x))[0, 1, 1, 1] == expected


def test_equal_elements_give_the_gradient_to_the_first() -> None:
    x = jitgrad.ones(1, 1, 4, 4, requires_grad=True)
    F.max_pool2d(x, 2).sum().backward()
    assert x.grad is not None
    expected = np.zeros((4, 4))
    expected[::2, ::2] = 1
    np.testing.assert_array_equal(x.grad.numpy()[0, 0], expected)


def test_nodes_are_shown_as_in_pytorch() -> None:
    x, w = jitgrad.ones(1, 2, 4, 4, requires_grad=True), jitgrad.ones(3, 2, 2, 2)
    assert F.conv2d(x, w, jitgrad.ones(3)).grad_fn.name() == "ConvolutionBackward0"
    assert F.max_pool2d(x, 2).grad_fn.name() == "MaxPool2DWithIndicesBackward0"
    assert F.avg_pool2d(x, 2).grad_fn.name() == "AvgPool2DBackward0"


X, W = np.ones((2, 4, 5, 6)), np.ones((3, 4, 2, 2))

REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: F.conv2d(X[0, 0], W), ShapeError, "it must have 4 axes"),
    (lambda: F.conv2d(X, W[0]), ShapeError, "it must have 4 axes"),
    (lambda: F.conv2d(X, W[:, :3]), ShapeError, "takes 3 for each of 1 groups"),
    (lambda: F.conv_transpose2d(X, W), ShapeError, r"a weight of shape \(3, 4, 2, 2\) takes 3"),
    (lambda: F.conv2d(X, W, groups=2), ArgumentError, "divisible"),
    (lambda: F.conv2d(X, np.ones((3, 4, 6, 2))), ShapeError, "larger than the image"),
    (lambda: F.conv2d(X, W, np.ones(2)), ShapeError, r"it must be \(3,\)"),
    (lambda: F.conv2d(X, W, np.ones(3, np.float32)), DtypeError, "the bias float32"),
    (lambda: F.conv2d(X, W.astype(np.float32)), DtypeError, "the weight float32"),
    (lambda: F.conv2d(X.astype(int), W.astype(int)), DtypeError, "must be floating"),
    (lambda: F.conv2d(X, W, stride=0), ArgumentError, "stride is 0"),
    (lambda: F.conv2d(X, W, padding=(1, 1, 1)), ArgumentError, "a number, or 2"),
    (lambda: F.conv2d(X, W, padding="full"), ArgumentError, "'same' and 'valid'"),
    (lambda: F.conv2d(X, W, stride=2, padding="same"), ArgumentError, "only stride 1"),
    (lambda: F.conv_transpose2d(X[:, :3], W, output_padding=1), ArgumentError, "less than stride"),
    (lambda: F.conv_transpose2d(X[:, :3], W, padding=4), ShapeError, "pad less"),
    (lambda: F.max_pool2d(X, 7), ShapeError, "larger than the image"),
    (lambda: F.max_pool2d(X, 2, padding=2), ArgumentError, "at most half of kernel_size"),
    (lambda: F.max_pool2d(X > 0, 2), DtypeError, "booleans are not taken"),
    (lambda: F.avg_pool2d(X.astype(int), 2), DtypeError, "must be floating"),
    (lambda: F.adaptive_avg_pool2d(X, 0), ArgumentError, "of at least 1"),
]


@pytest.mark.parametrize(("call", "error", "text"), REFUSED, ids=[row[2] for row in REFUSED])
def test_what_does_not_fit_is_refused(
    call: Callable[[], Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        call()


def test_kernels_of_a_network_run_as_plain_python() -> None:
    value, gradients = jitgrad.value_and_grad(network)(*inputs_of_network())
    with plain_kernels():
        plain_value, plain = jitgrad.compile(jitgrad.value_and_grad(network))(*inputs_of_network())
    np.testing.assert_allclose(plain_value.numpy(), value.numpy(), rtol=1e-12)
    for ours, reference in zip(plain, gradients, strict=True):
        np.testing.assert_allclose(ours.numpy(), reference.numpy(), rtol=1e-10, atol=1e-14)
