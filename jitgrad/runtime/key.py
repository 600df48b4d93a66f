"""What of a call's arguments a program depends on, as a dictionary key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitgrad.core.tree import Tree
from jitgrad.tensor.modes import modes
from jitgrad.tensor.tensor import Tensor
from jitgrad.trace.library import is_immutable, is_library_class

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


class Alike:
    """A key for an object of which only the class counts, the rest being guarded.

    Parameters
    ----------
    kind : type
        The class.
    """

    __slots__ = ("kind",)

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def __hash__(self) -> int:
        return hash(self.kind)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Alike) and other.kind is self.kind


def leaf_key(leaf: Any, dynamic_int: bool = False) -> Any:
    """Return what a program depends on in one leaf of the arguments.

    Shape, dtype and ``requires_grad`` of Tensors and arrays; nothing of a Python float; the value
    of ints, bools, strings and the like; the class of objects whose attributes are guarded; the
    identity of any other object.
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
        return int if dynamic_int and -_MOST <= leaf <= _MOST else (int, leaf)
    if kind in _BY_VALUE:
        return (kind, leaf)
    if isinstance(leaf, Tensor):
        return (kind, leaf.shape, leaf.dtype.num, leaf.requires_grad)
    if isinstance(leaf, (np.ndarray, np.generic)):
        return (kind, leaf.shape, leaf.dtype.num)
    if is_immutable(leaf):
        return (kind, leaf)
    if is_library_class(kind):  # functions, too: that of `def` is the class of Python's
        return ById(leaf)
    return Alike(kind)


_BY_VALUE = frozenset({bool, str, bytes, type(None), type, complex, slice, range, frozenset})
# What an int64 holds.
_MOST = 2**63 - 1


def is_static(leaf: Any) -> bool:
    """Return whether a program depends on the value of such a leaf."""
    return type(leaf) is int or type(leaf) in _BY_VALUE


def call_key(leaves: Sequence[Any], tree: Tree, dynamic: frozenset[int]) -> Key:
    """Return the key of a call: its leaves, which of them are one, its structure, the grad mode."""
    return (
        modes.grad,
        tree,
        repeats(leaves),
        *[leaf_key(leaf, k in dynamic) for k, leaf in enumerate(leaves)],
    )


def repeats(leaves: Sequence[Any]) -> tuple[int, ...]:
    """Return for each Tensor or array among `leaves` which is the first one that is the same.

    Empty if all are different ones, as they usually are.
    """
    found = [id(x) for x in leaves if isinstance(x, (Tensor, np.ndarray))]
    if len(found) == len(set(found)):
        return ()
    return tuple([found.index(i) for i in found])
