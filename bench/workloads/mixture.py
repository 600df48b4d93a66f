"""Log-likelihood of a Gaussian mixture: triangular matrices, batched products, log-sum-exp."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from bench.hand.kernel import Kernel
from bench.workload import Array, Call, Workload

_LOG_TWO_PI = 1.8378770664093453


def _inputs(rng: np.random.Generator, points: int, size: int, components: int) -> tuple[Array, ...]:
    return (
        rng.normal(size=(points, size)),
        rng.normal(size=components),
        rng.normal(size=(components, size)),
        0.2 * rng.normal(size=(components, size)),
        0.2 * rng.normal(size=(components, size * (size - 1) // 2)),
    )


def _define(ops: ModuleType) -> Callable[..., Any]:
    # The objective of ADBench, with Wishart's prior (gamma = 1, m = 0) less its constant.
    def log_likelihood(x: Any, alphas: Any, means: Any, log_diagonals: Any, lower: Any) -> Any:
        points, size = x.shape
        diagonals = ops.exp(log_diagonals)
        factors = ops.lower_triangular(diagonals, lower)
        centred = x[None, :, :] - means[:, None, :]
        z = ops.matmul(centred, ops.swapaxes(factors, 1, 2))
        offsets = alphas + ops.sum(log_diagonals, 1)
        logs = offsets[:, None] - 0.5 * ops.sum(z * z, 2)
        prior = 0.5 * (ops.sum(diagonals * diagonals) + ops.sum(lower * lower))
        likelihood = ops.sum(ops.logsumexp(logs, 0)) - points * ops.logsumexp(alphas, 0)
        return likelihood - 0.5 * points * size * _LOG_TWO_PI + prior

    return log_likelihood


def _by_numpy(x: Array, alphas: Array, means: Array, log_diagonals: Array, lower: Array) -> Call:
    points, size = x.shape
    rows, columns = np.tril_indices(size, -1)
    diagonal = np.arange(size)

    def value_and_gradients() -> Any:
        factors = np.zeros((len(means), size, size))
        factors[:, rows, columns] = lower
        factors[:, diagonal, diagonal] = np.exp(log_diagonals)
        centred = x - means[:, None]
        z = centred @ factors.transpose(0, 2, 1)
        logs = (alphas + log_diagonals.sum(1))[:, None] - 0.5 * np.sum(z * z, axis=2)
        largest = logs.max(0)
        shares = np.exp(logs - largest)
        totals = shares.sum(0)
        likelihood = np.sum(np.log(totals) + largest)
        shares /= totals
        z *= shares[:, :, None]
        weights, sums = shares.sum(1), z.sum(1)
        d_factors = factors - z.transpose(0, 2, 1) @ centred
        prior = np.exp(alphas - alphas.max())
        value = likelihood - points * (np.log(prior.sum()) + alphas.max())
        value += 0.5 * np.sum(factors * factors) - 0.5 * points * size * _LOG_TWO_PI
        return value, (
            weights - points * prior / prior.sum(),
            (sums[:, None] @ factors)[:, 0],
            weights[:, None] + d_factors[:, diagonal, diagonal] * factors[:, diagonal, diagonal],
            d_factors[:, rows, columns],
        )

    return value_and_gradients


def _in_c(x: Array, *parameters: Array) -> Call:
    value, gradients = np.empty(()), tuple(map(np.empty_like, parameters))
    arguments = [len(x), x, *parameters, value, *gradients]
    sizes = {"SIZE": x.shape[1], "COMPONENTS": len(parameters[0])}
    return Kernel("mixture", "mixture", arguments, (value, gradients), sizes)


WORKLOADS = [
    Workload(
        name="gmm",
        title="Gaussian mixture, 1000 points of 20, 25 components, float64",
        sizes=(1000, 20, 25),
        tiny=(7, 3, 2),
        inputs=_inputs,
        define=_define,
        wrt=(1, 2, 3, 4),
        by_hand={"numpy": _by_numpy, "c": _in_c},
    )
]
