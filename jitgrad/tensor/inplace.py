"""Changing a Tensor in place: new values in the same memory, with the history that follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import active_trace
from jitgrad.core.dtypes import category
from jitgrad.core.errors import ArgumentError, DtypeError, GradientError, ShapeError
from jitgrad.core.extents import may_be_same
from jitgrad.ir.graph import Value
from jitgrad.ops.cast import convert, stop_gradient
from jitgrad.ops.creation import clone_primitive, full_primitive
from jitgrad.ops.index_forms import Advanced, split_index
from jitgrad.ops.indexing import basic_item, fill_masked, fit_value, put_split
from jitgrad.ops.shape import broadcast_to
from jitgrad.ops.slicing import Index, whole_index
from jitgrad.ops.taking import taken_shape, write_elements
from jitgrad.tensor.hooks import move_retained
from jitgrad.tensor.modes import modes
from jitgrad.tensor.tape import keep_copies, next_number

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor
    from jitgrad.tensor.views import View


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
    since = next_number()
    new = function(tensor, *args, **kwargs)
    if new._node is not None and new is not tensor:
        keep_copies(new._node, tensor._storage, since)
    assign(operation, tensor, new)
    return tensor


def _check_writable(operation: str, tensor: Tensor) -> None:
    if not modes.grad or not tensor.requires_grad:
        return
    if tensor._view is not None:
        tensor._view.refuse_reshaped()
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
    if tuple(new.shape) != tuple(tensor.shape) and may_be_same(new.shape, tensor.shape):
        new = broadcast_to(new, tuple(tensor.shape))
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
    if new._requires_grad and new._node is None:
        # With a leaf's history this Tensor would be taken for a leaf itself.
        new = clone_primitive(new)
    if trace is not None:
        new = trace.lift(new)
    _store(operation, tensor, new)


def _store(operation: str, tensor: Tensor, new: Tensor) -> None:
    view = tensor._view
    traced = isinstance(tensor._raw, Value)
    if view is not None:
        _check_view(operation, view, new)
        base = view.base
        if traced or (modes.grad and (base._requires_grad or new._requires_grad)):
            _adopt(base, view, new)
    if not traced:
        _copy_into(operation, tensor, new)
    tensor._storage.change(operation)
    if view is not None:
        # Another reader brings itself up to date from the base; this one as well, when asked.
        if not modes.grad:
            view.version = tensor._storage.version if not traced else view.version
        return
    if traced:
        tensor._raw = new._raw
    if modes.grad:
        with move_retained(tensor):
            tensor._requires_grad = new._requires_grad
            tensor._node, tensor._slot = new._node, new._slot


def _check_view(operation: str, view: View, new: Tensor) -> None:
    view.refuse_reshaped()
    if any(step.primitive.write_view is None for step in view.steps):
        raise GradientError(
            f"{operation}: this view can't be changed in place",
            why="several of its elements are the same element of the Tensor it shows",
            do="change a copy: x.clone()",
        )
    if modes.grad and new._requires_grad and _is_detached(view):
        raise GradientError(
            f"{operation}: a detached Tensor can't take a value that requires a gradient",
            why="it shares its memory with the Tensor it was detached from",
            do="detach the value too, or change a copy: x.detach().clone()",
        )


def _is_detached(view: View | None) -> bool:
    """Return whether no gradient passes from the view to its base: it came from `detach`."""
    return view is not None and any(not step.primitive.differentiable for step in view.steps)


def _adopt(base: Tensor, view: View, part: Tensor) -> None:
    """Give `base` the history, and during a trace the value, of writing `part` to the view."""
    traced = isinstance(base._raw, Value)
    detached = _is_detached(view)
    if detached and not traced:
        return
    new = view.write(part)
    if traced:
        base._raw = new._raw
    if modes.grad and not detached:
        base._requires_grad = new._requires_grad
        base._node, base._slot = new._node, new._slot


def _copy_into(operation: str, tensor: Tensor, new: Tensor) -> None:
    if not tensor._raw.flags.writeable:
        raise _read_only(operation)
    np.copyto(tensor._raw, new._raw)


def _read_only(operation: str) -> ArgumentError:
    return ArgumentError(
        f"{operation}: the Tensor's memory can't be written to",
        why="it shows a NumPy array that is read-only, or one element in several places",
        do="change a copy: x.clone()",
    )


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
    if type(value) in (bool, int, float):
        # In the Tensor's dtype at once: a float would be rounded to the default one before.
        number = np.asarray(value).astype(tensor.dtype).item()
        new = full_primitive(shape=(), value=number, dtype=tensor.dtype)
    filled = fill_masked(tensor, index, new)
    if filled is not None:
        assign("x[...] = v", tensor, filled)
        return
    split = split_index(tensor, index)
    if split.advanced is None and not split.steps:
        part = basic_item(tensor, split.basic)
        fitted = fit_value(new, tuple(part.shape), tensor.dtype)
        if fitted is new and active_trace() is not None:
            # In a trace what is the same value is the same memory.
            fitted = clone_primitive(fitted)
        # A part without elements is no view of anything, and there is nothing to write.
        if part.numel():
            assign("x[...] = v", part, fitted)
        return
    if split.advanced is not None and _is_plain(tensor) and _is_plain(new):
        _write_plain(tensor, split.basic, split.advanced, new)
        return
    assign("x[...] = v", tensor, put_split(tensor, split, new))


def _is_plain(tensor: Tensor) -> bool:
    """Return whether `tensor` is an array and nothing is recorded of what is done with it."""
    if active_trace() is not None or isinstance(tensor._raw, Value):
        return False
    root = tensor if tensor._view is None else tensor._view.base
    return not modes.grad or not (root._requires_grad or tensor.requires_grad)


def _write_plain(tensor: Tensor, basic: Index, advanced: Advanced, new: Tensor) -> None:
    """Write the named elements alone, without a copy of the rest."""
    part = tensor if basic == whole_index(tensor.shape) else basic_item(tensor, basic)
    indices, axes = np.asarray(advanced.indices), advanced.axes
    fitted = fit_value(new, taken_shape(part.shape, indices.shape, axes), tensor.dtype)
    if not part._raw.flags.writeable:
        raise _read_only("x[...] = v")
    write_elements(part._raw, indices, fitted._raw, axes)
    tensor._storage.change("x[...] = v")
    if tensor._view is not None:
        tensor._view.version = tensor._storage.version
