"""Losses that ask for a margin, as Modules; the functions are in `nn.functional`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitgrad.nn.losses import Loss
from jitgrad.ops.margins import (
    cosine_embedding_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    multilabel_soft_margin_loss,
    soft_margin_loss,
    triplet_margin_loss,
)

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


class MarginRankingLoss(Loss):
    """How far numbers are from being in the right order.

    Parameters
    ----------
    margin : float
        By how much the one should be larger.
    reduction : {"mean", "sum", "none"}
        What becomes of the losses.
    """

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: ArrayLike, input2: ArrayLike, target: ArrayLike) -> Tensor:
        """Return the loss."""
        return margin_ranking_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class HingeEmbeddingLoss(Loss):
    """Distances of what belongs together, and what distances of the rest lack.

    Parameters
    ----------
    margin : float
        How distant the rest should be.
    reduction : {"mean", "sum", "none"}
        What becomes of the losses.
    """

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """Return the loss."""
        return hinge_embedding_loss(input, target, margin=self.margin, reduction=self.reduction)


class CosineEmbeddingLoss(Loss):
    """How far cosines of vectors are from 1, or above a margin.

    Parameters
    ----------
    margin : float
        How large cosines may be of vectors that should not have one direction.
    reduction : {"mean", "sum", "none"}
        What becomes of the losses.
    """

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: ArrayLike, input2: ArrayLike, target: ArrayLike) -> Tensor:
        """Return the loss."""
        return cosine_embedding_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class TripletMarginLoss(Loss):
    """By how much a vector is too near to a wrong one, compared with a right one.

    Parameters
    ----------
    margin : float
        How much nearer the right one should be.
    p : float
        Which norm is the distance.
    eps : float
        Added to differences.
    swap : bool
        Whether the distance of the right one from the wrong one counts where it is smaller.
    reduction : {"mean", "sum", "none"}
        What becomes of the losses.
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: ArrayLike, positive: ArrayLike, negative: ArrayLike) -> Tensor:
        """Return the loss."""
        return triplet_margin_loss(
            anchor,
            positive,
            negative,
            margin=self.margin,
            p=self.p,
            eps=self.eps,
            swap=self.swap,
            reduction=self.reduction,
        )


class SoftMarginLoss(Loss):
    """``log(1 + exp(-target * input))`` for targets of 1 and -1.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        What becomes of the losses.
    """

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """Return the loss."""
        return soft_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(Loss):
    """Mean over classes of the cross entropy of binary targets, given logits.

    Parameters
    ----------
    weight : array_like, shape (c,), optional
        Factor of each class.
    reduction : {"mean", "sum", "none"}
        What becomes of the losses.
    """

    def __init__(self, weight: ArrayLike | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight: Tensor | None
        self.register_weight("weight", weight)

    def forward(self, input: ArrayLike, target: ArrayLike) -> Tensor:
        """Return the loss."""
        return multilabel_soft_margin_loss(input, target, self.weight, self.reduction)
