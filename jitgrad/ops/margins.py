"""Losses that ask for a margin between what is right and what is wrong; `jitgrad.nn.functional`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitgrad.core.bind import box
from jitgrad.core.public import public
from jitgrad.ops.activations import softplus_primitive
from jitgrad.ops.composite import mean_over
from jitgrad.ops.distances import pairwise_distance
from jitgrad.ops.divergences import cosine_similarity
from jitgrad.ops.losses import reduced_losses, same_shapes
from jitgrad.ops.selection import clamp, minimum, select

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


@public(method=False, namespace="nn.functional")
def margin_ranking_loss(
    input1: ArrayLike,
    input2: ArrayLike,
    target: ArrayLike,
    margin: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """Return how far numbers are from being in the right order.

    Parameters
    ----------
    input1, input2 : array_like
        Shapes that broadcast.
    target : array_like
        1 where the first one should be larger, -1 where the second one should.
    margin : float
        By how much.
    reduction : {"mean", "sum", "none"}
        What becomes of the losses.

    Returns
    -------
    Tensor
        ``max(0, margin - target * (input1 - input2))``.

    Raises
    ------
    ArgumentError
        If there is no such reduction.
    """
    losses = clamp(margin - box(target) * (box(input1) - box(input2)), 0.0)
    result: Tensor = reduced_losses("margin_ranking_loss", losses, reduction)
    return result


@public(method=False, namespace="nn.functional")
def hinge_embedding_loss(
    input: ArrayLike, target: ArrayLike, margin: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """Return distances of what belongs together, and what distances of the rest lack.

    Parameters
    ----------
    input : array_like
        Distances, any shape.
    target : array_like
        1 where two things belong together, -1 where they do not.
    margin : float
        How distant they should be then.
    reduction : {"mean", "sum", "none"}
        What becomes of the losses.

    Returns
    -------
    Tensor
        ``input`` or ``max(0, margin - input)``.

    Raises
    ------
    ArgumentError
        If there is no such reduction.
    """
    x, y = box(input), box(target)
    losses = select(y != 1, clamp(margin - x, 0.0), 0.0) + select(y != -1, x, 0.0)
    result: Tensor = reduced_losses("hinge_embedding_loss", losses, reduction)
    return result


@public(method=False, namespace="nn.functional")
def cosine_embedding_loss(
    input1: ArrayLike,
    input2: ArrayLike,
    target: ArrayLike,
    margin: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """Return how far cosines of vectors are from 1, or above a margin.

    Parameters
    ----------
    input1, input2 : array_like, shape (..., d)
        Vectors.
    target : array_like, shape (...)
        1 where they should have one direction, -1 where they should not.
    margin : float
        How large the cosine may be then.
    reduction : {"mean", "sum", "none"}
        What becomes of the losses.

    Returns
    -------
    Tensor
        ``1 - cosine`` or ``max(0, cosine - margin)``.

    Raises
    ------
    ArgumentError
        If there is no such reduction.
    """
    cosine, y = cosine_similarity(input1, input2, -1), box(target)
    apart = select(y == -1, clamp(cosine - margin, 0.0), 0.0)
    losses = select(y == 1, 1 - cosine, apart)
    result: Tensor = reduced_losses("cosine_embedding_loss", losses, reduction)
    return result


@public(method=False, namespace="nn.functional")
def triplet_margin_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """Return by how much a vector is too near to a wrong one, compared with a right one.

    Parameters
    ----------
    anchor, positive, negative : array_like, shape (..., d)
        The vector, the one it belongs to, and another one.
    margin : float
        How much nearer it should be.
    p : float
        Which norm is the distance.
    eps : float
        Added to differences.
    swap : bool
        Whether the distance of `positive` and `negative` counts where it is smaller.
    reduction : {"mean", "sum", "none"}
        What becomes of the losses.

    Returns
    -------
    Tensor
        ``max(0, d(anchor, positive) - d(anchor, negative) + margin)``.

    Raises
    ------
    ArgumentError
        If there is no such reduction.
    """
    near = pairwise_distance(anchor, positive, p, eps)
    far: Any = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    losses = clamp(near - far + margin, 0.0)
    result: Tensor = reduced_losses("triplet_margin_loss", losses, reduction)
    return result


@public(method=False, namespace="nn.functional")
def soft_margin_loss(input: ArrayLike, target: ArrayLike, reduction: str = "mean") -> Tensor:
    """Return ``log(1 + exp(-target * input))``, finite for all finite inputs.

    Parameters
    ----------
    input : array_like
        Any shape.
    target : array_like, shape of `input`
        1 or -1.
    reduction : {"mean", "sum", "none"}
        What becomes of the losses.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        If the shapes differ.
    ArgumentError
        If there is no such reduction.
    """
    x, y = box(input), box(target)
    same_shapes("soft_margin_loss", x, y)
    losses = softplus_primitive(-y * x)
    result: Tensor = reduced_losses("soft_margin_loss", losses, reduction)
    return result


@public(method=False, namespace="nn.functional")
def multilabel_soft_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the mean over classes of the cross entropy of binary targets, given logits.

    Parameters
    ----------
    input : array_like, shape (..., c)
        Logits.
    target : array_like, shape of `input`
        1 for each class that something belongs to, else 0.
    weight : array_like, shape (c,), optional
        Factor of each class.
    reduction : {"mean", "sum", "none"}
        What becomes of the losses.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        If the shapes differ.
    ArgumentError
        If there is no such reduction.
    """
    x, y = box(input), box(target)
    same_shapes("multilabel_soft_margin_loss", x, y)
    losses = y * softplus_primitive(-x) + (1 - y) * softplus_primitive(x)
    if weight is not None:
        losses = losses * box(weight)
    each = mean_over(losses, (losses.ndim - 1,), False)
    result: Tensor = reduced_losses("multilabel_soft_margin_loss", each, reduction)
    return result
