"""Schedules: learning rates that change from epoch to epoch."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jitgrad.core.errors import ArgumentError
from jitgrad.optim.base import Optimizer, ParamGroup


class LRScheduler:
    """Base of the schedules: sets the learning rate of every group when `step` is called.

    Each learning rate is a function of the number of steps and of the rate that the group had at
    first, so one schedule at a time governs an optimizer.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set.
    last_epoch : int
        Number of the last step done, when going on from there; -1 to begin.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = optimizer
        self.last_epoch = last_epoch
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", float(group["lr"]))
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.step()

    def rate_at(self, epoch: int, first: float, group: int) -> float:
        """Return the learning rate after `epoch` steps for a group that began with `first`."""
        raise NotImplementedError

    def step(self) -> None:
        """Set the learning rates for the next epoch; call it after the optimizer's steps."""
        self.last_epoch += 1
        groups = zip(self.optimizer.param_groups, self.base_lrs, strict=True)
        for number, (group, first) in enumerate(groups):
            group["lr"] = self.rate_at(self.last_epoch, first, number)

    def get_last_lr(self) -> list[float]:
        """Return the learning rate of each group."""
        return _rates(self.optimizer.param_groups)

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on later: all attributes but the optimizer and functions."""
        return {
            name: value
            for name, value in vars(self).items()
            if name != "optimizer" and not name.startswith("_")
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state; the optimizer's own state has the learning rates.

        Parameters
        ----------
        state_dict : mapping
            As of `state_dict`.
        """
        vars(self).update(state_dict)


def _rates(groups: Iterable[ParamGroup]) -> list[float]:
    return [float(group["lr"]) for group in groups]


class LambdaLR(LRScheduler):
    """The first rate times a function of the number of steps.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set.
    lr_lambda : callable or list of callable
        Takes the number of steps and returns the factor; one for all groups, or one for each.
    last_epoch : int
        Number of the last step done, when going on from there; -1 to begin.

    Raises
    ------
    ArgumentError
        If there are not as many functions as groups.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        count = len(optimizer.param_groups)
        self._factors = [lr_lambda] * count if callable(lr_lambda) else list(lr_lambda)
        if len(self._factors) != count:
            raise ArgumentError(
                f"LambdaLR: there are {len(self._factors)} functions",
                why=f"the optimizer has {count} groups of parameters",
                do="pass one function, or one for each group",
            )
        super().__init__(optimizer, last_epoch)

    def rate_at(self, epoch: int, first: float, group: int) -> float:
        """Return the first rate times the function's value."""
        return first * self._factors[group](epoch)


class StepLR(LRScheduler):
    """Multiplies the rate by a factor every so many steps.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set.
    step_size : int
        Number of steps between changes.
    gamma : float
        The factor.
    last_epoch : int
        Number of the last step done, when going on from there; -1 to begin.
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def rate_at(self, epoch: int, first: float, group: int) -> float:
        """Return the first rate times a power of the factor."""
        return first * self.gamma ** (epoch // self.step_size)


class MultiStepLR(LRScheduler):
    """Multiplies the rate by a factor after given numbers of steps.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set.
    milestones : iterable of int
        The numbers of steps; one that occurs twice counts twice.
    gamma : float
        The factor.
    last_epoch : int
        Number of the last step done, when going on from there; -1 to begin.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = sorted(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def rate_at(self, epoch: int, first: float, group: int) -> float:
        """Return the first rate times the factor for each milestone passed."""
        return first * self.gamma ** bisect.bisect_right(self.milestones, epoch)


class ExponentialLR(LRScheduler):
    """Multiplies the rate by a factor at every step.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set.
    gamma : float
        The factor.
    last_epoch : int
        Number of the last step done, when going on from there; -1 to begin.
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def rate_at(self, epoch: int, first: float, group: int) -> float:
        """Return the first rate times a power of the factor."""
        return first * self.gamma**epoch


class LinearLR(LRScheduler):
    """Changes a factor of the rate evenly from one value to another, and keeps it then.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set.
    start_factor, end_factor : float
        The factor at first and in the end.
    total_iters : int
        Number of steps that the change takes.
    last_epoch : int
        Number of the last step done, when going on from there; -1 to begin.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def rate_at(self, epoch: int, first: float, group: int) -> float:
        """Return the first rate times the factor."""
        share = min(epoch, self.total_iters) / self.total_iters
        return first * (self.start_factor + (self.end_factor - self.start_factor) * share)


class CosineAnnealingLR(LRScheduler):
    """Lets the rate fall along half a period of a cosine [1]_.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set.
    T_max : int
        Number of steps until it is least; going on beyond, it rises again.
    eta_min : float
        The least rate.
    last_epoch : int
        Number of the last step done, when going on from there; -1 to begin.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter, SGDR: stochastic gradient descent with warm restarts, ICLR
       2017.
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def rate_at(self, epoch: int, first: float, group: int) -> float:
        """Return the rate on the cosine."""
        height = (1 + math.cos(math.pi * epoch / self.T_max)) / 2
        return self.eta_min + (first - self.eta_min) * height


class ReduceLROnPlateau:
    """Multiplies the rate by a factor when a figure has stopped getting better.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates to set.
    mode : {"min", "max"}
        Whether the figure should become smaller or larger.
    factor : float
        By which to multiply, below 1.
    patience : int
        Number of steps without improvement that are let pass.
    threshold : float
        Relative change that counts as an improvement.
    cooldown : int
        Number of steps after a change that are not counted.
    min_lr : float
        The least rate.

    Raises
    ------
    ArgumentError
        If `mode` is neither, or `factor` is not below 1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        if mode not in ("min", "max"):
            raise ArgumentError(
                f"ReduceLROnPlateau: mode is {mode!r}", why='it must be "min" or "max"'
            )
        if factor >= 1:
            raise ArgumentError(
                f"ReduceLROnPlateau: factor is {factor:g}", why="it must be below 1"
            )
        self.optimizer = optimizer
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.cooldown = cooldown
        self.min_lr = min_lr
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = 0
        self.cooldown_counter = 0
        self.last_epoch = 0

    def step(self, metrics: Any) -> None:
        """Look at the figure of an epoch, and change the learning rates if it is time.

        Parameters
        ----------
        metrics : float or Tensor
            The figure.
        """
        figure = float(metrics)
        self.last_epoch += 1
        if self._is_better(figure):
            self.best = figure
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group in self.optimizer.param_groups:
                group["lr"] = max(float(group["lr"]) * self.factor, self.min_lr)
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0

    def _is_better(self, figure: float) -> bool:
        if self.mode == "min":
            return figure < self.best * (1 - self.threshold)
        return figure > self.best * (1 + self.threshold)

    def get_last_lr(self) -> list[float]:
        """Return the learning rate of each group."""
        return _rates(self.optimizer.param_groups)
