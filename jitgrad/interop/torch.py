"""Tensors to and from PyTorch, which is imported only when one of these is called."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.core.errors import ArgumentError, DtypeError
from jitgrad.tensor.conversion import array_of
from jitgrad.tensor.tensor import Tensor, make_tensor


def from_torch(t: Any) -> Tensor:
    """Return a Tensor that shares its memory with one of PyTorch.

    Parameters
    ----------
    t : torch.Tensor
        On the CPU, dense, of dtype float32, float64, int32, int64 or bool.

    Returns
    -------
    Tensor
        A leaf of the shape, dtype and ``requires_grad`` of `t`; the history of `t` stays behind.

    Raises
    ------
    ArgumentError
        If PyTorch is missing, or can't show the memory as an array: on a GPU, or sparse.
    DtypeError
        If `t` is no Tensor of PyTorch, or its dtype is not supported.
    """
    torch = _torch("from_torch")
    if not isinstance(t, torch.Tensor):
        raise DtypeError(
            f"from_torch: {type(t).__name__} is not a Tensor of PyTorch",
            do="use jitgrad.tensor for arrays and lists",
        )
    if t.device.type != "cpu" or t.layout != torch.strided:
        raise ArgumentError(
            f"from_torch: the Tensor is on {t.device} with layout {t.layout}",
            why="only dense memory of the CPU can be shared",
            do="pass t.cpu(), or t.to_dense() if it is sparse",
        )
    try:
        array = t.detach().resolve_neg().numpy()
    except TypeError:
        raise DtypeError(
            f"from_torch: dtype {t.dtype} is not supported",
            why="jitgrad computes with float32, float64, int32, int64 and bool",
            do="convert it first, for instance with t.float()",
        ) from None
    result = make_tensor(array_of(array))
    return result.requires_grad_() if t.requires_grad else result


def to_torch(t: Tensor) -> Any:
    """Return a Tensor of PyTorch that shares its memory with this one.

    Memory that PyTorch can't describe or write to (reversed axes, read-only arrays) is copied.

    Parameters
    ----------
    t : Tensor
        Any shape and dtype.

    Returns
    -------
    torch.Tensor
        A leaf of the shape, dtype and ``requires_grad`` of `t`; the history of `t` stays behind.

    Raises
    ------
    ArgumentError
        If PyTorch is missing.
    """
    torch = _torch("to_torch")
    array = np.asarray(t.detach())
    if not array.flags.writeable or any(step < 0 for step in array.strides):
        array = array.copy()
    return torch.from_numpy(array).requires_grad_(t.requires_grad)


def _torch(caller: str) -> Any:
    try:
        import torch
    except ImportError as error:
        raise ArgumentError(
            f"{caller}: PyTorch can't be imported",
            why=str(error),
            do="install it (pip install torch), or exchange arrays through NumPy",
        ) from error
    return torch
