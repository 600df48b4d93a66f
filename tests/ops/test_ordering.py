"""Sorting, ranks, quantiles, counting and drawing: forms of arguments, NumPy's names, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.testing import check_grads


@pytest.fixture
def x(rng: np.random.Generator) -> Any:
    return rng.normal(size=(4, 6))


@pytest.mark.parametrize("axis", [0, 1, -1, None])
@pytest.mark.parametrize(
    "function",
    [
        np.sort,
        np.argsort,
        np.median,
        np.nanmedian,
        lambda x, axis: np.quantile(x, [0.2, 0.7], axis=axis),
        lambda x, axis: np.percentile(x, 30, axis=axis, keepdims=True),
        lambda x, axis: np.nanquantile(x, 0.4, axis=axis),
    ],
)
def test_numpy_s_functions_of_tensors_are_numpy_s(function: Any, axis: Any, x: Any) -> None:
    found = function(jg.tensor(x), axis=axis)
    np.testing.assert_allclose(found.numpy(), function(x, axis=axis), rtol=1e-12)


@pytest.mark.parametrize(
    "function",
    [
        np.trapezoid,
        lambda x: np.trapezoid(x, dx=0.5, axis=0),
        np.gradient,
        lambda x: np.gradient(x, 0.5, axis=0, edge_order=2),
        lambda x: np.gradient(x, 2.0, np.arange(6.0) ** 2),
        lambda x: np.cross(x[:3, :3], x[:3, 3:], axis=0),
        lambda x: np.linalg.cross(x[:3, :3], x[:3, 3:]),
        lambda x: np.unique(np.round(x), return_counts=True),
        lambda x: np.searchsorted(np.sort(x[0]), x, side="right"),
    ],
)
def test_numpy_s_other_functions_of_tensors_are_numpy_s(function: Any, x: Any) -> None:
    found, expected = function(jg.tensor(x)), function(x)
    several = isinstance(expected, tuple)
    for ours, theirs in zip(
        found if several else [found], expected if several else [expected], strict=True
    ):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-12)


def test_the_gradient_of_numpy_s_median_is_shared_by_the_two_middle_elements() -> None:
    slope = jg.grad(np.median)(np.array([1.0, 2.0, 3.0, 4.0]))
    assert np.asarray(slope).tolist() == [0.0, 0.5, 0.5, 0.0]


def test_sorting_has_derivatives_of_any_order(x: Any) -> None:
    def of_sorted(x: Any) -> Any:
        return jg.sort(x, 1, descending=True).values ** 3

    check_grads(of_sorted, [x], order=2)
    check_grads(lambda x: jg.quantile(x, [0.2, 0.55], 1) ** 2, [x], order=2)
    jg.testing.assert_close(jg.compile(of_sorted)(x), of_sorted(x))


def test_zero_dimensional_values_are_one_element() -> None:
    for result in (jg.sort(3.0), jg.median(3.0, 0), jg.mode(3.0), jg.cummax(3.0, 0)):
        assert (result.values.tolist(), result.indices.tolist()) == (3.0, 0)
    assert jg.argsort(3.0).tolist() == 0


def test_searchsorted_and_bucketize_find_places() -> None:
    edges = jg.tensor([1.0, 2.0, 2.0, 3.0])
    assert jg.searchsorted(edges, [2.0, 0.0, 4.0]).tolist() == [1, 0, 4]
    assert jg.searchsorted(edges, [2.0], side="right").tolist() == [3]
    assert jg.bucketize([2.0, 2.5], edges, right=True, out_int32=True).dtype == jg.int32
    rows = jg.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert jg.searchsorted(rows, [[1.5], [5.0]]).tolist() == [[1], [2]]
    assert jg.searchsorted([3.0, 1.0, 2.0], [1.5], sorter=[1, 2, 0]).tolist() == [1]


def test_unique_elements_come_with_places_and_counts() -> None:
    values, inverse, counts = jg.unique([[3, 1], [1, 2]], return_inverse=True, return_counts=True)
    assert values.tolist() == [1, 2, 3]
    assert inverse.tolist() == [[2, 0], [0, 1]]
    assert counts.tolist() == [2, 1, 1]
    assert jg.unique([[3, 1], [1, 2], [1, 2]], dim=0).tolist() == [[1, 2], [3, 1]]
    runs = jg.unique_consecutive([1, 1, 2, 1], return_inverse=True, return_counts=True)
    assert [r.tolist() for r in runs] == [[1, 2, 1], [0, 0, 1, 2], [2, 1, 1]]


def test_bincount_adds_up_weights_which_have_gradients() -> None:
    places = jg.tensor([1, 3, 1])
    assert jg.bincount(places).tolist() == [0, 2, 0, 1]
    assert jg.bincount(places, minlength=6).shape == (6,)
    check_grads(lambda w: jg.bincount(places, w) ** 2, [np.array([1.0, 2.0, 3.0])], order=2)
    assert jg.histc(jg.tensor([1.0, 2.0, 1.0]), 4, 0, 3).tolist() == [0.0, 2.0, 1.0, 0.0]
    assert jg.isin([1, 2, 3], [2]).tolist() == [False, True, False]


@pytest.mark.parametrize("replacement", [False, True])
def test_multinomial_draws_by_weight(replacement: bool) -> None:
    jg.manual_seed(0)
    weights = jg.tensor([[1.0, 0.0, 3.0], [2.0, 2.0, 0.0]]).repeat_interleave(1000, 0)
    drawn = jg.multinomial(weights, 1, replacement).numpy().reshape(2, 1000)
    shares = np.stack([np.bincount(row, minlength=3) for row in drawn]) / 1000
    np.testing.assert_allclose(shares, [[0.25, 0.0, 0.75], [0.5, 0.5, 0.0]], atol=0.05)
    assert sorted(jg.multinomial(jg.ones(4), 4).tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["bessel_j0", "bessel_j1", "i0", "i1", "i0e", "i1e"])
def test_bessel_functions_have_slopes_at_zero(name: str) -> None:
    function = getattr(jg.special, name)
    step = 1e-4
    expected = (function(step).item() - function(-step).item()) / (2 * step)
    # exp(-abs(x)) has a corner at zero, where its slope is taken to be zero
    slope = jg.grad(function)(np.float64(0.0))
    np.testing.assert_allclose(float(slope), expected, atol=1e-3)


def test_the_logarithm_of_small_probabilities_has_a_gradient() -> None:
    x = jg.tensor([-40.0], dtype=jg.float64, requires_grad=True)
    jg.special.log_ndtr(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [40.0249688], rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: jg.topk(jg.ones(3), 4), jg.ArgumentError, "from 0 to 3"),
        (lambda: jg.kthvalue(jg.ones(3), 0), jg.ArgumentError, "from 1 to 3"),
        (lambda: jg.median(jg.ones(2, 0), 1), jg.ShapeError, "has no elements"),
        (lambda: jg.median(jg.ones(0)), jg.ShapeError, "nothing to reduce"),
        (lambda: jg.quantile(jg.ones(0), 0.5), jg.ShapeError, "no quantiles"),
        (lambda: jg.quantile([1, 2], 0.5), jg.DtypeError, "int64 is not taken"),
        (lambda: jg.quantile(jg.ones(2), [[0.5]]), jg.ShapeError, "a number or a vector"),
        (
            lambda: jg.quantile(jg.ones(2), 0.5, interpolation="cubic"),
            jg.ArgumentError,
            "no interpolation 'cubic'",
        ),
        (lambda: jg.searchsorted(jg.ones(2, 3), jg.ones(3, 3)), jg.ShapeError, "does not fit"),
        (lambda: jg.searchsorted([1.0], 1.0, side="middle"), jg.ArgumentError, "side is 'middle'"),
        (lambda: jg.bucketize(1.0, jg.ones(2, 2)), jg.ShapeError, "must be a vector"),
        (lambda: jg.bincount(jg.tensor([-1])), jg.ArgumentError, "is negative"),
        (lambda: jg.bincount(jg.ones(2)), jg.DtypeError, "float32"),
        (lambda: jg.multinomial(jg.ones(2), 3), jg.ArgumentError, "3 indices of 2"),
        (lambda: jg.cross(jg.ones(2), jg.ones(2)), jg.ShapeError, "three elements"),
        (lambda: jg.cdist(jg.ones(2, 3), jg.ones(2, 4)), jg.ShapeError, "do not fit"),
        (lambda: jg.gradient(jg.ones(1)), jg.ShapeError, "at least 2 are needed"),
        (lambda: jg.as_strided(jg.ones(3), (2, 2), (2, 1)), jg.IndexingError, "element 3 of 3"),
        (
            lambda: jg.scatter_reduce(jg.ones(3), 0, jg.tensor([0]), jg.ones(1), "max"),
            jg.ArgumentError,
            "no reduction 'max'",
        ),
        (
            lambda: jg.special.gammainc(jg.ones(2, requires_grad=True), 1.0).sum().backward(),
            jg.GradientError,
            "no derivative",
        ),
        (lambda: jg.linalg.lu(jg.ones(2, 3)), jg.ShapeError, "square"),
        (
            lambda: jg.nn.functional.interpolate(jg.ones(1, 1, 3), 4, mode="bicubic"),
            jg.ArgumentError,
            "1 axes of space",
        ),
        (
            lambda: jg.nn.functional.batch_norm(jg.ones(2, 2), None, None),
            jg.ArgumentError,
            "is missing",
        ),
    ],
)
def test_misuse_is_an_error_that_says_why(call: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_batch_norm_moves_its_averages(x: Any) -> None:
    averages = jg.zeros(6, dtype=jg.float64), jg.ones(6, dtype=jg.float64)
    jg.nn.functional.batch_norm(jg.tensor(x, requires_grad=True), *averages, training=True)
    np.testing.assert_allclose(averages[0].numpy(), 0.1 * x.mean(0))
    np.testing.assert_allclose(averages[1].numpy(), 0.9 + 0.1 * x.var(0, ddof=1))
