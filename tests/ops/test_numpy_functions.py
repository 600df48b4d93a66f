"""NumPy's functions that jitgrad has under no name of its own: values, gradients, traces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special

import jitgrad
from jitgrad import ArgumentError, DtypeError, GradientError
from jitgrad.testing import assert_close, check_grads

A = np.array([[3.0, 1.0, 2.0], [1.0, 4.0, 0.5], [2.0, 0.25, 5.0]])
V = np.array([0.3, 1.2, 2.5])
KNOTS = np.array([0.0, 1.0, 2.0, 3.0])

CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "linspace": lambda x, v: np.linspace(v[0], 2 * v[1], 5),
    "linspace of arrays": lambda x, v: np.linspace(v, x[0], 4, endpoint=False, axis=1),
    "linspace with step": lambda x, v: np.linspace(v[0], 3.0, 4, retstep=True)[1],
    "logspace": lambda x, v: np.logspace(v[0], v[1], 4),
    "geomspace": lambda x, v: np.geomspace(v[0], v[1], 4),
    "interp": lambda x, v: np.interp(v, KNOTS, KNOTS**2),
    "interp of values": lambda x, v: np.interp([-1.0, 0.5, 1.7, 9.0], KNOTS[:3], v),
    "interp beyond": lambda x, v: np.interp(v, KNOTS[1:3], v[:2], left=-1.0, right=v[2]),
    "correlate": lambda x, v: np.correlate(v, v[:2], "full"),
    "correlate, second longer": lambda x, v: np.correlate(v[:2], v * v, "same"),
    "pad": lambda x, v: np.pad(x, ((1, 0), (2, 1)), constant_values=2.0),
    "pad with edges": lambda x, v: np.pad(v, (1, 2), mode="edge"),
    "pad with mirrors": lambda x, v: np.pad(x, 4, mode="symmetric"),
    "pad around": lambda x, v: np.pad(x, ((0, 0), (4, 0)), mode="wrap"),
    "select": lambda x, v: np.select([v < 1, v < 2], [v, v**2], v * 3),
    "choose": lambda x, v: np.choose(np.array([0, 1, 0]), [v, v * v]),
    "piecewise": lambda x, v: np.piecewise(v, [v < 1, v > 2], [np.sin, 2.0, np.cos]),
    "delete": lambda x, v: np.delete(x, [0, 2], axis=1),
    "insert": lambda x, v: np.insert(v, [1, 3], v[:2]),
    "insert a row": lambda x, v: np.insert(x, 1, v, axis=0),
    "insert a column": lambda x, v: np.insert(x, -1, v, axis=1),
    "block": lambda x, v: np.block([[x, x * 2], [v, v]]),
    "apply_along_axis": lambda x, v: np.apply_along_axis(lambda r: r[1:] * r[0], 0, x),
    "sliding_window_view": lambda x, v: np.lib.stride_tricks.sliding_window_view(x, (2, 3)),
    "nanmax": lambda x, v: np.nanmax(np.where(x > 3.5, np.nan, x), axis=0),
    "partition": lambda x, v: np.partition(v[::-1], 1),
    "unwrap": lambda x, v: np.unwrap(np.array([0.1, 3.0, -3.0]) + v * 0.01),
    "polyfit": lambda x, v: np.polyfit(KNOTS[:3] + v, v * v, 1),
    "average": lambda x, v: np.average(x, axis=0, weights=v),
    "modf": lambda x, v: np.modf(v)[0],
    "divmod": lambda x, v: np.divmod(v, 0.7)[1],
    "logaddexp2": lambda x, v: np.logaddexp2(v, x),
    "float_power": lambda x, v: np.float_power(v, 1.5),
    "ldexp": lambda x, v: np.ldexp(v, 3),
    "round to decimals": lambda x, v: np.round(v + 0.02, 1),
    "condition number": lambda x, v: np.linalg.cond(x),
    "condition number, 1": lambda x, v: np.linalg.cond(x, 1),
    "scipy.special.expit": lambda x, v: special.expit(v),
    "scipy.special.gammaln": lambda x, v: special.gammaln(v),
    "scipy.special.i0": lambda x, v: special.i0(v),
    "digitize": lambda x, v: np.digitize(v, KNOTS),
    "digitize downwards": lambda x, v: np.digitize(v, KNOTS[::-1], right=True),
    "histogram": lambda x, v: np.histogram(x, bins=4)[0],
    "rank": lambda x, v: np.linalg.matrix_rank(x[:, :1] * v),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_results_and_gradients_are_right(call: Callable[[Any, Any], Any]) -> None:
    expected = np.asarray(call(A, V))
    found = call(jitgrad.tensor(A), jitgrad.tensor(V))
    assert isinstance(found, jitgrad.Tensor)
    assert_close(found, expected)
    if expected.dtype.kind == "f":
        assert found.dtype == expected.dtype
        check_grads(call, [A, V], order=2)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_compiled_functions_of_arrays_give_the_same(call: Callable[[Any, Any], Any]) -> None:
    expected = np.asarray(call(A, V))
    compiled = jitgrad.compile(call)
    assert_close(np.asarray(compiled(A.copy(), V.copy())), expected)
    assert not compiled.explain().eager_reason


def test_gradients_reach_the_ends_of_a_grid() -> None:
    start = jitgrad.tensor(1.0, requires_grad=True)
    end = jitgrad.tensor(3.0, requires_grad=True)
    grid = jitgrad.linspace(start, end, 5)
    assert_close(grid, [1.0, 1.5, 2.0, 2.5, 3.0])
    (grid * jitgrad.arange(5)).sum().backward()
    assert_close(start.grad, 2.5)
    assert_close(end.grad, 7.5)


def test_a_range_whose_bounds_have_a_gradient_is_refused() -> None:
    bound = jitgrad.tensor(3.0, requires_grad=True)
    with pytest.raises(GradientError, match="requires a gradient, which the result would not have"):
        jitgrad.arange(0, bound)


def test_infinite_values_have_a_weighted_mean_as_in_numpy() -> None:
    values = np.array([np.inf, 1.0])
    assert np.average(jitgrad.tensor(values), weights=np.ones(2)).item() == np.inf


def test_put_changes_its_argument() -> None:
    def function(x: Any) -> Any:
        y = x * 2
        np.put(y, [0, -1], [7.0, 8.0])
        return y

    expected = function(A)
    assert_close(function(jitgrad.tensor(A)), expected)
    assert_close(jitgrad.compile(function)(A.copy()), expected)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.interp(x[0], KNOTS, KNOTS, period=2.0),
        lambda x: np.pad(x, 1, mode="linear_ramp"),
        lambda x: np.pad(x, 1, constant_values=(1, 2)),
        lambda x: np.select([x > 1], [x, x]),
        lambda x: np.choose(x > 1, [x]),
        lambda x: np.histogram(x, density=True),
        lambda x: np.put(x, [0], [1.0], mode="wrap"),
    ],
)
def test_what_is_not_taken_is_refused(call: Callable[[Any], Any]) -> None:
    with pytest.raises(ArgumentError):
        call(jitgrad.tensor(A))


def test_functions_of_scipy_that_take_arrays_only_name_the_users_line() -> None:
    x = jitgrad.tensor(V, requires_grad=True)
    with pytest.raises(GradientError) as caught:
        special.softmax(x)
    assert caught.value.where is not None
    assert caught.value.where.file == __file__
    with pytest.raises(DtypeError, match=r"numpy.frexp: jitgrad has no such function"):
        np.frexp(x)
