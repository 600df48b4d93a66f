"""Adam and its kin: steps scaled by running averages of the gradient and of its square."""

from __future__ import annotations

from jitgrad.ops.power import sqrt
from jitgrad.ops.selection import maximum
from jitgrad.optim.base import Optimizer, Parameters, ParamGroup, State, scalar
from jitgrad.tensor.inplace import assign
from jitgrad.tensor.tensor import Tensor


class Adam(Optimizer):
    """Adam [1]_.

    Parameters
    ----------
    params : iterable of Tensor, of (name, Tensor), or of dict
        What to optimize, or groups of it.
    lr : float or Tensor
        Learning rate: about how far each element goes in a step.
    betas : (float, float)
        Share of the running averages, of the gradient and of its square, that a step keeps.
    eps : float
        Added to the root of the average square, so that nothing is divided by zero.
    weight_decay : float
        This times the parameter is added to its gradient.
    amsgrad : bool
        Whether to divide by the largest average square so far [2]_.
    maximize : bool
        Whether to go up instead of down.

    Raises
    ------
    ArgumentError
        If a setting is negative, or one of `betas` is not below 1.

    References
    ----------
    .. [1] D. P. Kingma, J. Ba, Adam: a method for stochastic optimization, ICLR 2015.
    .. [2] S. J. Reddi, S. Kale, S. Kumar, On the convergence of Adam and beyond, ICLR 2018.

    Examples
    --------
    >>> import jitgrad
    >>> w = jitgrad.tensor([3.0], requires_grad=True)
    >>> optimizer = jitgrad.optim.Adam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> _ = optimizer.step()
    >>> w.detach()
    tensor([2.9])
    """

    # Whether weight decay acts on the parameter itself and not through the averages.
    _decoupled = False

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": tuple(betas),
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
            },
        )

    def check_settings(self, group: ParamGroup) -> None:
        """Raise ArgumentError if a setting is negative or one of ``betas`` is not below 1."""
        for name in ("lr", "eps", "weight_decay"):
            self.require(group, name, 0, float("inf"))
        for number, beta in enumerate(group["betas"]):
            self.require({f"betas[{number}]": beta}, f"betas[{number}]", 0, 1)

    def new_state(self, parameter: Tensor, group: ParamGroup) -> State:
        """Return averages of zero and a count of the steps."""
        names = ["exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else [])]
        return {"step": scalar(0.0), **{n: Tensor.zeros_of(parameter.spec) for n in names}}

    def update_parameter(
        self, parameter: Tensor, grad: Tensor, state: State, group: ParamGroup
    ) -> None:
        """Step by the average gradient over the root of the average square."""
        beta1, beta2 = group["betas"]
        rate, decay = group.rate, group["weight_decay"]
        value = parameter
        if decay and self._decoupled:
            value = parameter * (1 - rate * decay)
        elif decay:
            grad = grad + decay * parameter
        step, average, square = state["step"], state["exp_avg"], state["exp_avg_sq"]
        assign("step", step, step + 1)
        assign("step", average, beta1 * average + (1 - beta1) * grad)
        assign("step", square, beta2 * square + (1 - beta2) * (grad * grad))
        if group["amsgrad"]:
            largest = state["max_exp_avg_sq"]
            assign("step", largest, maximum(largest, square))
            square = largest
        # The averages began at zero; these undo what that makes them too small by.
        size = rate / (1 - beta1**step)
        root = sqrt(square) / sqrt(1 - beta2**step)
        assign("step", parameter, value - size * (average / (root + group["eps"])))


class AdamW(Adam):
    """Adam whose weight decay acts on the parameters and not on the gradients [1]_.

    Parameters
    ----------
    params : iterable of Tensor, of (name, Tensor), or of dict
        What to optimize, or groups of it.
    lr : float or Tensor
        Learning rate: about how far each element goes in a step.
    betas : (float, float)
        Share of the running averages, of the gradient and of its square, that a step keeps.
    eps : float
        Added to the root of the average square, so that nothing is divided by zero.
    weight_decay : float
        Each step takes ``lr * weight_decay`` times the parameter off it.
    amsgrad : bool
        Whether to divide by the largest average square so far.
    maximize : bool
        Whether to go up instead of down.

    Raises
    ------
    ArgumentError
        If a setting is negative, or one of `betas` is not below 1.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter, Decoupled weight decay regularization, ICLR 2019.
    """

    _decoupled = True

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
