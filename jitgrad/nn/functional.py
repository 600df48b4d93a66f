"""What networks are made of, as functions: activations, losses, affine maps.

Those with a derivative of their own live in `ops` and are found in the table of public functions;
those below are made of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jitgrad.ops.all  # noqa: F401 - fills the table
from jitgrad.core.bind import box
from jitgrad.core.dtypes import bool_
from jitgrad.core.errors import ArgumentError, ShapeError
from jitgrad.core.public import functions_in, public
from jitgrad.ops.composite import mean, softmax, var
from jitgrad.ops.creation import ones
from jitgrad.ops.diagonal import tril
from jitgrad.ops.losses import reduced_losses, same_shapes
from jitgrad.ops.power import rsqrt
from jitgrad.ops.random import rand
from jitgrad.ops.selection import select

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


@public(method=False, namespace="nn.functional")
def dropout(x: ArrayLike, p: float = 0.5, training: bool = True) -> Tensor:
    """Replace elements by zero at random, and scale the others up so that the mean stays.

    Parameters
    ----------
    x : array_like
        Any shape, floating.
    p : float
        The probability of being replaced, from 0 to 1.
    training : bool
        False to return `x` as it is.

    Returns
    -------
    Tensor, shape and dtype of `x`
        The others are divided by ``1 - p``.

    Raises
    ------
    ArgumentError
        If `p` is not from 0 to 1.
    """
    if not 0 <= p <= 1:
        raise ArgumentError(f"dropout: p is {p}", why="a probability is from 0 to 1")
    result: Tensor = box(x)
    if training and p > 0:
        kept = rand(result.shape, dtype=result.dtype) >= p
        scale = 1 / (1 - p) if p < 1 else 0.0
        result = select(kept, result * scale, 0.0)
    return result


@public(method=False, namespace="nn.functional")
def scaled_dot_product_attention(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    attn_mask: ArrayLike | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return averages of values, weighted by how well their keys fit each query [1]_.

    Parameters
    ----------
    query : array_like, shape (..., m, d), floating
        What is looked for.
    key : array_like, shape (..., n, d)
        What it is compared with.
    value : array_like, shape (..., n, e)
        What is averaged.
    attn_mask : array_like, optional
        Of a shape that broadcasts to (..., m, n): bool, True where a value takes part, or numbers
        that are added to the logarithms of the weights.
    dropout_p : float
        The probability with which a weight is replaced by zero.
    is_causal : bool
        Whether a query sees only values up to its own place.
    scale : float, optional
        Factor of the products of queries and keys; one over the root of d where not given.
    enable_gqa : bool
        Whether several heads of queries, the third axis from the end, share one of keys and values.

    Returns
    -------
    Tensor, shape (..., m, e)
        Zero for a query that sees nothing.

    Raises
    ------
    ArgumentError
        If `is_causal` is given together with a mask.

    References
    ----------
    .. [1] A. Vaswani et al., Attention is all you need, arXiv:1706.03762 (2017).
    """
    q, k, v = box(query), box(key), box(value)
    if is_causal and attn_mask is not None:
        raise ArgumentError("scaled_dot_product_attention: is_causal and a mask are both given")
    if enable_gqa:
        k = k.repeat_interleave(q.shape[-3] // k.shape[-3], -3)
        v = v.repeat_interleave(q.shape[-3] // v.shape[-3], -3)
    factor = 1.0 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = (q * factor) @ k.mT
    seen = None if attn_mask is None else box(attn_mask)
    if is_causal:
        seen = tril(ones(q.shape[-2], k.shape[-2], dtype=bool_))
    if seen is None or seen.dtype != bool_:
        weights = softmax(scores if seen is None else scores + seen, -1)
    else:
        # where nothing is seen the softmax is nan
        weights = select(seen, softmax(select(seen, scores, -math.inf), -1), 0.0)
    result: Tensor = dropout(weights, dropout_p) @ v
    return result


@public(method=False, namespace="nn.functional")
def l1_loss(input: ArrayLike, target: ArrayLike, reduction: str = "mean") -> Tensor:
    """Return the absolute differences from the target, averaged unless asked otherwise.

    Parameters
    ----------
    input : array_like
        Any shape.
    target : array_like, shape of `input`
        What it should be.
    reduction : {"mean", "sum", "none"}
        What becomes of the differences.

    Returns
    -------
    Tensor
        0-d, or of the shape of `input` without reduction; units of `input`. The derivative where
        there is no difference is zero.

    Raises
    ------
    ShapeError
        If the shapes differ.
    ArgumentError
        If there is no such reduction.
    """
    value, wanted = box(input), box(target)
    same_shapes("l1_loss", value, wanted)
    result: Tensor = reduced_losses("l1_loss", abs(value - wanted), reduction)
    return result


@public(method=False, namespace="nn.functional")
def huber_loss(
    input: ArrayLike, target: ArrayLike, reduction: str = "mean", delta: float = 1.0
) -> Tensor:
    """Return a loss that is quadratic near the target and linear beyond `delta` [1]_.

    Parameters
    ----------
    input : array_like
        Any shape.
    target : array_like, shape of `input`
        What it should be.
    reduction : {"mean", "sum", "none"}
        What becomes of the losses.
    delta : float
        Where the loss turns linear, in the units of `input`; positive.

    Returns
    -------
    Tensor
        Of each difference ``d``: ``d**2 / 2`` up to `delta`, else ``delta * (|d| - delta / 2)``.
        0-d, or of the shape of `input` without reduction.

    Raises
    ------
    ShapeError
        If the shapes differ.
    ArgumentError
        If `delta` is not positive or there is no such reduction.

    References
    ----------
    .. [1] P. J. Huber, Robust estimation of a location parameter, Ann. Math. Stat. 35 (1964),
       73-101.
    """
    if delta <= 0:
        raise ArgumentError(f"huber_loss: delta is {delta}", why="it must be positive")
    value, wanted = box(input), box(target)
    same_shapes("huber_loss", value, wanted)
    away = abs(value - wanted)
    losses = select(away <= delta, 0.5 * away * away, delta * (away - 0.5 * delta))
    result: Tensor = reduced_losses("huber_loss", losses, reduction)
    return result


@public(method=False, namespace="nn.functional")
def smooth_l1_loss(
    input: ArrayLike, target: ArrayLike, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """Return the absolute differences from the target, rounded off below `beta`.

    Parameters
    ----------
    input : array_like
        Any shape.
    target : array_like, shape of `input`
        What it should be.
    reduction : {"mean", "sum", "none"}
        What becomes of the losses.
    beta : float
        Below which a loss is quadratic; 0 makes it `l1_loss`.

    Returns
    -------
    Tensor
        `huber_loss` with this `delta`, divided by it.

    Raises
    ------
    ShapeError
        If the shapes differ.
    ArgumentError
        If `beta` is negative or there is no such reduction.
    """
    if beta < 0:
        raise ArgumentError(f"smooth_l1_loss: beta is {beta}", why="it must not be negative")
    if beta == 0:
        return l1_loss(input, target, reduction)
    return huber_loss(input, target, reduction, beta) / beta


@public(method=False, namespace="nn.functional")
def layer_norm(
    x: ArrayLike,
    normalized_shape: int | Sequence[int],
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Shift and scale the last axes to mean 0 and variance 1 [1]_.

    Parameters
    ----------
    x : array_like
        Any shape, floating.
    normalized_shape : int or sequence of int
        Sizes of the last axes, over which mean and variance are taken.
    weight, bias : array_like, of these sizes, optional
        Factor and summand applied afterwards.
    eps : float
        Added to the variance, in the units of `x` squared.

    Returns
    -------
    Tensor, shape and dtype of `x`

    Raises
    ------
    ShapeError
        If the last axes of `x` have other sizes.

    References
    ----------
    .. [1] J. L. Ba, J. R. Kiros, G. E. Hinton, Layer normalization, arXiv:1607.06450 (2016).
    """
    value: Tensor = box(x)
    given = normalized_shape
    sizes = (given,) if isinstance(given, int) else tuple(given)
    if not sizes or value.shape[-len(sizes) :] != sizes:
        raise ShapeError(
            f"layer_norm: an input of shape {value.shape} does not end in {sizes}",
            why="mean and variance are taken over axes of these sizes",
        )
    axes = tuple(range(-len(sizes), 0))
    centred = value - mean(value, axes, keepdim=True)
    result: Tensor = centred * rsqrt(var(value, axes, correction=0, keepdim=True) + eps)
    if weight is not None:
        result = result * weight
    if bias is not None:
        result = result + bias
    return result


_HERE = functions_in("nn.functional")
globals().update(_HERE)

__all__ = sorted(_HERE)


def __getattr__(name: str) -> Any:
    # Reached for what the table lacks; also tells type checkers that names come from elsewhere.
    raise AttributeError(f"jitgrad.nn.functional has no function {name}")
