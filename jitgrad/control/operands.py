"""What constructs are given: arrays, numbers, predicates, nested structures of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad.core.bind import active_trace
from jitgrad.core.dtypes import bool_
from jitgrad.core.errors import DtypeError, ShapeError
from jitgrad.core.tree import Tree
from jitgrad.tensor.modes import modes
from jitgrad.tensor.tensor import Tensor, box_tensor
from jitgrad.trace.stand_ins import strong


def operand(operation: str, leaf: Any) -> Tensor:
    """Return a leaf that the user gave as a Tensor.

    Raises
    ------
    DtypeError
        If it is no Tensor, array or number.
    """
    if not isinstance(leaf, (Tensor, np.ndarray, np.generic, bool, int, float)):
        raise DtypeError(
            f"{operation}: it was given a {type(leaf).__name__}",
            why="only Tensors, arrays, numbers and nested structures of them can be handed on",
            do="let the function read it from outside instead",
        )
    tensor: Tensor = strong(box_tensor(leaf))
    return tensor


def here(tensor: Tensor) -> Tensor:
    """Return what stands for `tensor` in the trace that is running."""
    trace = active_trace()
    lifted: Tensor = tensor if trace is None else trace.lift(tensor)
    return lifted


def asked_for(operands: Sequence[Any]) -> tuple[int, ...]:
    """Return the numbers of the operands by which a gradient may be asked for."""
    if not modes.grad:
        return ()
    found = enumerate(operands)
    return tuple([k for k, x in found if isinstance(x, Tensor) and here(x).requires_grad])


def predicate(what: str, value: Any) -> Any:
    """Return what decides something as one boolean.

    Raises
    ------
    ShapeError
        If it has several elements.
    """
    tensor = strong(box_tensor(value))
    if tensor.shape:
        raise ShapeError(
            f"{what} has shape {tuple(tensor.shape)}",
            why="one boolean decides; a Tensor without axes, or a Python bool",
            do="reduce it: .all() or .any(); to choose element by element use jitgrad.where",
        )
    return tensor if tensor.dtype == bool_ else tensor != 0


def leaf_names(root: str, tree: Tree) -> list[str]:
    """Return what to call each leaf of a structure: ``carry[0]['a']``."""
    if tree.kind is None:
        return [root]
    if issubclass(tree.kind, dict):
        names = [f"{root}[{key!r}]" for key in tree.keys]
    elif tree.keys:
        names = [f"{root}.{key}" for key in tree.keys]
    else:
        names = [f"{root}[{k}]" for k in range(len(tree.children))]
    return [
        leaf
        for name, child in zip(names, tree.children, strict=True)
        for leaf in leaf_names(name, child)
    ]
