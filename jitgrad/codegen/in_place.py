"""Results in the memory of inputs that nobody needs any more.

An elementwise result may be written over an input of its shape and dtype if every other place that
reads the input comes before: in an earlier nest, or earlier in the same iteration at the same
element.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jitgrad.codegen.nests import Call, Compute, IntrinsicCall, Item, Loop, Opaque, Rename
from jitgrad.core.affine import Affine
from jitgrad.core.primitive import Template
from jitgrad.ir.graph import Graph, Operand, Value


@dataclass(frozen=True, slots=True)
class _Place:
    """Where something happens: which outermost item, which of its ends, inside which loops."""

    item: int
    number: int
    leaf: Item


def results_in_place(
    body: Sequence[Item], graph: Graph, given: Sequence[Value]
) -> dict[Value, Value]:
    """Return results that can be written over inputs, with these inputs.

    Of inputs and results of one shape and dtype the first goes with the first, and so on.

    Parameters
    ----------
    body : sequence of Item
        The schedule.
    graph : Graph
        What it computes.
    given : sequence of Value
        Inputs whose memory may be overwritten.
    """
    if not given:
        return {}
    places = [
        _Place(number, count, leaf)
        for number, item in enumerate(body)
        for count, leaf in enumerate(_ends(item))
    ]
    found: dict[Value, Value] = {}
    for value, source in _pairs(graph, given):
        made = [p for p in places if _made_by(p.leaf) is value]
        if len(made) == 1 and _is_elementwise(made[0].leaf) and _is_last(made[0], source, places):
            found[value] = source
    return found


def _ends(item: Item) -> Iterator[Item]:
    if isinstance(item, Loop):
        for inner in item.body:
            yield from _ends(inner)
    else:
        yield item


def _pairs(graph: Graph, given: Sequence[Value]) -> Iterator[tuple[Value, Value]]:
    outputs = [v for v in dict.fromkeys(graph.outputs) if isinstance(v, Value)]
    kept = [v for v in given if v in graph.inputs and v not in outputs and v.ndim]
    for source in kept:
        alike = [v for v in kept if _kind(v) == _kind(source)]
        wanted = [v for v in outputs if v not in graph.inputs and _kind(v) == _kind(source)]
        yield from [p for p in zip(wanted, alike, strict=False) if p[1] is source]


def _kind(value: Value) -> tuple[object, ...]:
    return value.shape, value.dtype


def _made_by(leaf: Item) -> Value | None:
    if isinstance(leaf, Compute):
        return leaf.statement.out
    return leaf.step.out if isinstance(leaf, Call) else None


def _is_elementwise(leaf: Item) -> bool:
    """Return whether each iteration writes the element that its loops number."""
    if not isinstance(leaf, Compute):
        return False
    statement = leaf.statement
    loops = tuple(map(Affine.index, range(len(statement.axes))))
    own = tuple([e for e in statement.out_index if e != Affine()])
    return (
        statement.whole
        and isinstance(statement.form, Template)
        and bool(loops)
        and own == loops
        and not any(True for _ in statement.lookups())
    )


def _is_last(made: _Place, source: Value, places: Sequence[_Place]) -> bool:
    """Return whether nothing reads `source` after the place that writes over it."""
    target = made.leaf
    assert isinstance(target, Compute)
    for place in places:
        leaf = place.leaf
        if isinstance(leaf, Opaque):
            if source in _whole(leaf) or target.statement.out in _whole(leaf):
                return False
            continue
        if not isinstance(leaf, (Compute, Call)):
            continue
        step = leaf.statement if isinstance(leaf, Compute) else leaf.step
        reads = [read for read in step.reads() if read.value is source]
        # What stands outside of loops each thread reads when it comes there; products it awaits.
        if not reads or (place.item < made.item and (leaf.loops or isinstance(leaf, Call))):
            continue
        if (
            isinstance(leaf, Call)
            or place.item != made.item
            or place.number > made.number
            or leaf.loops != target.loops
            or any(read.index != target.statement.out_index for read in reads)
        ):
            return False
    return True


def _whole(leaf: Opaque) -> Sequence[Operand]:
    """Return what is taken or made as a whole array."""
    step = leaf.step
    if isinstance(step, Rename):
        return step.source, step.out
    if isinstance(step, IntrinsicCall):
        return *step.operands, step.out
    return *step.operands, *step.node.outputs
