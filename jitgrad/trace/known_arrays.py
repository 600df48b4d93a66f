"""Arrays that a traced function makes by itself, of nothing that is traced: ``np.zeros(3)``.

What stands for one holds the array as long as nothing traced has met it, and NumPy itself carries
out what is done with it. When a traced value is written to it, or computed with it, its content
becomes a value of the trace, and so do its views.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from jitgrad.core.bind import active_trace, tracing
from jitgrad.core.tree import flatten, map_tree
from jitgrad.ops.creation import clone_primitive, full_primitive
from jitgrad.tensor.tensor import Tensor, make_tensor


def is_known(thing: Any) -> bool:
    """Return whether `thing` stands for an array whose elements are known while tracing."""
    return (
        isinstance(thing, Tensor)
        and thing._is_numpy
        and type(thing._raw) is np.ndarray
        and active_trace() is not None
    )


def all_known(things: Any) -> bool:
    """Return whether there are such in a nested structure, and no other Tensors."""
    tensors = [leaf for leaf in flatten(things)[0] if isinstance(leaf, Tensor)]
    return bool(tensors) and all(map(is_known, tensors))


def plain(things: Any) -> Any:
    """Return a nested structure with the arrays themselves in place of what stands for them."""
    return map_tree(lambda leaf: leaf._raw if is_known(leaf) else leaf, things)


def shares_memory(result: Any, arrays: Iterable[Any]) -> bool:
    """Return whether a result shows elements of one of `arrays`."""
    return isinstance(result, np.ndarray) and any(
        isinstance(a, np.ndarray) and np.may_share_memory(result, a) for a in arrays
    )


def settle(tensor: Any, trace: Any) -> Any:
    """Return `tensor`, whose content has become a value of `trace` or of a trace around it."""
    home = tensor._home
    if home is not trace and _is_around(home, trace):
        with tracing(home):
            settle(tensor, home)
        return trace.lift(tensor)
    root = tensor if tensor._view is None else tensor._view.base
    array = root._raw
    with tracing(trace):
        if array.size and (array == array.flat[0]).all():
            number = array.flat[0].item()
            value = full_primitive(shape=array.shape, value=number, dtype=array.dtype)
        else:
            value = clone_primitive(make_tensor(array.copy()))
        root._raw = value._raw
        root._storage.version += 1
        if tensor._view is not None:
            tensor._view.refresh(tensor)
    return tensor


def _is_around(home: Any, trace: Any) -> bool:
    while trace is not None and trace is not home:
        trace = getattr(trace, "outer", None)
    return trace is not None


def may_change(tensor: Any) -> bool:
    """Return whether NumPy may write to the array now: nothing that runs again does so."""
    return is_known(tensor) and tensor._home is active_trace()


def changed(tensor: Any) -> None:
    """Take note that the array was written to."""
    tensor._storage.version += 1
    if tensor._view is not None:
        tensor._view.version = tensor._storage.version
