"""Changing a Tensor in place: new values in the same memory, with the history that follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import active_trace
from jitgrad.core.dtypes import category
from jitgrad.core.errors import DtypeError, GradientError, ShapeError
from jitgrad.ir.graph import Value
from jitgrad.ops.cast import convert, stop_gradient
from jitgrad.ops.indexing import basic_item, index_put, split_index
from jitgrad.ops.shape import broadcast_to
from jitgrad.tensor.modes import modes

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


def apply_in_place(
    operation: str, tensor: Tensor, function: Callable[..., Tensor], *args: Any, **kwargs: Any
) -> Tensor:
    """Give `tensor` the value of ``function(tensor, *args)`` and return it.

    Raises
    ------
    GradientError
        If `tensor` is a leaf that requires a gradient and operations are recorded.
    ShapeError
        If the result has another shape.
    DtypeError
        If the result's dtype is of a higher category: a float into an integer Tensor.
    """
    _check_writable(operation, tensor)
    assign(operation, tensor, function(tensor, *args, **kwargs))
    return tensor


def _check_writable(operation: str, tensor: Tensor) -> None:
    if not modes.grad or not tensor.requires_grad:
        return
    root = tensor._view.base if tensor._view is not None else tensor
    if root._requires_grad and root._node is None:
        what = "a view of a leaf" if root is not tensor else "a leaf"
        raise GradientError(
            f"{operation}: {what} that requires a gradient can't be changed in place",
            why="the gradient is asked for the value that the leaf had",
            do="do it inside `with no_grad():`, or on a copy: x.clone()",
        )


def assign(operation: str, tensor: Tensor, new: Tensor) -> None:
    """Make the values of `tensor`, and of what it is a view of, those of `new`."""
    trace = active_trace()
    if trace is not None:
        tensor = trace.lift(tensor)
    if tuple(new.shape) != tuple(tensor.shape):
        raise ShapeError(
            f"{operation}: a result of shape {tuple(new.shape)} does not fit in place",
            why=f"the Tensor has shape {tuple(tensor.shape)}",
            do="use the form without the underscore",
        )
    if category(new.dtype) > category(tensor.dtype):
        raise DtypeError(
            f"{operation}: a {new.dtype} result does not fit in place",
            why=f"the Tensor's dtype is {tensor.dtype}",
            do="convert the Tensor first, or use the form without the underscore",
        )
    new = convert(new, tensor.dtype)
    if not modes.grad and new._requires_grad:
        new = stop_gradient(new)
    _store(operation, tensor, new)


def _store(operation: str, tensor: Tensor, new: Tensor) -> None:
    view = tensor._view
    traced = isinstance(tensor._raw, Value)
    if view is not None:
        if any(primitive.write_view is None for primitive, _ in view.steps):
            raise GradientError(
                f"{operation}: this view can't be changed in place",
                why="several of its elements are the same element of the Tensor it shows",
                do="change a copy: x.clone()",
            )
        base = view.base
        if traced or (modes.grad and (base._requires_grad or new._requires_grad)):
            _adopt(base, view.write(new))
    if not traced:
        np.copyto(tensor._raw, new._raw)
    tensor._storage.version += 1
    if view is not None:
        # Another reader brings itself up to date from the base; this one as well, when asked.
        if not modes.grad:
            view.version = tensor._storage.version if not traced else view.version
        return
    if traced:
        tensor._raw = new._raw
    if modes.grad:
        tensor._requires_grad = new._requires_grad
        tensor._node, tensor._slot = new._node, new._slot


def _adopt(base: Tensor, new: Tensor) -> None:
    """Give `base` the history of `new`, and during a trace its value."""
    if isinstance(base._raw, Value):
        base._raw = new._raw
    if modes.grad:
        base._requires_grad = new._requires_grad
        base._node, base._slot = new._node, new._slot


def replace_values(tensor: Tensor, values: ArrayLike) -> None:
    """Replace the values of `tensor` without a trace in its history: ``x.data = values``."""
    from jitgrad.tensor.modes import no_grad
    from jitgrad.tensor.tensor import box_tensor

    with no_grad():
        assign("data", tensor, box_tensor(values))


def set_item(tensor: Tensor, index: Any, value: ArrayLike) -> None:
    """Carry out ``tensor[index] = value``; the value broadcasts and is cast to the dtype."""
    from jitgrad.tensor.tensor import box_tensor

    _check_writable("x[...] = v", tensor)
    new = box_tensor(value)
    basic, arrays = split_index(tensor, index)
    if arrays is None:
        part = basic_item(tensor, basic)
        fitted = _fit(new, tuple(part.shape), tensor)
        if part._view is None:
            assign("x[...] = v", tensor, fitted)
        else:
            assign("x[...] = v", part, fitted)
        return
    assign("x[...] = v", tensor, index_put(tensor, index, convert(new, tensor.dtype)))


def _fit(new: Tensor, shape: tuple[int, ...], into: Tensor) -> Tensor:
    """Return `new` in the dtype of `into`, leading axes of size 1 dropped, broadcast to `shape`."""
    from jitgrad.ops.shape import reshape_to

    have = tuple(new.shape)
    while len(have) > len(shape) and have[0] == 1:
        have = have[1:]
    return broadcast_to(reshape_to(convert(new, into.dtype), have), shape)
