"""Training steps with Adam: their state, in the midst of training, and the step as a formula."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bench.workload import Array

# So slow that a network hardly changes while it is timed.
RATE, KEEP_MEAN, KEEP_SQUARE, EPSILON = 1e-4, 0.9, 0.999, 1e-8

State = tuple[Any, Sequence[Any], Sequence[Any], Sequence[Any]]


def with_state(rng: np.random.Generator, inputs: Sequence[Array]) -> tuple[Array, ...]:
    """Return the inputs of a training step.

    Parameters
    ----------
    rng : Generator
        For the averages.
    inputs : sequence of array
        What goes into the network, what should come out, and parameters, float32.

    Returns
    -------
    tuple of array
        The first two, a count of steps, the parameters, running averages of their gradients, and
        of the gradients' squares. None of these averages is zero, so that rounding errors of a
        gradient near zero do not decide where a parameter goes.
    """
    x, y, *parameters = inputs
    shapes = [array.shape for array in parameters]
    means = [np.float32(1e-3) * rng.standard_normal(shape, np.float32) for shape in shapes]
    squares = [np.float32(1e-4) * (1 + rng.random(shape, np.float32)) for shape in shapes]
    return x, y, np.array(10, np.float32), *parameters, *means, *squares


def split(arrays: Sequence[Any]) -> tuple[Sequence[Any], State]:
    """Return the batch, and the state: count, parameters, averages, averages of squares."""
    third = (len(arrays) - 3) // 3
    parts = [arrays[3 + k * third : 3 + (k + 1) * third] for k in range(3)]
    return arrays[:2], (arrays[2], parts[0], parts[1], parts[2])


def functional_step(value_and_gradients: Callable[..., Any], sqrt: Callable[[Any], Any]) -> Any:
    """Return a function that takes a batch and a state and returns a loss and the next state."""

    def step(batch: Sequence[Any], state: State) -> tuple[Any, State]:
        count, parameters, means, squares = state
        value, gradients = value_and_gradients(*batch, *parameters)
        count = count + 1
        rate = RATE / (1 - KEEP_MEAN**count)
        correction = 1 / (1 - KEEP_SQUARE**count)
        means = [
            KEEP_MEAN * mean + (1 - KEEP_MEAN) * g for mean, g in zip(means, gradients, strict=True)
        ]
        squares = [
            KEEP_SQUARE * square + (1 - KEEP_SQUARE) * (g * g)
            for square, g in zip(squares, gradients, strict=True)
        ]
        parameters = [
            parameter - rate * mean / (sqrt(square * correction) + EPSILON)
            for parameter, mean, square in zip(parameters, means, squares, strict=True)
        ]
        return value, (count, parameters, means, squares)

    return step


def trainer(step: Callable[..., Any], batch: Sequence[Any], state: State) -> Callable[[], Any]:
    """Return a call that takes a step from where the last one ended; loss and parameters."""

    def call() -> Any:
        nonlocal state
        value, state = step(batch, state)
        return value, state[1]

    return call


def resume(optimizer: Any, count: Any, means: Sequence[Any], squares: Sequence[Any]) -> None:
    """Give a state to an optimizer that saves and loads its own as PyTorch's do."""
    saved = optimizer.state_dict()
    saved["state"] = {
        number: {"step": count, "exp_avg": mean, "exp_avg_sq": square}
        for number, (mean, square) in enumerate(zip(means, squares, strict=True))
    }
    optimizer.load_state_dict(saved)


def constants_for_c() -> dict[str, str]:
    """Return what the C files call these numbers."""
    numbers = {
        "RATE": RATE,
        "KEEP_MEAN": KEEP_MEAN,
        "KEEP_SQUARE": KEEP_SQUARE,
        "EPSILON": EPSILON,
    }
    return {name: f"{number}f" for name, number in numbers.items()}
