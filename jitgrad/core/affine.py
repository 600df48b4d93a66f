"""Integer expressions that are linear in loop indices: how an operation reads its input."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Affine:
    """``constant + sum(coefficient * index)`` over the indices of a loop nest.

    Parameters
    ----------
    terms : tuple of (int, int)
        Pairs (number of the loop index, coefficient), sorted, coefficients not zero.
    constant : int
        What is added.

    Examples
    --------
    >>> i = Affine.index(0)
    >>> 2 * i + 1
    Affine(terms=((0, 2),), constant=1)
    """

    terms: tuple[tuple[int, int], ...] = ()
    constant: int = 0

    @staticmethod
    def index(number: int) -> Affine:
        """Return the loop index of this number alone."""
        return Affine(((number, 1),))

    def __add__(self, other: Affine | int) -> Affine:
        if isinstance(other, int):
            return Affine(self.terms, self.constant + other)
        merged = dict(self.terms)
        for number, coefficient in other.terms:
            merged[number] = merged.get(number, 0) + coefficient
        terms = tuple(sorted((n, c) for n, c in merged.items() if c))
        return Affine(terms, self.constant + other.constant)

    def __mul__(self, factor: int) -> Affine:
        if factor == 0:
            return Affine()
        return Affine(tuple((n, c * factor) for n, c in self.terms), self.constant * factor)

    __rmul__ = __mul__

    @property
    def bare_index(self) -> int | None:
        """The number of the loop index that this is, or None if it is anything else."""
        if self.constant == 0 and len(self.terms) == 1 and self.terms[0][1] == 1:
            return self.terms[0][0]
        return None

    def substitute(self, indices: tuple[Affine, ...]) -> Affine:
        """Return this expression with index number `n` replaced by ``indices[n]``."""
        result = Affine((), self.constant)
        for number, coefficient in self.terms:
            result = result + indices[number] * coefficient
        return result
