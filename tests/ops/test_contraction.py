"""Products of vectors, matrices and stacks, and Einstein's notation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import ArgumentError, ShapeError
from jitgrad.testing import assert_close, check_grads
from tests.messages import message_of

Shape = tuple[int, ...]

PRODUCTS: list[tuple[Shape, Shape]] = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3,)),
    ((5, 2, 3), (3, 4)),
    ((3,), (5, 3, 4)),
    ((2, 3), (5, 3, 4)),
    ((6, 1, 2, 3), (5, 3, 4)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
    ((0,), (0,)),
]

SUMS: list[tuple[str, list[Shape]]] = [
    ("ij,jk->ik", [(2, 3), (3, 4)]),
    ("ij,jk", [(2, 3), (3, 4)]),
    ("ba,ca", [(2, 3), (4, 3)]),
    ("ii->i", [(3, 3)]),
    ("ii", [(3, 3)]),
    ("ij->ji", [(2, 3)]),
    ("ij->", [(2, 3)]),
    ("i,j->ij", [(2,), (3,)]),
    ("i,i->i", [(3,), (3,)]),
    ("i,i", [(3,), (3,)]),
    ("i,->i", [(3,), ()]),
    ("->", [()]),
    ("bij,bjk->bik", [(5, 2, 3), (5, 3, 4)]),
    ("...ij,...jk->...ik", [(5, 2, 3), (1, 3, 4)]),
    ("...ij,jk", [(5, 2, 3), (3, 4)]),
    ("...,...->...", [(2, 3), (3,)]),
    ("a...b->b...a", [(2, 3, 4)]),
    ("ij,j->i", [(2, 3), (1,)]),
    ("ij,k->ij", [(2, 3), (4,)]),
    ("iij,ij->j", [(2, 2, 3), (2, 3)]),
    ("iiii->i", [(2, 2, 2, 2)]),
    ("iijj->ij", [(2, 2, 3, 3)]),
    ("ij,kj,lk->il", [(2, 3), (4, 3), (5, 4)]),
    ("abc,cd,def->abef", [(2, 3, 4), (4, 5), (5, 2, 3)]),
    ("i,j,k->ijk", [(2,), (3,), (4,)]),
    ("ij,jk,ki->", [(2, 3), (3, 4), (4, 2)]),
    ("ij, jk -> ik", [(0, 3), (3, 2)]),
]


def arrays(shapes: list[Shape]) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape) for shape in shapes]


@pytest.mark.parametrize("shapes", PRODUCTS, ids=str)
def test_matmul_equals_numpy(shapes: tuple[Shape, Shape]) -> None:
    x, y = arrays(list(shapes))
    assert_close(jitgrad.matmul(x, y), np.asarray(x @ y))
    assert_close(jitgrad.tensor(x) @ jitgrad.tensor(y), np.asarray(x @ y))


@pytest.mark.parametrize("shapes", PRODUCTS[:9], ids=str)
def test_gradients_of_matmul_equal_finite_differences(shapes: tuple[Shape, Shape]) -> None:
    check_grads(lambda x, y: jitgrad.matmul(x, y) ** 2, arrays(list(shapes)))


@pytest.mark.parametrize(("equation", "shapes"), SUMS, ids=[s[0] for s in SUMS])
def test_einsum_equals_numpy(equation: str, shapes: list[Shape]) -> None:
    operands = arrays(shapes)
    expected = np.asarray(np.einsum(equation, *operands))
    assert_close(jitgrad.einsum(equation, *operands), expected)
    assert_close(jitgrad.einsum(equation, operands), expected)


@pytest.mark.parametrize(("equation", "shapes"), SUMS[:-1], ids=[s[0] for s in SUMS[:-1]])
def test_gradients_of_einsum_equal_finite_differences(equation: str, shapes: list[Shape]) -> None:
    check_grads(lambda *xs: jitgrad.einsum(equation, *xs), arrays(shapes))


def test_the_other_products_equal_numpy() -> None:
    m, v, s, n = arrays([(3, 4), (4,), (2, 3, 4), (5, 4)])
    assert_close(jitgrad.mm(m, m.T), m @ m.T)
    assert_close(jitgrad.mv(m, v), m @ v)
    assert_close(jitgrad.dot(v, v), np.asarray(v @ v))
    assert_close(jitgrad.bmm(s, s.swapaxes(1, 2)), s @ s.swapaxes(1, 2))
    assert_close(jitgrad.outer(v, m[:, 0]), np.outer(v, m[:, 0]))
    assert_close(jitgrad.inner(m, n), np.inner(m, n))
    assert_close(jitgrad.kron(m, n[:2]), np.kron(m, n[:2]))
    assert_close(jitgrad.kron(v, m), np.kron(v, m))
    assert_close(jitgrad.tensordot(s, m), np.tensordot(s, m))
    assert_close(jitgrad.tensordot(s, m, ((0 + 2,), (1,))), np.tensordot(s, m, ((2,), (1,))))
    assert_close(jitgrad.tensordot(v, v, 0), np.multiply.outer(v, v))
    assert_close(jitgrad.tensordot(s, s, ((2, 0), (2, 0))), np.tensordot(s, s, ((2, 0), (2, 0))))
    assert_close(jitgrad.addmm(1.0, m, m.T, beta=2, alpha=3), 2 + 3 * (m @ m.T))
    assert_close(jitgrad.addmm(np.nan, m, m.T, beta=0), m @ m.T)
    assert_close(jitgrad.addmv(m[:, 0], m, v), m[:, 0] + m @ v)
    assert_close(
        jitgrad.baddbmm(s[:, :, :3], s, s.swapaxes(1, 2)), s[:, :, :3] + s @ s.swapaxes(1, 2)
    )


def test_integers_are_multiplied_exactly_and_dtypes_promoted() -> None:
    whole = jitgrad.tensor([[1, 2], [3, 2**40]])
    assert_close(whole @ whole, whole.numpy() @ whole.numpy())
    assert (whole @ jitgrad.ones(2, 2)).dtype == np.float32
    assert (jitgrad.ones(2, 2) @ np.ones((2, 2))).dtype == np.float64


def test_strided_and_reversed_operands_are_read_right() -> None:
    (x,) = arrays([(6, 8)])
    t = jitgrad.tensor(x)
    assert_close(t[::2, ::-1] @ t.T[:, 1::2], x[::2, ::-1] @ x.T[:, 1::2])


def test_shapes_that_do_not_fit_are_refused() -> None:
    x, y = jitgrad.ones(2, 3), jitgrad.ones(2, 3)

    def provoke() -> Any:
        return x @ y

    assert message_of(ShapeError, provoke) == (
        "matmul: shapes (2, 3) and (2, 3) do not fit\n"
        "  why:   the last axis of the first is 3, the axis before the last of the second is 2;"
        " they must be equal\n"
        "  do:    transpose the second: x @ y.mT"
    )


def test_sizes_of_one_letter_that_differ_are_refused() -> None:
    def provoke() -> Any:
        return jitgrad.einsum("ij,jk->ik", np.ones((2, 3)), np.ones((4, 3)))

    assert message_of(ShapeError, provoke) == (
        "einsum: the axes 'j' of 'ij,jk->ik' have sizes 3 and 4\n"
        "  why:   axes with the same letter must have the same size, or size 1"
    )


ONES = np.ones((2, 2))
V = np.ones(2)
REFUSED: list[tuple[Callable[[], Any], type[Exception]]] = [
    (lambda: jitgrad.matmul(2.0, ONES), ShapeError),
    (lambda: jitgrad.matmul(np.ones((3, 2, 2)), np.ones((2, 2, 2))), ShapeError),
    (lambda: jitgrad.mm(V, ONES), ShapeError),
    (lambda: jitgrad.mv(ONES, ONES), ShapeError),
    (lambda: jitgrad.dot(V, np.ones(3)), ShapeError),
    (lambda: jitgrad.bmm(np.ones((1, 2, 2)), np.ones((3, 2, 2))), ShapeError),
    (lambda: jitgrad.outer(ONES, V), ShapeError),
    (lambda: jitgrad.tensordot(ONES, np.ones((3, 2)), 1), ShapeError),
    (lambda: jitgrad.einsum("ij->ik", ONES), ArgumentError),
    (lambda: jitgrad.einsum("ij->ii", ONES), ArgumentError),
    (lambda: jitgrad.einsum("ij,j", ONES), ArgumentError),
    (lambda: jitgrad.einsum("i", ONES), ShapeError),
    (lambda: jitgrad.einsum("ii", np.ones((2, 3))), ShapeError),
    (lambda: jitgrad.einsum("i1", ONES), ArgumentError),
    (lambda: jitgrad.einsum(ONES, [0, 1]), ArgumentError),
]


@pytest.mark.parametrize(("call", "error"), REFUSED)
def test_arguments_that_do_not_fit_are_refused(
    call: Callable[[], Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        call()


def test_the_names_of_nodes_are_those_of_pytorch() -> None:
    v, m = jitgrad.ones(3, requires_grad=True), jitgrad.ones(3, 3, requires_grad=True)
    shown = {
        "DotBackward0": v @ v,
        "MvBackward0": m @ v,
        "SqueezeBackward4": v @ m,
        "MmBackward0": m @ m,
        "UnsafeViewBackward0": jitgrad.ones(2, 3, 3) @ m,
        "BmmBackward0": jitgrad.bmm(m[None], m[None]),
        "AddmmBackward0": jitgrad.addmm(v, m, m),
    }
    assert {name: y.grad_fn.name() for name, y in shown.items()} == {n: n for n in shown}
