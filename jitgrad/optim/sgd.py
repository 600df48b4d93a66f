"""Stochastic gradient descent."""

from __future__ import annotations

from jitgrad.core.errors import ArgumentError
from jitgrad.ops.selection import where
from jitgrad.optim.base import Optimizer, Parameters, ParamGroup, State, scalar
from jitgrad.tensor.inplace import assign
from jitgrad.tensor.tensor import Tensor


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if wanted.

    Parameters
    ----------
    params : iterable of Tensor, of (name, Tensor), or of dict
        What to optimize, or groups of it.
    lr : float or Tensor
        Learning rate: how far to go along the gradient.
    momentum : float
        Share of the last step's direction that is kept.
    dampening : float
        Share of a gradient that is left out of the direction, except the first.
    weight_decay : float
        This times the parameter is added to its gradient.
    nesterov : bool
        Whether to step along the direction that the next step would begin with [1]_.
    maximize : bool
        Whether to go up instead of down.

    Raises
    ------
    ArgumentError
        If a setting is negative, or `nesterov` comes without momentum or with dampening.

    References
    ----------
    .. [1] I. Sutskever, J. Martens, G. Dahl, G. Hinton, On the importance of initialization and
       momentum in deep learning, ICML 2013, in the form that PyTorch documents for its SGD.

    Examples
    --------
    >>> import jitgrad
    >>> w = jitgrad.tensor([3.0], requires_grad=True)
    >>> optimizer = jitgrad.optim.SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> _ = optimizer.step()
    >>> w.detach()
    tensor([2.4])
    """

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def check_settings(self, group: ParamGroup) -> None:
        """Raise ArgumentError if a setting is negative or `nesterov` lacks momentum."""
        for name in ("lr", "momentum", "weight_decay"):
            self.require(group, name, 0, float("inf"))
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ArgumentError(
                "SGD: nesterov=True needs momentum, and no dampening",
                why=f"momentum is {group['momentum']:g}, dampening {group['dampening']:g}",
            )

    def new_state(self, parameter: Tensor, group: ParamGroup) -> State:
        """Return a direction of zeros and a count of the steps; nothing without momentum."""
        if not group["momentum"]:
            return {}
        return {"momentum_buffer": Tensor.zeros_of(parameter.spec), "step": scalar(0.0)}

    def update_parameter(
        self, parameter: Tensor, grad: Tensor, state: State, group: ParamGroup
    ) -> None:
        """Go down the gradient, or along the direction that momentum has accumulated."""
        momentum, dampening = group["momentum"], group["dampening"]
        if group["weight_decay"]:
            grad = grad + group["weight_decay"] * parameter
        if momentum:
            if not state:  # momentum was set after the optimizer was made
                state.update(self.new_state(parameter, group))
            direction = state["momentum_buffer"]
            changed = momentum * direction + (1 - dampening) * grad
            if dampening:
                changed = where(state["step"] == 0, grad, changed)
            assign("step", direction, changed)
            assign("step", state["step"], state["step"] + 1)
            grad = grad + momentum * direction if group["nesterov"] else direction
        assign("step", parameter, parameter - group.rate * grad)
