"""Losses as Modules; the functions are in `nn.functional`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitgrad.nn.functional import huber_loss, l1_loss, smooth_l1_loss
from jitgrad.nn.module import Module
from jitgrad.ops.divergences import gaussian_nll_loss, kl_div, poisson_nll_loss
from jitgrad.ops.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    mse_loss,
    nll_loss,
)
from jitgrad.tensor.tensor import box_tensor

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


class Loss(Module):
    """A loss with nothing to set but what becomes of the single losses."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def register_weight(self, name: str, weight: ArrayLike | None) -> None:
        """Keep factors as a part of the state."""
        self.register_buffer(name, None if weight is None else box_tensor(weight))


class MSELoss(Loss):
    """Squared differences from the target.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        What becomes of the squares.
    """

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """Return the loss of `input`."""
        return mse_loss(input, target, reduction=self.reduction)


class L1Loss(Loss):
    """Absolute differences from the target.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        What becomes of the differences.
    """

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """Return the loss of `input`."""
        return l1_loss(input, target, reduction=self.reduction)


class HuberLoss(Loss):
    """Loss that is quadratic near the target and linear beyond `delta`.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        What becomes of the losses.
    delta : float
        Where the loss turns linear; positive.
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """Return the loss of `input`."""
        return huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class BCELoss(Loss):
    """Cross entropy of binary targets, given probabilities.

    Parameters
    ----------
    weight : array_like, optional
        Factor of each loss.
    reduction : {"mean", "sum", "none"}
        What becomes of the losses.
    """

    def __init__(self, weight: ArrayLike | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight: Tensor | None
        self.register_weight("weight", weight)

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """Return the loss of `input`."""
        return binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(Loss):
    """Cross entropy of binary targets, given logits; finite for all finite logits.

    Parameters
    ----------
    weight : array_like, optional
        Factor of each loss.
    reduction : {"mean", "sum", "none"}
        What becomes of the losses.
    pos_weight : array_like, optional
        Factor of the part that the class 1 contributes.
    """

    def __init__(
        self,
        weight: ArrayLike | None = None,
        reduction: str = "mean",
        pos_weight: ArrayLike | None = None,
    ) -> None:
        super().__init__(reduction)
        self.weight: Tensor | None
        self.pos_weight: Tensor | None
        self.register_weight("weight", weight)
        self.register_weight("pos_weight", pos_weight)

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """Return the loss of `input`."""
        return binary_cross_entropy_with_logits(
            input, target, self.weight, self.pos_weight, reduction=self.reduction
        )


class NLLLoss(Loss):
    """Minus the log probabilities of the target classes.

    Parameters
    ----------
    weight : array_like, shape (C,), optional
        Factor of the losses of each class.
    ignore_index : int
        Targets of this class count for nothing.
    reduction : {"mean", "sum", "none"}
        What becomes of the losses.
    """

    def __init__(
        self, weight: ArrayLike | None = None, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.weight: Tensor | None
        self.ignore_index = ignore_index
        self.register_weight("weight", weight)

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """Return the loss of `input`."""
        return nll_loss(input, target, self.weight, self.ignore_index, self.reduction)


class CrossEntropyLoss(Loss):
    """Cross entropy of classes, given logits.

    Parameters
    ----------
    weight : array_like, shape (C,), optional
        Factor of the losses of each class.
    ignore_index : int
        Targets of this class count for nothing.
    reduction : {"mean", "sum", "none"}
        What becomes of the losses.
    label_smoothing : float
        Share of the target's probability that is spread over all classes evenly, from 0 to 1.

    Examples
    --------
    >>> from jitgrad import nn
    >>> float(nn.CrossEntropyLoss()([[0.0, 0.0]], [1]))  # the logarithm of 2
    0.6931...
    """

    def __init__(
        self,
        weight: ArrayLike | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        self.weight: Tensor | None
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.register_weight("weight", weight)

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """Return the loss of `input`."""
        return cross_entropy(
            input,
            target,
            self.weight,
            self.ignore_index,
            self.reduction,
            self.label_smoothing,
        )


class SmoothL1Loss(Loss):
    """Absolute differences from the target, rounded off below `beta`.

    Parameters
    ----------
    beta : float
        Below which a loss is quadratic.
    reduction : {"mean", "sum", "none"}
        What becomes of the losses.
    """

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """Return the loss."""
        return smooth_l1_loss(input, target, beta=self.beta, reduction=self.reduction)


class KLDivLoss(Loss):
    """Divergence of targets from distributions, given as logarithms.

    Parameters
    ----------
    log_target : bool
        Whether targets are logarithms, too.
    reduction : {"mean", "batchmean", "sum", "none"}
        What becomes of the losses.
    """

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = log_target

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """Return the loss."""
        return kl_div(input, target, log_target=self.log_target, reduction=self.reduction)


class PoissonNLLLoss(Loss):
    """Minus the log probabilities of counts, given rates or their logarithms.

    Parameters
    ----------
    log_input : bool
        Whether the logarithms are given.
    full : bool
        Whether to approximate the constant part.
    eps : float
        Added to rates before their logarithm is taken.
    reduction : {"mean", "sum", "none"}
        What becomes of the losses.
    """

    def __init__(
        self, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """Return the loss."""
        return poisson_nll_loss(
            input,
            target,
            log_input=self.log_input,
            full=self.full,
            eps=self.eps,
            reduction=self.reduction,
        )


class GaussianNLLLoss(Loss):
    """Minus the log densities of normal distributions.

    Parameters
    ----------
    full : bool
        Whether the constant part counts.
    eps : float
        The least variance.
    reduction : {"mean", "sum", "none"}
        What becomes of the losses.
    """

    def __init__(self, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.full = full
        self.eps = eps

    def forward(self, input: ArrayLike, target: ArrayLike, var: ArrayLike) -> Tensor:
        """Return the loss."""
        return gaussian_nll_loss(
            input, target, var, full=self.full, eps=self.eps, reduction=self.reduction
        )
