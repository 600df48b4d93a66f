"""Reductions, extrema and scans: forms of arguments, named results, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from tests.messages import message_of

REDUCTIONS: dict[str, Any] = {
    "sum": np.sum,
    "prod": np.prod,
    "mean": np.mean,
    "amax": np.max,
    "amin": np.min,
    "all": np.all,
    "any": np.any,
    "nansum": np.nansum,
    "nanmean": np.nanmean,
    "std": lambda x, **forms: np.std(x, ddof=1, **forms),
    "var": lambda x, **forms: np.var(x, ddof=1, **forms),
}


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    return rng.normal(size=(2, 3, 4))


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("axes", [None, 0, -1, (0, 2), (-1, 0), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("keep", [False, True])
def test_reduction_over_axes_is_that_of_numpy(name: str, axes: Any, keep: bool, x: Any) -> None:
    ours, expected = getattr(jg, name), REDUCTIONS[name](x, axis=axes, keepdims=keep)
    for result in (
        ours(x, axes, keep),
        ours(x, dim=axes, keepdim=keep),
        ours(x, axis=axes, keepdims=keep),
        getattr(jg.tensor(x), name)(axes, keepdim=keep),
    ):
        assert result.shape == expected.shape
        np.testing.assert_allclose(result.numpy(), expected, rtol=1e-12)


def test_axes_may_be_a_list_and_an_empty_tuple_means_all(x: Any) -> None:
    np.testing.assert_allclose(jg.sum(x, [0, 1]).numpy(), x.sum((0, 1)))
    np.testing.assert_allclose(jg.sum(x, ()).numpy(), x.sum())


def test_reducing_no_elements_gives_the_neutral_element() -> None:
    empty = jg.zeros(0, 3)
    assert empty.sum().item() == 0.0
    assert empty.prod(0).tolist() == [1.0, 1.0, 1.0]
    assert empty.all().item() is True
    assert empty.any().item() is False
    assert np.isnan(empty.mean().item())
    assert empty.logsumexp(0).tolist() == [-np.inf] * 3


def test_a_0d_value_has_one_axis_to_reduce_over() -> None:
    x = jg.tensor(3.0, requires_grad=True)
    for reduced in (x.sum(0), x.mean(-1), x.amax(0), x.max(0).values, x.cumsum(0), x.prod(0)):
        x.grad = None
        reduced.backward()
        assert reduced.shape == ()
        assert reduced.item() == 3.0
        assert x.grad is not None
        assert x.grad.item() == 1.0


def test_sum_and_mean_convert_first_where_a_dtype_is_given() -> None:
    whole = jg.tensor([1, 2])
    assert whole.sum(dtype=jg.float64).dtype == np.float64
    assert whole.mean(dtype=jg.float32).item() == 1.5
    assert whole.cumsum(0, dtype=jg.float32).dtype == np.float32
    assert jg.prod(whole, dtype=jg.float32).dtype == np.float32


# -- extrema -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["max", "min"])
def test_extremum_along_an_axis_has_values_and_indices(name: str, x: Any) -> None:
    for keep in (False, True):
        result = getattr(jg, name)(x, 1, keep)
        values, indices = result
        assert result.values is values
        assert result.indices is indices
        assert result._fields == ("values", "indices")
        assert indices.dtype == np.int64
        np.testing.assert_array_equal(values.numpy(), getattr(np, name)(x, 1, keepdims=keep))
        np.testing.assert_array_equal(
            indices.numpy(), getattr(np, f"arg{name}")(x, 1, keepdims=keep)
        )


def test_extremum_of_two_is_maximum_or_minimum() -> None:
    a, b = jg.tensor([1.0, 5.0]), jg.tensor([4.0, 2.0])
    assert jg.max(a, b).tolist() == [4.0, 5.0]
    assert a.min(b).tolist() == [1.0, 2.0]
    assert jg.max(a, other=b).tolist() == [4.0, 5.0]


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_index_of_an_extremum_counts_in_the_flattened_value_without_an_axis(
    name: str, x: Any
) -> None:
    ours, numpys = getattr(jg, name), getattr(np, name)
    assert ours(x).item() == numpys(x)
    assert ours(x, keepdim=True).shape == (1, 1, 1)
    np.testing.assert_array_equal(ours(x, -1, keepdim=True).numpy(), numpys(x, -1, keepdims=True))
    assert ours(jg.tensor(3.0)).item() == 0
    assert ours(jg.tensor(3.0), dim=0).item() == 0


def test_smallest_and_largest_come_in_this_order() -> None:
    smallest, largest = jg.aminmax(jg.tensor([[3.0, 1.0], [2.0, 5.0]]), dim=1)
    assert smallest.tolist() == [1.0, 2.0]
    assert largest.tolist() == [3.0, 5.0]


def test_nan_is_the_extremum_and_takes_the_gradient() -> None:
    x = jg.tensor([1.0, np.nan, 3.0], requires_grad=True)
    largest = x.max()
    largest.backward()
    assert np.isnan(largest.item())
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 1.0, 0.0]


# -- scans ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_running_sums_products_and_differences_are_those_of_numpy(dim: int, x: Any) -> None:
    np.testing.assert_allclose(jg.cumsum(x, dim).numpy(), np.cumsum(x, dim))
    np.testing.assert_allclose(jg.cumprod(x, dim).numpy(), np.cumprod(x, dim))
    np.testing.assert_allclose(
        jg.logcumsumexp(x, dim).numpy(), np.logaddexp.accumulate(x, dim), rtol=1e-12
    )
    np.testing.assert_allclose(jg.diff(x, dim=dim).numpy(), np.diff(x, axis=dim))


def test_running_logsumexp_stays_finite() -> None:
    values = np.array([-1000.0, -1001.0, 1000.0])
    np.testing.assert_allclose(
        jg.logcumsumexp(values, 0).numpy(), np.logaddexp.accumulate(values), rtol=1e-12
    )


def test_differences_take_joined_ends_and_booleans() -> None:
    assert jg.diff(jg.tensor([1, 4, 9]), prepend=[0], append=[16]).tolist() == [1, 3, 5, 7]
    assert jg.diff(jg.tensor([1, 4, 9, 16]), n=2).tolist() == [2, 2]
    assert jg.diff(jg.tensor([True, False, False])).tolist() == [True, False]


# -- exact products ------------------------------------------------------------------------


def test_second_derivatives_of_a_product_are_exact_at_zeros() -> None:
    x = jg.tensor([0.0, 2.0, 3.0, 0.0], requires_grad=True)
    (first,) = jg.autograd.grad(x.prod(), [x], create_graph=True)
    rows = [jg.autograd.grad(g, [x], retain_graph=True)[0].tolist() for g in first]
    expected = np.zeros((4, 4))
    expected[0, 3] = expected[3, 0] = 6.0
    np.testing.assert_array_equal(rows, expected)


# -- names and errors ----------------------------------------------------------------------


def test_nodes_have_the_names_of_pytorch() -> None:
    x = jg.ones(2, 3, requires_grad=True)
    shown = [
        (x.sum(), "SumBackward0"), (x.sum(0), "SumBackward1"), (x.mean(), "MeanBackward0"),
        (x.mean(1), "MeanBackward1"), (x.prod(), "ProdBackward0"), (x.prod(0), "ProdBackward1"),
        (x.max(), "MaxBackward1"), (x.max(0).values, "MaxBackward0"), (x.amax(), "AmaxBackward0"),
        (x.var(), "VarBackward0"), (x.std(0), "StdBackward0"), (x.cumsum(0), "CumsumBackward0"),
        (x.logsumexp(0), "LogsumexpBackward0"), (x.softmax(0), "SoftmaxBackward0"),
    ]  # fmt: skip
    assert [tensor.grad_fn.name() for tensor, _ in shown] == [name for _, name in shown]


def test_axis_that_does_not_exist_is_an_error() -> None:
    assert message_of(jg.ShapeError, lambda: jg.sum(jg.ones(2, 3), 2)) == (
        "sum: there is no axis 2\n"
        "  why:   the value has 2 axes, so axes go from -2 to 1"
    )  # fmt: skip


def test_axis_named_twice_is_an_error() -> None:
    assert message_of(jg.ShapeError, lambda: jg.mean(jg.ones(2, 3), (0, -2))) == (
        "mean: an axis is named twice in (0, -2)"
    )


def test_largest_of_no_elements_is_an_error() -> None:
    assert message_of(jg.ShapeError, lambda: jg.max(jg.zeros(0))) == (
        "amax: there is nothing to reduce over axes (0,) of shape (0,)\n"
        "  why:   amax of no elements has no value"
    )


def test_index_of_the_largest_of_no_elements_is_an_error() -> None:
    assert message_of(jg.ShapeError, lambda: jg.argmax(jg.zeros(2, 0), 1)) == (
        "argmax: axis 1 of shape (2, 0) has no elements\n"
        "  why:   no element is the largest or smallest of none"
    )


def test_max_along_several_axes_is_an_error() -> None:
    assert message_of(jg.ArgumentError, lambda: jg.max(jg.ones(2, 3), (0, 1))) == (
        "max: dim is (0, 1), which names several axes\n"
        "  why:   an index along several axes at once is not one number\n"
        "  do:    use amax, which takes several axes and returns values only"
    )


def test_mean_of_whole_numbers_is_an_error() -> None:
    assert message_of(jg.DtypeError, lambda: jg.tensor([1, 2]).mean()) == (
        "mean: the input has dtype int64\n"
        "  why:   the result is floating, in the dtype of the input\n"
        "  do:    convert it first: x.float().mean(...)"
    )


def test_differences_of_a_0d_value_are_an_error() -> None:
    assert message_of(jg.ArgumentError, lambda: jg.diff(jg.tensor(1.0))) == (
        "diff: a 0-d value has no neighbours\n"
        "  why:   at least one axis and n >= 0 are needed"
    )  # fmt: skip
