"""Plain Python and NumPy; nothing in here knows of jitgrad."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench import numpy_programs


def lorenz(state: Any, parameters: Any) -> Any:
    """Return the squared norm of the state after 1000 steps of Runge and Kutta."""
    end = numpy_programs.lorenz(state, parameters, 1000)
    return np.sum(end * end)


def lorenz_long(state: Any, parameters: Any) -> Any:
    """Return the squared norm of the state after 100,000 steps."""
    end = numpy_programs.lorenz(state, parameters, 100_000)
    return np.sum(end * end)


def n_body(x: Any, v: Any) -> Any:
    """Return the sum of squared positions after 100 leapfrog steps."""
    end = numpy_programs.n_body(x, v, 100)
    return np.sum(end * end)


def lstm(x: Any, w_in: Any, w_back: Any, bias: Any) -> Any:
    """Return the mean of squares of the last of the states that `x` leads to, time first."""
    size = w_back.shape[0]
    h = np.zeros((x.shape[1], size), dtype=x.dtype)
    c = np.zeros((x.shape[1], size), dtype=x.dtype)
    for t in range(x.shape[0]):
        z = x[t] @ w_in + h @ w_back + bias
        take = 1 / (1 + np.exp(-z[:, :size]))
        keep = 1 / (1 + np.exp(-z[:, size : 2 * size]))
        new = np.tanh(z[:, 2 * size : 3 * size])
        show = 1 / (1 + np.exp(-z[:, 3 * size :]))
        c = keep * c + take * new
        h = show * np.tanh(c)
    return np.mean(h * h)


def gauss_seidel(u: Any) -> Any:
    """Return the sum of squares of the grid after four sweeps."""
    end = numpy_programs.gauss_seidel(u.copy(), 4)
    return np.sum(end * end)


def gauss_seidel_large(u: Any) -> Any:
    """Return the sum of squares of the grid after two sweeps."""
    end = numpy_programs.gauss_seidel(u.copy(), 2)
    return np.sum(end * end)


def jacobi(a: Any) -> Any:
    """Return the sum of squares of the grid after 50 steps."""
    end = numpy_programs.jacobi(a.copy(), 50)
    return np.sum(end * end)


def newton(mean: Any, eccentricity: Any) -> Any:
    """Return the eccentric anomaly of Kepler's equation, found by Newton's method."""
    angle, step = mean, 1.0
    while abs(step) > 1e-10:
        wrong = angle - eccentricity * np.sin(angle) - mean
        step = wrong / (1.0 - eccentricity * np.cos(angle))
        angle = angle - step
    return angle


def newton_many(mean: Any, eccentricity: Any) -> Any:
    """Return the sum of the anomalies of many orbits; each is left alone when it is there."""
    angle = mean.copy()
    moves = np.ones(mean.shape, dtype=bool)
    while moves.any():
        wrong = angle - eccentricity * np.sin(angle) - mean
        step = wrong / (1.0 - eccentricity * np.cos(angle))
        angle = np.where(moves, angle - step, angle)
        moves = moves & (np.abs(step) > 1e-10)
    return np.sum(angle)
