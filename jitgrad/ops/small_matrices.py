"""Linear algebra on matrices of a few elements, spelled out element by element.

For a matrix of two rows a call of LAPACK costs a hundred times what it computes. Gaussian
elimination with partial pivoting, as Golub and Van Loan, Matrix Computations (2013), section 3.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitgrad.core.dtypes import int64, is_floating
from jitgrad.core.spec import Spec
from jitgrad.ops.arithmetic import div, mul, sub
from jitgrad.ops.cast import convert
from jitgrad.ops.comparison import eq, gt
from jitgrad.ops.creation import full_primitive
from jitgrad.ops.joining import cat_primitive
from jitgrad.ops.rounding import absolute
from jitgrad.ops.selection import select
from jitgrad.ops.shape import reshape_to
from jitgrad.ops.taking import take

# Rows of matrices that are spelled out, and columns of right-hand sides.
MOST_ROWS = 4


def is_spelled_out(a: Spec, b: Spec | None = None, **params: Any) -> bool:
    """Return whether a matrix is as small as that, and a right-hand side where there is one."""
    specs = [a] if b is None else [a, b]
    return (
        params.get("strict", True)
        and all(s.ndim == 2 and is_floating(s.dtype) for s in specs)
        and 0 < a.shape[0] <= MOST_ROWS
        and (b is None or 0 < b.shape[1] <= MOST_ROWS)
        and len({s.dtype for s in specs}) == 1
    )


def inverse_of_elements(a: Any, strict: bool = True) -> Any:
    """Return the inverse of a small matrix."""
    zero, one = (full_primitive(shape=(), value=v, dtype=a.dtype) for v in (0.0, 1.0))
    count = a.shape[0]
    identity = [[one if i == j else zero for j in range(count)] for i in range(count)]
    return _matrix(_solved(_rows(a), identity))


def solution_of_elements(a: Any, b: Any) -> Any:
    """Return the solutions of a small linear system, one for each column of `b`."""
    return _matrix(_solved(_rows(a), _rows(b)))


def _rows(a: Any) -> list[list[Any]]:
    return [[a[i, j] for j in range(a.shape[1])] for i in range(a.shape[0])]


def _matrix(rows: Sequence[Sequence[Any]]) -> Any:
    columns = len(rows[0])
    elements = [reshape_to(element, (1,)) for row in rows for element in row]
    return reshape_to(cat_primitive(*elements, axis=0), (len(rows), columns))


def _solved(a: list[list[Any]], b: list[list[Any]]) -> list[list[Any]]:
    """Return what elimination makes of the right-hand sides."""
    rows = [[*left, *right] for left, right in zip(a, b, strict=True)]
    count = len(rows)
    for k in range(count):
        for i in range(k + 1, count):
            # The largest of the column comes up, one exchange at a time.
            larger = gt(absolute(rows[i][k]), absolute(rows[k][k]))
            pairs = [(rows[k][j], rows[i][j]) for j in range(k, len(rows[k]))]
            rows[k][k:] = [select(larger, y, x) for x, y in pairs]
            rows[i][k:] = [select(larger, x, y) for x, y in pairs]
        pivot = _not_zero(rows[k][k])
        rows[k][k + 1 :] = [div(x, pivot) for x in rows[k][k + 1 :]]
        for i in range(count):
            if i != k:
                rows[i][k + 1 :] = [
                    sub(x, mul(rows[i][k], y))
                    for x, y in zip(rows[i][k + 1 :], rows[k][k + 1 :], strict=True)
                ]
    return [row[count:] for row in rows]


def _not_zero(pivot: Any) -> Any:
    """Return a pivot; a singular matrix is an index that is out of range.

    Whoever calls the kernel then runs what raises the right error.
    """
    ones = full_primitive(shape=(1,), value=1.0, dtype=pivot.dtype)
    is_zero = reshape_to(convert(eq(pivot, 0.0), int64), (1,))
    return mul(pivot, reshape_to(take(ones, is_zero, axes=(0,)), ()))
