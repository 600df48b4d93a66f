"""The functions whose generated source is recorded; a line that moves changes the recordings."""

from __future__ import annotations

from typing import Any

import numpy as np

import jitgrad as jg


def bce_loss(logits: Any, target: Any) -> Any:
    loss = jg.nn.functional.softplus(logits) - logits * target
    return loss.mean()


def cross_entropy(logits: Any, target: Any) -> Any:
    log_p = logits - jg.logsumexp(logits, 1, keepdim=True)
    return -(target * log_p).sum(1).mean()


def stencil(u: Any) -> Any:
    flux = (u[1:] - u[:-1]) * 0.5
    inner = u[1:-1] + 0.1 * (flux[1:] - flux[:-1])
    return (inner * inner).sum()


def mlp_layer(x: Any, weight: Any, bias: Any) -> Any:
    hidden = x @ weight.T + bias
    return jg.tanh(hidden)


FUNCTIONS = {f.__name__: f for f in (bce_loss, cross_entropy, stencil, mlp_layer)}


def arguments(name: str, size: int) -> dict[str, Any]:
    """Return arguments of the function called `name`; other sizes are near `size`."""
    rng = np.random.default_rng(0)
    shapes: dict[str, dict[str, tuple[int, ...]]] = {
        "bce_loss": {"logits": (size,), "target": (size,)},
        "cross_entropy": {"logits": (size, size + 4), "target": (size, size + 4)},
        "stencil": {"u": (size,)},
        "mlp_layer": {"x": (size, size + 6), "weight": (size + 2, size + 6), "bias": (size + 2,)},
    }
    return {key: rng.uniform(-1, 1, shape) for key, shape in shapes[name].items()}
