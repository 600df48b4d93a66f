"""Which elements of a graph's outputs depend on which elements of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from jitgrad.core.primitive import (
    Accumulation,
    Alias,
    Contraction,
    Indexed,
    IndexMap,
    Partials,
    Pieces,
    Template,
)
from jitgrad.ir.graph import Graph, Literal, Node, Operand
from jitgrad.ir.interpret import evaluate_primitive
from jitgrad.tensor.tensor import make_tensor

Array = np.ndarray[Any, Any]
# One row for each element of a value, one column for each element of the argument.
Pattern = Any
# More dependences than that are no sparse matrix.
_MOST = 50_000_000


class TooDenseError(Exception):
    """Raised where everything depends on everything, and there is much of both."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What is known of a value.

    Parameters
    ----------
    array : ndarray or number
        The value itself, at the point where it is asked for.
    pattern : sparse array or None
        Which elements of the argument each element depends on, differentiably; None for none.
    sources : frozenset of int
        Numbers of the graph's inputs that it is computed of, differentiably or not.
    """

    array: Any
    pattern: Pattern | None
    sources: frozenset[int]


Rule = Callable[["Analysis", Node, list[Known]], list[Known]]


class Analysis:
    """Follows dependences through a graph at one point.

    Parameters
    ----------
    columns : int
        How many elements the argument has.
    rules : mapping
        By name, how operations that hold graphs hand dependences on.

    Attributes
    ----------
    decided_by : set of int
        Numbers of the inputs whose values decided about the pattern: indices, for instance.
    """

    def __init__(self, columns: int, rules: Mapping[str, Rule]) -> None:
        self.columns = columns
        self.rules = rules
        self.decided_by: set[int] = set()

    def run(self, graph: Graph, inputs: Sequence[Known]) -> list[Known]:
        """Return what is known of the outputs."""
        environment = dict(zip(graph.inputs, inputs, strict=True))

        def read(operand: Operand) -> Known:
            if isinstance(operand, Literal):
                return Known(operand.number, None, frozenset())
            return environment[operand]

        for node in graph.nodes:
            given = [read(operand) for operand in node.inputs]
            environment.update(zip(node.outputs, self.of_node(node, given), strict=True))
        return [read(operand) for operand in graph.outputs]

    def of_node(self, node: Node, given: list[Known]) -> list[Known]:
        """Return what is known of a node's outputs."""
        rule = self.rules.get(node.primitive.name)
        if rule is not None:
            return rule(self, node, given)
        sources = frozenset().union(*[known.sources for known in given])
        arrays = evaluate_primitive(node.primitive, [k.array for k in given], node.params)
        patterns = self.patterns(node, given, arrays)
        return [Known(a, p, sources) for a, p in zip(arrays, patterns, strict=True)]

    def patterns(
        self, node: Node, given: list[Known], outputs: Sequence[Array]
    ) -> list[Pattern | None]:
        """Return the patterns of a node's outputs."""
        primitive = node.primitive
        active = [
            k
            for k, known in enumerate(given)
            if known.pattern is not None and primitive.rule_for(k) is not None
        ]
        if not active:
            return [None] * len(outputs)
        lowering = primitive.lowering
        if isinstance(lowering, Template) or isinstance(primitive.derivative, Partials):
            return [self.elementwise(given, active, output.shape) for output in outputs]
        if isinstance(lowering, (IndexMap, Alias, Pieces)):
            return [self.moved(node, given, active)]
        if isinstance(lowering, Indexed):
            self.decided_by.update(given[1].sources)
            return [
                self.added(node, given, outputs[0])
                if lowering.adds
                else self.moved(node, given, active)
            ]
        if isinstance(lowering, Accumulation):
            return [self.reduced(node, given[0], outputs[0])]
        if isinstance(lowering, Contraction):
            return [self.product(given, outputs[0])]
        return self.everything(given, active, outputs)

    def elementwise(
        self, given: list[Known], active: Sequence[int], shape: tuple[int, ...]
    ) -> Pattern:
        """Return the pattern of what is computed from one element of each input."""
        total = None
        for k in active:
            numbers = _numbers(given[k])
            pattern: Any = given[k].pattern
            if numbers.shape != shape:
                pattern = pattern[np.broadcast_to(numbers, shape).ravel()]
            total = pattern if total is None else total + pattern
        return total

    def moved(self, node: Node, given: list[Known], active: Sequence[int]) -> Pattern:
        """Return the pattern of what moves elements: numbers in their place tell where they go."""
        numbered: list[Any] = []
        patterns: list[Pattern] = []
        first = 1
        for k, known in enumerate(given):
            if k in active:
                numbered.append(_numbers(known, first))
                patterns.append(known.pattern)
                first += np.size(known.array)
            elif node.primitive.rule_for(k) is None:
                numbered.append(known.array)
            else:
                numbered.append(np.zeros(np.shape(known.array), np.int64))
        (found,) = evaluate_primitive(node.primitive, numbered, node.params)
        return _chosen(found.ravel(), sparse.vstack(patterns, format="csr"))

    def added(self, node: Node, given: list[Known], output: Array) -> Pattern:
        """Return the pattern of what adds elements: the transpose tells where each goes."""
        rule = node.primitive.rule_for(0)
        assert rule is not None
        names = dict(zip(node.primitive.inputs, [make_tensor(k.array) for k in given], strict=True))
        numbers = make_tensor(np.arange(output.size).reshape(output.shape))
        target = rule({**names, **node.params, "ct": numbers}).numpy().ravel()
        return _sums(target, output.size) @ given[0].pattern

    def reduced(self, node: Node, known: Known, output: Array) -> Pattern:
        """Return the pattern of a reduction."""
        axes = node.params["axes"]
        kept = [1 if a in axes else n for a, n in enumerate(np.shape(known.array))]
        numbers = np.arange(output.size).reshape(kept)
        target = np.broadcast_to(numbers, np.shape(known.array)).ravel()
        return _sums(target, output.size) @ known.pattern

    def product(self, given: list[Known], output: Array) -> Pattern:
        """Return the pattern of a product of matrices."""
        x, y = given
        shape = (*output.shape, x.array.shape[-1])

        def of_x(array: Array) -> Array:
            return np.broadcast_to(array[..., :, None, :], shape).reshape(-1)

        def of_y(array: Array) -> Array:
            return np.broadcast_to(np.swapaxes(array, -1, -2)[..., None, :, :], shape).reshape(-1)

        total = None
        for known, factor, other, its_factor in ((x, of_x, y, of_y), (y, of_y, x, of_x)):
            if known.pattern is None:
                continue
            read = factor(_numbers(known))
            target = np.repeat(np.arange(output.size), shape[-1])
            if other.pattern is None:
                # Times zero there is no dependence.
                used = its_factor(other.array) != 0
                self.decided_by.update(other.sources)
                read, target = read[used], target[used]
            data = np.ones(read.size, bool)
            into = sparse.csr_array((data, (target, read)), (output.size, known.array.size))
            pattern = into @ known.pattern
            total = pattern if total is None else total + pattern
        return total

    def everything(
        self, given: list[Known], active: Sequence[int], outputs: Sequence[Array]
    ) -> list[Pattern | None]:
        """Return the patterns of what may depend on all that its inputs depend on."""
        held: list[Any] = [given[k].pattern for k in active]
        columns = np.unique(np.concatenate([pattern.indices for pattern in held]))
        found: list[Pattern | None] = []
        for output in outputs:
            if output.size * columns.size > _MOST:
                raise TooDenseError
            starts = np.arange(output.size + 1) * columns.size
            indices = np.tile(columns, output.size)
            data = np.ones(indices.size, bool)
            shape = (output.size, self.columns)
            found.append(sparse.csr_array((data, indices, starts), shape))
        return found


def _numbers(known: Known, first: int = 0) -> Array:
    """Return an array of the numbers of a value's elements."""
    array = np.asarray(known.array)
    return np.arange(first, first + array.size).reshape(array.shape)


def _chosen(numbers: Array, pattern: Pattern) -> Pattern:
    """Return rows by their numbers, counted from 1; 0 gives an empty row."""
    places = np.flatnonzero(numbers)
    data = np.ones(places.size, bool)
    pick = sparse.csr_array((data, (places, numbers[places] - 1)), (numbers.size, pattern.shape[0]))
    return pick @ pattern


def _sums(target: Array, size: int) -> Pattern:
    """Return the matrix that adds row `k` to row ``target[k]``."""
    data = np.ones(target.size, bool)
    return sparse.csr_array((data, (target, np.arange(target.size))), (size, target.size))


def stacked(parts: Sequence[Known], columns: int) -> Pattern | None:
    """Return the pattern of values along a new first axis."""
    if all(known.pattern is None for known in parts):
        return None
    rows = [
        sparse.csr_array((np.size(known.array), columns), dtype=bool)
        if known.pattern is None
        else known.pattern
        for known in parts
    ]
    return sparse.vstack(rows, format="csr")
