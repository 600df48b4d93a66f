"""Losses that compare distributions, and similarities; `jitgrad.nn.functional`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from jitgrad.core.bind import box
from jitgrad.core.public import public, publish
from jitgrad.core.shapes import normalize_axes
from jitgrad.ops.arithmetic import div, mul, sub
from jitgrad.ops.cast import stop_gradient
from jitgrad.ops.exponential import exp, log
from jitgrad.ops.losses import reduced_losses, same_shapes
from jitgrad.ops.norms import vector_norm
from jitgrad.ops.power import square
from jitgrad.ops.reduction import sum_over
from jitgrad.ops.selection import at_least, select
from jitgrad.ops.special import xlogy

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


@public(method=False, namespace="nn.functional")
def kl_div(
    input: ArrayLike,
    target: ArrayLike,
    reduction: str = "mean",
    *,
    log_target: bool = False,
) -> Tensor:
    """Return the Kullback-Leibler divergence of a distribution from a target.

    Parameters
    ----------
    input : array_like, floating
        Logarithms of probabilities.
    target : array_like
        Probabilities; shapes broadcast.
    reduction : {"mean", "batchmean", "sum", "none"}
        What is returned of the divergences of all elements; "batchmean" is their sum divided by
        the size of the first axis.
    log_target : bool
        Whether `target` holds logarithms, too.

    Returns
    -------
    Tensor
        Of the broadcast shape for "none", else 0-d.

    Raises
    ------
    ArgumentError
        If there is no such reduction.
    """
    value, wanted = box(input), box(target)
    if log_target:
        losses = mul(exp(wanted), sub(wanted, value))
    else:
        losses = sub(xlogy(wanted, wanted), mul(wanted, value))
    if reduction == "batchmean":
        total: Tensor = reduced_losses("kl_div", losses, "sum")
        return total / value.shape[0] if value.ndim else total
    result: Tensor = reduced_losses("kl_div", losses, reduction)
    return result


@public(method=False, namespace="nn.functional")
def gaussian_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    var: ArrayLike,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Return the negative logarithm of the density of normal distributions.

    Parameters
    ----------
    input : array_like, floating
        Means.
    target : array_like, shape of `input`
        Where the density is taken.
    var : array_like
        Variances; of the shape of `input`, or with a last axis of size 1 or none.
    full : bool
        Whether the constant ``log(2 pi) / 2`` is added.
    eps : float
        The least variance; the gradient is as if it were not raised.
    reduction : {"mean", "sum", "none"}
        What is returned of the losses of all elements.

    Returns
    -------
    Tensor
        Of the shape of `input` for "none", else 0-d.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    ArgumentError
        If there is no such reduction.
    """
    value, wanted, spread = box(input), box(target), box(var)
    same_shapes("gaussian_nll_loss", value, wanted)
    if tuple(spread.shape) == tuple(value.shape)[:-1] and value.ndim:
        spread = spread.unsqueeze(-1)
    raised = spread + stop_gradient(sub(at_least(spread, eps), spread))
    losses = mul(log(raised) + div(square(sub(value, wanted)), raised), 0.5)
    if full:
        losses = losses + 0.5 * math.log(2.0 * math.pi)
    result: Tensor = reduced_losses("gaussian_nll_loss", losses, reduction)
    return result


@public(method=False, namespace="nn.functional")
def poisson_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """Return the negative logarithm of the probability of Poisson distributions.

    Parameters
    ----------
    input : array_like, floating
        Logarithms of the means, or the means.
    target : array_like, shape of `input`
        Counts.
    log_input : bool
        Whether `input` holds logarithms.
    full : bool
        Whether Stirling's approximation of ``log(target!)`` is added, for counts above 1.
    eps : float
        Added to means before the logarithm.
    reduction : {"mean", "sum", "none"}
        What is returned of the losses of all elements.

    Returns
    -------
    Tensor
        Of the shape of `input` for "none", else 0-d.

    Raises
    ------
    ArgumentError
        If there is no such reduction.
    """
    value, wanted = box(input), box(target)
    if log_input:
        losses = sub(exp(value), mul(wanted, value))
    else:
        losses = sub(value, mul(wanted, log(value + eps)))
    if full:
        large = wanted > 1
        count: Any = select(large, wanted, 1.0)
        stirling = mul(count, log(count)) - count + 0.5 * log(2.0 * math.pi * count)
        losses = losses + select(large, stirling, 0.0)
    result: Tensor = reduced_losses("poisson_nll_loss", losses, reduction)
    return result


@public(method=False)
def cosine_similarity(x1: ArrayLike, x2: ArrayLike, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Return the cosine of the angle between vectors.

    Parameters
    ----------
    x1, x2 : array_like
        Shapes that broadcast.
    dim : int
        The axis of the vectors.
    eps : float
        The least that each norm counts as.

    Returns
    -------
    Tensor
        Of the broadcast shape without that axis, from -1 to 1.
    """
    a, b = box(x1), box(x2)
    product = mul(a, b)
    axes = normalize_axes("cosine_similarity", dim, product.ndim)
    size = product.ndim

    def scaled(x: Any) -> Any:
        axis = axes[0] - size if axes else -1
        return div(x, at_least(vector_norm(x, 2.0, axis, True), eps))

    result: Tensor = sum_over(mul(scaled(a), scaled(b)), axes=axes, keepdims=False)
    return result


publish(cosine_similarity, "cosine_similarity", method=False, namespace="nn.functional")
