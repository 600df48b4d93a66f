"""Hooks on what `backward` goes through, on what it keeps, and its checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.core.errors import ArgumentError, GradientError, ShapeError
from jitgrad.testing import assert_close


def leaf(*numbers: float) -> Any:
    return jg.tensor(list(numbers), requires_grad=True)


def test_a_hook_of_a_node_sees_and_replaces_what_comes_out() -> None:
    x = leaf(1.0, 2.0)
    y = x * x
    seen: list[Any] = []

    def hook(inputs: Any, outputs: Any) -> Any:
        seen.append((len(inputs), outputs[0].tolist()))
        return tuple([ct * 10 for ct in inputs])

    handle = y.grad_fn.register_hook(hook)
    y.sum().backward(retain_graph=True)
    assert seen == [(2, [1.0, 1.0])]
    assert_close(x.grad, jg.tensor([20.0, 40.0]))
    handle.remove()
    x.grad = None
    y.sum().backward()
    assert_close(x.grad, jg.tensor([2.0, 4.0]))


def test_a_prehook_replaces_what_goes_in() -> None:
    x = leaf(1.0, 2.0)
    y = x * 3
    y.grad_fn.register_prehook(lambda outputs: (outputs[0] * 2,))
    y.sum().backward()
    assert_close(x.grad, jg.tensor([6.0, 6.0]))


def test_hooks_of_the_node_of_a_leaf_surround_its_gradient() -> None:
    x = leaf(1.0)
    node = (x * 2).grad_fn.next_functions[0][0]
    calls: list[Any] = []
    node.register_prehook(lambda outputs: calls.append(("before", x.grad)))
    node.register_hook(lambda inputs, outputs: calls.append(("after", inputs, x.grad.item())))
    (x * 5).sum().backward()
    assert calls == [("before", None), ("after", (), 5.0)]


def test_hooks_that_return_something_else_are_refused() -> None:
    x = leaf(1.0, 2.0)
    y = x * 3
    handle = y.grad_fn.register_hook(lambda inputs, outputs: (inputs[0],))
    with pytest.raises(ArgumentError, match="returned 1 gradients"):
        y.sum().backward(retain_graph=True)
    handle.remove()
    y.grad_fn.register_prehook(lambda outputs: (jg.ones(3),))
    with pytest.raises(ShapeError, match="shape"):
        y.sum().backward()


# -- what is kept ------------------------------------------------------------------------------


def test_saved_values_are_kept_in_the_users_form() -> None:
    x = leaf(1.0, 2.0)
    with jg.autograd.graph.saved_tensors_hooks(lambda t: t.tolist(), jg.tensor):
        y = jg.exp(x) * x
    y.sum().backward()
    assert_close(x.grad, (jg.exp(x) * (1 + x)).detach())


def test_values_are_packed_when_they_are_saved() -> None:
    packed: list[Any] = []
    x = leaf(1.0, 2.0)
    h = x * 1

    def pack(t: Any) -> Any:
        packed.append(t)
        return t.clone()

    with jg.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        y = h * h
    assert [t.tolist() for t in packed] == [[1.0, 2.0]] * 2
    assert not packed[0].requires_grad
    with jg.no_grad():
        h.add_(1)  # the copies stay as they are
    y.sum().backward()
    assert_close(x.grad, jg.tensor([2.0, 4.0]))


def test_what_comes_back_must_be_what_was_packed() -> None:
    x = leaf(1.0, 2.0)
    with jg.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: jg.ones(3)):
        y = x * x
    with pytest.raises(GradientError, match="unpack hook"):
        y.sum().backward()


# -- anomaly mode ------------------------------------------------------------------------------


def _infinite_slope(x: Any) -> Any:
    return jg.sqrt(x).sum()


def _bad_value(x: Any) -> Any:
    y = jg.log(x - 1)
    return (y * y).sum()


@pytest.mark.parametrize("wrap", [lambda f: f, jg.compile], ids=["eager", "compiled"])
@pytest.mark.parametrize(
    ("function", "line", "parts"),
    [
        (_infinite_slope, "jg.sqrt(x)", ["SqrtBackward0", "1 infinite", "0 to 1"]),
        (_bad_value, "jg.log(x - 1)", ["MulBackward0", "log", "1 nan"]),
    ],
)
def test_anomalies_name_the_first_operation(
    wrap: Callable[..., Any], function: Callable[..., Any], line: str, parts: list[str]
) -> None:
    x = leaf(0.0, 1.0) if function is _infinite_slope else leaf(0.5, 3.0)
    for run in (lambda: wrap(function)(x).backward(), lambda: wrap(jg.grad(function))(x)):
        with pytest.raises(GradientError) as caught, jg.autograd.detect_anomaly():
            run()
        text = str(caught.value)
        assert line in text
        assert all(part in text for part in parts)


def test_nothing_is_checked_outside() -> None:
    x = leaf(0.0, 1.0)
    with jg.autograd.detect_anomaly():
        y = jg.sqrt(x).sum()
    y.backward()
    assert np.isinf(x.grad.numpy()[0])
    with jg.autograd.detect_anomaly(check_nan=False):
        _infinite_slope(x).backward()
    jg.autograd.set_detect_anomaly(True)
    with pytest.raises(GradientError, match="SqrtBackward0"):
        _infinite_slope(x).backward()
    jg.autograd.set_detect_anomaly(False)
    _infinite_slope(x).backward()


def test_finite_gradients_pass() -> None:
    x = leaf(1.0, 4.0)
    with jg.autograd.detect_anomaly():
        _infinite_slope(x).backward()
    assert_close(x.grad, jg.tensor([0.5, 0.25]))
