"""Programs in plain NumPy, each written from its algorithm's definition, with loops and slices.

Nothing in them knows of jitgrad. Each one takes arrays and returns an array; `PROGRAMS` has
their inputs at any size. Some of them write to their arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any
Generator = np.random.Generator


@dataclass(frozen=True, slots=True)
class NumpyProgram:
    """A program with inputs.

    Parameters
    ----------
    function : callable
        Takes and returns arrays.
    inputs : callable
        ``inputs(size, rng)`` gives the arguments.
    size : int
        A small one, for tests.
    differentiate : tuple of int
        Numbers of the arguments to differentiate by.
    """

    function: Callable[..., Any]
    inputs: Callable[[int, Generator], tuple[Any, ...]]
    size: int = 5
    differentiate: tuple[int, ...] = (0,)


PROGRAMS: dict[str, NumpyProgram] = {}


def _program(
    inputs: Callable[[int, Generator], tuple[Any, ...]],
    size: int = 5,
    differentiate: tuple[int, ...] = (0,),
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        PROGRAMS[function.__name__] = NumpyProgram(function, inputs, size, differentiate)
        return function

    return enter


def _matrix(n: int, rng: Generator) -> Array:
    """Return a matrix that needs no pivoting."""
    return rng.uniform(-1, 1, (n, n)) + n * np.eye(n)


def _positive(n: int, rng: Generator) -> Array:
    a = rng.uniform(-1, 1, (n, n))
    return a @ a.T + n * np.eye(n)


# -- linear algebra ----------------------------------------------------------------------------


@_program(lambda n, rng: (_matrix(n, rng),))
def lu(A: Array) -> Array:
    """Return L and U in one matrix, written over the argument."""
    n = A.shape[0]
    for i in range(n):
        for j in range(i):
            A[i, j] -= A[i, :j] @ A[:j, j]
            A[i, j] /= A[j, j]
        for j in range(i, n):
            A[i, j] -= A[i, :i] @ A[:i, j]
    return A


@_program(lambda n, rng: (_positive(n, rng),))
def cholesky(A: Array) -> Array:
    """Return the lower triangular factor of a positive definite matrix."""
    n = len(A)
    L = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            s = A[i, j]
            for k in range(j):
                s -= L[i, k] * L[j, k]
            if i == j:
                L[i, i] = np.sqrt(s)
            else:
                L[i, j] = s / L[j, j]
    return L


@_program(lambda n, rng: (_positive(n, rng),))
def cholesky_by_columns(A: Array) -> Array:
    """Return the same, with slices."""
    n = A.shape[0]
    L = np.zeros_like(A)
    for j in range(n):
        L[j, j] = np.sqrt(A[j, j] - np.dot(L[j, :j], L[j, :j]))
        L[j + 1 :, j] = (A[j + 1 :, j] - L[j + 1 :, :j] @ L[j, :j]) / L[j, j]
    return L


@_program(lambda n, rng: (np.tril(_matrix(n, rng)), rng.uniform(-1, 1, n)), differentiate=(0, 1))
def triangular_solve(L: Array, b: Array) -> Array:
    """Return the solution of a lower triangular system."""
    n = L.shape[0]
    x = np.empty(n)
    for i in range(n):
        x[i] = (b[i] - L[i, :i] @ x[:i]) / L[i, i]
    return x


@_program(lambda n, rng: (_matrix(n, rng), rng.uniform(-1, 1, n)), differentiate=(0, 1))
def back_substitution(U: Array, b: Array) -> Array:
    """Return the solution of an upper triangular system, from the last row up."""
    x = np.zeros_like(b)
    for i in range(len(b) - 1, -1, -1):
        x[i] = (b[i] - np.dot(U[i, i + 1 :], x[i + 1 :])) / U[i, i]
    return x


@_program(lambda n, rng: (rng.uniform(-1, 1, (n + 2, n)),))
def gram_schmidt(A: Array) -> Array:
    """Return Q and R, one below the other; columns of the argument are changed."""
    n = A.shape[1]
    Q = np.zeros_like(A)
    R = np.zeros((n, n), dtype=A.dtype)
    for k in range(n):
        R[k, k] = np.sqrt(np.dot(A[:, k], A[:, k]))
        Q[:, k] = A[:, k] / R[k, k]
        for j in range(k + 1, n):
            R[k, j] = np.dot(Q[:, k], A[:, j])
            A[:, j] -= Q[:, k] * R[k, j]
    return np.vstack((Q, R))


@_program(lambda n, rng: (rng.uniform(0.1, 0.3, n),))
def durbin(r: Array) -> Array:
    """Return the solution of the Yule-Walker equations."""
    n = r.shape[0]
    y = np.empty_like(r)
    alpha = -r[0]
    beta = 1.0
    y[0] = -r[0]
    for k in range(1, n):
        beta *= 1.0 - alpha * alpha
        alpha = -(r[k] + np.dot(np.flip(r[:k]), y[:k])) / beta
        y[:k] += alpha * np.flip(y[:k])
        y[k] = alpha
    return y


def _tridiagonal(n: int, rng: Generator) -> tuple[Any, ...]:
    a, b, c, d = rng.uniform(-1, 1, (4, n))
    return a, b + 4.0, c, d


@_program(_tridiagonal, differentiate=(0, 1, 2, 3))
def thomas(a: Array, b: Array, c: Array, d: Array) -> Array:
    """Return the solution of a tridiagonal system."""
    n = d.size
    cp, dp = np.zeros(n), np.zeros(n)
    cp[0] = c[0] / b[0]
    dp[0] = d[0] / b[0]
    for i in range(1, n):
        m = b[i] - a[i] * cp[i - 1]
        cp[i] = c[i] / m
        dp[i] = (d[i] - a[i] * dp[i - 1]) / m
    x = np.zeros(n)
    x[-1] = dp[-1]
    for i in range(n - 2, -1, -1):
        x[i] = dp[i] - cp[i] * x[i + 1]
    return x


def _sparse(n: int, rng: Generator) -> tuple[Any, ...]:
    counts = rng.integers(0, 4, n)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32)
    columns = rng.integers(0, n, indptr[-1]).astype(np.uint32)
    return rng.uniform(-1, 1, int(indptr[-1])), columns, indptr, rng.uniform(-1, 1, n)


@_program(_sparse, differentiate=(0, 3))
def sparse_times_vector(data: Array, columns: Array, indptr: Array, x: Array) -> Array:
    """Return the product of a matrix in compressed rows and a vector."""
    y = np.empty(indptr.size - 1)
    for i in range(indptr.size - 1):
        row = columns[indptr[i] : indptr[i + 1]]
        values = data[indptr[i] : indptr[i + 1]]
        y[i] = values @ x[row]
    return y


# -- grids -------------------------------------------------------------------------------------


@_program(lambda n, rng: (rng.uniform(0, 1, (n, n)), 2))
def gauss_seidel(u: Array, sweeps: int) -> Array:
    """Return the grid after sweeps in place, element by element."""
    n = u.shape[0]
    for _ in range(sweeps):
        for i in range(1, n - 1):
            for j in range(1, n - 1):
                u[i, j] = 0.25 * (u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1])
    return u


@_program(lambda n, rng: (rng.uniform(0, 1, (n, n)), 6))
def jacobi(a: Array, steps: int) -> Array:
    """Return the grid after averages over five points, in two buffers that take turns."""
    b = np.copy(a)
    for _ in range(steps):
        b[1:-1, 1:-1] = 0.2 * (
            a[1:-1, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:] + a[2:, 1:-1] + a[:-2, 1:-1]
        )
        a, b = b, a
    return a


@_program(lambda n, rng: (rng.uniform(0, 1, (n, n)), 2))
def adi(u: Array, steps: int) -> Array:
    """Return the grid after steps of heat flow, implicit along columns, then along rows."""
    n = u.shape[0]
    v, p, q = np.zeros_like(u), np.zeros_like(u), np.zeros_like(u)
    a, b, c = -0.4, 1.8, -0.4
    for _ in range(steps):
        v[0, 1 : n - 1] = 1.0
        p[1 : n - 1, 0] = 0.0
        q[1 : n - 1, 0] = v[0, 1 : n - 1]
        for j in range(1, n - 1):
            p[1 : n - 1, j] = -c / (a * p[1 : n - 1, j - 1] + b)
            q[1 : n - 1, j] = (
                0.3 * u[j, : n - 2] + 0.4 * u[j, 1 : n - 1] + 0.3 * u[j, 2:n]
                - a * q[1 : n - 1, j - 1]
            ) / (a * p[1 : n - 1, j - 1] + b)  # fmt: skip
        v[n - 1, 1 : n - 1] = 1.0
        for j in range(n - 2, 0, -1):
            v[j, 1 : n - 1] = p[1 : n - 1, j] * v[j + 1, 1 : n - 1] + q[1 : n - 1, j]
        u[1 : n - 1, 1 : n - 1] = v[1 : n - 1, 1 : n - 1]
    return u


@_program(lambda n, rng: (rng.uniform(0, 1, (n, n, n)), 2), size=4)
def heat_3d(a: Array, steps: int) -> Array:
    """Return a block after steps of heat flow."""
    b = a.copy()
    for _ in range(steps):
        for source, target in ((a, b), (b, a)):
            target[1:-1, 1:-1, 1:-1] = (
                0.125 * (source[2:, 1:-1, 1:-1] - 2.0 * source[1:-1, 1:-1, 1:-1]
                         + source[:-2, 1:-1, 1:-1])
                + 0.125 * (source[1:-1, 2:, 1:-1] - 2.0 * source[1:-1, 1:-1, 1:-1]
                           + source[1:-1, :-2, 1:-1])
                + 0.125 * (source[1:-1, 1:-1, 2:] - 2.0 * source[1:-1, 1:-1, 1:-1]
                           + source[1:-1, 1:-1, 0:-2])
                + source[1:-1, 1:-1, 1:-1]
            )  # fmt: skip
    return a


@_program(
    lambda n, rng: (
        rng.uniform(0, 1, (n, n)), rng.uniform(0, 1, (n, n)), rng.uniform(0, 1, (n, n)),
        rng.uniform(0, 1, 6),
    ),
    differentiate=(0, 1, 2, 3),
)  # fmt: skip
def fdtd_2d(ex: Array, ey: Array, hz: Array, source: Array) -> Array:
    """Return the magnetic field after steps of electromagnetic waves."""
    for t in range(source.shape[0]):
        ey[0, :] = source[t]
        ey[1:, :] -= 0.5 * (hz[1:, :] - hz[:-1, :])
        ex[:, 1:] -= 0.5 * (hz[:, 1:] - hz[:, :-1])
        hz[:-1, :-1] -= 0.7 * (ex[:-1, 1:] - ex[:-1, :-1] + ey[1:, :-1] - ey[:-1, :-1])
    return hz


@_program(lambda n, rng: (rng.uniform(1, 9, (n, n)),))
def floyd_warshall(distance: Array) -> Array:
    """Return the lengths of shortest paths, written over the argument."""
    for k in range(distance.shape[0]):
        distance[:] = np.minimum(distance, np.add.outer(distance[:, k], distance[k, :]))
    return distance


# -- time series and statistics ----------------------------------------------------------------


@_program(
    lambda n, rng: (rng.uniform(-1, 1, n), np.array([0.2, 0.3]), np.array([0.5, -0.3])),
    size=8,
    differentiate=(0, 1, 2),
)
def iir_filter(x: Array, b: Array, a: Array) -> Array:
    """Return a signal through a filter with feedback."""
    y = np.zeros(x.shape)
    for n in range(len(x)):
        for k in range(len(b)):
            if n - k >= 0:
                y[n] += b[k] * x[n - k]
        for k in range(len(a)):
            if n - k - 1 >= 0:
                y[n] += a[k] * y[n - k - 1]
    return y


def _kalman(n: int, rng: Generator) -> tuple[Any, ...]:
    F = np.array([[1.0, 0.1], [0.0, 1.0]])
    H = np.array([[1.0, 0.0]])
    return rng.uniform(-1, 1, (n, 1)), F, H, 0.01 * np.eye(2), np.array([[0.1]])


@_program(_kalman, size=6, differentiate=(0, 1, 3, 4))
def kalman(z: Array, F: Array, H: Array, Q: Array, R: Array) -> Array:
    """Return the estimates of a Kalman filter."""
    n = F.shape[0]
    x = np.zeros(n)
    P = np.eye(n)
    estimates = np.zeros((len(z), n))
    for t in range(len(z)):
        x = F @ x
        P = F @ P @ F.T + Q
        innovation = z[t] - H @ x
        S = H @ P @ H.T + R
        K = P @ H.T @ np.linalg.inv(S)
        x = x + K @ innovation
        P = (np.eye(n) - K @ H) @ P
        estimates[t] = x
    return estimates


@_program(
    lambda n, rng: (rng.uniform(-2, 0, (n, 3)), rng.uniform(-2, 0, (3, 3))),
    size=6,
    differentiate=(0, 1),
)
def viterbi(emission: Array, transition: Array) -> Array:
    """Return the score of the best path, and those of all last states."""
    T, S = emission.shape
    best = np.full((T, S), -np.inf)
    best[0] = emission[0]
    for t in range(1, T):
        for s in range(S):
            best[t, s] = np.max(best[t - 1] + transition[:, s]) + emission[t, s]
    return np.append(best[T - 1], best[T - 1].max())


@_program(
    lambda n, rng: (rng.uniform(-1, 1, (n, 2)), rng.uniform(-1, 1, (3, 2))),
    size=9,
    differentiate=(0, 1),
)
def k_means_step(points: Array, centres: Array) -> Array:
    """Return the centres after one step."""
    distances = ((points[:, np.newaxis, :] - centres[np.newaxis, :, :]) ** 2).sum(axis=2)
    nearest = np.argmin(distances, axis=1)
    new = np.zeros_like(centres)
    counts = np.zeros(centres.shape[0])
    for i in range(points.shape[0]):
        new[nearest[i]] += points[i]
        counts[nearest[i]] += 1
    return new / np.maximum(counts, 1.0)[:, None]


# -- motion ------------------------------------------------------------------------------------


@_program(lambda n, rng: (rng.uniform(-1, 1, 3), np.array([10.0, 28.0, 8.0 / 3.0]), 6),
          differentiate=(0, 1))  # fmt: skip
def lorenz(state: Array, parameters: Array, steps: int) -> Array:
    """Return the state of the Lorenz system after steps of Runge and Kutta."""

    def slope(s: Array) -> Array:
        return np.array(
            [
                parameters[0] * (s[1] - s[0]),
                s[0] * (parameters[1] - s[2]) - s[1],
                s[0] * s[1] - parameters[2] * s[2],
            ]
        )

    dt = 0.01
    for _ in range(steps):
        k1 = slope(state)
        k2 = slope(state + 0.5 * dt * k1)
        k3 = slope(state + 0.5 * dt * k2)
        k4 = slope(state + dt * k3)
        state = state + dt / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
    return state


@_program(
    lambda n, rng: (rng.uniform(-1, 1, (n, 3)), rng.uniform(-1, 1, (n, 3)), 6),
    size=4,
    differentiate=(0, 1),
)
def n_body(x: Array, v: Array, steps: int) -> Array:
    """Return the positions of bodies that attract each other, after leapfrog steps."""
    dt, softening = 0.01, 0.1
    for _ in range(steps):
        d = x[None, :, :] - x[:, None, :]
        r2 = (d * d).sum(axis=2) + softening**2
        pull = 1.0 / (r2 * np.sqrt(r2))
        v = v + dt * (d * pull[:, :, None]).sum(axis=1)
        x = x + dt * v
    return x


@_program(lambda n, rng: (rng.uniform(0.1, 0.9, n), rng.uniform(-3, 3, n), 7), differentiate=(0, 1))
def reflected_particles(x: Array, v: Array, steps: int) -> Array:
    """Return positions and velocities of particles between two walls that reflect them."""
    for _ in range(steps):
        for p in range(x.shape[0]):
            x[p] += 0.1 * v[p]
            if x[p] > 1.0:
                x[p] = 2.0 - x[p]
                v[p] = -v[p]
            elif x[p] < 0.0:
                x[p] = -x[p]
                v[p] = -v[p]
    return np.hstack((x, v))
