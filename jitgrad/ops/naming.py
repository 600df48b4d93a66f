"""What `grad_fn` shows for functions that are made of several operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import Tensor


def shown_as(name: str, result: Any) -> Tensor:
    """Return `result`, a composite's newly computed Tensor, whose `grad_fn` shows `name`.

    Parameters
    ----------
    name : str
        PyTorch's name for the composite: ``"MeanBackward0"``.
    result : Tensor
        Computed by an operation of the composite, not one of its arguments.
    """
    tensor: Tensor = result
    node = tensor.grad_fn
    if node is not None:
        node.rename(name)
    return tensor
