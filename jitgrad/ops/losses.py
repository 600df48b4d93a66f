"""Losses: distances between predictions and targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.dtypes import int64, is_floating
from jitgrad.core.errors import ArgumentError, DtypeError, ShapeError
from jitgrad.core.primitive import Primitive, Template, partials
from jitgrad.core.public import public
from jitgrad.ops.activations import softplus_primitive
from jitgrad.ops.cast import convert
from jitgrad.ops.composite import log_softmax, mean_over
from jitgrad.ops.exponential import log, sigmoid
from jitgrad.ops.families import elementwise, reals
from jitgrad.ops.naming import shown_as
from jitgrad.ops.power import square
from jitgrad.ops.reduction import sum_over
from jitgrad.ops.selection import at_least, select
from jitgrad.ops.shape import reshape_to

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


def _bce_eager(x: Any, target: Any) -> Any:
    return np.maximum(x, 0) - x * target + np.log1p(np.exp(-np.abs(x)))


# Finite for all finite logits: the exponential is at most 1, and nothing large is cancelled.
bce_with_logits: Primitive = elementwise(
    "bce_with_logits",
    eager=_bce_eager,
    derivative=partials(lambda x, target: sigmoid(x) - target, lambda x: -x),
    template=Template(
        "maximum({x}, {zero}) - {x} * {target} + log1p(exp(-absolute({x})))", cost=30
    ),
    samples=reals((-4, 4), (0, 1)),
    doc="``-target * log(sigmoid(x)) - (1 - target) * log(1 - sigmoid(x))`` of each element.",
    inputs=("x", "target"),
    result="float",
    grad_name="BinaryCrossEntropyWithLogitsBackward0",
    published=False,
)


def reduced_losses(operation: str, losses: Any, reduction: str) -> Any:
    """Return the mean or the sum of the losses, or the losses themselves.

    Raises
    ------
    ArgumentError
        If there is no such reduction.
    """
    every = tuple(range(losses.ndim))
    if reduction == "mean":
        return mean_over(losses, every, False)
    if reduction == "sum":
        return sum_over(losses, axes=every, keepdims=False)
    if reduction == "none":
        return losses
    raise ArgumentError(
        f"{operation}: there is no reduction {reduction!r}", do="pass 'mean', 'sum' or 'none'"
    )


def same_shapes(operation: str, x: Any, target: Any) -> None:
    """Raise the error of a loss whose input and target have different shapes.

    Raises
    ------
    ShapeError
        If they have.
    """
    if tuple(x.shape) != tuple(target.shape):
        raise ShapeError(
            f"{operation}: the target has shape {tuple(target.shape)}",
            why=f"the input has shape {tuple(x.shape)}; they must be the same",
            do="reshape one of them, so that no element is compared with several",
        )


@public(method=False, namespace="nn.functional")
def binary_cross_entropy_with_logits(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    pos_weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the cross entropy of binary targets, given logits.

    Parameters
    ----------
    input : array_like
        Logits, any shape.
    target : array_like, shape of `input`
        Probabilities of the class 1, from 0 to 1.
    weight : array_like, optional
        Factor of each loss; broadcasts to the shape of `input`.
    pos_weight : array_like, optional
        Factor of the part that the class 1 contributes; broadcasts to the shape of `input`.
    reduction : {"mean", "sum", "none"}
        What becomes of the losses.

    Returns
    -------
    Tensor
        0-d, or of the shape of `input` without reduction. Finite for all finite logits, in nats.

    Raises
    ------
    ShapeError
        If the shapes differ.
    ArgumentError
        If there is no such reduction.
    """
    operation = "binary_cross_entropy_with_logits"
    logits, targets = box(input), box(target)
    same_shapes(operation, logits, targets)
    if pos_weight is None:
        losses = bce_with_logits(logits, targets)
    else:
        factor = 1.0 + (box(pos_weight) - 1.0) * targets
        losses = (1.0 - targets) * logits + factor * softplus_primitive(-logits)
    if weight is not None:
        losses = losses * weight
    return shown_as(
        "BinaryCrossEntropyWithLogitsBackward0", reduced_losses(operation, losses, reduction)
    )


@public(method=False, namespace="nn.functional")
def binary_cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the cross entropy of binary targets, given probabilities.

    Parameters
    ----------
    input : array_like
        Probabilities of the class 1, any shape.
    target : array_like, shape of `input`
        Probabilities of the class 1, from 0 to 1.
    weight : array_like, optional
        Factor of each loss; broadcasts to the shape of `input`.
    reduction : {"mean", "sum", "none"}
        What becomes of the losses.

    Returns
    -------
    Tensor
        0-d, or of the shape of `input` without reduction; in nats. A logarithm below -100 counts
        as -100, and gradients are at most 1e12, as in PyTorch.

    Raises
    ------
    ShapeError
        If the shapes differ.
    ArgumentError
        If there is no such reduction.
    """
    operation = "binary_cross_entropy"
    p, targets = box(input), box(target)
    same_shapes(operation, p, targets)
    losses = probability_bce(p, targets)
    if weight is not None:
        losses = losses * weight
    return shown_as("BinaryCrossEntropyBackward0", reduced_losses(operation, losses, reduction))


def _probability_bce_eager(p: Any, target: Any) -> Any:
    one_class, other = np.maximum(np.log(p), -100), np.maximum(np.log1p(-p), -100)
    return (target - 1) * other - target * one_class


probability_bce: Primitive = elementwise(
    "probability_bce",
    eager=_probability_bce_eager,
    derivative=partials(
        lambda p, target: (p - target) / at_least((1.0 - p) * p, 1e-12),
        lambda p: at_least(log(1.0 - p), -100.0) - at_least(log(p), -100.0),
    ),
    template=Template(
        "({target} - {one}) * maximum(log1p(-{p}), -100.0) - {target} * maximum(log({p}), -100.0)",
        cost=35,
    ),
    samples=reals((0.1, 0.9), (0, 1)),
    doc="``-target * log(p) - (1 - target) * log(1 - p)`` of each element, at most about 100.",
    inputs=("p", "target"),
    result="float",
    grad_name="BinaryCrossEntropyBackward0",
    published=False,
)


@public(method=False, namespace="nn.functional")
def mse_loss(
    input: ArrayLike,
    target: ArrayLike,
    reduction: str = "mean",
    weight: ArrayLike | None = None,
) -> Tensor:
    """Return the squared differences from the target, averaged unless asked otherwise.

    Parameters
    ----------
    input : array_like
        Any shape.
    target : array_like, shape of `input`
        What it should be.
    reduction : {"mean", "sum", "none"}
        What becomes of the squares.
    weight : array_like, shape of `input`, optional
        Factor of each square; the mean divides by the sum of the weights.

    Returns
    -------
    Tensor
        0-d, or of the shape of `input` without reduction; units of `input` squared.

    Raises
    ------
    ShapeError
        If the shapes differ.
    ArgumentError
        If there is no such reduction.
    """
    value, targets = box(input), box(target)
    same_shapes("mse_loss", value, targets)
    squares = square(value - targets)
    if weight is None:
        return shown_as("MseLossBackward0", reduced_losses("mse_loss", squares, reduction))
    weighted = squares * weight
    if reduction != "mean":
        return shown_as("MseLossBackward0", reduced_losses("mse_loss", weighted, reduction))
    return shown_as("MseLossBackward0", weighted.sum() / box(weight).sum())


# -- classes -------------------------------------------------------------------------------


@public(method=False, namespace="nn.functional")
def cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the cross entropy of classes, given logits.

    Parameters
    ----------
    input : array_like, shape (C,), (N, C) or (N, C, ...)
        Logits; the classes are along axis 1, or the only one.
    target : array_like
        Classes as int64, of the shape of `input` without the axis of classes; or probabilities,
        of the shape of `input`.
    weight : array_like, shape (C,), optional
        Factor of the losses of each class.
    ignore_index : int
        Targets of this class count for nothing.
    reduction : {"mean", "sum", "none"}
        What becomes of the losses; the mean of classes is weighted.
    label_smoothing : float
        Share of the target's probability that is spread over all classes evenly, from 0 to 1.

    Returns
    -------
    Tensor
        0-d, or one loss for each target without reduction; in nats.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    DtypeError
        If classes are given that are not integers.
    ArgumentError
        If there is no such reduction, or `label_smoothing` is not from 0 to 1.
    IndexingError
        If there is no such class.
    """
    logits, targets = box(input), box(target)
    if not 0.0 <= label_smoothing <= 1.0:
        raise ArgumentError(
            f"cross_entropy: label_smoothing is {label_smoothing}", why="it must be from 0 to 1"
        )
    if not logits.ndim:
        raise ShapeError("cross_entropy: the input is 0-d", why="it needs an axis of classes")
    axis = 0 if logits.ndim == 1 else 1
    log_probabilities: Any = log_softmax(logits, axis)
    if is_floating(targets.dtype) and tuple(targets.shape) == tuple(logits.shape):
        return _soft_targets(log_probabilities, targets, weight, reduction, label_smoothing, axis)
    _check_classes("cross_entropy", logits, targets, axis)
    return _hard_targets(
        log_probabilities, targets, weight, ignore_index, reduction, label_smoothing, axis
    )


@public(method=False, namespace="nn.functional")
def nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Return minus the log probabilities of the target classes.

    Parameters
    ----------
    input : array_like, shape (C,), (N, C) or (N, C, ...)
        Log probabilities; the classes are along axis 1, or the only one.
    target : array_like of int64
        Classes, of the shape of `input` without the axis of classes.
    weight : array_like, shape (C,), optional
        Factor of the losses of each class.
    ignore_index : int
        Targets of this class count for nothing.
    reduction : {"mean", "sum", "none"}
        What becomes of the losses; the mean is weighted.

    Returns
    -------
    Tensor
        0-d, or one loss for each target without reduction; in nats.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    DtypeError
        If the classes are not integers.
    ArgumentError
        If there is no such reduction.
    IndexingError
        If there is no such class.
    """
    log_probabilities, targets = box(input), box(target)
    if not log_probabilities.ndim:
        raise ShapeError("nll_loss: the input is 0-d", why="it needs an axis of classes")
    axis = 0 if log_probabilities.ndim == 1 else 1
    _check_classes("nll_loss", log_probabilities, targets, axis)
    return _hard_targets(log_probabilities, targets, weight, ignore_index, reduction, 0.0, axis)


def _check_classes(operation: str, logits: Any, targets: Any, axis: int) -> None:
    if targets.dtype.kind != "i":
        raise DtypeError(
            f"{operation}: the target has dtype {targets.dtype}",
            why="classes are integers; probabilities have the shape of the input,"
            f" {tuple(logits.shape)}, and the target has {tuple(targets.shape)}",
            do="convert classes with target.long()",
        )
    shape = tuple(logits.shape)
    expected = (*shape[:axis], *shape[axis + 1 :])
    if tuple(targets.shape) != expected:
        raise ShapeError(
            f"{operation}: the target has shape {tuple(targets.shape)}",
            why=f"the input has shape {shape} with classes along axis {axis}, so the target must"
            f" have shape {expected}",
        )


def _hard_targets(
    log_probabilities: Any,
    targets: Any,
    weight: ArrayLike | None,
    ignore_index: int,
    reduction: str,
    smoothing: float,
    axis: int,
) -> Tensor:
    from jitgrad.ops.indexing import gather

    shape = tuple(targets.shape)
    counts = targets != ignore_index
    safe = convert(select(counts, targets, 0), int64)
    place = reshape_to(safe, (*shape[:axis], 1, *shape[axis:]))
    losses: Any = -reshape_to(gather(log_probabilities, axis, place), shape)
    factors: Any = None
    if weight is not None:
        class_weights = box(weight)
        factors = class_weights[safe]
        losses = losses * factors
    if smoothing:
        classes = log_probabilities.shape[axis]
        spread_out = log_probabilities
        if weight is not None:
            spread_out = log_probabilities * _along(class_weights, axis, log_probabilities.ndim)
        uniform = -sum_over(spread_out, axes=(axis,), keepdims=False)
        losses = (1.0 - smoothing) * losses + (smoothing / classes) * uniform
    losses = select(counts, losses, 0.0)
    if reduction == "mean":
        total = counts if factors is None else select(counts, factors, 0.0)
        result = losses.sum() / total.sum()
    else:
        result = reduced_losses("cross_entropy", losses, reduction)
    return shown_as(
        "NllLossBackward0" if axis == 0 or len(shape) == 1 else "NllLoss2DBackward0", result
    )


def _soft_targets(
    log_probabilities: Any,
    targets: Any,
    weight: ArrayLike | None,
    reduction: str,
    smoothing: float,
    axis: int,
) -> Tensor:
    if smoothing:
        targets = targets * (1.0 - smoothing) + smoothing / log_probabilities.shape[axis]
    products = log_probabilities * targets
    if weight is not None:
        products = products * _along(box(weight), axis, log_probabilities.ndim)
    losses = -sum_over(products, axes=(axis,), keepdims=False)
    return shown_as(
        "DivBackward1" if reduction == "mean" else "NegBackward0",
        reduced_losses("cross_entropy", losses, reduction),
    )


def _along(vector: Any, axis: int, ndim: int) -> Any:
    """Return a vector with its elements along `axis` of `ndim`, so that it broadcasts there."""
    return reshape_to(vector, (*[1] * axis, -1, *[1] * (ndim - axis - 1))) if ndim > 1 else vector
