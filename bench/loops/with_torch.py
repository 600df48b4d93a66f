"""PyTorch, eager: Python's loops, and its own recurrent layer."""

from __future__ import annotations

from typing import Any

import torch


def lorenz(state: Any, parameters: Any) -> Any:
    """Return the squared norm of the state after 1000 steps of Runge and Kutta."""
    dt = 0.01
    sigma, rho, beta = parameters

    def slope(s: Any) -> Any:
        x, y, z = s
        return torch.stack([sigma * (y - x), x * (rho - z) - y, x * y - beta * z])

    for _ in range(1000):
        k1 = slope(state)
        k2 = slope(state + 0.5 * dt * k1)
        k3 = slope(state + 0.5 * dt * k2)
        k4 = slope(state + dt * k3)
        state = state + dt / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
    return torch.sum(state * state)


def n_body(x: Any, v: Any) -> Any:
    """Return the sum of squared positions after 100 leapfrog steps."""
    dt, softening = 0.01, 0.1
    for _ in range(100):
        d = x[None, :, :] - x[:, None, :]
        r2 = (d * d).sum(dim=2) + softening**2
        pull = 1.0 / (r2 * torch.sqrt(r2))
        v = v + dt * (d * pull[:, :, None]).sum(dim=1)
        x = x + dt * v
    return torch.sum(x * x)


def lstm(x: Any, w_in: Any, w_back: Any, bias: Any) -> Any:
    """Return the mean of squares of the last state, by what `torch.nn.LSTM` calls."""
    zeros = x.new_zeros(1, x.shape[1], w_back.shape[0])
    weights = [w_in.T, w_back.T, bias, torch.zeros_like(bias)]
    _, h, _ = torch.lstm(x, (zeros, zeros), weights, True, 1, 0.0, True, False, False)
    return torch.mean(h * h)


def gauss_seidel(u: Any) -> Any:
    """Return the sum of squares of the grid after four sweeps."""
    u = u.clone()
    n = u.shape[0]
    # A list of numbers: elements of one tensor that change in place take several times as long.
    grid = [list(row) for row in u]
    for _ in range(4):
        for i in range(1, n - 1):
            for j in range(1, n - 1):
                across = grid[i][j - 1] + grid[i][j + 1]
                grid[i][j] = 0.25 * (grid[i - 1][j] + grid[i + 1][j] + across)
    end = torch.stack([element for row in grid for element in row])
    return torch.sum(end * end)


def jacobi(a: Any) -> Any:
    """Return the sum of squares of the grid after 50 steps."""
    for _ in range(50):
        around = a[1:-1, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:] + a[2:, 1:-1] + a[:-2, 1:-1]
        b = a.clone()
        b[1:-1, 1:-1] = 0.2 * around
        a = b
    return torch.sum(a * a)


def newton(mean: Any, eccentricity: Any) -> Any:
    """Return the eccentric anomaly of Kepler's equation, found by Newton's method."""
    angle, step = mean, 1.0
    while abs(step) > 1e-10:
        wrong = angle - eccentricity * torch.sin(angle) - mean
        step = wrong / (1.0 - eccentricity * torch.cos(angle))
        angle = angle - step
    return angle


def newton_many(mean: Any, eccentricity: Any) -> Any:
    """Return the sum of the anomalies of many orbits; each is left alone when it is there."""
    angle, moves = mean, torch.ones_like(mean, dtype=torch.bool)
    while moves.any():
        wrong = angle - eccentricity * torch.sin(angle) - mean
        step = wrong / (1.0 - eccentricity * torch.cos(angle))
        angle = torch.where(moves, angle - step, angle)
        moves = moves & (step.abs() > 1e-10)
    return torch.sum(angle)
