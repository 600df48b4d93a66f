"""What random programs found, each as small as it could be made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.transforms.residuals import split
from tests.codegen.graphs import graph_of, joint_of
from tests.codegen.test_storage import count_buffers


def assert_compiled_is_eager(function: Callable[..., Any], *arrays: Any) -> None:
    """Compare outputs and gradients, in the first calls and in the later, shorter ones."""
    compiled = jg.compile(function)
    expected = outputs_and_gradients(function, arrays)
    for _ in range(3):
        found = outputs_and_gradients(compiled, arrays)
        for ours, reference in zip(found, expected, strict=True):
            assert ours.dtype == reference.dtype
            np.testing.assert_allclose(ours, reference, rtol=1e-10, atol=1e-12)


def outputs_and_gradients(function: Callable[..., Any], arrays: Any) -> list[Any]:
    floating = [np.asarray(a).dtype.kind == "f" for a in arrays]
    tensors = [jg.tensor(a).requires_grad_(f) for a, f in zip(arrays, floating, strict=True)]
    outputs = function(*tensors)
    cts = [jg.tensor(np.linspace(0.3, 1.0, o.numel()).reshape(o.shape)) for o in outputs]
    wanted = [t for t, f in zip(tensors, floating, strict=True) if f]
    gradients = jg.autograd.grad(outputs, wanted, cts, materialize_grads=True)
    return [t.detach().numpy() for t in (*outputs, *gradients)]


def test_an_expression_read_later_does_not_find_its_memory_reused() -> None:
    # It was written where its value is read, after the buffers that it reads had been given away.
    def f(b: Any, c: Any) -> Any:
        v = jg.nn.functional.softplus(c)
        joined = jg.cat([b, c, v], 0)
        v[-2:] *= b
        return joined[[0, 0]], jg.stack([b, v + 1.0], -1)

    assert_compiled_is_eager(f, np.array([0.4]), np.array([0.3]))


def test_an_accumulator_with_axes_holds_its_memory_from_its_first_value_on() -> None:
    # Its zeros were stored in a loop that others share, before its memory counted as taken.
    def f(a: Any) -> Any:
        return jg.broadcast_to(a, (2, 4, 2)), jg.square(a.narrow(-2, 0, 2))

    a = np.linspace(-1.0, 1.0, 8).reshape(4, 2)
    assert_compiled_is_eager(f, a)
    assert count_buffers(split(joint_of(graph_of(f, a=a))).backward) > 0


def test_no_accumulator_is_started_in_one_kernel_and_finished_in_the_next() -> None:
    def f(a: Any) -> Any:
        total = a.sum(0)
        inverse = jg.linalg.inv(a @ a.mT + jg.eye(3, dtype=jg.float64))
        return total * inverse.sum(1), inverse @ a

    assert_compiled_is_eager(f, np.linspace(-1.0, 1.0, 9).reshape(3, 3))


def test_a_copy_of_a_leaf_in_place_is_no_leaf() -> None:
    def f(a: Any, b: Any) -> Any:
        v = a * 2.0
        v.copy_(b)
        v *= b
        return (v * a,)

    assert_compiled_is_eager(f, np.array([0.5, 1.5]), np.array([2.0, 3.0]))


def test_a_leaf_written_to_all_of_a_tensor_passes_its_gradient() -> None:
    def f(a: Any, b: Any) -> Any:
        v = a * 2.0
        v[...] = b
        return v, jg.sin(b)

    assert_compiled_is_eager(f, np.array(0.5), np.array(2.0))


@pytest.mark.parametrize("which", [0, 1])
def test_atan2_of_a_condition_has_a_gradient(which: int) -> None:
    condition, x = np.array([True, False]), np.array([0.5, -2.0])

    def f(c: Any, x: Any) -> Any:
        return (jg.atan2(c, x) if which else jg.atan2(x, c * 1.0 + 1.0),)

    assert_compiled_is_eager(f, condition, x)


def test_a_reshaped_leaf_that_is_a_copy_may_be_changed_where_it_can_not_be_captured() -> None:
    def f(a: Any) -> Any:
        v = a.mT.reshape(-1)
        v.neg_()
        return (v * 2.0,)

    with pytest.warns(jg.FallbackWarning, match="it changes a reshaped Tensor in place"):
        assert_compiled_is_eager(f, np.linspace(-1.0, 1.0, 6).reshape(2, 3))


def test_the_adjoint_keeps_what_costs_no_memory() -> None:
    # 1 - h * h was kept though h is an output.
    both = split(joint_of(graph_of(lambda x: (jg.tanh(x),), x=np.ones(3))))
    assert both.kept_bytes == 0


def test_a_constant_that_is_returned_is_a_fresh_tensor_in_every_call() -> None:
    compiled = jg.compile(lambda x: jg.tensor([1.0, 2.0]))
    x = jg.tensor([3.0, 4.0])
    for _ in range(4):
        found = compiled(x)
        assert found.tolist() == [1.0, 2.0]
        found[0] = 99.0


def test_what_was_copied_from_an_argument_has_its_own_memory() -> None:
    def f(x: Any, y: Any) -> Any:
        v = x * 2.0
        v.copy_(y)
        return v

    compiled, x, y = jg.compile(f), jg.tensor([1.0, 2.0]), jg.tensor([3.0, 4.0])
    for _ in range(4):
        compiled(x, y)[0] = 99.0
        assert y.tolist() == [3.0, 4.0]


def test_a_number_of_no_axes_is_filled_in_compiled_code() -> None:
    def f(x: Any, y: Any) -> Any:
        v = y * 2.0
        v.fill_(0.25)
        x.fill_(0.5)
        return v

    compiled = jg.compile(f)
    for _ in range(4):
        x, y = jg.tensor(1.0), jg.tensor(2.0)
        assert compiled(x, y).item() == 0.25
        assert x.item() == 0.5


def test_an_argument_that_is_only_set_to_zero_is_quick_to_call() -> None:
    def f(x: Any) -> Any:
        x.zero_()
        return x

    compiled = jg.compile(f)
    for _ in range(4):
        x = jg.tensor([1.0, 2.0])
        assert compiled(x) is x
        assert x.tolist() == [0.0, 0.0]


def test_a_number_that_is_returned_is_passed_on() -> None:
    compiled = jg.compile(lambda x, s: (x * s, s))
    for s in (0.5, 1.5, 2.5, 3.5):
        assert float(compiled(jg.tensor(1.0), s)[1]) == s


@pytest.mark.parametrize("whole", [True, False])
def test_what_was_copied_in_place_is_returned_apart_from_its_source(whole: bool) -> None:
    def f(a: Any, b: Any) -> Any:
        v, w = a * 2.0, b * 3.0
        if whole:
            v[...] = w
        else:
            v.copy_(w)
        return v, w

    compiled = jg.compile(f)
    for _ in range(4):
        v, w = compiled(jg.tensor([1.0, 2.0]), jg.tensor([3.0, 4.0]))
        v[0] = 99.0
        assert w.tolist() == [9.0, 12.0]


@pytest.mark.filterwarnings("error")
def test_xlogy_of_a_number_is_compiled_with_its_gradient() -> None:
    assert_compiled_is_eager(lambda x: (jg.xlogy(x, 0.3),), np.array([0.0, 2.0]))


def test_a_float32_sum_over_several_axes_keeps_what_is_small() -> None:
    # One accumulator for all of it ends near 2e6, where float32 numbers are 0.125 apart.
    x = np.random.default_rng(0).random((4096, 1024)).astype(np.float32)
    total = jg.compile(lambda x: x.sum())(jg.tensor(x)).item()
    assert abs(total / x.sum(dtype=np.float64) - 1) < 2e-6
    varying = jg.compile(lambda x: (x.exp() * x).mean())(jg.tensor(x)).item()
    exact = (np.exp(x.astype(np.float64)) * x).mean()
    assert abs(varying / exact - 1) < 2e-6


@pytest.mark.parametrize("name", ["sin", "lgamma"])
def test_functions_of_narrow_vectors_leave_wide_ones_beside_them_alone(name: str) -> None:
    # What calls them for rare arguments cleared the upper half of all vectors in registers.
    function = getattr(jg, name)

    def mixed(x: Any, y: Any) -> Any:
        return function(x), function(x) + y, function(y) * y

    x, y = np.linspace(0.3, 2.0, 12, dtype=np.float32), np.linspace(0.2, 1.9, 12)
    found = jg.compile(mixed)(x, y)
    for ours, reference in zip(found, mixed(jg.tensor(x), jg.tensor(y)), strict=True):
        np.testing.assert_allclose(ours.numpy(), reference.numpy(), rtol=1e-5)
    rows = x.reshape(4, 3).T.copy()
    found = jg.map(function, jg.tensor(rows))
    np.testing.assert_allclose(found.numpy(), function(jg.tensor(rows)).numpy(), rtol=1e-5)
