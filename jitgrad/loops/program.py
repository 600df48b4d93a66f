"""The loop program: scalars in single assignment, arrays in memory, loops and branches as blocks.

What a graph says by values, a loop program says by loads and stores: a loop whose body updates one
element of an array is a `For` with a `Store` in it. Its adjoint costs in proportion to what it
touches, and runs it backwards.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from jitgrad.core.dtypes import DType, int64
from jitgrad.core.primitive import Accumulation
from jitgrad.core.spec import Shape
from jitgrad.ir.graph import Literal, Node

_numbers = itertools.count()


@dataclass(eq=False, slots=True)
class Scalar:
    """A number in a register, assigned at one place.

    Parameters
    ----------
    dtype : numpy dtype
        Of the number.
    name : str
        What the user calls it, for the text.
    number : int
        Grows with each new one; orders the terms of sums.
    """

    dtype: DType
    name: str = ""
    number: int = field(default_factory=lambda: next(_numbers))


@dataclass(eq=False, slots=True)
class Array:
    """An array in memory, C-contiguous.

    Parameters
    ----------
    shape : tuple of int
        Sizes of the axes.
    dtype : numpy dtype
        Of the elements.
    name : str
        What the user calls it, for the text.
    """

    shape: Shape
    dtype: DType
    name: str = ""


@dataclass(frozen=True, slots=True)
class Linear:
    """``constant + sum(coefficient * scalar)``: an index, or a bound of one.

    Parameters
    ----------
    terms : tuple of (Scalar, int)
        Ordered by the number of the scalar; coefficients are not zero.
    constant : int
        What is added.
    """

    terms: tuple[tuple[Scalar, int], ...] = ()
    constant: int = 0

    @staticmethod
    def of(thing: Scalar | int | Linear) -> Linear:
        """Return a scalar or number as such a sum."""
        if isinstance(thing, Linear):
            return thing
        if isinstance(thing, Scalar):
            return Linear(((thing, 1),))
        return Linear((), int(thing))

    def __add__(self, other: Linear | int) -> Linear:
        other = Linear.of(other)
        merged = dict(self.terms)
        for scalar, coefficient in other.terms:
            merged[scalar] = merged.get(scalar, 0) + coefficient
        terms = sorted(((s, c) for s, c in merged.items() if c), key=lambda term: term[0].number)
        return Linear(tuple(terms), self.constant + other.constant)

    def __mul__(self, factor: int) -> Linear:
        if not factor:
            return Linear()
        return Linear(tuple([(s, c * factor) for s, c in self.terms]), self.constant * factor)

    def __sub__(self, other: Linear | int) -> Linear:
        return self + Linear.of(other) * -1

    @property
    def known(self) -> int | None:
        """The number that it is, None where that depends on scalars."""
        return None if self.terms else self.constant

    def replace(self, scalar: Scalar, by: Linear) -> Linear:
        """Return the sum with something else in place of a scalar."""
        coefficient = dict(self.terms).get(scalar, 0)
        if not coefficient:
            return self
        return self - Linear.of(scalar) * coefficient + by * coefficient


Index = tuple[Linear, ...]
Number = Scalar | Literal
WHOLE = int64


@dataclass(eq=False, slots=True)
class Apply:
    """Computes a number by the operation of a node of the graph, for one element."""

    node: Node
    inputs: tuple[Number, ...]
    out: Scalar


@dataclass(eq=False, slots=True)
class Combine:
    """Updates an accumulator of a reduction with one element."""

    node: Node
    form: Accumulation
    accumulator: Number
    element: Number
    out: Scalar


@dataclass(eq=False, slots=True)
class Count:
    """Makes a number of an index."""

    value: Linear
    out: Scalar


@dataclass(eq=False, slots=True)
class Load:
    """Reads an element."""

    array: Array
    index: Index
    out: Scalar


@dataclass(eq=False, slots=True)
class Store:
    """Writes an element, or adds to it."""

    array: Array
    index: Index
    value: Number
    adds: bool = False


@dataclass(eq=False, slots=True)
class Check:
    """Ends the program with the user's error unless an index is below a size and not negative."""

    value: Linear
    size: Linear
    node: Node
    axis: int


class Stack:
    """Where a loop keeps numbers for its way back."""


@dataclass(eq=False, slots=True)
class Push:
    """Keeps a number for the way back."""

    stack: Stack
    value: Number


@dataclass(eq=False, slots=True)
class Pop:
    """Takes back the last number that was kept."""

    stack: Stack
    out: Scalar


@dataclass(eq=False, slots=True)
class Carry:
    """A number that goes from one iteration of a loop to the next.

    Parameters
    ----------
    inside : Scalar
        At the beginning of an iteration.
    first : Scalar or Literal
        In the first one.
    following : Scalar or Literal
        What it is in the next one.
    after : Scalar
        When the loop has ended.
    """

    inside: Scalar
    first: Number
    following: Number
    after: Scalar


@dataclass(eq=False, slots=True)
class For:
    """Runs a block for each index of a range.

    Parameters
    ----------
    index : Scalar
        Counts.
    start, stop : Linear
        The range.
    body : list of Statement
        What runs.
    carries : list of Carry
        Numbers that go from one iteration to the next.
    backwards : bool
        Whether the last index comes first.
    is_independent : bool
        Whether no iteration reads or writes memory that another one writes.
    """

    index: Scalar
    start: Linear
    stop: Linear
    body: Block
    carries: list[Carry] = field(default_factory=list)
    backwards: bool = False
    is_independent: bool = False


@dataclass(eq=False, slots=True)
class While:
    """Runs a block as long as a condition holds, which is computed before each iteration."""

    condition: Block
    holds: Number
    body: Block
    carries: list[Carry] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Merge:
    """A number that comes from one of two branches."""

    out: Scalar
    then: Number
    otherwise: Number


@dataclass(eq=False, slots=True)
class If:
    """Runs one of two blocks."""

    predicate: Number
    then: Block
    otherwise: Block
    merges: list[Merge] = field(default_factory=list)


Statement = Apply | Combine | Count | Load | Store | Check | Push | Pop | For | While | If
Block = list[Statement]


@dataclass(eq=False, slots=True)
class Program:
    """A function of arrays and whole numbers that fills arrays.

    Parameters
    ----------
    inputs : list of Array
        Only read, unless they are among `changed`.
    counts : list of Scalar
        Whole numbers given at each call.
    outputs : list of Array
        Filled, or changed in place: whoever calls gives their memory.
    temporaries : list of Array
        Needed while it runs.
    body : list of Statement
        What runs.
    """

    inputs: list[Array]
    counts: list[Scalar]
    outputs: list[Array]
    temporaries: list[Array]
    body: Block


def statements(block: Block) -> Iterator[Statement]:
    """Yield all statements of a block, those inside of others after them."""
    for statement in block:
        yield statement
        for inner in blocks_of(statement):
            yield from statements(inner)


def blocks_of(statement: Statement) -> tuple[Block, ...]:
    """Return the blocks inside a statement."""
    if isinstance(statement, For):
        return (statement.body,)
    if isinstance(statement, While):
        return statement.condition, statement.body
    if isinstance(statement, If):
        return statement.then, statement.otherwise
    return ()


def made_by(statement: Statement) -> list[Scalar]:
    """Return the numbers that a statement makes."""
    if isinstance(statement, (For, While)):
        return [carry.after for carry in statement.carries]
    if isinstance(statement, If):
        return [merge.out for merge in statement.merges]
    if isinstance(statement, (Store, Push, Check)):
        return []
    return [statement.out]


def used_by(statement: Statement) -> list[Scalar]:
    """Return the numbers that a statement without blocks reads, once for each time."""
    numbers: tuple[Number, ...] = ()
    sums: Index = ()
    if isinstance(statement, Apply):
        numbers = statement.inputs
    elif isinstance(statement, Combine):
        numbers = (statement.accumulator, statement.element)
    elif isinstance(statement, Count):
        sums = (statement.value,)
    elif isinstance(statement, Load):
        sums = statement.index
    elif isinstance(statement, Store):
        numbers, sums = (statement.value,), statement.index
    elif isinstance(statement, Check):
        sums = (statement.value, statement.size)
    elif isinstance(statement, Push):
        numbers = (statement.value,)
    found = [number for number in numbers if isinstance(number, Scalar)]
    return found + [scalar for entry in sums for scalar, _ in entry.terms]
