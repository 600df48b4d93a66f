"""Columns of a sparse matrix in groups that have no row in common."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def colored(rows: Any, columns: Any) -> Array:
    """Return the number of a group for each column, of columns without a common row.

    Parameters
    ----------
    rows, columns : csr_array
        The matrix, and its transpose.

    Returns
    -------
    ndarray of int
        By the greedy method, columns with many elements first.
    """
    in_column = [part.tolist() for part in np.split(columns.indices, columns.indptr[1:-1])]
    colors = [-1] * columns.shape[0]
    order = np.argsort(-np.diff(columns.indptr), kind="stable")
    # By row, the groups that have an element there.
    taken: list[set[int]] = [set() for _ in range(rows.shape[0])]
    for column in order.tolist():
        own = in_column[column]
        refused = set().union(*[taken[row] for row in own])
        color = 0
        while color in refused:
            color += 1
        colors[column] = color
        for row in own:
            taken[row].add(color)
    return np.asarray(colors, np.int64)
