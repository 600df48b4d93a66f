"""Tensors made from sizes, numbers and data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import ArgumentError, DtypeError, ShapeError
from jitgrad.testing import assert_close
from tests.messages import message_of

CASES: list[tuple[str, Callable[[], Any], Any]] = [
    ("zeros", lambda: jitgrad.zeros(2, 3), np.zeros((2, 3), np.float32)),
    ("zeros of a tuple", lambda: jitgrad.zeros((2, 3)), np.zeros((2, 3), np.float32)),
    ("zeros 0-d", lambda: jitgrad.zeros(()), np.zeros((), np.float32)),
    ("ones", lambda: jitgrad.ones(2, dtype=np.int32), np.ones(2, np.int32)),
    ("empty", lambda: jitgrad.empty(0, 2), np.zeros((0, 2), np.float32)),
    ("full of a float", lambda: jitgrad.full((2,), 1.5), np.full(2, 1.5, np.float32)),
    ("full of an int", lambda: jitgrad.full((2,), 3), np.full(2, 3)),
    ("full of a bool", lambda: jitgrad.full(2, True), np.full(2, True)),
    ("full in a dtype", lambda: jitgrad.full((2,), 3, dtype=float), np.full(2, 3, np.float32)),
    ("full of a NumPy scalar", lambda: jitgrad.full((), np.int32(3)), np.int32(3)),
    ("zeros_like", lambda: jitgrad.zeros_like(np.ones((2, 1))), np.zeros((2, 1))),
    ("ones_like", lambda: jitgrad.ones_like([1, 2]), np.array([1, 1])),
    ("ones_like in a dtype", lambda: jitgrad.ones_like([1], dtype=bool), np.array([True])),
    ("full_like", lambda: jitgrad.full_like(np.ones(2), 7), np.full(2, 7.0)),
    ("empty_like", lambda: jitgrad.empty_like(np.ones(2)), np.zeros(2)),
    ("eye", lambda: jitgrad.eye(3), np.eye(3, dtype=np.float32)),
    ("eye of two sizes", lambda: jitgrad.eye(2, 3, dtype=np.float64), np.eye(2, 3)),
    ("arange", lambda: jitgrad.arange(4), np.arange(4)),
    ("arange of floats", lambda: jitgrad.arange(0, 1, 0.25), np.arange(0, 1, 0.25, np.float32)),
    ("arange downwards", lambda: jitgrad.arange(5, 1, -2), np.arange(5, 1, -2)),
    ("arange in a dtype", lambda: jitgrad.arange(3, dtype=np.float64), np.arange(3.0)),
    ("arange of nothing", lambda: jitgrad.arange(2, 2), np.arange(0)),
    ("linspace", lambda: jitgrad.linspace(0, 1, 5), np.linspace(0, 1, 5, dtype=np.float32)),
    ("linspace of one", lambda: jitgrad.linspace(3, 4, 1), np.array([3], np.float32)),
    ("new_zeros", lambda: jitgrad.eye(2, dtype=np.float64).new_zeros(2), np.zeros(2)),
    ("tensor of floats", lambda: jitgrad.tensor([1.0, 2]), np.array([1, 2], np.float32)),
    ("tensor of ints", lambda: jitgrad.tensor([[1], [2]]), np.array([[1], [2]])),
    ("tensor of bools", lambda: jitgrad.tensor(True), np.array(True)),
    ("tensor of an array", lambda: jitgrad.tensor(np.ones(2)), np.ones(2)),
    ("tensor in a dtype", lambda: jitgrad.tensor([1], dtype=np.float64), np.array([1.0])),
    ("tensor of nothing", lambda: jitgrad.tensor([]), np.zeros(0, np.float32)),
    ("as_tensor", lambda: jitgrad.as_tensor([1, 2], np.int32), np.array([1, 2], np.int32)),
]


@pytest.mark.parametrize(("call", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_values_and_dtypes(call: Callable[[], Any], expected: Any) -> None:
    assert_close(call(), np.asarray(expected))


def test_the_default_dtype_can_be_changed() -> None:
    jitgrad.set_default_dtype(jitgrad.float64)
    try:
        made = [jitgrad.zeros(1), jitgrad.eye(1), jitgrad.tensor([1.0]), jitgrad.randn(1)]
        assert {x.dtype for x in made} == {np.dtype(np.float64)}
    finally:
        jitgrad.set_default_dtype(jitgrad.float32)


def test_a_leaf_can_be_asked_for() -> None:
    makers: list[Callable[..., Any]] = [jitgrad.zeros, jitgrad.ones, jitgrad.randn, jitgrad.eye]
    for make in makers:
        x = make(2, requires_grad=True)
        assert x.requires_grad
        assert x.is_leaf


def test_tensor_copies_and_the_others_share_memory() -> None:
    array = np.zeros(2)
    copy, shared, same = jitgrad.tensor(array), jitgrad.as_tensor(array), jitgrad.from_numpy(array)
    array[0] = 5
    assert copy[0].item() == 0
    assert shared[0].item() == same[0].item() == 5
    same[1] = 7.0
    assert array[1] == 7


def test_tensor_of_a_tensor_is_a_new_leaf() -> None:
    x = jitgrad.ones(2, requires_grad=True)
    y = jitgrad.tensor(x * 2)
    assert not y.requires_grad
    assert not np.may_share_memory(y.numpy(), x.detach().numpy())
    assert jitgrad.as_tensor(x) is x


def test_full_of_a_tensor_passes_its_gradient() -> None:
    x = jitgrad.tensor(2.0, requires_grad=True)
    jitgrad.full((3,), x).sum().backward()
    assert_close(x.grad, jitgrad.tensor(3.0))


def test_clone_passes_its_gradient() -> None:
    x = jitgrad.ones(2, requires_grad=True)
    (x.clone() * 3).sum().backward()
    assert_close(x.grad, jitgrad.full((2,), 3.0))


def test_a_size_that_is_no_integer_is_refused() -> None:
    def provoke() -> Any:
        return jitgrad.zeros(2.5)

    assert message_of(DtypeError, provoke) == (
        "zeros: a size must be an integer\n  why:   got (2.5,)"
    )


def test_negative_sizes_are_refused() -> None:
    def provoke() -> Any:
        return jitgrad.ones(2, -1)

    assert message_of(ShapeError, provoke) == "ones: the sizes (2, -1) must not be negative"


def test_steps_in_the_wrong_direction_are_refused() -> None:
    def provoke() -> Any:
        return jitgrad.arange(0, 5, -1)

    assert message_of(ArgumentError, provoke) == (
        "arange: no steps of -1 lead from 0 to 5\n"
        "  why:   the sign of the step must be that of end - start"
    )


def test_ragged_lists_are_refused() -> None:
    with pytest.raises(ShapeError, match="ragged"):
        jitgrad.tensor([[1.0], [1.0, 2.0]])


def test_what_is_no_array_is_refused_by_from_numpy() -> None:
    with pytest.raises(DtypeError, match="list is no NumPy array"):
        jitgrad.from_numpy([1.0])


def test_unsupported_dtypes_are_refused() -> None:
    with pytest.raises(DtypeError, match="complex128 is not supported"):
        jitgrad.tensor(np.zeros(2, complex))
    with pytest.raises(DtypeError, match="int64 can't have a gradient"):
        jitgrad.zeros(2, dtype=np.int64, requires_grad=True)


@pytest.mark.parametrize("data", [0.1, [0.1, 1.0005], [[1e300]]])
def test_python_floats_are_rounded_once(data: Any) -> None:
    found = jitgrad.tensor(data, dtype=jitgrad.float64)
    np.testing.assert_array_equal(found.numpy(), np.array(data))
