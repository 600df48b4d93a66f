"""Nested arguments: tuples, lists, dicts, named tuples and dataclasses as a list of leaves."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Tree:
    """The structure of a nested value without its leaves; hashable, so that it can be a key.

    Parameters
    ----------
    kind : type or None
        The container's class; None for a leaf.
    keys : tuple
        Dict keys or field names, in order; empty for sequences.
    children : tuple of Tree
        One for each element.
    """

    kind: type | None
    keys: tuple[Hashable, ...] = ()
    children: tuple[Tree, ...] = ()


LEAF = Tree(None)


def flatten(value: Any) -> tuple[list[Any], Tree]:
    """Return the leaves of `value`, depth first, and its structure.

    Examples
    --------
    >>> leaves, tree = flatten({"a": 1, "b": (2, [3])})
    >>> leaves
    [1, 2, 3]
    >>> unflatten(tree, [10, 20, 30])
    {'a': 10, 'b': (20, [30])}
    """
    leaves: list[Any] = []
    return leaves, _flatten_into(value, leaves)


def _flatten_into(value: Any, leaves: list[Any]) -> Tree:
    kind = type(value)
    if kind is tuple or kind is list:
        return Tree(kind, (), tuple([_flatten_into(item, leaves) for item in value]))
    if kind is dict or kind is OrderedDict:
        items = [_flatten_into(item, leaves) for item in value.values()]
        return Tree(kind, tuple(value), tuple(items))
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return Tree(kind, kind._fields, tuple([_flatten_into(item, leaves) for item in value]))
    if dataclasses.is_dataclass(kind):
        fields = [f.name for f in dataclasses.fields(kind) if hasattr(value, f.name)]
        # Attributes that it was given later, too: what was not taken apart would be lost.
        names = tuple(dict.fromkeys([*fields, *getattr(value, "__dict__", ())]))
        items = [_flatten_into(getattr(value, name), leaves) for name in names]
        return Tree(kind, names, tuple(items))
    leaves.append(value)
    return LEAF


def unflatten(tree: Tree, leaves: Iterable[Any]) -> Any:
    """Return the nested value with structure `tree` and these leaves, depth first."""
    return _unflatten_from(tree, iter(leaves))


def _unflatten_from(tree: Tree, leaves: Any) -> Any:
    kind = tree.kind
    if kind is None:
        return next(leaves)
    children = [_unflatten_from(child, leaves) for child in tree.children]
    if kind is list:
        return children
    if kind is tuple:
        return tuple(children)
    if issubclass(kind, dict):
        return kind(zip(tree.keys, children, strict=True))
    if issubclass(kind, tuple):
        return kind(*children)
    # Not by its class: `__init__` may do more than store what it is given.
    made = object.__new__(kind)
    for name, child in zip(tree.keys, children, strict=True):
        object.__setattr__(made, str(name), child)
    return made


def leaf_count(tree: Tree) -> int:
    """Return how many leaves a value of this structure has."""
    return 1 if tree.kind is None else sum(map(leaf_count, tree.children))


def map_tree(function: Callable[[Any], Any], value: Any) -> Any:
    """Return `value` with `function` applied to every leaf."""
    leaves, tree = flatten(value)
    return unflatten(tree, map(function, leaves))
