"""Scaling to norm one, or to mean zero and variance one; `jitgrad.nn.functional`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import box
from jitgrad.core.errors import ArgumentError, ShapeError
from jitgrad.core.public import public
from jitgrad.core.shapes import AxisLike
from jitgrad.ops.arithmetic import add, div, mul
from jitgrad.ops.cast import stop_gradient
from jitgrad.ops.composite import mean, var
from jitgrad.ops.naming import shown_as
from jitgrad.ops.norms import vector_norm
from jitgrad.ops.power import rsqrt, square
from jitgrad.ops.selection import at_least
from jitgrad.ops.shape import reshape_to

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


@public(method=False, namespace="nn.functional")
def normalize(x: ArrayLike, p: float = 2.0, dim: AxisLike = 1, eps: float = 1e-12) -> Tensor:
    """Divide vectors by their norm.

    Parameters
    ----------
    x : array_like, floating
        Any shape.
    p : float
        Which norm.
    dim : int or tuple of int
        The axes of the vectors.
    eps : float
        The least that is divided by.

    Returns
    -------
    Tensor, shape and dtype of `x`
        Zero vectors stay zero; their gradient is divided by `eps`.
    """
    value = box(x)
    result: Tensor = div(value, at_least(vector_norm(value, p, dim, True), eps))
    return result


def _along_channels(vector: Any, ndim: int) -> Any:
    """Return one number for each channel, the second axis, as an array of so many axes."""
    value = box(vector)
    return reshape_to(value, (math.prod(value.shape), *(1,) * (ndim - 2)))


def _affine(x: Any, weight: ArrayLike | None, bias: ArrayLike | None) -> Any:
    if weight is not None:
        x = mul(x, _along_channels(weight, x.ndim))
    if bias is not None:
        x = add(x, _along_channels(bias, x.ndim))
    return x


def _centred(x: Any, axes: tuple[int, ...], eps: float) -> Any:
    """Return `x` with mean zero and variance one over axes."""
    centre = x - mean(x, axes, keepdim=True)
    return centre * rsqrt(mean(square(centre), axes, keepdim=True) + eps)


@public(method=False, namespace="nn.functional")
def batch_norm(
    x: ArrayLike,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Shift and scale each channel to mean 0 and variance 1 over the batch [1]_.

    Parameters
    ----------
    x : array_like, shape (n, c, ...), floating
        A batch; channels are the second axis.
    running_mean, running_var : Tensor, shape (c,), or None
        Averages over batches: used where `training` is False, and otherwise changed in place.
    weight, bias : array_like, shape (c,), optional
        Factor and summand applied afterwards.
    training : bool
        Whether mean and variance are those of this batch.
    momentum : float
        The weight of this batch in the averages.
    eps : float
        Added to the variance.

    Returns
    -------
    Tensor, shape and dtype of `x`

    Raises
    ------
    ShapeError
        If there are less than two axes, or one element a channel in training.
    ArgumentError
        If `training` is False and an average is missing.

    References
    ----------
    .. [1] S. Ioffe and C. Szegedy, Batch normalization, arXiv:1502.03167 (2015).
    """
    value = box(x)
    if value.ndim < 2:
        raise ShapeError(
            f"batch_norm: an input of shape {tuple(value.shape)}",
            why="channels are the second axis",
        )
    axes = (0, *range(2, value.ndim))
    if training:
        count = math.prod([value.shape[a] for a in axes])
        if count == 1:
            raise ShapeError(
                f"batch_norm: one element a channel, in shape {tuple(value.shape)}",
                why="one number has no variance",
            )
        _move(running_mean, mean(value, axes), momentum)
        _move(running_var, var(value, axes), momentum)
        result = _centred(value, axes, eps)
    else:
        if running_mean is None or running_var is None:
            raise ArgumentError(
                "batch_norm: running_mean or running_var is missing", do="pass training=True"
            )
        centre = value - _along_channels(running_mean, value.ndim)
        result = centre * rsqrt(add(_along_channels(running_var, value.ndim), eps))
    return shown_as("NativeBatchNormBackward0", _affine(result, weight, bias))


def _move(average: Any, new: Any, momentum: float) -> None:
    """Let an average over batches take in that of a new one, in place."""
    if average is not None:
        average.copy_(average * (1.0 - momentum) + stop_gradient(new) * momentum)


@public(method=False, namespace="nn.functional")
def instance_norm(
    x: ArrayLike,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Shift and scale each channel of each example to mean 0 and variance 1 [1]_.

    Parameters
    ----------
    x : array_like, shape (n, c, ...), floating
        A batch; channels are the second axis.
    running_mean, running_var : Tensor, shape (c,), optional
        Averages over examples: used where `use_input_stats` is False, otherwise changed in place.
    weight, bias : array_like, shape (c,), optional
        Factor and summand applied afterwards.
    use_input_stats : bool
        Whether mean and variance are those of the example.
    momentum : float
        The weight of this batch in the averages.
    eps : float
        Added to the variance.

    Returns
    -------
    Tensor, shape and dtype of `x`

    Raises
    ------
    ShapeError
        If there are less than three axes.

    References
    ----------
    .. [1] D. Ulyanov et al., Instance normalization, arXiv:1607.08022 (2016).
    """
    value = box(x)
    if value.ndim < 3:
        raise ShapeError(
            f"instance_norm: an input of shape {tuple(value.shape)}",
            why="mean and variance are taken over the axes after the second one",
        )
    if not use_input_stats:
        return batch_norm(value, running_mean, running_var, weight, bias, False, momentum, eps)
    axes = tuple(range(2, value.ndim))
    if running_mean is not None:
        _move(running_mean, mean(mean(value, axes), 0), momentum)
    if running_var is not None:
        _move(running_var, mean(var(value, axes), 0), momentum)
    result: Tensor = _affine(_centred(value, axes, eps), weight, bias)
    return result


@public(method=False, namespace="nn.functional")
def group_norm(
    x: ArrayLike,
    num_groups: int,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Shift and scale groups of channels of each example to mean 0 and variance 1 [1]_.

    Parameters
    ----------
    x : array_like, shape (n, c, ...), floating
        A batch; channels are the second axis.
    num_groups : int
        Into how many groups the channels are divided.
    weight, bias : array_like, shape (c,), optional
        Factor and summand applied afterwards.
    eps : float
        Added to the variance.

    Returns
    -------
    Tensor, shape and dtype of `x`

    Raises
    ------
    ShapeError
        If the channels can't be divided so.

    References
    ----------
    .. [1] Y. Wu and K. He, Group normalization, arXiv:1803.08494 (2018).
    """
    value = box(x)
    shape = tuple(value.shape)
    if value.ndim < 2 or num_groups < 1 or shape[1] % num_groups:
        raise ShapeError(
            f"group_norm: {num_groups} groups of channels in shape {shape}",
            why="channels are the second axis, and groups must be of equal size",
        )
    rows = reshape_to(value, (shape[0], num_groups, math.prod(shape[1:]) // num_groups))
    result: Tensor = _affine(reshape_to(_centred(rows, (2,), eps), shape), weight, bias)
    return result


@public(method=False, namespace="nn.functional")
def rms_norm(
    x: ArrayLike,
    normalized_shape: int | Sequence[int],
    weight: ArrayLike | None = None,
    eps: float | None = None,
) -> Tensor:
    """Divide the last axes by the root of the mean of their squares [1]_.

    Parameters
    ----------
    x : array_like, floating
        Any shape.
    normalized_shape : int or sequence of int
        Sizes of the last axes, over which the mean is taken.
    weight : array_like, of these sizes, optional
        Factor applied afterwards.
    eps : float, optional
        Added to the mean; the precision of the dtype where not given.

    Returns
    -------
    Tensor, shape and dtype of `x`

    Raises
    ------
    ShapeError
        If the last axes of `x` have other sizes.

    References
    ----------
    .. [1] B. Zhang and R. Sennrich, Root mean square layer normalization, arXiv:1910.07467 (2019).
    """
    value = box(x)
    given = normalized_shape
    sizes = (given,) if isinstance(given, int) else tuple(given)
    if not sizes or tuple(value.shape[-len(sizes) :]) != sizes:
        raise ShapeError(
            f"rms_norm: an input of shape {tuple(value.shape)} does not end in {sizes}",
            why="the mean is taken over axes of these sizes",
        )
    added = float(np.finfo(value.dtype).eps) if eps is None else eps
    axes = tuple(range(-len(sizes), 0))
    result: Tensor = value * rsqrt(mean(square(value), axes, keepdim=True) + added)
    return result if weight is None else result * weight
