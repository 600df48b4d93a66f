"""A block of causal self-attention with several heads."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from bench.hand.kernel import Kernel
from bench.workload import Array, Call, Workload

_HEADS = 4


def _inputs(rng: np.random.Generator, batch: int, times: int, width: int) -> tuple[Array, ...]:
    scale = np.float32(1.0 / np.sqrt(width))
    return (
        rng.standard_normal((batch, times, width), np.float32),
        scale * rng.standard_normal((width, 3 * width), np.float32),
        scale * rng.standard_normal((width, width), np.float32),
    )


def _define(ops: ModuleType) -> Callable[..., Any]:
    def loss(x: Any, w_qkv: Any, w_out: Any) -> Any:
        batch, times, width = x.shape
        qkv = ops.matmul(x, w_qkv).reshape(batch, times, 3, _HEADS, width // _HEADS)
        q, k, v = (ops.swapaxes(qkv[:, :, part], 1, 2) for part in range(3))
        mixed = ops.swapaxes(ops.causal_attention(q, k, v), 1, 2).reshape(batch, times, width)
        out = ops.matmul(mixed, w_out)
        return ops.mean(out * out)

    return loss


def _by_numpy(x: Array, w_qkv: Array, w_out: Array) -> Call:
    batch, times, width = x.shape
    size = width // _HEADS
    scale = np.float32(1 / np.sqrt(size))
    later = ~np.tri(times, dtype=bool)
    flat = x.reshape(-1, width)

    def value_and_gradients() -> Any:
        qkv = (flat @ w_qkv).reshape(batch, times, 3, _HEADS, size).transpose(2, 0, 3, 1, 4)
        q, k, v = qkv
        shares = q @ k.swapaxes(2, 3) * scale
        shares[..., later] = -np.inf
        shares = np.exp(shares - shares.max(axis=3, keepdims=True))
        shares /= shares.sum(axis=3, keepdims=True)
        mixed = (shares @ v).swapaxes(1, 2).reshape(-1, width)
        out = mixed @ w_out
        d_out = out * np.float32(2 / out.size)
        d_mixed = (d_out @ w_out.T).reshape(batch, times, _HEADS, size).swapaxes(1, 2)
        d_shares = d_mixed @ v.swapaxes(2, 3)
        d_scores = shares * (d_shares - np.sum(shares * d_shares, axis=3, keepdims=True)) * scale
        d_qkv = np.empty((batch, times, 3, _HEADS, size), np.float32)
        dq, dk, dv = d_qkv.transpose(2, 0, 3, 1, 4)
        np.matmul(d_scores, k, out=dq)
        np.matmul(d_scores.swapaxes(2, 3), q, out=dk)
        np.matmul(shares.swapaxes(2, 3), d_mixed, out=dv)
        d_flat = d_qkv.reshape(-1, 3 * width)
        gradients = ((d_flat @ w_qkv.T).reshape(x.shape), flat.T @ d_flat, mixed.T @ d_out)
        return np.mean(out * out), gradients

    return value_and_gradients


def _in_c(*inputs: Array) -> Call:
    batch, times, width = inputs[0].shape
    value, gradients = np.empty((), np.float32), tuple(map(np.empty_like, inputs))
    sizes = {"BATCH": batch, "TIME": times, "HEADS": _HEADS, "HEAD": width // _HEADS}
    return Kernel("attention", "attention", [*inputs, value, *gradients], (value, gradients), sizes)


WORKLOADS = [
    Workload(
        name="attention",
        title="causal self-attention, batch 8, 128 times, 4 heads of 16, float32",
        sizes=(8, 128, 64),
        tiny=(2, 5, 12),
        inputs=_inputs,
        define=_define,
        wrt=(0, 1, 2),
        by_hand={"numpy": _by_numpy, "c": _in_c},
    )
]
