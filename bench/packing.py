"""Index arrays that several libraries need for the same thing."""

from __future__ import annotations

import functools

import numpy as np

from bench.workload import Array


@functools.cache
def positions(size: int) -> tuple[Array, Array]:
    """Return where entries of a matrix are among those below its diagonal, and which are below it.

    Parameters
    ----------
    size : int
        Of the square matrix.

    Returns
    -------
    positions : array of int, shape (size * size,)
        By rows; 0 where an entry is not below the diagonal.
    below : array of float, shape (size * size,)
        1 below the diagonal, else 0.
    """
    below = np.tri(size, k=-1)
    where = np.zeros((size, size), np.int64)
    where[below == 1] = np.arange(size * (size - 1) // 2)
    return where.ravel(), below.ravel()


@functools.cache
def not_later(times: int) -> Array:
    """Return for each time which times are not later; bool, shape (times, times)."""
    return np.tri(times, dtype=bool)
