"""What of a call's arguments a program depends on, as a dictionary key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad.core.tree import Tree
from jitgrad.tensor.modes import modes
from jitgrad.tensor.tensor import Tensor

Key = tuple[Any, ...]


class ById:
    """A key for an object that is known by its identity; keeps it alive.

    Parameters
    ----------
    thing : object
        The object.
    """

    __slots__ = ("thing",)

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __hash__(self) -> int:
        return id(self.thing)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ById) and other.thing is self.thing


def leaf_key(leaf: Any, dynamic_int: bool = False) -> Any:
    """Return what a program depends on in one leaf of the arguments.

    Shape, dtype and ``requires_grad`` of Tensors and arrays; nothing of a Python float; the value
    of ints, bools, strings and the like; the identity of any other object.
    """
    kind = type(leaf)
    if kind is Tensor:
        raw = leaf._raw
        return (raw.shape, raw.dtype.num, leaf.requires_grad)
    if kind is np.ndarray:
        return (leaf.shape, leaf.dtype.num)
    if kind is float:
        return float
    if kind is int:
        return int if dynamic_int else (int, leaf)
    if kind in _BY_VALUE:
        return (kind, leaf)
    if isinstance(leaf, np.ndarray):
        return (leaf.shape, leaf.dtype.num)
    return ById(leaf)


_BY_VALUE = frozenset({bool, str, bytes, type(None), type, complex, slice})


def is_static(leaf: Any) -> bool:
    """Return whether a program depends on the value of such a leaf."""
    return type(leaf) is int or type(leaf) in _BY_VALUE


def call_key(leaves: Sequence[Any], tree: Tree, dynamic: frozenset[int]) -> Key:
    """Return the key of a call: its leaves, its structure, and the grad mode."""
    return (
        modes.grad,
        tree,
        *[leaf_key(leaf, k in dynamic) for k, leaf in enumerate(leaves)],
    )
