"""Arrays that are sums of parts: each part covers a box of the array, the rest of it is zero.

Joining arrays makes one, and so do the adjoints of slices and their sums. The array is then written
once, box by box, with what the parts that cover a box add up to there: no zeros are stored that
are overwritten, and no part has memory of its own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jitgrad.codegen.nests import Element
from jitgrad.core.affine import Affine
from jitgrad.core.primitive import Piece
from jitgrad.core.spec import Shape

# Each box is a nest; beyond this many the parts are added to the array one after the other.
MOST_BOXES = 9

# First element and size along each axis.
Box = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A part of an array.

    Parameters
    ----------
    box : Box
        Where it lies.
    element : callable
        Gives the part's element for an index that counts from the start of the box.
    """

    box: Box
    element: Callable[[tuple[Affine, ...]], Element]


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A box that is covered wholly by some parts and not at all by the others."""

    box: Box
    parts: tuple[Part, ...]

    @property
    def shape(self) -> Shape:
        """Sizes of the box."""
        return tuple([size for _, size in self.box])


def whole_box(shape: Shape) -> Box:
    """Return the box that is all of an array."""
    return tuple([(0, size) for size in shape])


def box_of(piece: Piece, shape: Shape) -> tuple[Box, tuple[int | None, ...]] | None:
    """Return where a piece lies in an array of `shape`, and which of its axes each axis shows.

    None if it is not a box: elements at distances, or in another order.
    """
    loops = tuple(map(Affine.index, range(len(piece.shape))))
    box: list[tuple[int, int]] = []
    shown: list[int | None] = []
    for entry in piece.place(loops):
        terms = [(n, c) for n, c in entry.terms if piece.shape[n] != 1]
        if not terms:
            box.append((entry.constant, 1))
            shown.append(None)
            continue
        (number, coefficient), *others = terms
        if others or coefficient != 1 or number in shown:
            return None
        box.append((entry.constant, piece.shape[number]))
        shown.append(number)
    missing = [n for n, size in enumerate(piece.shape) if size != 1 and n not in shown]
    return None if missing else (tuple(box), tuple(shown))


def regions(parts: Sequence[Part], shape: Shape) -> list[Region] | None:
    """Return boxes that make up the whole array, each with the parts that cover it.

    None if there would be too many, none for an empty array. For two parts of a vector that
    overlap, ``[0, n - 1)`` and ``[1, n)``, these are ``[0, 1)``, ``[1, n - 1)``, ``[n - 1, n)``.
    """
    axes = [_intervals([p.box[axis] for p in parts], size) for axis, size in enumerate(shape)]
    if math.prod(map(len, axes)) > MOST_BOXES:
        return None
    return [
        Region(box, tuple([part for part in parts if _covers(part.box, box)]))
        for box in itertools.product(*axes)
    ]


def _intervals(covered: list[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    ends = {0, size}
    for start, count in covered:
        ends.update((start, start + count))
    return [(a, b - a) for a, b in itertools.pairwise(sorted(ends))]


def _covers(outer: Box, inner: Box) -> bool:
    return all(
        start <= first and first + count <= start + size
        for (start, size), (first, count) in zip(outer, inner, strict=True)
    )
