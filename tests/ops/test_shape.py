"""Reshaping, reordering, joining, cutting and repeating: PyTorch's argument forms and results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import ArgumentError, DtypeError, IndexingError, ShapeError, Tensor
from jitgrad.nn import functional
from jitgrad.testing import assert_close, check_grads
from tests.messages import message_of

A = np.arange(24.0).reshape(2, 3, 4)
V = np.arange(5.0)
PADDED = np.pad(A[0], ((0, 2), (1, 0)), constant_values=7.0)
x, v = jitgrad.tensor(A), jitgrad.tensor(V)

CASES: list[tuple[str, Callable[[], Any], Any]] = [
    ("reshape", lambda: x.reshape(6, 4), A.reshape(6, 4)),
    ("reshape of a tuple", lambda: x.reshape((4, -1)), A.reshape(4, 6)),
    ("reshape to 0-d", lambda: jitgrad.tensor([1.0]).reshape(()), np.float32(1)),
    ("reshape of nothing", lambda: jitgrad.zeros(0, 3).reshape(3, 0), np.zeros((3, 0), "f4")),
    ("view", lambda: x.view(-1), A.reshape(-1)),
    ("reshape_as", lambda: x.reshape_as(jitgrad.zeros(4, 6)), A.reshape(4, 6)),
    ("ravel", lambda: jitgrad.ravel(A), A.ravel()),
    ("flatten", lambda: x.flatten(), A.ravel()),
    ("flatten some", lambda: x.flatten(1), A.reshape(2, 12)),
    ("flatten some from the end", lambda: x.flatten(0, -2), A.reshape(6, 4)),
    ("flatten 0-d", lambda: jitgrad.tensor(2.0).flatten(), np.ones(1, "f4") * 2),
    ("flatten nothing", lambda: jitgrad.zeros(0, 3).flatten(), np.zeros(0, "f4")),
    ("unflatten", lambda: x.unflatten(2, (2, -1)), A.reshape(2, 3, 2, 2)),
    ("permute", lambda: x.permute(2, 0, 1), A.transpose(2, 0, 1)),
    ("permute of a tuple", lambda: x.permute((0, -1, 1)), A.transpose(0, 2, 1)),
    ("transpose", lambda: x.transpose(0, -1), A.swapaxes(0, 2)),
    ("swapaxes", lambda: jitgrad.swapaxes(A, 0, 1), A.swapaxes(0, 1)),
    ("T", lambda: x.T, A.T),
    ("mT", lambda: x.mT, A.swapaxes(1, 2)),
    ("t", lambda: x[0].t(), A[0].T),
    ("t of a vector", lambda: v.t(), V),
    ("movedim", lambda: x.movedim(0, 2), np.moveaxis(A, 0, 2)),
    ("movedim of several", lambda: x.movedim((0, 1), (2, 0)), np.moveaxis(A, (0, 1), (2, 0))),
    ("squeeze", lambda: jitgrad.zeros(1, 2, 1).squeeze(), np.zeros(2, "f4")),
    ("squeeze one", lambda: jitgrad.zeros(1, 2, 1).squeeze(-1), np.zeros((1, 2), "f4")),
    ("squeeze one that is longer", lambda: jitgrad.zeros(1, 2).squeeze(1), np.zeros((1, 2), "f4")),
    ("squeeze several", lambda: jitgrad.zeros(1, 2, 1).squeeze((0, 1)), np.zeros((2, 1), "f4")),
    ("unsqueeze", lambda: v.unsqueeze(0), V[None]),
    ("unsqueeze at the end", lambda: v.unsqueeze(-1), V[:, None]),
    ("broadcast_to", lambda: v.broadcast_to(2, 5), np.broadcast_to(V, (2, 5))),
    ("expand", lambda: v.unsqueeze(1).expand(-1, 2), np.broadcast_to(V[:, None], (5, 2))),
    ("expand_as", lambda: v.expand_as(jitgrad.zeros(3, 5)), np.broadcast_to(V, (3, 5))),
    ("cat", lambda: jitgrad.cat([x, x[:, :1]], 1), np.concatenate([A, A[:, :1]], 1)),
    ("cat by axis", lambda: jitgrad.cat((v, V), axis=0), np.concatenate([V, V])),
    ("cat with nothing", lambda: jitgrad.cat([np.zeros(0), A[0]]), A[0]),
    ("cat of integers and floats", lambda: jitgrad.cat([[1], [0.5]]), np.array([1, 0.5], "f4")),
    ("stack", lambda: jitgrad.stack([v, v], -1), np.stack([V, V], -1)),
    ("stack of numbers", lambda: jitgrad.stack([1, 2]), np.array([1, 2])),
    ("vstack", lambda: jitgrad.vstack([v, v]), np.vstack([V, V])),
    ("hstack", lambda: jitgrad.hstack([v, v]), np.hstack([V, V])),
    ("hstack of matrices", lambda: jitgrad.hstack([x[0], x[1]]), np.hstack([A[0], A[1]])),
    ("dstack", lambda: jitgrad.dstack([v, v]), np.dstack([V, V])),
    ("column_stack", lambda: jitgrad.column_stack([v, v]), np.column_stack([V, V])),
    ("split", lambda: v.split(2), [V[:2], V[2:4], V[4:]]),
    ("split by sizes", lambda: v.split([1, 0, 4]), [V[:1], V[:0], V[1:]]),
    ("split along an axis", lambda: x.split(2, dim=-1), [A[..., :2], A[..., 2:]]),
    ("split of nothing", lambda: jitgrad.zeros(0).split(2), [np.zeros(0, "f4")]),
    ("chunk", lambda: v.chunk(4), [V[:2], V[2:4], V[4:]]),
    ("tensor_split", lambda: v.tensor_split(3), [V[:2], V[2:4], V[4:]]),
    ("tensor_split at places", lambda: v.tensor_split([1, 9]), [V[:1], V[1:], V[:0]]),
    ("unbind", lambda: x[0].unbind(1), list(A[0].T)),
    ("narrow", lambda: x.narrow(2, 1, 2), A[..., 1:3]),
    ("select", lambda: x.select(1, -1), A[:, -1]),
    ("flip", lambda: x.flip(0, -1), A[::-1, :, ::-1]),
    ("flip of a tuple", lambda: jitgrad.flip(A, (1,)), A[:, ::-1]),
    ("flip all", lambda: np.flip(x), A[::-1, ::-1, ::-1]),
    ("fliplr", lambda: jitgrad.fliplr(A[0]), np.fliplr(A[0])),
    ("flipud", lambda: jitgrad.flipud(A[0]), np.flipud(A[0])),
    ("rot90", lambda: jitgrad.rot90(A[0]), np.rot90(A[0])),
    ("rot90 twice", lambda: jitgrad.rot90(A[0], 2), np.rot90(A[0], 2)),
    ("rot90 backwards", lambda: jitgrad.rot90(A, -1, (1, 2)), np.rot90(A, -1, (1, 2))),
    ("roll", lambda: x.roll(1), np.roll(A, 1)),
    ("roll axes", lambda: x.roll((1, -5), (0, 2)), np.roll(A, (1, -5), (0, 2))),
    ("repeat", lambda: v.repeat(2, 2), np.tile(V, (2, 2))),
    ("repeat of a tuple", lambda: x.repeat((1, 2, 1)), np.tile(A, (1, 2, 1))),
    ("repeat of one element", lambda: jitgrad.ones(1).repeat(3), np.ones(3, "f4")),
    ("repeat zero times", lambda: v.repeat(0), V[:0]),
    ("tile", lambda: x.tile(2), np.tile(A, 2)),
    ("repeat_interleave", lambda: v.repeat_interleave(2), np.repeat(V, 2)),
    (
        "repeat_interleave each",
        lambda: x.repeat_interleave(jitgrad.tensor([1, 0, 2]), 1),
        np.repeat(A, [1, 0, 2], 1),
    ),
    ("meshgrid", lambda: jitgrad.meshgrid(v, v[:2]), np.meshgrid(V, V[:2], indexing="ij")),
    ("meshgrid xy", lambda: jitgrad.meshgrid(v, v[:2], indexing="xy"), np.meshgrid(V, V[:2])),
    ("pad", lambda: functional.pad(x[0], (1, 2)), np.pad(A[0], ((0, 0), (1, 2)))),
    ("pad axes", lambda: functional.pad(x[0], (1, 0, 0, 2), value=7.0), PADDED),
    ("pad with less", lambda: functional.pad(v, (-1, 1)), np.append(V[1:], 0)),
    (
        "pad mirrored",
        lambda: functional.pad(v, (2, 1), mode="reflect"),
        np.pad(V, (2, 1), "reflect"),
    ),
    (
        "pad repeated",
        lambda: functional.pad(v, (2, 1), mode="replicate"),
        np.pad(V, (2, 1), "edge"),
    ),
    ("pad circular", lambda: functional.pad(v, (2, 1), mode="circular"), np.pad(V, (2, 1), "wrap")),
    (
        "one_hot",
        lambda: functional.one_hot(jitgrad.tensor([2, 0])),
        np.array([[0, 0, 1], [1, 0, 0]]),
    ),
    ("diagonal", lambda: x.diagonal(1, 1, 2), A.diagonal(1, 1, 2)),
    ("diag of a matrix", lambda: jitgrad.diag(A[0], -1), np.diag(A[0], -1)),
    ("diag of a vector", lambda: v.diag(1), np.diag(V, 1)),
    ("diag_embed", lambda: x.diag_embed()[1, 2], np.diag(A[1, 2])),
    ("diag_embed elsewhere", lambda: v.diag_embed(-1, 1, 0), np.diag(V, 1)),
    ("trace", lambda: x[0].trace(), np.trace(A[0])),
    ("tril", lambda: x.tril(1), np.tril(A, 1)),
    ("triu", lambda: x.triu(-1), np.triu(A, -1)),
    ("tril of bool", lambda: jitgrad.tril(A[0] > 3), np.tril(A[0] > 3)),
    ("tril_indices", lambda: jitgrad.tril_indices(3, 4, 1), np.stack(np.tril_indices(3, 1, 4))),
]


@pytest.mark.parametrize(("call", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_results_are_those_of_numpy(call: Callable[[], Any], expected: Any) -> None:
    actual = call()
    pairs = (
        zip(actual, expected, strict=True) if isinstance(expected, list) else [(actual, expected)]
    )
    for ours, theirs in pairs:
        assert_close(ours, np.asarray(theirs))


@pytest.mark.parametrize(
    "function",
    [
        lambda a: jitgrad.cat([a, a[:1]], 0) ** 2,
        lambda a: jitgrad.stack([a, 2 * a], 1) ** 2,
        lambda a: a.split(2, 1)[1] * a.chunk(2, 1)[0],
        lambda a: a.roll(1, 0) * a,
        lambda a: a.flip(0) * a,
        lambda a: a.repeat(2, 1) ** 2,
        lambda a: a.T.reshape(-1) ** 2,
        lambda a: a.tril() * a.triu(),
        lambda a: a.diagonal() ** 3,
        lambda a: functional.pad(a, (1, -1, 2, 0), value=2.0) ** 2,
        lambda a: functional.pad(a, (1, 1), mode="reflect") ** 2,
        lambda a: a.expand(2, 3, 4) ** 2,
        lambda a: jitgrad.meshgrid(a[0], a[1])[0] ** 2,
        lambda a: a.repeat_interleave(2, 0) ** 2,
    ],
)
def test_gradients_equal_finite_differences(function: Callable[[Tensor], Tensor]) -> None:
    check_grads(function, [A[0]], order=2)


def test_views_share_memory_and_copies_do_not() -> None:
    views = [x.view(24), x.T, x.mT, x[0].t(), x.unsqueeze(0), x.permute(1, 0, 2), x.split(1)[1]]
    views += [x.expand(2, 2, 3, 4), x.narrow(0, 1, 1), x.diagonal(), x.movedim(0, 1), x.unbind()[0]]
    assert all(np.may_share_memory(y.numpy(), x.numpy()) for y in views)
    copies = [x.flip(0), x.roll(1), x.repeat(1, 1, 1), x.tile(1), x.clone(), jitgrad.cat([x])]
    assert not any(np.may_share_memory(y.numpy(), x.numpy()) for y in copies)


def test_contiguous_copies_only_what_is_not() -> None:
    assert x.contiguous() is x
    assert x.is_contiguous()
    assert not x.T.is_contiguous()
    assert x.T.contiguous().is_contiguous()


def test_view_refuses_what_would_need_a_copy() -> None:
    y = x.transpose(0, 1)

    def provoke() -> Any:
        return y.view(24)

    assert message_of(ShapeError, provoke) == (
        "view: shape (24,) can't show the memory of this Tensor\n"
        "  why:   its elements do not lie one after the other: it was transposed or sliced\n"
        "  do:    use reshape, which copies where it must"
    )


def test_reshape_to_another_number_of_elements_is_refused() -> None:
    def provoke() -> Any:
        return x.reshape(5, -1)

    assert message_of(ShapeError, provoke) == (
        "reshape: shape (2, 3, 4) can't become (5, -1)\n"
        "  why:   (2, 3, 4) has 24 elements, (5, -1) asks for a multiple of 5"
    )


def test_cat_of_shapes_that_differ_is_refused() -> None:
    def provoke() -> Any:
        return jitgrad.cat([x, x[:, :2]], 2)

    assert message_of(ShapeError, provoke) == (
        "cat: shapes (2, 3, 4) and (2, 2, 4) do not join along axis 2\n"
        "  why:   all sizes but that of axis 2 must be equal; the second is that of Tensor number 1"
    )


def test_stack_of_shapes_that_differ_is_refused() -> None:
    def provoke() -> Any:
        return jitgrad.stack([v, v[1:]])

    assert message_of(ShapeError, provoke) == (
        "stack: shapes (5,) and (4,) do not stack\n"
        "  why:   all must be equal; the second is that of Tensor number 1"
    )


def test_sizes_that_do_not_add_up_are_refused() -> None:
    def provoke() -> Any:
        return v.split([2, 2])

    assert message_of(ArgumentError, provoke) == (
        "split: pieces of [2, 2] don't make up axis 0 of size 5\n  why:   their sum is 4"
    )


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: x.permute(0, 1), ShapeError),
        (lambda: x.permute(0, 1, 1), ShapeError),
        (lambda: x.transpose(0, 3), ShapeError),
        (lambda: x.t(), ShapeError),
        (lambda: v.mT, ShapeError),
        (lambda: x.movedim((0, 1), (0,)), ShapeError),
        (lambda: x.movedim((0, 0), (0, 1)), ShapeError),
        (lambda: x.expand(3, 3, 4), ShapeError),
        (lambda: x.flatten(2, 1), ShapeError),
        (lambda: x.reshape(2.5), DtypeError),
        (lambda: jitgrad.cat([]), ArgumentError),
        (lambda: jitgrad.cat([jitgrad.tensor(1.0)]), ShapeError),
        (lambda: jitgrad.cat(3), DtypeError),
        (lambda: v.split(0), ArgumentError),
        (lambda: v.chunk(0), ArgumentError),
        (lambda: jitgrad.tensor(1.0).split(1), ShapeError),
        (lambda: v.narrow(0, 3, 3), IndexingError),
        (lambda: v.select(0, 5), IndexingError),
        (lambda: x.roll((1, 2), 0), ArgumentError),
        (lambda: x.repeat(2), ShapeError),
        (lambda: v.repeat_interleave([1, 2]), ShapeError),
        (lambda: v.repeat_interleave(-1), ArgumentError),
        (lambda: jitgrad.meshgrid(v, indexing="yx"), ArgumentError),
        (lambda: functional.pad(v, (1,)), ArgumentError),
        (lambda: functional.pad(v, (5, 0), mode="reflect"), ArgumentError),
        (lambda: functional.pad(v, (1, 0), mode="mirror"), ArgumentError),
        (lambda: functional.one_hot(v), DtypeError),
        (lambda: v.diagonal(), ShapeError),
        (lambda: x.diag(), ShapeError),
        (lambda: x.diagonal(0, 1, 1), ShapeError),
        (lambda: x.trace(), ShapeError),
        (lambda: v.tril(), ShapeError),
    ],
)
def test_arguments_that_do_not_fit_are_refused(call: Callable[[], Any], error: Any) -> None:
    with pytest.raises(error):
        call()


def test_the_names_of_nodes_are_those_of_pytorch() -> None:
    a = jitgrad.tensor(A[0], requires_grad=True)
    shown = {
        "ViewBackward0": a.reshape(4, 3),
        "PermuteBackward0": a.T,
        "TransposeBackward0": a.transpose(0, 1),
        "TBackward0": a.t(),
        "UnsqueezeBackward0": a.unsqueeze(0),
        "SqueezeBackward0": a.squeeze(),
        "ExpandBackward0": a.expand(2, 3, 4),
        "CatBackward0": jitgrad.cat([a, a]),
        "StackBackward0": jitgrad.stack([a, a]),
        "SplitBackward0": a.split(1)[0],
        "FlipBackward0": a.flip(0),
        "RollBackward0": a.roll(1, 0),
        "RepeatBackward0": a.repeat(2, 1),
        "TrilBackward0": a.tril(),
        "CloneBackward0": a.clone(),
    }
    assert {name: y.grad_fn.name() for name, y in shown.items()} == {n: n for n in shown}
