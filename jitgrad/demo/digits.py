"""A classifier of handwritten digits: two hidden layers, trained by a compiled step."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np

import jitgrad
from jitgrad import Tensor, nn, optim

Array = np.ndarray[Any, Any]
Step = Callable[[Array, Array], Tensor]

BATCH = 64
EPOCHS = 40
HIDDEN = (256, 128)
RATE = 3e-3
DECAY = 0.1
# Of the training images this share is moved by a pixel, to each side of both axes.
MOVED = 0.1
WANTED_ACCURACY = 0.97


@dataclass(frozen=True, slots=True)
class Digits:
    """Images and their labels, in two parts.

    Parameters
    ----------
    images, test_images : array of float32, shape (n, 64)
        Rows of 8 by 8 pixels from 0 to 1.
    labels, test_labels : array of int64, shape (n,)
        The digits.
    """

    images: Array
    labels: Array
    test_images: Array
    test_labels: Array


def load_digits() -> Digits:
    """Return scikit-learn's 1797 digits, a quarter of each kind held out."""
    from sklearn.datasets import load_digits as load
    from sklearn.model_selection import train_test_split

    data = load()
    images, test_images, labels, test_labels = train_test_split(
        (data.data / 16).astype(np.float32),
        data.target.astype(np.int64),
        test_size=0.25,
        stratify=data.target,
        random_state=0,
    )
    return Digits(images, labels, test_images, test_labels)


@dataclass(frozen=True, slots=True)
class Training:
    """A network and what trains it.

    Parameters
    ----------
    network : Module
        From images to logits.
    optimizer : Optimizer
        Of its parameters.
    loss : callable
        Takes images and labels; returns the mean cross entropy.
    step : callable
        Takes images and labels; does one step and returns the loss before it.
    """

    network: nn.Sequential
    optimizer: optim.Optimizer
    loss: Step
    step: Step


def make_training(seed: int = 0) -> Training:
    """Return a new network with its optimizer; nothing is compiled yet."""
    jitgrad.manual_seed(seed)
    network = nn.Sequential(
        nn.Linear(64, HIDDEN[0]),
        nn.ReLU(),
        nn.Linear(HIDDEN[0], HIDDEN[1]),
        nn.ReLU(),
        nn.Linear(HIDDEN[1], 10),
    )
    optimizer = optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)

    def loss(images: Array, labels: Array) -> Tensor:
        logits = network(images)
        mean: Tensor = nn.functional.cross_entropy(logits, labels)
        return mean

    def train_step(images: Array, labels: Array) -> Tensor:
        value = loss(images, labels)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        return value.detach()

    return Training(network, optimizer, loss, train_step)


@dataclass(slots=True)
class Curve:
    """How training went.

    Parameters
    ----------
    losses : list of float
        Mean loss of each epoch.
    accuracies : list of float
        Share of the held-out digits that were right after it.
    """

    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)


def train(
    training: Training,
    step: Step,
    digits: Digits,
    epochs: int = EPOCHS,
    seed: int = 0,
    out: TextIO = sys.stdout,
) -> Curve:
    """Train the network and return how it went.

    Parameters
    ----------
    training : Training
        What to train.
    step : callable
        Its step, or a compiled form of it.
    digits : Digits
        The data.
    epochs : int
        How often to go through all of it.
    seed : int
        Settles the order of the images.
    out : text file
        Where to show the progress.
    """
    rng = np.random.default_rng(seed)
    schedule = optim.CosineAnnealingLR(training.optimizer, T_max=epochs)
    curve = Curve()
    progress = _Progress(out, epochs)
    for _ in range(epochs):
        losses = [step(images, labels).item() for images, labels in _batches(digits, rng)]
        schedule.step()
        curve.losses.append(float(np.mean(losses)))
        curve.accuracies.append(accuracy(training.network, digits))
        progress.show(curve)
    progress.finish()
    return curve


def _batches(digits: Digits, rng: np.random.Generator) -> list[tuple[Array, Array]]:
    """Return the images in a new order, some moved by a pixel; the last few are left out."""
    order = rng.permutation(len(digits.images))
    images = _moved(digits.images, rng)[order]
    labels = digits.labels[order]
    starts = range(0, len(order) - BATCH + 1, BATCH)
    return [(images[i : i + BATCH], labels[i : i + BATCH]) for i in starts]


def _moved(images: Array, rng: np.random.Generator) -> Array:
    framed = np.pad(images.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(framed, (8, 8), axis=(1, 2))
    rows, columns = rng.choice(3, (2, len(images)), p=[MOVED, 1 - 2 * MOVED, MOVED])
    moved: Array = windows[np.arange(len(images)), rows, columns]
    return moved.reshape(-1, 64)


def accuracy(network: nn.Module, digits: Digits) -> float:
    """Return the share of the held-out digits that the network tells right."""
    with jitgrad.no_grad():
        said = network(digits.test_images).argmax(1)
    return float(np.mean(said.numpy() == digits.test_labels))


class _Progress:
    """A line that grows in a terminal; a few lines elsewhere."""

    def __init__(self, out: TextIO, epochs: int) -> None:
        self._out = out
        self._epochs = epochs
        self._live = out.isatty()

    def show(self, curve: Curve) -> None:
        done, total = len(curve.losses), self._epochs
        figures = f"loss {curve.losses[-1]:.4f}  test accuracy {100 * curve.accuracies[-1]:.2f} %"
        if self._live:
            filled = 30 * done // total
            bar = "#" * filled + "." * (30 - filled)
            self._out.write(f"\r  [{bar}] epoch {done:2d}/{total}  {figures}")
            self._out.flush()
        elif done == 1 or done == total or done % max(total // 5, 1) == 0:
            self._out.write(f"  epoch {done:2d}/{total}  {figures}\n")

    def finish(self) -> None:
        if self._live:
            self._out.write("\n")


def save_curve(curve: Curve, path: Path) -> None:
    """Draw loss and accuracy over the epochs into a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    epochs = np.arange(1, len(curve.losses) + 1)
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    left.semilogy(epochs, curve.losses, color="tab:blue")
    left.set(xlabel="epoch", ylabel="cross entropy (nats)", title="training loss")
    right.plot(epochs, 100 * np.array(curve.accuracies), color="tab:green")
    right.axhline(100 * WANTED_ACCURACY, color="0.6", linestyle="--", linewidth=1)
    right.set(xlabel="epoch", ylabel="right (%)", title="accuracy on held-out digits")
    right.set_ylim(min(90.0, 100 * min(curve.accuracies[1:], default=0.9)), 100)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)
