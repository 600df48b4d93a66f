"""What is compiled agrees with the Python twin, on ordinary and on special numbers."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from jitgrad.intrinsics.arithmetic import f32
from tests.intrinsics.kernels import (
    ARITY,
    FLOATING,
    SCALAR,
    TWINS,
    Array,
    by_twin,
    edges,
    lowered,
    ulps,
)

NUMERIC = ("absolute", "sign", "remainder", "floor_divide", "maximum", "minimum", "fmax", "fmin")
ACCUMULATE = ("accumulate_sum", "accumulate_prod", "accumulate_max", "accumulate_min")
PREDICATES = ("isnan", "isinf", "isfinite")
FLOATS = ("float32", "float64")
INTS = ("int32", "int64")

# NumPy and SciPy are less accurate than this elsewhere; the true errors are in test_accuracy.py
ALLOWED = {"lgamma": 16.0, "digamma": 32.0, "erfc": 100.0, "erfinv": 16.0}
# their error is that of the largest argument, or of one, where the result is near zero
CANCELLING = ("logaddexp", "lgamma", "digamma")
# what NumPy and SciPy have wrong: the roots of minus infinity; lgamma of it, and of tiny numbers
NOT_COMPARED: dict[str, Callable[..., Array]] = {
    "pow": lambda x, y: np.isneginf(x) & np.isfinite(y),
    "lgamma": lambda x: np.isneginf(x) | (np.abs(x) < 1e-300),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", [*FLOATING, *NUMERIC, *ACCUMULATE])
def test_compiled_floats_agree_with_the_twin(
    name: str, dtype: str, rng: np.random.Generator
) -> None:
    count = ARITY[name]
    ordinary = [np.linspace(-9, 9, 211).astype(dtype)]
    ordinary += [rng.uniform(-9, 9, 211).astype(dtype) for _ in range(count - 1)]
    for arguments in (ordinary, edges(dtype, count)):
        if name in NOT_COMPARED:
            keep = ~NOT_COMPARED[name](*arguments)
            arguments = [argument[keep] for argument in arguments]
        got, want = lowered(name, *arguments), by_twin(name, *arguments)
        assert want.dtype == got.dtype
        apart = ulps(got, want)
        if name in CANCELLING:
            scale = np.max([np.ones_like(want), *np.abs(arguments)], axis=0)
            with np.errstate(invalid="ignore"):
                apart[np.abs(got - want) <= 4 * np.spacing(scale)] = 0.0
        worst = np.argmax(apart)
        row = [argument[worst] for argument in arguments]
        assert apart[worst] <= ALLOWED.get(name, 4.0), (row, got[worst], want[worst])


@pytest.mark.parametrize("dtype", INTS)
@pytest.mark.parametrize("name", [*NUMERIC, *ACCUMULATE])
def test_compiled_integers_agree_with_the_twin(name: str, dtype: str) -> None:
    limits = np.iinfo(dtype)
    values = np.array([limits.min, -7, -3, -2, -1, 0, 1, 2, 3, 7, limits.max], dtype)
    arguments = [axis.ravel().copy() for axis in np.meshgrid(*[values] * ARITY[name])]
    np.testing.assert_array_equal(lowered(name, *arguments), by_twin(name, *arguments))


@pytest.mark.parametrize("dtype", [*FLOATS, *INTS])
@pytest.mark.parametrize("name", PREDICATES)
def test_compiled_predicates_agree_with_the_twin(name: str, dtype: str) -> None:
    values = edges(dtype, 1)[0] if dtype in FLOATS else np.array([-1, 0, 1], dtype)
    np.testing.assert_array_equal(lowered(name, values, result="bool"), by_twin(name, values))


@pytest.mark.parametrize("dtype", [*FLOATS, *INTS, "bool"])
def test_select_takes_the_first_where_the_condition_holds(dtype: str) -> None:
    condition = np.array([True, False])
    first, second = np.array([1, 1], dtype), np.array([0, 0], dtype)
    np.testing.assert_array_equal(lowered("select", condition, first, second), condition)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "name",
    [
        *("asin", "asinh", "atan", "atanh", "cbrt", "erf", "erfinv"),
        *("expm1", "log1p", "sin", "sinh", "tan", "tanh"),
    ],
)
def test_odd_functions_keep_the_sign_of_zero_and_tiny_numbers(name: str, dtype: str) -> None:
    tiny = np.finfo(dtype).smallest_subnormal
    values = np.array([0.0, -0.0, tiny, -tiny], dtype)
    got = lowered(name, values)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(values))
    np.testing.assert_array_equal(got[:2], values[:2])


@pytest.mark.parametrize("name", [*NUMERIC, *FLOATING])
def test_twins_keep_the_type_of_numpy_scalars(name: str) -> None:
    for dtype in (np.float32, np.float64):
        result = TWINS[name](*[dtype(0.5)] * ARITY[name])
        assert result.dtype == dtype


def test_twins_are_silent_where_a_function_is_not_defined() -> None:
    # warnings are errors in these tests
    assert np.isnan(TWINS["log"](-1.0))
    assert TWINS["log"](0.0) == -np.inf
    assert TWINS["exp"](1000.0) == np.inf
    assert TWINS["floor_divide"](np.int32(1), np.int32(0)) == 0
    assert np.isnan(TWINS["asin"](f32(2.0)))


def test_kinds_are_promoted_as_in_numpy_arrays() -> None:
    single, double = np.array([2.0], "float32"), np.array([3.0], "float64")
    integer = np.array([3], "int64")
    assert lowered("pow", single, double, result="float64")[0] == 8.0
    assert lowered("pow", single, integer, result="float64")[0] == 8.0
    assert lowered("exp2", integer, result="float64")[0] == 8.0


@pytest.mark.parametrize("name", SCALAR)
def test_docstrings_say_in_one_line_what_is_computed(name: str) -> None:
    first_line = (TWINS[name].__doc__ or "").splitlines()[0]
    assert re.fullmatch(r"[A-Z`].*\.", first_line)
