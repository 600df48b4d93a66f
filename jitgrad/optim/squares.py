"""Optimizers that divide by the root of what squares of gradients add up to."""

from __future__ import annotations

from jitgrad.ops.creation import full
from jitgrad.ops.power import sqrt
from jitgrad.optim.base import Optimizer, Parameters, ParamGroup, State, scalar
from jitgrad.tensor.inplace import assign
from jitgrad.tensor.tensor import Tensor


class RMSprop(Optimizer):
    """Gradients, divided by the root of a running mean of their squares [1]_.

    Parameters
    ----------
    params : iterable of Tensor, of (name, Tensor), or of dict
        What to optimize, or groups of it.
    lr : float or Tensor
        Learning rate.
    alpha : float
        Share of the running mean that is kept.
    eps : float
        Added to the root.
    weight_decay : float
        This times the parameter is added to its gradient.
    momentum : float
        Share of the last step's direction that is kept.
    centered : bool
        Whether the square of a running mean of the gradient is subtracted under the root.
    maximize : bool
        Whether to go up instead of down.

    Raises
    ------
    ArgumentError
        If a setting is negative.

    References
    ----------
    .. [1] A. Graves, Generating sequences with recurrent neural networks, arXiv:1308.0850 (2013),
       in the form that PyTorch documents for its RMSprop.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
                "maximize": maximize,
            },
        )

    def check_settings(self, group: ParamGroup) -> None:
        """Raise ArgumentError if a setting is negative."""
        for name in ("lr", "alpha", "eps", "weight_decay", "momentum"):
            self.require(group, name, 0, float("inf"))

    def new_state(self, parameter: Tensor, group: ParamGroup) -> State:
        """Return running means of zero, and a direction of zeros where there is momentum."""
        state = {"square_avg": Tensor.zeros_of(parameter.spec)}
        if group["momentum"]:
            state["momentum_buffer"] = Tensor.zeros_of(parameter.spec)
        if group["centered"]:
            state["grad_avg"] = Tensor.zeros_of(parameter.spec)
        return state

    def update_parameter(
        self, parameter: Tensor, grad: Tensor, state: State, group: ParamGroup
    ) -> None:
        """Go down the scaled gradient, or along the direction that momentum has accumulated."""
        # settings may have been changed after the optimizer was made
        for name, value in self.new_state(parameter, group).items():
            state.setdefault(name, value)
        alpha = group["alpha"]
        if group["weight_decay"]:
            grad = grad + group["weight_decay"] * parameter
        squares = state["square_avg"]
        assign("step", squares, alpha * squares + (1 - alpha) * grad * grad)
        spread = squares
        if group["centered"]:
            mean = state["grad_avg"]
            assign("step", mean, alpha * mean + (1 - alpha) * grad)
            spread = squares - mean * mean
        move = grad / (sqrt(spread) + group["eps"])
        if group["momentum"]:
            direction = state["momentum_buffer"]
            assign("step", direction, group["momentum"] * direction + move)
            move = direction
        assign("step", parameter, parameter - group.rate * move)


class Adagrad(Optimizer):
    """Gradients, divided by the root of the sum of their squares so far [1]_.

    Parameters
    ----------
    params : iterable of Tensor, of (name, Tensor), or of dict
        What to optimize, or groups of it.
    lr : float or Tensor
        Learning rate.
    lr_decay : float
        The learning rate is divided by 1 and this times the number of steps before.
    weight_decay : float
        This times the parameter is added to its gradient.
    initial_accumulator_value : float
        What the sums begin with.
    eps : float
        Added to the root.
    maximize : bool
        Whether to go up instead of down.

    Raises
    ------
    ArgumentError
        If a setting is negative.

    References
    ----------
    .. [1] J. Duchi, E. Hazan, Y. Singer, Adaptive subgradient methods for online learning and
       stochastic optimization, J. Mach. Learn. Res. 12 (2011), 2121-2159.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "eps": eps,
                "maximize": maximize,
            },
        )

    def check_settings(self, group: ParamGroup) -> None:
        """Raise ArgumentError if a setting is negative."""
        for name in ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"):
            self.require(group, name, 0, float("inf"))

    def new_state(self, parameter: Tensor, group: ParamGroup) -> State:
        """Return the sum to begin with, and a count of the steps."""
        first = group["initial_accumulator_value"]
        return {
            "sum": full(tuple(parameter.shape), float(first), dtype=parameter.dtype),
            "step": scalar(0.0),
        }

    def update_parameter(
        self, parameter: Tensor, grad: Tensor, state: State, group: ParamGroup
    ) -> None:
        """Add the squares, and go down the scaled gradient."""
        if group["weight_decay"]:
            grad = grad + group["weight_decay"] * parameter
        rate = group.rate / (1 + state["step"] * group["lr_decay"])
        assign("step", state["step"], state["step"] + 1)
        total = state["sum"]
        assign("step", total, total + grad * grad)
        assign("step", parameter, parameter - rate * grad / (sqrt(total) + group["eps"]))
