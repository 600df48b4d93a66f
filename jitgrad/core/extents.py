"""Sizes that are known only when a graph runs: of ``x[:i]`` in the body of a loop."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import index
from typing import Any

from jitgrad.core.errors import TraceError

# No array is that long, so that no extent equals the size of one.
_FIRST = 1 << 40
_numbers = itertools.count()


def next_extent() -> int:
    """Return the number of an extent that is to be made."""
    return next(_numbers)


class Extent(int):
    """The size of an axis that stands in shapes while its number is not known.

    As an int it is a large number of its own; equal ones are the same size. Two different ones may
    turn out to be equal, or to be any other size, when the graph runs.

    Parameters
    ----------
    length : Tensor
        How long it is, 0-d, as a value of the graph that is being traced.
    number : int
        Of `next_extent`.
    """

    length: Any

    def __new__(cls, length: Any, number: int) -> Extent:  # noqa: D102 - said above
        made = super().__new__(cls, _FIRST + number)
        made.length = length
        return made

    @property
    def value(self) -> Any:
        """The graph's value that is the number."""
        return self.length._raw

    def __repr__(self) -> str:
        return f"n{int(self) - _FIRST}"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)


def _arithmetic(name: str) -> Callable[[Extent, Any], Any]:
    def method(self: Extent, other: Any) -> Any:
        return getattr(self.length, name)(other)

    return method


# As an int it would be a number that means nothing.
for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
    for _prefix in ("", "r"):
        setattr(Extent, f"__{_prefix}{_name}__", _arithmetic(f"__{_prefix}{_name}__"))


def as_size(number: Any) -> int:
    """Return what can be an index as an integer, an extent as it is.

    Raises
    ------
    TypeError
        If it is no integer.
    """
    return number if isinstance(number, Extent) else index(number)


def known_length(size: int) -> int:
    """Return a size as Python's ``len`` takes it.

    Raises
    ------
    TraceError
        If it is not known.
    """
    if isinstance(size, Extent):
        raise TraceError(
            "len: how long this part is differs from one iteration to the next",
            why="Python's len gives nothing but a number, and while a body is traced there is none",
            do="use x.shape[0], which is traced",
        )
    return size


def may_be_equal(size: int, other: int) -> bool:
    """Return whether two sizes are equal, or may turn out to be."""
    return size == other or isinstance(size, Extent) or isinstance(other, Extent)


def may_be_same(shape: Sequence[int], other: Sequence[int]) -> bool:
    """Return whether two shapes are the same, or may turn out to be."""
    return len(shape) == len(other) and all(map(may_be_equal, shape, other))


def has_extents(shape: Sequence[int]) -> bool:
    """Return whether a size of a shape is not known."""
    return any(isinstance(size, Extent) for size in shape)


def extents_in(thing: Any) -> Iterator[Extent]:
    """Yield the extents that a static parameter, or a tuple of such, holds."""
    if isinstance(thing, tuple):
        for item in thing:
            yield from extents_in(item)
    elif isinstance(thing, Extent):
        yield thing


def with_sizes(thing: Any, sizes: Mapping[Any, Any]) -> Any:
    """Return a static parameter with numbers in place of extents.

    Parameters
    ----------
    thing : object
        The parameter.
    sizes : mapping
        The number of each extent, by its value.
    """
    if isinstance(thing, tuple) and any(True for _ in extents_in(thing)):
        return tuple([with_sizes(item, sizes) for item in thing])
    return int(sizes[thing.value]) if isinstance(thing, Extent) else thing
