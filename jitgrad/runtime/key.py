"""What of a call's arguments a program depends on, as a dictionary key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
        return int if dynamic_int and -MOST_INT <= leaf <= MOST_INT else (int, leaf)
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
MOST_INT = 2**63 - 1


def is_static(leaf: Any) -> bool:
    """Return whether a program depends on the value of such a leaf."""
    return type(leaf) is int or type(leaf) in _BY_VALUE


def call_key(leaves: Sequence[Any], tree: Tree, has_kwargs: bool, dynamic: frozenset[int]) -> Key:
    """Return the key of a call: its leaves, which of them are one, its structure, the grad mode."""
    return (
        modes.grad,
        (tree, has_kwargs),
        repeats(leaves),
        *[leaf_key(leaf, k in dynamic) for k, leaf in enumerate(leaves)],
    )


def what_changed(known: Iterable[Key], key: Key, names: dict[int, str]) -> str:
    """Return in words how `key` differs from that of the known ones which is most like it.

    Parameters
    ----------
    known : iterable of tuple
        Keys, the latest last; none equal to `key`.
    key : tuple
        A key.
    names : dict
        The parameter's name for each leaf that is a whole argument.
    """

    def alike(other: Key) -> int:
        return sum([a == b for a, b in zip(other, key, strict=False)])

    # The last of those that are equally alike: `max` returns the first.
    nearest = max(reversed(list(known)), key=alike)
    if nearest[1] != key[1]:
        return "arguments of another structure"
    if nearest[0] != key[0]:
        return f"gradients are {'recorded' if key[0] else 'not recorded'} now"
    changes = [
        f"argument {names.get(k, k)} was {_describe(old)}, is {_describe(new)}"
        for k, (old, new) in enumerate(zip(nearest[3:], key[3:], strict=True))
        if old != new
    ]
    return "; ".join(changes) or "which arguments are the same"


def _describe(part: Any) -> str:
    """Return in words what `leaf_key` has of a leaf."""
    if isinstance(part, ById):
        return f"another {type(part.thing).__name__}"
    if isinstance(part, Alike):
        return f"an object of {part.kind.__name__}"
    if isinstance(part, type):
        return "an int of any value" if part is int else f"a {part.__name__}"
    if isinstance(part[0], type) and len(part) == 2:
        text = repr(part[1])
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    shape, number, *requires_grad = part[isinstance(part[0], type) :]
    text = f"{'' if requires_grad else 'array '}{_DTYPES[number]}{list(shape)}"
    return f"{text} that requires a gradient" if any(requires_grad) else text


_LONGEST = 40
_DTYPES = {np.dtype(code).num: np.dtype(code) for code in np.typecodes["All"]}


def repeats(leaves: Sequence[Any]) -> tuple[int, ...]:
    """Return for each Tensor or array among `leaves` which is the first one that is the same.

    Empty if all are different ones, as they usually are.
    """
    found = [id(x) for x in leaves if isinstance(x, (Tensor, np.ndarray))]
    if len(found) == len(set(found)):
        return ()
    return tuple([found.index(i) for i in found])
