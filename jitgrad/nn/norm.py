"""Layers that shift and scale to mean 0 and variance 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy.typing as npt

from jitgrad.core.dtypes import int64
from jitgrad.core.errors import ArgumentError, ShapeError
from jitgrad.nn.functional import layer_norm
from jitgrad.nn.module import Module
from jitgrad.nn.parameter import Parameter
from jitgrad.ops.creation import ones, zeros
from jitgrad.ops.normalization import batch_norm, group_norm, instance_norm, rms_norm
from jitgrad.tensor.modes import no_grad
from jitgrad.tensor.tensor import box_tensor

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


class _Normalization(Module):
    """What the layers share: a factor and a summand of each channel, to be trained."""

    weight: Parameter | None
    bias: Parameter | None

    def __init__(self, shape: Sequence[int], affine: bool, bias: bool, dtype: Any) -> None:
        super().__init__()
        self.weight = Parameter(ones(*shape, dtype=dtype)) if affine else None
        self.bias = Parameter(zeros(*shape, dtype=dtype)) if affine and bias else None

    def reset_parameters(self) -> None:
        """Set factors to 1 and summands to 0."""
        with no_grad():
            if self.weight is not None:
                self.weight.fill_(1.0)
            if self.bias is not None:
                self.bias.fill_(0.0)


class LayerNorm(_Normalization):
    """Shifts and scales the last axes of each example to mean 0 and variance 1.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        Sizes of these axes.
    eps : float
        Added to the variance.
    elementwise_affine : bool
        Whether a factor and a summand of each element are trained.
    bias : bool
        Whether there is a summand.
    dtype : dtype_like, optional
        Dtype of the parameters; the default dtype where not given.

    Attributes
    ----------
    weight, bias : Parameter, shape `normalized_shape`, or None
        Ones and zeros at first.

    Examples
    --------
    >>> import jitgrad
    >>> jitgrad.nn.LayerNorm(3)(jitgrad.ones(5, 3)).shape
    (5, 3)
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        super().__init__(self.normalized_shape, elementwise_affine, bias, dtype)

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``layer_norm(x)``."""
        return layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Return the sizes and the rest."""
        affine = f"elementwise_affine={self.elementwise_affine}"
        return f"{self.normalized_shape}, eps={self.eps}, {affine}"


class RMSNorm(_Normalization):
    """Divides the last axes of each example by the root of the mean of their squares.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        Sizes of these axes.
    eps : float, optional
        Added to the mean; the distance of 1 to the next number where not given.
    elementwise_affine : bool
        Whether a factor of each element is trained.
    dtype : dtype_like, optional
        Dtype of the parameter; the default dtype where not given.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        super().__init__(self.normalized_shape, elementwise_affine, False, dtype)

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``rms_norm(x)``."""
        return rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """Return the sizes and the rest."""
        affine = f"elementwise_affine={self.elementwise_affine}"
        return f"{self.normalized_shape}, eps={self.eps}, {affine}"


class GroupNorm(_Normalization):
    """Shifts and scales groups of channels of each example to mean 0 and variance 1.

    Parameters
    ----------
    num_groups : int
        How many groups; a divisor of `num_channels`.
    num_channels : int
        Size of the second axis.
    eps : float
        Added to the variance.
    affine : bool
        Whether a factor and a summand of each channel are trained.
    dtype : dtype_like, optional
        Dtype of the parameters; the default dtype where not given.

    Raises
    ------
    ArgumentError
        If the channels can't be divided into so many groups.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        if num_channels % num_groups:
            raise ArgumentError(
                f"GroupNorm: {num_channels} channels can't be divided into {num_groups} groups"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        super().__init__((num_channels,), affine, True, dtype)

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``group_norm(x)``."""
        return group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Return the numbers and the rest."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class _OfBatches(_Normalization):
    """Layers that know averages over batches, and axes of their input."""

    axes: ClassVar[tuple[int, ...]]
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        super().__init__((num_features,), affine, True, dtype)
        known = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, dtype=dtype) if known else None)
        self.register_buffer("running_var", ones(num_features, dtype=dtype) if known else None)
        self.register_buffer("num_batches_tracked", zeros((), dtype=int64) if known else None)

    def _checked(self, x: ArrayLike) -> Any:
        value = box_tensor(x)
        if value.ndim not in self.axes:
            raise ShapeError(
                f"{type(self).__name__}: an input of shape {tuple(value.shape)}",
                why=f"it must have {' or '.join(map(str, self.axes))} axes",
            )
        return value

    def _share(self) -> Any:
        """Return the weight of a new batch in the averages, having counted it."""
        if not self.training or self.num_batches_tracked is None:
            return 0.0 if self.momentum is None else self.momentum
        self.num_batches_tracked.add_(1)
        return 1.0 / self.num_batches_tracked if self.momentum is None else self.momentum

    def extra_repr(self) -> str:
        """Return the number of channels and the rest."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine},"
            f" track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_OfBatches):
    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``batch_norm(x)``, with the averages after training."""
        value, share = self._checked(x), self._share()
        own = self.training or self.running_mean is None
        averages = (self.running_mean, self.running_var)
        return batch_norm(value, *averages, self.weight, self.bias, own, share, self.eps)


class _InstanceNorm(_OfBatches):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype)

    def forward(self, x: ArrayLike) -> Tensor:
        """Return ``instance_norm(x)``."""
        value, share = self._checked(x), self._share()
        own = self.training or self.running_mean is None
        averages = (self.running_mean, self.running_var)
        return instance_norm(value, *averages, self.weight, self.bias, own, share, self.eps)


class BatchNorm1d(_BatchNorm):
    """Shifts and scales channels to mean 0 and variance 1 over a batch.

    Parameters
    ----------
    num_features : int
        Size of the second axis, which counts channels.
    eps : float
        Added to the variance.
    momentum : float, optional
        Weight of a new batch in the averages; None for averages over all batches.
    affine : bool
        Whether a factor and a summand of each channel are trained.
    track_running_stats : bool
        Whether averages over batches are kept, and used after training.
    dtype : dtype_like, optional
        Dtype of the parameters; the default dtype where not given.
    """

    axes = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Shifts and scales channels to mean 0 and variance 1 over a batch of images.

    Parameters
    ----------
    num_features : int
        Size of the second axis, which counts channels.
    eps : float
        Added to the variance.
    momentum : float, optional
        Weight of a new batch in the averages; None for averages over all batches.
    affine : bool
        Whether a factor and a summand of each channel are trained.
    track_running_stats : bool
        Whether averages over batches are kept, and used after training.
    dtype : dtype_like, optional
        Dtype of the parameters; the default dtype where not given.
    """

    axes = (4,)


class InstanceNorm1d(_InstanceNorm):
    """Shifts and scales channels of each example to mean 0 and variance 1.

    Parameters
    ----------
    num_features : int
        Size of the second axis, which counts channels.
    eps : float
        Added to the variance.
    momentum : float
        Weight of a new batch in the averages.
    affine : bool
        Whether a factor and a summand of each channel are trained.
    track_running_stats : bool
        Whether averages over batches are kept, and used after training.
    dtype : dtype_like, optional
        Dtype of the parameters; the default dtype where not given.
    """

    axes = (3,)


class InstanceNorm2d(_InstanceNorm):
    """Shifts and scales channels of each image to mean 0 and variance 1.

    Parameters
    ----------
    num_features : int
        Size of the second axis, which counts channels.
    eps : float
        Added to the variance.
    momentum : float
        Weight of a new batch in the averages.
    affine : bool
        Whether a factor and a summand of each channel are trained.
    track_running_stats : bool
        Whether averages over batches are kept, and used after training.
    dtype : dtype_like, optional
        Dtype of the parameters; the default dtype where not given.
    """

    axes = (4,)


def _shape(sizes: int | Sequence[int]) -> tuple[int, ...]:
    return (sizes,) if isinstance(sizes, int) else tuple(sizes)
