"""Which elements depend on which, through loops and branches."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.control.loop_form import INDEX, Loop
from jitgrad.core.dtypes import is_floating
from jitgrad.ir.graph import Node
from jitgrad.ir.interpret import evaluate_primitive
from jitgrad.transforms.dependence import Analysis, Known, Pattern, Rule, stacked

# So many operations are followed one by one; beyond, everything depends on everything.
_MOST_STEPS = 20_000


def _through_loop(analysis: Analysis, node: Node, given: list[Known]) -> list[Known]:
    arrays = evaluate_primitive(node.primitive, [k.array for k in given], node.params)
    sources = frozenset().union(*[known.sources for known in given])
    loop = Loop.of(node.params)
    for bound in given[:INDEX]:
        analysis.decided_by.update(bound.sources)
    if loop.condition is not None:
        analysis.decided_by.update(sources)
    patterns = _followed(analysis, loop, given)
    if patterns is None:
        active = [k for k, known in enumerate(given) if known.pattern is not None]
        patterns = list(analysis.everything(given, active, arrays[:-1])) if active else []
    none: list[Pattern | None] = [None] * (len(arrays) - len(patterns))
    pairs = zip(arrays, [*patterns, *none], strict=True)
    return [Known(a, p if is_floating(a.dtype) else None, sources) for a, p in pairs]


def _followed(analysis: Analysis, loop: Loop, given: list[Known]) -> list[Pattern | None] | None:
    """Return the patterns of the results, iteration by iteration; None where that takes long."""
    carries, sliced, constants = loop.split(given)
    first, end = [int(bound.array) for bound in given[:INDEX]]
    most = _MOST_STEPS // max(len(loop.body.graph.nodes), 1)
    if loop.condition is None and end - first > most:
        return None
    outputs: dict[int, list[Known]] = {}
    number, count = first, 0
    while number < end if loop.condition is None else _holds(analysis, loop, carries, constants):
        place = end - 1 - (number - first) if loop.reverse else number
        index = Known(np.asarray(place), None, frozenset())
        slices = [_element(known, place) for known in sliced]
        found = analysis.run(loop.body.graph, [index, *carries, *slices, *constants])
        carries, outputs[place] = found[: loop.carried], found[loop.carried :]
        number, count = number + 1, count + 1
        if count > most:
            return None
    rows = [outputs[place] for place in sorted(outputs)]
    stacks = [stacked([row[k] for row in rows], analysis.columns) for k in range(_stacks(loop))]
    return [*(known.pattern for known in carries), *stacks]


def _stacks(loop: Loop) -> int:
    return len(loop.body.graph.outputs) - loop.carried


def _holds(analysis: Analysis, loop: Loop, carries: list[Known], constants: list[Known]) -> bool:
    assert loop.condition is not None
    (known,) = analysis.run(loop.condition.graph, [*carries, *constants])
    return bool(known.array)


def _element(known: Known, place: int) -> Known:
    array = known.array[place]
    pattern = known.pattern
    if pattern is not None:
        pattern = pattern[place * array.size : (place + 1) * array.size]
    return Known(np.asarray(array), pattern, known.sources)


def _through_branch(analysis: Analysis, node: Node, given: list[Known]) -> list[Known]:
    arrays = evaluate_primitive(node.primitive, [k.array for k in given], node.params)
    sources = frozenset().union(*[known.sources for known in given])
    found = [analysis.run(branch.graph, given[1:]) for branch in node.params["branches"]]
    return [
        Known(array, _union([known.pattern for known in column]), sources)
        for array, column in zip(arrays, zip(*found, strict=True), strict=True)
    ]


def _union(patterns: list[Any]) -> Pattern | None:
    total = None
    for pattern in patterns:
        if pattern is not None:
            total = pattern if total is None else total + pattern
    return total


RULES: dict[str, Rule] = {"loop": _through_loop, "branch": _through_branch}
