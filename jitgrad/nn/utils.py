"""What is done with all parameters of a model at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from jitgrad.core.errors import GradientError, ShapeError
from jitgrad.ops.joining import cat, stack
from jitgrad.ops.norms import vector_norm
from jitgrad.ops.rearranging import ravel
from jitgrad.ops.selection import clamp
from jitgrad.ops.shape import reshape_to
from jitgrad.tensor.modes import no_grad
from jitgrad.tensor.tensor import Tensor

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "get_total_norm",
    "parameters_to_vector",
    "vector_to_parameters",
]


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Any]:
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [p.grad for p in given if p.grad is not None]


def get_total_norm(
    tensors: Tensor | Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Return the norm of several Tensors as if they were one vector.

    Parameters
    ----------
    tensors : Tensor or iterable of Tensor
        Any shapes.
    norm_type : float
        The order of the norm; inf for the largest absolute value.
    error_if_nonfinite : bool
        Whether a norm that is no finite number is an error.

    Returns
    -------
    Tensor, shape ()
        Zero where there are no Tensors.

    Raises
    ------
    GradientError
        If the norm is not finite and that is asked for.
    """
    given = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if not given:
        return Tensor(0.0)
    norms = [vector_norm(t, norm_type) for t in given]
    total = vector_norm(stack(norms), norm_type)
    if error_if_nonfinite and not bool(total.isfinite()):
        raise GradientError(
            f"clip_grad_norm_: the norm of the gradients is {total.item()}",
            do="find where that begins with autograd.detect_anomaly()",
        )
    return total


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale gradients in place so that their norm, taken together, is at most a number.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those without a gradient are left out.
    max_norm : float
        The largest norm.
    norm_type : float
        The order of the norm; inf for the largest absolute value.
    error_if_nonfinite : bool
        Whether a norm that is no finite number is an error.

    Returns
    -------
    Tensor, shape ()
        The norm before.

    Raises
    ------
    GradientError
        If the norm is not finite and that is asked for.

    Examples
    --------
    >>> import jitgrad
    >>> x = jitgrad.nn.Parameter([3.0, 4.0])
    >>> (x * x).sum().backward()
    >>> jitgrad.nn.utils.clip_grad_norm_([x], 1.0)
    tensor(10.)
    >>> x.grad
    tensor([0.6, 0.8])
    """
    gradients = _gradients(parameters)
    with no_grad():
        total = get_total_norm(gradients, norm_type, error_if_nonfinite)
        factor = clamp(max_norm / (total + 1e-6), max=1.0)
        for gradient in gradients:
            gradient.mul_(factor)
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Restrict each element of gradients, in place, to an interval around zero.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those without a gradient are left out.
    clip_value : float
        The largest absolute value.
    """
    with no_grad():
        for gradient in _gradients(parameters):
            gradient.clamp_(-clip_value, clip_value)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """Return all elements of parameters as one vector; gradients pass through.

    Parameters
    ----------
    parameters : iterable of Tensor
        Any shapes.

    Returns
    -------
    Tensor, one axis
    """
    return cat([ravel(p) for p in parameters])


def vector_to_parameters(vec: ArrayLike, parameters: Iterable[Tensor]) -> None:
    """Give parameters the values that stand one after the other in a vector.

    Parameters
    ----------
    vec : array_like, one axis
        As many elements as all `parameters` together.
    parameters : iterable of Tensor
        They get these values, as with ``p.data = ...``.

    Raises
    ------
    ShapeError
        If there are more or fewer elements.
    """
    vector: Any = vec if isinstance(vec, Tensor) else Tensor(vec)
    given = list(parameters)
    count = sum(p.numel() for p in given)
    if tuple(vector.shape) != (count,):
        raise ShapeError(
            f"vector_to_parameters: a vector of shape {tuple(vector.shape)}",
            why=f"the parameters have {count} elements",
        )
    start = 0
    for parameter in given:
        part = vector[start : start + parameter.numel()]
        parameter.data = reshape_to(part.detach(), tuple(parameter.shape))
        start += parameter.numel()
