"""A Tensor's values for people and for Python: one element, or text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.bind import active_trace
from jitgrad.core.dtypes import bool_, get_default_dtype, int64
from jitgrad.core.errors import ShapeError
from jitgrad.ir.graph import Value

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import Tensor


def only_element(tensor: Tensor) -> Any:
    """Return the only element of `tensor` as a Python number."""
    if tensor.numel() != 1:
        raise ShapeError(
            f"a Tensor of shape {tuple(tensor.shape)} has no single value",
            why=f"it has {tensor.numel()} elements; only one element can become a Python number",
            do="reduce it first (x.sum(), x.all(), x.any()), or pick an element: x[0]",
        )
    return tensor._concrete().item()


def format_tensor(tensor: Tensor) -> str:
    """Return the text of ``repr(tensor)``: values, dtype if not obvious, gradient."""
    trace = active_trace()
    raw = tensor._raw
    if trace is None and isinstance(raw, Value):
        return f"tensor(<traced {raw.spec}>)"
    array = tensor._concrete()
    body = np.array2string(array, separator=", ", precision=4, prefix="tensor(", threshold=1000)
    extra = []
    if array.dtype not in (get_default_dtype(), int64, bool_) or array.size == 0:
        extra.append(f"dtype={array.dtype.name}")
    node = tensor.grad_fn
    if node is not None:
        extra.append(f"grad_fn=<{node.name()}>")
    elif tensor.requires_grad:
        extra.append("requires_grad=True")
    return f"tensor({', '.join([body, *extra])})"
