"""Finds the polynomial coefficients of `jitgrad/intrinsics`.

A script, not a test: ``python tests/intrinsics/fit_polynomials.py`` prints every table with the
relative error of its polynomial. Needs mpmath.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mpmath import mp, mpf

mp.prec = 200


def chebyshev_grid(low: Any, high: Any, count: int) -> list[Any]:
    """Return points that crowd towards the ends of an interval."""
    middle, radius = (mpf(low) + high) / 2, (mpf(high) - low) / 2
    return [middle - radius * mp.cos(mp.pi * (2 * i + 1) / (2 * count)) for i in range(count)]


def remez(
    target: Sequence[Any], weight: Sequence[Any], basis: Sequence[Sequence[Any]]
) -> tuple[list[Any], Any]:
    """Return the coefficients with the least maximal weighted error on a grid, and that error.

    Parameters
    ----------
    target : sequence of n numbers
        What is approximated.
    weight : sequence of n numbers
        What the error is multiplied by.
    basis : sequence of m sequences of n numbers
        The functions that are combined.

    Returns
    -------
    list of m numbers
        Coefficients.
    number
        Largest error times weight.
    """
    terms, points = len(basis), len(target)
    # errors alternate where the lowest term has one sign: turn it over where that is negative
    weight = [w if w * low > 0 else -w for w, low in zip(weight, basis[0], strict=True)]
    weighted = [[b[i] * weight[i] for b in basis] for i in range(points)]
    goal = [target[i] * weight[i] for i in range(points)]
    # even steps on a grid that itself crowds towards the ends
    chosen = [round((points - 1) * k / terms) for k in range(terms + 1)]
    for _ in range(400):
        rows = mp.matrix(terms + 1, terms + 1)
        right = mp.matrix(terms + 1, 1)
        for r, i in enumerate(chosen):
            for c in range(terms):
                rows[r, c] = weighted[i][c]
            rows[r, terms] = (-1) ** r
            right[r] = goal[i]
        solution = mp.lu_solve(rows, right)
        level = abs(solution[terms])
        coefficients = [solution[c] for c in range(terms)]
        error = [
            goal[i] - mp.fdot(zip(coefficients, weighted[i], strict=True)) for i in range(points)
        ]
        worst = max(abs(value) for value in error)
        if worst <= level * mpf("1.001"):
            break
        chosen = _exchange(error, chosen)
    return coefficients, worst


def _exchange(error: Sequence[Any], chosen: Sequence[int]) -> list[int]:
    """Take the point of the largest error in, and out the neighbour that has its sign."""
    worst = max(range(len(error)), key=lambda i: abs(error[i]))
    positive = error[worst] > 0
    right = next((k for k, i in enumerate(chosen) if i > worst), len(chosen))
    result = list(chosen)
    if right == 0:
        if (error[chosen[0]] > 0) == positive:
            result[0] = worst
        else:
            result = [worst, *chosen[:-1]]
    elif right == len(chosen):
        if (error[chosen[-1]] > 0) == positive:
            result[-1] = worst
        else:
            result = [*chosen[1:], worst]
    else:
        result[right if (error[chosen[right]] > 0) == positive else right - 1] = worst
    return result


def fit(
    function: Callable[[Any], Any],
    interval: tuple[Any, Any],
    powers: Sequence[int],
    *,
    dtype: type = np.float64,
    weight: Callable[[Any], Any] | None = None,
    fixed: dict[int, Any] | None = None,
    argument: Callable[[Any], Any] = lambda x: x,
    exact_leading: int = 2,
) -> tuple[list[float], float]:
    """Fit ``sum(c[j] * argument(x)**powers[j])`` to a function, rounding coefficients one by one.

    Parameters
    ----------
    function : callable
        What is approximated, on mpmath numbers.
    interval : (number, number)
        Where.
    powers : sequence of int
        Exponents.
    dtype : type
        What coefficients are rounded to.
    weight : callable, optional
        What the error is multiplied by; the default is one over the function.
    fixed : dict of int to number, optional
        Coefficients that are given.
    argument : callable
        What the powers are of.
    exact_leading : int
        How many coefficients are rounded one by one, each making up for the rounding of the last.

    Returns
    -------
    list of float
        Coefficients in the order of `powers`.
    float
        Largest weighted error.
    """
    grid = chebyshev_grid(*interval, 24 * (len(powers) + 2))
    values = [function(x) for x in grid]
    weights = [weight(x) if weight else 1 / v for x, v in zip(grid, values, strict=True)]
    arguments = [argument(x) for x in grid]
    known = {power: mpf(c) for power, c in (fixed or {}).items()}
    free = [power for power in powers if power not in known]
    for step in range(exact_leading + 1):
        rest = [
            v - sum(c * x**power for power, c in known.items())
            for x, v in zip(arguments, values, strict=True)
        ]
        solved, error = remez(rest, weights, [[x**power for x in arguments] for power in free])
        if step == exact_leading or len(free) == 1:
            known.update(
                {p: mpf(float(dtype(float(c)))) for p, c in zip(free, solved, strict=True)}
            )
            break
        known[free[0]] = mpf(float(dtype(float(solved[0]))))
        free = free[1:]
    return [float(known[power]) for power in powers], float(error)
