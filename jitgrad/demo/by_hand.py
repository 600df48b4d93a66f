"""The same training step in plain NumPy, derivatives written by hand: what to compare with."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class HandWritten:
    """A network with two hidden layers of rectifiers, trained by AdamW.

    Parameters
    ----------
    weights, biases : list of array
        First values of the three layers, ``weights[k]`` of shape (outputs, inputs); copied.
    rate, decay : float
        Learning rate and weight decay.
    """

    def __init__(
        self, weights: list[Array], biases: list[Array], rate: float, decay: float
    ) -> None:
        self.params = [p.copy() for pair in zip(weights, biases, strict=True) for p in pair]
        self._averages = [np.zeros_like(p) for p in self.params]
        self._squares = [np.zeros_like(p) for p in self.params]
        self.rate = rate
        self._decay = decay
        self._steps = 0

    def step(self, x: Array, labels: Array) -> float:
        """Do one step of training.

        Parameters
        ----------
        x : array, shape (batch, inputs)
            The batch.
        labels : array of int, shape (batch,)
            The class of each row.

        Returns
        -------
        float
            Mean cross entropy before the step.
        """
        w1, b1, w2, b2, w3, b3 = self.params
        h1 = np.maximum(x @ w1.T + b1, 0)
        h2 = np.maximum(h1 @ w2.T + b2, 0)
        logits = h2 @ w3.T + b3
        logits -= logits.max(axis=1, keepdims=True)
        shares = np.exp(logits)
        totals = shares.sum(axis=1, keepdims=True)
        rows = np.arange(len(labels))
        loss = float(np.mean(np.log(totals[:, 0]) - logits[rows, labels]))

        d3 = shares / totals
        d3[rows, labels] -= 1
        d3 /= len(labels)
        d2 = (d3 @ w3) * (h2 > 0)
        d1 = (d2 @ w2) * (h1 > 0)
        grads = [d1.T @ x, d1.sum(0), d2.T @ h1, d2.sum(0), d3.T @ h2, d3.sum(0)]
        self._update(grads)
        return loss

    def _update(self, grads: list[Array]) -> None:
        self._steps += 1
        size = self.rate / (1 - 0.9**self._steps)
        root = float(np.sqrt(1 - 0.999**self._steps))
        moved = zip(self.params, grads, self._averages, self._squares, strict=True)
        for param, grad, average, square in moved:
            param *= 1 - self.rate * self._decay
            average *= 0.9
            average += 0.1 * grad
            square *= 0.999
            square += 0.001 * (grad * grad)
            param -= size * average / (np.sqrt(square) / root + 1e-8)
