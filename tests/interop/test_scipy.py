"""What SciPy's optimisers are given finds the minimum, and its derivatives are right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import optimize

import jitgrad
from jitgrad import DtypeError, GradientError, Tensor
from jitgrad.interop import FlatObjective, FlatResiduals
from jitgrad.testing import assert_close
from tests.messages import message_of


def rosenbrock(p: Any) -> Any:
    x = p["x"]
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


def model(p: Any, t: Any) -> Any:
    return p["scale"] * jitgrad.exp(-p["rate"] * t) + p["offset"][0]


START = {"scale": 1.0, "rate": np.array(0.3), "offset": jitgrad.tensor([0.0])}
TIMES = np.linspace(0.0, 4.0, 21)


def test_lbfgs_finds_the_minimum_of_rosenbrock() -> None:
    f = FlatObjective(rosenbrock, {"x": np.zeros(4)})
    found = optimize.minimize(f.fun, f.x0, jac=True, method="L-BFGS-B")
    assert found.success
    assert_close(f.unravel(found.x)["x"], np.ones(4), rtol=1e-4, atol=1e-4)


def test_the_gradient_is_that_of_finite_differences() -> None:
    f = FlatObjective(rosenbrock, {"x": np.array([0.5, -1.0, 2.0])})
    assert optimize.check_grad(lambda x: f.fun(x)[0], lambda x: f.fun(x)[1], f.x0) < 1e-3


def test_an_objective_takes_further_arguments() -> None:
    f = FlatObjective(lambda p, a, b: ((p[0] - a) ** 2).sum() + (p[1] - b) ** 2, [np.ones(2), 0.0])
    found = optimize.minimize(f.fun, f.x0, args=(3.0, -2.0), jac=True)
    assert_close(found.x, np.array([3.0, 3.0, -2.0]), rtol=1e-5, atol=1e-5)


def test_a_curve_is_fitted_by_least_squares() -> None:
    truth = {"scale": 2.5, "rate": np.array(1.3), "offset": jitgrad.tensor([0.5])}
    data = model(truth, jitgrad.Tensor(TIMES)).numpy()
    r = FlatResiduals(lambda p, t, y: model(p, t) - y, START)
    found = optimize.least_squares(r.fun, r.x0, r.jac, args=(TIMES, data))
    fitted = r.unravel(found.x)
    assert_close(fitted["scale"], 2.5, rtol=1e-5, atol=1e-5)
    assert_close(fitted["rate"], np.array(1.3), rtol=1e-5, atol=1e-5)
    assert_close(fitted["offset"], jitgrad.tensor([0.5]), rtol=1e-5, atol=1e-5)


def test_the_jacobian_is_that_of_finite_differences() -> None:
    r = FlatResiduals(lambda p: jitgrad.outer(p[0], jitgrad.sin(p[1])), [np.ones(2), np.ones(3)])
    x = np.array([0.3, -0.7, 0.2, 1.1, -0.4])
    assert r.jac(x).shape == (6, 5)
    assert_close(r.jac(x), optimize.approx_fprime(x, r.fun), rtol=1e-6, atol=1e-6)


def test_results_that_depend_on_nothing_have_zero_rows() -> None:
    r = FlatResiduals(lambda p: jitgrad.zeros(2, dtype=jitgrad.float64) * 1.0, [1.0, 2.0])
    assert_close(r.jac([1.0, 2.0]), np.zeros((2, 2)))


def test_root_finds_where_the_function_is_zero() -> None:
    r = FlatResiduals(lambda p: jitgrad.stack([p[0] ** 2 - p[1], p[0] + p[1] - 2.0]), (2.0, 2.0))
    found = optimize.root(r.fun, r.x0, jac=r.jac)
    assert_close(found.x, np.ones(2), rtol=1e-6, atol=1e-6)


def test_unravel_restores_structure_kinds_and_dtypes() -> None:
    given = {"a": (jitgrad.tensor([[1.0, 2.0]]), 3.0), "b": [np.array([4.0], np.float32)]}
    f = FlatObjective(lambda p: p["a"][1], given)
    assert_close(f.x0, np.array([1.0, 2.0, 3.0, 4.0]))
    restored = f.unravel(2 * f.x0)
    tensor, number = restored["a"]
    assert isinstance(tensor, Tensor)
    assert (tensor.shape, tensor.dtype) == ((1, 2), np.float32)
    assert type(number) is float
    assert number == 6.0
    assert type(restored["b"][0]) is np.ndarray
    assert restored["b"][0].dtype == np.float32
    assert_close(f.ravel(restored), 2 * f.x0)


def test_the_vector_of_scipy_is_never_written_to() -> None:
    f = FlatObjective(rosenbrock, {"x": np.zeros(2)})
    x = np.array([3.0, 4.0])
    f.unravel(x)["x"][:] = 0.0
    assert x.tolist() == [3.0, 4.0]


@pytest.mark.parametrize("kind", [FlatObjective, FlatResiduals])
def test_parameters_that_are_not_floating_are_an_error(kind: Any) -> None:
    assert message_of(DtypeError, lambda: kind(rosenbrock, {"x": np.arange(3)})) == (
        "scipy: ndarray of dtype int64 is found where floats belong\n"
        "  why:   SciPy searches over real numbers\n"
        "  do:    pass floating arrays, Tensors and floats; others as further arguments"
    )


def test_residuals_that_are_no_tensor_are_an_error() -> None:
    r = FlatResiduals(lambda p: [p, p], 1.0)
    assert message_of(GradientError, lambda: r.fun([1.0])) == (
        "FlatResiduals: the function returned list\n"
        "  why:   it is given Tensors and must return one, whose derivative is taken\n"
        "  do:    compute with jitgrad's functions and operators; stack() joins several results"
    )
