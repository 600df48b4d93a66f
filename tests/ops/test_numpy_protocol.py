"""NumPy's functions and operators on Tensors give Tensors, with gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import ArgumentError, DtypeError, GradientError, Tensor
from jitgrad.testing import assert_close
from tests.messages import message_of

A = np.arange(1.0, 7.0).reshape(2, 3)

# Each is called with an array and with a Tensor of it; the results must be the same.
CALLS: dict[str, Callable[[Any], Any]] = {
    "A * x": lambda x: A * x,
    "A - x": lambda x: A - x,
    "A / x": lambda x: A / x,
    "A ** x": lambda x: A**x,
    "A < x": lambda x: x - 1 > x,
    "A @ x.T": lambda x: A @ x.T,
    "numpy.float64(2) * x": lambda x: np.float64(2) * x,
    "numpy.float64(3) > x": lambda x: np.float64(3) > x,
    "~(x > 2)": lambda x: ~(x > 2),
    "tanh": np.tanh,
    "add": lambda x: np.add(x, A),
    "arctan2": lambda x: np.arctan2(x, A),
    "power": lambda x: np.power(x, 2),
    "absolute": np.abs,
    "rint": lambda x: np.rint(x / 4),
    "logical_and": lambda x: np.logical_and(x > 1, x < 3),
    "matmul": lambda x: np.matmul(x, x.T),
    "maximum": lambda x: np.maximum(x, 2.0),
    "isnan": np.isnan,
    "add.reduce": lambda x: np.add.reduce(x, axis=1),
    "add.reduce of the first axis": np.add.reduce,
    "maximum.reduce": lambda x: np.maximum.reduce(x, axis=None),
    "sum": np.sum,
    "sum over an axis": lambda x: np.sum(x, axis=0),
    "sum keeping axes": lambda x: np.sum(x, axis=(0, 1), keepdims=True),
    "x.sum(axis)": lambda x: x.sum(axis=1),
    "mean": lambda x: np.mean(x, axis=1),
    "max": np.max,
    "max over an axis": lambda x: np.max(x, axis=0),
    "min": lambda x: np.min(x, axis=1, keepdims=True),
    "std": np.std,
    "var": lambda x: np.var(x, axis=0, ddof=1),
    "prod": np.prod,
    "any": lambda x: np.any(x > 2),
    "all": lambda x: np.all(x > 0, axis=0),
    "argmax": lambda x: np.argmax(x, axis=1),
    "cumsum": np.cumsum,
    "cumsum over an axis": lambda x: np.cumsum(x, axis=1),
    "count_nonzero": np.count_nonzero,
    "where": lambda x: np.where(x > 2, x, 0.0),
    "clip": lambda x: np.clip(x, 2, 3),
    "round": lambda x: np.round(x / 4),
    "nan_to_num": np.nan_to_num,
    "dot": lambda x: np.dot(x, x.T),
    "dot with a number": lambda x: np.dot(x, 2.0),
    "inner": lambda x: np.inner(x, x),
    "outer": lambda x: np.outer(x, x),
    "vdot": lambda x: np.vdot(x[0], x[1]),
    "kron": lambda x: np.kron(x, x),
    "einsum": lambda x: np.einsum("ij,ij->i", x, x),
    "tensordot": lambda x: np.tensordot(x, x, axes=([1], [1])),
    "reshape": lambda x: np.reshape(x, (3, 2)),
    "ravel": np.ravel,
    "transpose": np.transpose,
    "transpose of axes": lambda x: np.transpose(x, (1, 0)),
    "swapaxes": lambda x: np.swapaxes(x, 0, 1),
    "moveaxis": lambda x: np.moveaxis(x, 0, 1),
    "squeeze": lambda x: np.squeeze(x[None]),
    "expand_dims": lambda x: np.expand_dims(x, 0),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 2, 3)),
    "concatenate": lambda x: np.concatenate([x, A], axis=1),
    "concatenate flattened": lambda x: np.concatenate([x, A], axis=None),
    "stack": lambda x: np.stack([x, A], axis=1),
    "vstack": lambda x: np.vstack([x, A]),
    "hstack": lambda x: np.hstack([x, A]),
    "split": lambda x: np.split(x, 3, axis=1),
    "split at places": lambda x: np.split(x, [1], axis=1),
    "array_split": lambda x: np.array_split(x, 2, axis=1),
    "repeat": lambda x: np.repeat(x, 2, axis=0),
    "tile": lambda x: np.tile(x, (2, 1)),
    "roll": lambda x: np.roll(x, 1, axis=1),
    "flip": lambda x: np.flip(x, 0),
    "rot90": np.rot90,
    "take": lambda x: np.take(x, [0, 2], axis=1),
    "take flattened": lambda x: np.take(x, [0, 5]),
    "take_along_axis": lambda x: np.take_along_axis(x, np.array([[0], [2]]), axis=1),
    "nonzero": lambda x: np.nonzero(x > 2),
    "diag": lambda x: np.diag(x[0]),
    "diagonal": lambda x: np.diagonal(x, 1),
    "trace": lambda x: np.trace(x, 1),
    "tril": np.tril,
    "triu": lambda x: np.triu(x, 1),
    "zeros_like": np.zeros_like,
    "full_like": lambda x: np.full_like(x, 3.0),
    "copy": np.copy,
    "meshgrid": lambda x: np.meshgrid(x[0], x[1]),
    "array_equal": lambda x: np.array_equal(x, A),
    "allclose": lambda x: np.allclose(x, A),
    "shape": np.shape,
    "ndim": np.ndim,
    "size": np.size,
    "norm": np.linalg.norm,
    "norm over an axis": lambda x: np.linalg.norm(x, axis=1),
    "solve": lambda x: np.linalg.solve(x[:, :2], x[:, 2]),
    "inv": lambda x: np.linalg.inv(x[:, :2]),
    "det": lambda x: np.linalg.det(x[:, :2]),
    "cholesky": lambda x: np.linalg.cholesky(x @ x.T),
    "eigh": lambda x: np.linalg.eigh(x @ x.T)[0],
    "svd": lambda x: np.linalg.svd(x, compute_uv=False),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_results_are_those_of_numpy(call: Callable[[Any], Any]) -> None:
    expected, actual = call(A), call(jitgrad.tensor(A, requires_grad=True))
    if not isinstance(expected, np.ndarray | np.generic | list) and not isinstance(actual, Tensor):
        if isinstance(expected, tuple) and isinstance(actual[0], Tensor):
            assert_close(actual, expected)
        else:
            assert actual == expected
        return
    several = isinstance(expected, list)
    for ours, theirs in zip(actual, expected, strict=True) if several else [(actual, expected)]:
        assert isinstance(ours, Tensor)
        assert_close(ours, np.asarray(theirs))


def test_gradients_pass_through() -> None:
    x = jitgrad.tensor(A, requires_grad=True)
    np.sum(A * np.tanh(x)).backward()
    assert_close(x.grad, A * (1 - np.tanh(A) ** 2))


def test_an_array_on_the_left_has_its_dtype_a_numpy_scalar_none() -> None:
    x = jitgrad.ones(2, 3)
    assert (A * x).dtype == np.float64
    assert (np.float64(2) * x).dtype == np.float32


def test_an_array_is_updated_in_place_where_no_gradient_is_lost() -> None:
    array = A.copy()
    array += jitgrad.tensor(A)
    np.testing.assert_array_equal(array, 2 * A)
    into = jitgrad.zeros(2, 3, dtype=np.float64)
    assert np.add(A, jitgrad.tensor(A), out=into) is into
    assert_close(into, 2 * A)


def test_an_array_can_not_take_a_gradient_in_place() -> None:
    x, array = jitgrad.tensor(A, requires_grad=True), A.copy()

    def provoke() -> Any:
        return array.__iadd__(x)

    assert message_of(GradientError, provoke) == (
        "numpy.add: the result requires a gradient, which an array can't hold\n"
        "  why:   the output is a NumPy array: out=..., or an update like array += tensor\n"
        "  do:    write array = array + tensor, or detach the Tensor first"
    )


def test_functions_that_do_not_exist_are_refused() -> None:
    x = jitgrad.tensor(A)

    def provoke() -> Any:
        return np.histogram2d(x[0], x[0])

    assert message_of(DtypeError, provoke) == (
        "numpy.histogram2d: jitgrad has no such function of Tensors\n"
        "  do:    use jitgrad's functions; or, where no gradient is needed, t.detach().numpy()"
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.gcd(x, x),
        lambda x: np.maximum.accumulate(x),
        lambda x: np.add.reduceat(x, [0, 1]),
    ],
)
def test_ufuncs_that_do_not_exist_are_refused(call: Callable[[Any], Any]) -> None:
    with pytest.raises(DtypeError, match="jitgrad has no such function of Tensors"):
        call(jitgrad.tensor(A))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.sum(x, where=A > 2),
        lambda x: np.add(x, 1, where=A > 2),
        lambda x: np.sum(x, initial=1.0),
        lambda x: np.reshape(x, -1, order="F"),
        lambda x: np.take(x, [9], mode="wrap"),
        lambda x: np.zeros_like(x, shape=(2,)),
        lambda x: np.split(x, 2, axis=1),
    ],
)
def test_arguments_that_mean_something_else_are_refused(call: Callable[[Any], Any]) -> None:
    with pytest.raises(ArgumentError):
        call(jitgrad.tensor(A))
