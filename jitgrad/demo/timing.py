"""How long a training step takes: eager, compiled, and in NumPy written by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np

import jitgrad
from jitgrad.demo.by_hand import HandWritten
from jitgrad.demo.digits import BATCH, DECAY, RATE, Array, Digits, make_training

_SECONDS_A_ROUND = 0.05
_FLAG = "--measure-first-call"


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the training step.

    Parameters
    ----------
    name : str
        What the table says.
    step : callable
        Takes images and labels; returns the loss before the step.
    """

    name: str
    step: Callable[[Array, Array], float]


def contenders() -> list[Contender]:
    """Return the step in NumPy and twice in jitgrad, all from the same first values."""
    eager, traced = make_training(), make_training()
    compiled = jitgrad.compile(traced.step)
    values = [p.detach().numpy() for p in eager.network.parameters()]
    by_hand = HandWritten(values[::2], values[1::2], RATE, DECAY)
    return [
        Contender("NumPy, written by hand", by_hand.step),
        Contender("jitgrad, eager", lambda x, y: eager.step(x, y).item()),
        Contender("jitgrad, compiled", lambda x, y: compiled(x, y).item()),
    ]


def largest_difference(rivals: list[Contender], digits: Digits, steps: int) -> float:
    """Do the same steps with all of them and return by how much their losses differ at most.

    Relative to the first one's loss.
    """
    differences = []
    for start in range(0, steps * BATCH, BATCH):
        batch = slice(start, start + BATCH)
        losses = [rival.step(digits.images[batch], digits.labels[batch]) for rival in rivals]
        differences += [abs(loss / losses[0] - 1) for loss in losses[1:]]
    return max(differences)


def seconds_per_step(rivals: list[Contender], digits: Digits, rounds: int) -> list[list[float]]:
    """Return for each contender how long its step took in each round.

    They take turns within a round, so that what else the machine does hits all of them.
    """
    images, labels = digits.images[:BATCH], digits.labels[:BATCH]
    repeats = []
    for rival in rivals:
        began = time.perf_counter()
        rival.step(images, labels)
        once = time.perf_counter() - began
        repeats.append(min(max(int(_SECONDS_A_ROUND / once), 1), 100))
    taken: list[list[float]] = [[] for _ in rivals]
    for _ in range(rounds):
        for rival, count, figures in zip(rivals, repeats, taken, strict=True):
            began = time.perf_counter()
            for _ in range(count):
                rival.step(images, labels)
            figures.append((time.perf_counter() - began) / count)
    return taken


def first_call() -> float:
    """Return the seconds that the first call of the compiled step takes in this process."""
    training = make_training()
    step = jitgrad.compile(training.step)
    rng = np.random.default_rng(0)
    images = rng.random((BATCH, 64), dtype=np.float32)
    labels = rng.integers(0, 10, BATCH)
    began = time.perf_counter()
    step(images, labels).item()
    return time.perf_counter() - began


def first_calls_of_new_processes() -> tuple[float, float]:
    """Return how long a first call takes with an empty disk cache, and with what that one left."""
    with tempfile.TemporaryDirectory(prefix="jitgrad-demo-") as cache:
        environment = os.environ | {"JITGRAD_CACHE_DIR": cache, "OPENBLAS_NUM_THREADS": "1"}
        cold, warm = (
            json.loads(
                subprocess.run(
                    [sys.executable, "-m", "jitgrad.demo", _FLAG],
                    env=environment,
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                ).stdout
            )
            for _ in range(2)
        )
    return float(cold), float(warm)


def table(rivals: list[Contender], taken: list[list[float]]) -> str:
    """Return the medians, and the ratios to the first contender, as text.

    A ratio is the median of the rounds' ratios.
    """
    lines = [f"  {'':24}{'a step':>12}{'against NumPy':>18}"]
    for rival, figures in zip(rivals, taken, strict=True):
        ratio = median(own / first for own, first in zip(figures, taken[0], strict=True))
        lines.append(f"  {rival.name:24}{1e3 * median(figures):9.3f} ms{ratio:16.2f} x")
    return "\n".join(lines)
