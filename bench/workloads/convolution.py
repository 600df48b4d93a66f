"""LeNet, a small network of convolutions."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from bench.hand.kernel import Kernel
from bench.workload import Array, Call, Workload

_SIDE, _CHANNELS, _DENSE = 5, (1, 6, 16), (120, 84, 10)


def _inputs(rng: np.random.Generator, batch: int, edge: int) -> tuple[Array, ...]:
    last = (edge // 2 - _SIDE + 1) // 2
    widths = (_CHANNELS[-1] * last * last, *_DENSE)
    shapes = [(_CHANNELS[k + 1], _CHANNELS[k], _SIDE, _SIDE) for k in range(len(_CHANNELS) - 1)] + [
        (widths[k], widths[k + 1]) for k in range(len(_DENSE))
    ]
    parameters = []
    for shape in shapes:
        filters = len(shape) == 4
        summed = np.prod(shape[1:]) if filters else shape[0]
        scale = np.float32(1.0 / np.sqrt(summed))
        parameters.append(scale * rng.standard_normal(shape, np.float32))
        parameters.append(scale * rng.standard_normal(shape[0 if filters else 1], np.float32))
    x = rng.standard_normal((batch, 1, edge, edge), np.float32)
    return x, rng.integers(0, _DENSE[-1], batch), *parameters


def _define(ops: ModuleType) -> Callable[..., Any]:
    def loss(
        x: Any, y: Any, k1: Any, c1: Any, k2: Any, c2: Any,
        w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any,
    ) -> Any:  # fmt: skip
        h = ops.max_pool2d(ops.relu(ops.conv2d(x, k1, c1, padding=2)), 2)
        h = ops.max_pool2d(ops.relu(ops.conv2d(h, k2, c2)), 2)
        h = h.reshape(x.shape[0], -1)
        h = ops.relu(ops.matmul(h, w1) + b1)
        h = ops.relu(ops.matmul(h, w2) + b2)
        return ops.cross_entropy(ops.matmul(h, w3) + b3, y)

    return loss


def _pieces(x: Array) -> Array:
    """Return what lies under a filter at each place: images, places, entries of the filter."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (_SIDE, _SIDE), axis=(2, 3))
    images, _, rows, columns = windows.shape[:4]
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(images * rows * columns, -1)


def _pool(x: Array) -> tuple[Array, Array]:
    """Return the largest of each square of channels-last maps, at least 0, and where it was."""
    images, rows, columns, channels = x.shape
    squares = x.reshape(images, rows // 2, 2, columns // 2, 2, channels).swapaxes(2, 3)
    squares = squares.reshape(images, rows // 2, columns // 2, 4, channels)
    which = np.argmax(squares, axis=3, keepdims=True)
    return np.maximum(np.take_along_axis(squares, which, 3)[:, :, :, 0], 0), which


def _pool_back(d: Array, pooled: Array, which: Array) -> Array:
    images, rows, columns, channels = d.shape
    squares = np.zeros((images, rows, columns, 4, channels), d.dtype)
    np.put_along_axis(squares, which, (d * (pooled > 0))[:, :, :, None], 3)
    squares = squares.reshape(images, rows, columns, 2, 2, channels).swapaxes(2, 3)
    return squares.reshape(-1, channels)


def _by_numpy(x: Array, y: Array, *parameters: Array) -> Call:
    k1, c1, k2, c2, w1, b1, w2, b2, w3, b3 = parameters
    batch, edge = x.shape[0], x.shape[2]
    padded = np.pad(x, [(0, 0), (0, 0), (2, 2), (2, 2)])
    rows = np.arange(batch)

    def value_and_gradients() -> Any:
        pieces1 = _pieces(padded)
        maps1 = (pieces1 @ k1.reshape(len(k1), -1).T + c1).reshape(batch, edge, edge, -1)
        pooled1, which1 = _pool(maps1)
        half, out = edge // 2, edge // 2 - _SIDE + 1
        pieces2 = _pieces(pooled1.transpose(0, 3, 1, 2))
        maps2 = (pieces2 @ k2.reshape(len(k2), -1).T + c2).reshape(batch, out, out, -1)
        pooled2, which2 = _pool(maps2)
        features = pooled2.transpose(0, 3, 1, 2).reshape(batch, -1)
        h1 = np.maximum(features @ w1 + b1, 0)
        h2 = np.maximum(h1 @ w2 + b2, 0)
        logits = h2 @ w3 + b3
        logits -= logits.max(axis=1, keepdims=True)
        d3 = np.exp(logits)
        totals = d3.sum(axis=1, keepdims=True)
        value = np.mean(np.log(totals[:, 0]) - logits[rows, y])
        d3 /= totals
        d3[rows, y] -= 1
        d3 /= np.float32(batch)
        d2 = (d3 @ w3.T) * (h2 > 0)
        d1 = (d2 @ w2.T) * (h1 > 0)
        d_pooled2 = (d1 @ w1.T).reshape(batch, -1, out // 2, out // 2).transpose(0, 2, 3, 1)
        d_maps2 = _pool_back(d_pooled2, pooled2, which2)
        d_pieces2 = d_maps2 @ k2.reshape(len(k2), -1)
        d_pieces2 = d_pieces2.reshape(batch, out, out, -1, _SIDE, _SIDE)
        d_pooled1 = np.zeros((batch, half, half, len(k1)), np.float32)
        for a in range(_SIDE):
            for b in range(_SIDE):
                d_pooled1[:, a : a + out, b : b + out] += d_pieces2[..., a, b]
        d_maps1 = _pool_back(d_pooled1, pooled1, which1)
        return value, (
            (d_maps1.T @ pieces1).reshape(k1.shape), d_maps1.sum(0),
            (d_maps2.T @ pieces2).reshape(k2.shape), d_maps2.sum(0),
            features.T @ d1, d1.sum(0), h1.T @ d2, d2.sum(0), h2.T @ d3, d3.sum(0),
        )  # fmt: skip

    return value_and_gradients


def _in_c(x: Array, *others: Array) -> Call:
    value, gradients = np.empty((), np.float32), tuple(map(np.empty_like, others[1:]))
    arguments = [x, *others, value, *gradients]
    sizes = {"BATCH": x.shape[0], "IMAGE": x.shape[2]}
    return Kernel("convolution", "lenet", arguments, (value, gradients), sizes)


WORKLOADS = [
    Workload(
        name="lenet",
        title="LeNet, 28x28, batch 64, float32",
        sizes=(64, 28),
        tiny=(3, 12),
        inputs=_inputs,
        define=_define,
        wrt=tuple(range(2, 12)),
        needs=("conv2d", "max_pool2d"),
        by_hand={"numpy": _by_numpy, "c": _in_c},
    )
]
