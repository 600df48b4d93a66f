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


def is_unsettled(thing: Any) -> bool:
    """Return whether `thing` stands for an array that nothing traced has met."""
    return isinstance(thing, Tensor) and thing._is_numpy and type(thing._raw) is np.ndarray


def is_known(thing: Any) -> bool:
    """Return whether the elements of what `thing` stands for are known to the trace that is active.

    Those of an array from outside are not known in the body of a loop, which may change them.
    """
    trace: Any = active_trace()
    if trace is None or not is_unsettled(thing) or thing._home is not trace:
        return False
    # A view of what has been settled is out of date.
    return thing._view is None or is_unsettled(thing._view.base)


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
    if not is_unsettled(root):
        with tracing(trace):
            tensor._view.refresh(tensor)
        return trace.lift(tensor)
    with tracing(trace):
        if array.size and (array == array.flat[0]).all():
            number = array.flat[0].item()
            value = full_primitive(shape=array.shape, value=number, dtype=array.dtype)
        else:
            value = clone_primitive(make_tensor(array.copy()))
        root._raw = value._raw
        root._in_order = bool(array.flags.c_contiguous)
        root._storage.version += 1
        if tensor._view is not None:
            tensor._view.refresh(tensor)
    return tensor


def _is_around(home: Any, trace: Any) -> bool:
    while trace is not None and trace is not home:
        trace = getattr(trace, "outer", None)
    return trace is not None


def changed(tensor: Any) -> None:
    """Take note that the array was written to."""
    tensor._storage.version += 1
    if tensor._view is not None:
        tensor._view.version = tensor._storage.version


def has_tensors(index: Any) -> bool:
    """Return whether there are Tensors in an index or a nested list."""
    parts = index if isinstance(index, (tuple, list)) else (index,)
    return any(
        isinstance(p, Tensor)
        or (isinstance(p, (list, tuple)) and has_tensors(p))
        or (isinstance(p, slice) and has_tensors((p.start, p.stop, p.step)))
        for p in parts
    )


def plain_index(index: Any) -> Any:
    """Return an index with arrays in place of what stands for known ones."""
    if isinstance(index, tuple):
        return tuple(map(plain_index, index))
    if isinstance(index, slice):
        return slice(*map(plain_index, (index.start, index.stop, index.step)))
    return index._raw if is_known(index) else index


def picks_number(index: Any) -> bool:
    """Return whether an index that leaves no axes gives a scalar, and not an array."""
    return not any(item is Ellipsis for item in (index if isinstance(index, tuple) else (index,)))
