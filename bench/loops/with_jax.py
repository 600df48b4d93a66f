"""JAX: loops are `lax.scan`, the one form that it both compiles and differentiates backward."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.lax import scan


def lorenz(state: Any, parameters: Any, steps: int = 1000) -> Any:
    """Return the squared norm of the state after steps of Runge and Kutta."""
    dt = 0.01

    def slope(s: Any) -> Any:
        return jnp.stack(
            [
                parameters[0] * (s[1] - s[0]),
                s[0] * (parameters[1] - s[2]) - s[1],
                s[0] * s[1] - parameters[2] * s[2],
            ]
        )

    def step(s: Any, _: Any) -> Any:
        k1 = slope(s)
        k2 = slope(s + 0.5 * dt * k1)
        k3 = slope(s + 0.5 * dt * k2)
        k4 = slope(s + dt * k3)
        return s + dt / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4), None

    end, _ = scan(step, state, length=steps)
    return jnp.sum(end * end)


def lorenz_long(state: Any, parameters: Any) -> Any:
    """Return the squared norm of the state after 100,000 steps."""
    return lorenz(state, parameters, 100_000)


def n_body(x: Any, v: Any) -> Any:
    """Return the sum of squared positions after 100 leapfrog steps."""
    dt, softening = 0.01, 0.1

    def step(state: Any, _: Any) -> Any:
        x, v = state
        d = x[None, :, :] - x[:, None, :]
        r2 = (d * d).sum(axis=2) + softening**2
        pull = 1.0 / (r2 * jnp.sqrt(r2))
        v = v + dt * (d * pull[:, :, None]).sum(axis=1)
        return (x + dt * v, v), None

    (end, _), _ = scan(step, (x, v), length=100)
    return jnp.sum(end * end)


def lstm(x: Any, w_in: Any, w_back: Any, bias: Any) -> Any:
    """Return the mean of squares of the last state; what `x` adds is one product for all times."""

    def step(state: Any, added: Any) -> Any:
        h, c = state
        take, keep, new, show = jnp.split(added + h @ w_back, 4, axis=1)
        c = jax.nn.sigmoid(keep) * c + jax.nn.sigmoid(take) * jnp.tanh(new)
        return (jax.nn.sigmoid(show) * jnp.tanh(c), c), None

    zeros = jnp.zeros((x.shape[1], w_back.shape[0]), x.dtype)
    (h, _), _ = scan(step, (zeros, zeros), x @ w_in + bias)
    return jnp.mean(h * h)


def gauss_seidel(u: Any, sweeps: int = 4) -> Any:
    """Return the sum of squares after sweeps.

    Scans of scans, which write each element once; updates of one array in two `fori_loop` copy it
    at each element.
    """

    def element(left: Any, others: Any) -> Any:
        own = 0.25 * (left + others)
        return own, own

    def row(above: Any, rows: Any) -> Any:
        before, below = rows
        _, inner = scan(element, before[0], above[1:-1] + below[1:-1] + before[2:])
        after = jnp.concatenate([before[:1], inner, before[-1:]])
        return after, after

    def sweep(u: Any, _: Any) -> Any:
        _, inner = scan(row, u[0], (u[1:-1], u[2:]))
        return jnp.concatenate([u[:1], inner, u[-1:]]), None

    end, _ = scan(sweep, u, length=sweeps)
    return jnp.sum(end * end)


def gauss_seidel_large(u: Any) -> Any:
    """Return the sum of squares after two sweeps."""
    return gauss_seidel(u, 2)


def jacobi(a: Any) -> Any:
    """Return the sum of squares of the grid after 50 steps."""

    def step(a: Any, _: Any) -> Any:
        around = a[1:-1, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:] + a[2:, 1:-1] + a[:-2, 1:-1]
        # A fifth quicker than `a.at[1:-1, 1:-1].set(...)`.
        rows = jnp.concatenate([a[1:-1, :1], 0.2 * around, a[1:-1, -1:]], axis=1)
        return jnp.concatenate([a[:1], rows, a[-1:]]), None

    end, _ = scan(step, a, length=50)
    return jnp.sum(end * end)


def newton(mean: Any, eccentricity: Any) -> Any:
    """Return the eccentric anomaly of Kepler's equation, found by Newton's method.

    JAX has no derivative of `while_loop` backward. Its derivative here is that of one more step
    from the solution, which is the solution's by the theorem on implicit functions.
    """

    def next_step(angle: Any) -> Any:
        wrong = angle - eccentricity * jnp.sin(angle) - mean
        return wrong / (1.0 - eccentricity * jnp.cos(angle))

    def go(state: Any) -> Any:
        step = next_step(state[0])
        return state[0] - step, step

    angle, _ = jax.lax.while_loop(
        lambda state: jnp.max(jnp.abs(state[1])) > 1e-10, go, (mean, jnp.ones_like(mean))
    )
    angle = jax.lax.stop_gradient(angle)
    return angle - next_step(angle)


def newton_many(mean: Any, eccentricity: Any) -> Any:
    """Return the sum of the anomalies of many orbits; all go on until the last one is there."""
    return jnp.sum(newton(mean, eccentricity))
