"""Indexing follows NumPy; gathering and scattering follow PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import IndexingError, ShapeError, Tensor
from jitgrad.testing import assert_close, check_grads
from tests.messages import message_of

X = np.random.default_rng(0).normal(size=(4, 5, 6))
MASK = np.random.default_rng(1).random((4, 5)) > 0.5

BASIC: list[Any] = [
    0,
    -1,
    np.int64(2),
    np.array(3),
    (1, 2),
    (1, slice(None), 3),
    (slice(None, None, -1),),
    (slice(3, 0, -2), slice(10, 20)),
    (slice(-3, None), slice(None, -1, 2)),
    (Ellipsis, 2),
    (None, 1),
    (slice(None), None, 2, None),
    Ellipsis,
    (),
    (1, 2, 3),
]
ADVANCED: list[Any] = [
    [0, 1],
    [],
    ([0, 1], [1, 2]),
    ([[0], [1]], [1, 2]),
    (slice(None), [0, -1], slice(1, 3)),
    ([0, 1], slice(None), [2, 3]),
    (0, slice(None), [1, 2]),
    (slice(None), 0, [1, 2]),
    (1, Ellipsis, [[1, 2], [3, 4]]),
    ([0, 1], None, [1, 1]),
    MASK,
    ~MASK & False,
    (MASK, 2),
    (slice(None), MASK[0]),
    (slice(None), MASK[1], None),
    ([[0], [1]], MASK[0][:5]),
    True,
    False,
    (slice(None), True),
]


def leaf(values: Any) -> Tensor:
    return jitgrad.tensor(np.asarray(values, np.float64), requires_grad=True)


@pytest.mark.parametrize("index", BASIC + ADVANCED, ids=str)
def test_reading_equals_numpy(index: Any) -> None:
    assert_close(jitgrad.tensor(X)[index], np.asarray(X[index]))


@pytest.mark.parametrize("index", BASIC + ADVANCED, ids=str)
def test_assigning_equals_numpy(index: Any) -> None:
    expected, actual = X.copy(), jitgrad.tensor(X)
    value = np.random.default_rng(2).normal(size=X[index].shape)
    expected[index] = value
    actual[index] = value
    assert_close(actual, expected)


@pytest.mark.parametrize("index", BASIC + ADVANCED, ids=str)
def test_adding_accumulates_every_value(index: Any) -> None:
    expected = X.copy()
    value = np.random.default_rng(2).normal(size=X[index].shape)
    np.add.at(expected, index, value)
    actual = jitgrad.index_put(jitgrad.tensor(X), index, value, accumulate=True)
    assert_close(actual, expected)


@pytest.mark.parametrize("index", BASIC + ADVANCED, ids=str)
def test_gradients_of_reading_and_writing_equal_finite_differences(index: Any) -> None:
    value = np.random.default_rng(2).normal(size=X[index].shape)
    check_grads(lambda x: x[index] ** 2, [X])
    check_grads(lambda x, v: jitgrad.index_put(x, index, v) ** 2, [X, value])


def test_tensors_are_indices() -> None:
    x = jitgrad.tensor(X)
    assert_close(x[jitgrad.tensor(2)], X[2])
    assert_close(x[jitgrad.tensor([2, 0])], X[[2, 0]])
    assert_close(x[jitgrad.tensor(MASK)], X[MASK])
    assert_close(x[jitgrad.tensor(1) : jitgrad.tensor(3)], X[1:3])
    assert_close(x[:, [jitgrad.tensor(1), 0]], X[:, [1, 0]])


def test_basic_indices_give_views_and_arrays_give_copies() -> None:
    x = jitgrad.tensor(X)
    assert np.may_share_memory(x[1, ::-1, None].numpy(), x.numpy())
    assert np.may_share_memory(x[1, 2, 3].numpy(), x.numpy())
    assert not np.may_share_memory(x[[1]].numpy(), x.numpy())


def test_an_element_named_twice_collects_both_gradients() -> None:
    x = leaf([1.0, 2.0, 3.0])
    (x[[0, 2, 0]] * jitgrad.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert_close(x.grad, np.array([101.0, 0.0, 10.0]))


def test_the_last_write_to_an_element_stays_and_has_the_gradient() -> None:
    x, v = leaf([0.0, 0.0, 0.0]), leaf([1.0, 2.0, 3.0, 4.0])
    y = jitgrad.index_put(x, ([0, 1, 0, 1],), v)
    assert_close(y, np.array([3.0, 4.0, 0.0]))
    y.sum().backward()
    assert_close(x.grad, np.array([0.0, 0.0, 1.0]))
    assert_close(v.grad, np.array([0.0, 0.0, 1.0, 1.0]))


def test_the_last_write_wins_in_place_too_on_matrices_and_negative_indices() -> None:
    x = jitgrad.zeros(3, 2)
    x[[0, -3, 2]] = jitgrad.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    assert_close(x, np.array([[2.0, 2.0], [0.0, 0.0], [3.0, 3.0]], np.float32))


def test_an_assigned_value_broadcasts_and_is_cast() -> None:
    x = jitgrad.zeros(2, 3, dtype=jitgrad.int64)
    x[:, 1] = 2.9
    x[0] = jitgrad.tensor([[7, 8, 9]])
    assert_close(x, np.array([[7, 8, 9], [0, 2, 0]]))


def test_gather_reads_along_one_axis() -> None:
    x = leaf(X[0])
    index = np.array([[0, 0, 5], [2, -1, 2]])
    y = jitgrad.gather(x, 1, index)
    assert_close(y, np.take_along_axis(X[0][:2], index, 1))
    y.sum().backward()
    assert_close(x.grad.sum(1), np.array([3.0, 3.0, 0.0, 0.0, 0.0]))
    assert_close(jitgrad.gather(jitgrad.tensor(3.0), 0, 0), jitgrad.tensor(3.0))


def test_take_along_dim_broadcasts_the_other_axes() -> None:
    order = np.argsort(X, axis=1)
    assert_close(jitgrad.take_along_dim(X, order, 1), np.take_along_axis(X, order, 1))
    assert_close(jitgrad.take_along_dim(X, [[[1], [0]]], 1), X[:, [1, 0]])
    assert_close(jitgrad.take_along_dim(X, [3, 4]), X.reshape(-1)[[3, 4]])


def test_scatter_and_scatter_add_are_what_their_formulas_say() -> None:
    index = np.array([[0, 1, 0], [2, 2, 2]])
    source = np.arange(6.0).reshape(2, 3) + 1
    x = np.zeros((2, 4))
    assert_close(jitgrad.scatter(x, 1, index, source), [[3.0, 2, 0, 0], [0, 0, 6, 0]], **LOOSE)
    assert_close(jitgrad.scatter_add(x, 1, index, source), [[4.0, 2, 0, 0], [0, 0, 15, 0]], **LOOSE)
    assert_close(jitgrad.scatter(x, 1, index[:, :1], 5.0), [[5.0, 0, 0, 0], [0, 0, 5, 0]], **LOOSE)
    check_grads(lambda a, s: jitgrad.scatter(a, 1, index, s) ** 2, [x, source])
    check_grads(lambda a, s: jitgrad.scatter_add(a, 1, index, s) ** 2, [x, source])


LOOSE: dict[str, Any] = {"check_dtype": False}


def test_index_select_add_copy_and_fill_work_on_slices() -> None:
    x = np.arange(12.0).reshape(3, 4)
    assert_close(jitgrad.index_select(x, 1, [3, 0, 3]), x[:, [3, 0, 3]])
    expected = x.copy()
    expected[2] += 2 * (x[0] + x[1])
    assert_close(jitgrad.index_add(x, 0, [2, 2], x[:2], alpha=2), expected)
    expected = x.copy()
    expected[:, [1, 2]] = -1
    assert_close(jitgrad.index_fill(x, 1, [1, 2], -1.0), expected)
    expected = x.copy()
    expected[[2, 0]] = x[:2]
    assert_close(jitgrad.index_copy(x, 0, [2, 0], x[:2]), expected)


def test_masked_select_and_nonzero_depend_on_the_values() -> None:
    assert_close(jitgrad.masked_select(X[:, :, 0], MASK), X[:, :, 0][MASK])
    assert_close(jitgrad.masked_select(X[0], MASK[0][:, None]), X[0][MASK[0]].reshape(-1))
    assert_close(jitgrad.nonzero(MASK), np.argwhere(MASK))
    assert_close(jitgrad.nonzero(MASK, as_tuple=True), np.nonzero(MASK))


def test_index_out_of_range_says_axis_and_size() -> None:
    x = jitgrad.tensor(X)

    def provoke() -> Any:
        return x[:, 7]

    assert message_of(IndexingError, provoke) == (
        "index: 7 is out of range for axis 1 of size 5\n"
        "  why:   indices of that axis go from -5 to 4"
    )


def test_index_array_out_of_range_says_axis_and_size() -> None:
    x = jitgrad.tensor(X)

    def provoke() -> Any:
        return x[:, [0, -6]]

    assert message_of(IndexingError, provoke) == (
        "index: -6 is out of range for axis 1 of size 5\n"
        "  why:   indices of that axis go from -5 to 4"
    )


def test_too_many_indices_are_refused() -> None:
    x = jitgrad.tensor(X)

    def provoke() -> Any:
        return x[0, 0, 0, 0]

    assert message_of(IndexingError, provoke) == (
        "index: too many indices for a Tensor of shape (4, 5, 6)\n"
        "  why:   it has 3 axes, the index is for 4"
    )


def test_a_mask_of_another_shape_is_refused() -> None:
    x = jitgrad.tensor(X)

    def provoke() -> Any:
        return x[MASK.T]

    assert message_of(IndexingError, provoke) == (
        "index: a mask of shape (5, 4) does not fit a Tensor of shape (4, 5, 6)\n"
        "  why:   axis 0 has size 4, the mask has 5 there"
    )


@pytest.mark.parametrize(
    "index",
    [
        lambda x: x > 3,
        lambda x: x[:, :, 0] > 3,
        lambda x: (x[:, 0, 0] > 3, slice(1, 3)),
        lambda x: (slice(None), x[0, :, 0] > 3),
        lambda x: (..., x[0, 0] > 3),
        lambda x: (slice(1, 3), x[0, :, 0] > 3, slice(None, None, 2)),
        lambda x: (x[:, 0, 0] > 3, ..., 1),
        lambda x: (x[:, 0, 0] > 3, None),
        lambda x: x[0, 0, 0] > 3,
    ],
)
def test_one_value_is_written_where_a_traced_mask_holds(index: Any) -> None:
    def written(x: Any) -> Any:
        y = x * 2
        y[index(x)] = x[0, 0, 0] * 3
        return y * y

    def loss(run: Any) -> Any:
        return lambda x: (run(x) * jitgrad.cos(x)).sum()

    x = jitgrad.tensor(np.random.default_rng(0).uniform(0, 6, (4, 5, 6)))

    def traced(x: Any) -> Any:
        # What is mapped is traced, and nobody knows values there.
        return jitgrad.vmap(written)(x[None])[0]

    assert_close(traced(x), written(x))
    assert_close(jitgrad.grad(loss(traced))(x), jitgrad.grad(loss(written))(x))


def test_a_float_is_no_index() -> None:
    x = jitgrad.tensor(X)

    def provoke() -> Any:
        return x[1.0]

    assert message_of(IndexingError, provoke) == (
        "index: float can't be an index\n  why:   an index is an integer, a slice, None, Ellipsis,"
        " or an array of integers or booleans"
    )


@pytest.mark.parametrize(
    "index",
    ["a", (Ellipsis, Ellipsis), slice(None, None, 0), slice(0.5), ([0, 1], [0, 1, 2]), np.ones(2)],
    ids=str,
)
def test_what_is_no_index_is_refused(index: Any) -> None:
    with pytest.raises(IndexingError, match=r"^index: "):
        jitgrad.tensor(X)[index]


def test_a_value_that_does_not_fit_is_refused() -> None:
    x = jitgrad.tensor(X)

    def provoke() -> Any:
        x[0] = jitgrad.ones(3)

    assert message_of(ShapeError, provoke) == (
        "x[...] = v: a value of shape (3,) does not fit\n"
        "  why:   the indexed part has shape (5, 6), to which the value must broadcast"
    )


def test_gather_with_an_index_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match="gather: the index has 1 axes and the input 2"):
        jitgrad.gather(X[0], 0, [0])
    with pytest.raises(ShapeError, match="along axis 0, which is not indexed"):
        jitgrad.gather(X[0], 1, np.zeros((6, 1), np.int64))
    with pytest.raises(IndexingError, match="gather: 6 is out of range for axis 1 of size 6"):
        jitgrad.gather(X[0], 1, [[6]])
    with pytest.raises(IndexingError, match="the index has dtype float32"):
        jitgrad.gather(X[0], 1, [[1.0]])


def test_the_names_of_nodes_are_those_of_pytorch() -> None:
    x = leaf(X[0])
    shown = {
        "SelectBackward0": x[0],
        "SliceBackward0": x[1:],
        "IndexBackward0": x[[0]],
        "GatherBackward0": x.gather(0, jitgrad.tensor([[0]])),
        "IndexSelectBackward0": x.index_select(0, [0]),
        "ScatterAddBackward0": x.scatter_add(0, [[0]], [[1.0]]),
        "IndexPutBackward0": x.index_put([0], 1.0),
    }
    assert {name: y.grad_fn.name() for name, y in shown.items()} == {n: n for n in shown}
