"""Slices whose bounds depend on a loop: what NumPy gives, reads and writes, there and back."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad.runtime.bodies import interpreted
from jitgrad.testing import assert_close, check_grads

Array = Any
A = np.random.default_rng(0).normal(size=(6, 6))
X = np.random.default_rng(1).normal(size=6)


def summed(term: Callable[[Any, Array, Array], Any], lower: int = 0, upper: int = 6) -> Any:
    """Return a function that adds `term` for each index of a range."""

    def program(a: Array, x: Array) -> Any:
        start = jitgrad.zeros((), dtype="float64")
        return jitgrad.fori_loop(lower, upper, lambda i, s: s + term(i, a, x), start)

    return program


def changed(change: Callable[[Any, Array, Array], None], lower: int = 0, upper: int = 6) -> Any:
    """Return a function that applies `change` to a copy of its argument for each index."""

    def program(a: Array, x: Array) -> Any:
        def body(i: Any, held: Array) -> Array:
            change(i, held, x)
            return held

        return jitgrad.fori_loop(lower, upper, body, a.clone() * 1)

    return program


READS: dict[str, Callable[[Any, Array, Array], Any]] = {
    "row to the diagonal": lambda i, a, x: a[i, :i] @ x[:i],
    "column from below it": lambda i, a, x: (a[i + 1 :, i] * x[i + 1 :]).sum(),
    "rectangles": lambda i, a, x: (a[:i, i:] ** 2).sum() + (a[i:, : i + 1] ** 2).sum(),
    "a product of matrices": lambda i, a, x: (a[: i + 1, :i] @ a[:i, 1:]).sum(),
    "a matrix and a vector": lambda i, a, x: (a[:, :i] @ x[:i]).sum() + (x[:i] @ a[:i]).sum(),
    "beyond both ends": lambda i, a, x: (x[i - 3 : i + 3] ** 2).sum() + (x[-i:] ** 3).sum(),
    "downwards": lambda i, a, x: (x[i::-1] * x[: i + 1]).sum() + (a[::-1, i][: i + 1] ** 2).sum(),
    "steps of two": lambda i, a, x: (x[i::2] ** 2).sum() + (x[i::-2] ** 3).sum(),
    "a part of a part": lambda i, a, x: (x[i:][1:] ** 2).sum() + x[: i + 1][-1] + x[i:][0],
    "a mean": lambda i, a, x: x[: i + 1].mean() + a[i:, : i + 1].mean(),
    "a product": lambda i, a, x: x[: i + 1].prod() + (a[:, :i] * 2).prod(0).sum(),
    "extremes": lambda i, a, x: x[: i + 1].max() * a[i, i:].min(),
    "an outer product": lambda i, a, x: (jitgrad.outer(x[:i], x[i:]) ** 2).sum(),
    "a choice": lambda i, a, x: jitgrad.where(x[:i] > a[i, :i], x[:i], a[:i, i] ** 2).sum(),
    "equal lengths that nobody knows": lambda i, a, x: (x[i : i + 1] * a[:1, 0]).sum(),
    "a new axis": lambda i, a, x: (x[:i, None] * a[:i] + a[:i, :1]).sum(),
    "neighbours of a row": lambda i, a, x: (a[i, 1:-1] * a[i, :-2]).sum(),
}  # fmt: skip

LOOPS = {"six": (0, 6), "five": (0, 5)}


def _fill(i: Any, a: Array, x: Array) -> None:
    a[i, :i] = x[:i] * a[i, i]


def _add(i: Any, a: Array, x: Array) -> None:
    a[i, i:] += a[i, :1] * x[i:]


def _column(i: Any, a: Array, x: Array) -> None:
    a[i + 1 :, i] /= a[i, i] + 5.0


def _block(i: Any, a: Array, x: Array) -> None:
    a[:i, i:] *= 0.5
    a[i, i] = a[:i, i] @ x[:i]


def _number(i: Any, a: Array, x: Array) -> None:
    a[i - 2 : i, 1:3] = 2.0


def _view(i: Any, a: Array, x: Array) -> None:
    row = a[i]
    row[:i] += x[:i]
    column = a[:, i]
    column *= 0.5
    row[i:] -= column[i]


def _overlap(i: Any, a: Array, x: Array) -> None:
    a[i, 1 : i + 1] = a[i, :i]
    a[1:, i] += a[:-1, i]


WRITES = [_fill, _add, _column, _block, _number, _view, _overlap]


def plainly(change: Callable[[Any, Array, Array], None], a: Array, x: Array) -> Array:
    held = a.copy()
    for i in range(6):
        change(i, held, x)
    return held


def numpy_names(term: Callable[..., Any], i: int, a: Array, x: Array) -> Any:
    """Return what `term` is of arrays."""
    with np.errstate(all="ignore"):
        if "jitgrad" not in term.__code__.co_names:
            return term(i, a, x)
    return term(i, jitgrad.tensor(a), jitgrad.tensor(x)).numpy()


@pytest.mark.parametrize("name", READS)
def test_a_part_is_what_numpy_reads_and_has_a_gradient(name: str) -> None:
    term = READS[name]
    program = summed(term)
    expected = sum(numpy_names(term, i, A, X) for i in range(6))
    a, x = jitgrad.tensor(A), jitgrad.tensor(X)
    assert_close(program(a, x), np.asarray(expected))
    with interpreted():
        assert_close(program(a, x), np.asarray(expected))
    check_grads(program, (A, X), order=1)


@pytest.mark.parametrize("change", WRITES, ids=lambda f: f.__name__.strip("_"))
def test_a_part_is_written_as_numpy_does_and_has_a_gradient(change: Any) -> None:
    program = changed(change)
    a, x = jitgrad.tensor(A), jitgrad.tensor(X)
    assert_close(program(a, x), plainly(change, A, X))
    check_grads(lambda a, x: (program(a, x) ** 2).sum(), (A, X), order=1)


def test_second_derivatives_pass_through_parts() -> None:
    check_grads(summed(lambda i, a, x: (a[i, :i] * x[:i] ** 2).sum()), (A, X), order=2)


def test_ranges_may_come_from_data() -> None:
    pointers = jitgrad.tensor(np.array([0, 2, 2, 5, 6]))
    columns = jitgrad.tensor(np.array([1, 3, 0, 2, 5, 4]))

    def product(values: Array, x: Array) -> Any:
        def body(i: Any, y: Array) -> Array:
            part = slice(pointers[i], pointers[i + 1])
            y[i] = values[part] @ x[columns[part]]
            return y

        return jitgrad.fori_loop(0, 4, body, jitgrad.zeros(4, dtype="float64"))

    values = A[0]
    got = product(jitgrad.tensor(values), jitgrad.tensor(X))
    p, c = pointers.numpy(), columns.numpy()
    ranges = [slice(*p[i : i + 2]) for i in range(4)]
    assert_close(got, np.asarray([values[part] @ X[c[part]] for part in ranges]))
    check_grads(lambda v, x: (product(v, x) ** 2).sum(), (values, X), order=1)


def test_parts_of_an_outer_loop_are_used_in_an_inner_one() -> None:
    def program(a: Array, x: Array) -> Any:
        def outer(i: Any, total: Any) -> Any:
            row = a[i, :i]

            def inner(j: Any, s: Any) -> Any:
                return s + (row * x[:i]).sum() * x[j] + row[: j + 1] @ x[: j + 1]

            return jitgrad.fori_loop(0, i, inner, total)

        return jitgrad.fori_loop(0, 6, outer, jitgrad.zeros((), dtype="float64"))

    expected = 0.0
    for i in range(6):
        for j in range(i):
            row = A[i, :i]
            expected += (row * X[:i]).sum() * X[j] + row[: j + 1] @ X[: j + 1]
    assert_close(program(jitgrad.tensor(A), jitgrad.tensor(X)), np.asarray(expected))
    check_grads(program, (A, X), order=1)


def test_a_carry_may_be_a_part() -> None:
    def program(a: Array, x: Array) -> Any:
        def outer(i: Any, total: Any) -> Any:
            part = jitgrad.fori_loop(0, 3, lambda j, p: p * x[j], a[i, :i])
            return total + part.sum()

        return jitgrad.fori_loop(0, 6, outer, jitgrad.zeros((), dtype="float64"))

    expected = sum((A[i, :i] * X[0] * X[1] * X[2]).sum() for i in range(6))
    assert_close(program(jitgrad.tensor(A), jitgrad.tensor(X)), np.asarray(expected))
    check_grads(program, (A, X), order=1)


def test_parts_in_branches() -> None:
    def term(i: Any, a: Array, x: Array) -> Any:
        part = x[:i]
        return jitgrad.cond(
            x[i] > 0, lambda: (part**2).sum() + x[i:].sum(), lambda: part @ a[i, :i]
        )

    expected = sum(
        (X[:i] ** 2).sum() + X[i:].sum() if X[i] > 0 else X[:i] @ A[i, :i] for i in range(6)
    )
    assert_close(summed(term)(jitgrad.tensor(A), jitgrad.tensor(X)), np.asarray(expected))
    check_grads(summed(term), (A, X), order=1)


def test_parts_of_different_sizes_are_an_error() -> None:
    program = summed(lambda i, a, x: (x[: i + 2] * a[0, :i]).sum())
    with pytest.raises(ValueError, match="do not broadcast"):
        program(jitgrad.tensor(A), jitgrad.tensor(X))


def test_compiled_parts_are_those_of_plain_python() -> None:
    compiled = jitgrad.compile(jitgrad.value_and_grad(summed(READS["rectangles"])))
    value, gradient = compiled(jitgrad.tensor(A), jitgrad.tensor(X))
    plain = jitgrad.value_and_grad(summed(READS["rectangles"]))
    expected, expected_gradient = plain(jitgrad.tensor(A), jitgrad.tensor(X))
    assert_close(value, expected)
    assert_close(gradient, expected_gradient)


def test_the_length_of_a_part_of_an_array_is_a_number_to_compute_with() -> None:
    @jitgrad.compile
    def program(a: Array) -> Any:
        def body(i: Any, total: Any) -> Any:
            part = a[i, : i + 1]
            n = part.shape[0]
            return total + part.sum() / n + (a[:i, 1:].size + 1) % 7

        return jitgrad.fori_loop(0, 6, body, np.zeros(()))

    expected = sum(A[i, : i + 1].sum() / (i + 1) + (5 * i + 1) % 7 for i in range(6))
    assert_close(program(A), np.asarray(expected))


def test_len_of_a_part_says_what_to_do() -> None:
    with pytest.raises(jitgrad.TraceError, match=r"use x.shape\[0\]"):
        summed(lambda i, a, x: len(x[:i]))(jitgrad.tensor(A), jitgrad.tensor(X))
