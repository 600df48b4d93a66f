"""Losses as Modules; the functions are in `nn.functional`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitgrad.nn.functional import huber_loss, l1_loss
from jitgrad.nn.module import Module
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


class _Loss(Module):
    """A loss with nothing to set but what becomes of the single losses."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def _register_weight(self, name: str, weight: ArrayLike | None) -> None:
        self.register_buffer(name, None if weight is None else box_tensor(weight))


class MSELoss(_Loss):
    """Squared differences from the target.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        What becomes of the squares.
    """

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """Return the loss of `input`."""
        return mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """Absolute differences from the target.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        What becomes of the differences.
    """

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """Return the loss of `input`."""
        return l1_loss(input, target, reduction=self.reduction)


class HuberLoss(_Loss):
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


class BCELoss(_Loss):
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
        self._register_weight("weight", weight)

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """Return the loss of `input`."""
        return binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
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
        self._register_weight("weight", weight)
        self._register_weight("pos_weight", pos_weight)

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """Return the loss of `input`."""
        return binary_cross_entropy_with_logits(
            input, target, self.weight, self.pos_weight, reduction=self.reduction
        )


class NLLLoss(_Loss):
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
        self._register_weight("weight", weight)

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """Return the loss of `input`."""
        return nll_loss(input, target, self.weight, self.ignore_index, self.reduction)


class CrossEntropyLoss(_Loss):
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
        self._register_weight("weight", weight)

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
