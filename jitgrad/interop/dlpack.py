"""Memory shared with any library that speaks DLPack, through NumPy, which does."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.core.errors import ArgumentError, GradientError
from jitgrad.core.public import publish
from jitgrad.tensor.conversion import array_of
from jitgrad.tensor.tensor import Tensor, make_tensor


def from_dlpack(x: Any) -> Tensor:
    """Return a Tensor that shares its memory with an array of another library.

    Parameters
    ----------
    x : object with ``__dlpack__``
        An array in the memory of the CPU: of NumPy, PyTorch, JAX, CuPy and others.

    Returns
    -------
    Tensor
        Shape and dtype of `x`; what is written to one is seen in the other.

    Raises
    ------
    ArgumentError
        If `x` does not speak DLPack, or refuses to hand out its memory: it may be on a GPU.
    DtypeError
        If its dtype is not supported.
    GradientError
        If `x` is a Tensor that requires a gradient.

    Examples
    --------
    >>> import jitgrad, numpy
    >>> shared = jitgrad.interop.from_dlpack(numpy.zeros(2))
    >>> shared.shape
    (2,)
    """
    if not hasattr(x, "__dlpack__"):
        raise ArgumentError(
            f"from_dlpack: a {type(x).__name__} does not hand out its memory",
            why="it has no method __dlpack__",
            do="use jitgrad.tensor, which copies",
        )
    try:
        array = np.from_dlpack(x)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, GradientError):
            raise
        raise ArgumentError(
            f"from_dlpack: this {type(x).__name__} does not hand out its memory",
            why=str(error).partition("\n")[0],
            do="move it to the CPU, detach it from what differentiates it, or copy it",
        ) from error
    return make_tensor(array_of(array))


def hand_out(x: Tensor, **options: Any) -> Any:
    """Hand out the memory of a Tensor, for ``from_dlpack`` of other libraries.

    Parameters
    ----------
    x : Tensor
        Must not require a gradient, which the other library would lose.
    **options
        What the protocol of NumPy arrays takes, such as ``max_version``.

    Returns
    -------
    capsule
        As the protocol has it.

    Raises
    ------
    GradientError
        If `x` requires a gradient.
    """
    if x.requires_grad:
        raise GradientError(
            "dlpack: this Tensor requires a gradient, which another library would lose",
            do="hand over x.detach()",
        )
    return x._concrete().__dlpack__(**options)


def device_of(x: Tensor) -> tuple[int, int]:
    """Return where the memory of a Tensor is, in DLPack's numbers: on the CPU."""
    kind, number = x._concrete().__dlpack_device__()
    return int(kind), int(number)


publish(hand_out, "__dlpack__", namespace="Tensor")
publish(device_of, "__dlpack_device__", namespace="Tensor")
