"""Whether an int that a loop hands on stays within 64 bits: Python's ints have no end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jitgrad.control.branches import branch_primitive
from jitgrad.control.loop_form import INDEX
from jitgrad.core.primitive import Alias, IndexMap
from jitgrad.ir.graph import Node, Value
from jitgrad.ops.arithmetic import add, sub
from jitgrad.ops.cast import cast, number_primitive
from jitgrad.ops.creation import clone_primitive
from jitgrad.ops.rounding import floor_divide, remainder

_SAME = frozenset({cast, number_primitive, clone_primitive})
_SMALLER = frozenset({floor_divide, remainder})


def grows_slowly(output: Any, carries: Sequence[Value], nodes: Sequence[Node]) -> bool:
    """Return whether a value is at most a carry plus something that no carry has to do with.

    Such a sum takes more iterations to overflow than anybody waits for; ``k = k * 3`` takes 40.

    Parameters
    ----------
    output : Value or Literal
        What the body makes of a carry.
    carries : sequence of Value
        The integer inputs that are handed on.
    nodes : sequence of Node
        Of the body.
    """
    made_by = {value: node for node in nodes for value in node.outputs}
    return _is_slow(output, frozenset(carries), made_by)


def _depends(operand: Any, carries: frozenset[Value], made_by: Mapping[Value, Node]) -> bool:
    if not isinstance(operand, Value) or operand.dtype.kind not in "iu":
        return False
    if operand in carries:
        return True
    node = made_by.get(operand)
    return node is not None and any(_depends(o, carries, made_by) for o in node.inputs)


def _is_slow(operand: Any, carries: frozenset[Value], made_by: Mapping[Value, Node]) -> bool:
    if operand in carries or not _depends(operand, carries, made_by):
        return True
    node = made_by[operand]
    parts = [o for o in node.inputs if _depends(o, carries, made_by)]
    slow = all(_is_slow(o, carries, made_by) for o in parts)
    if node.primitive in (add, sub):
        return slow and len(parts) == 1
    if node.primitive in _SMALLER:
        return slow and parts == [node.inputs[0]]
    if node.primitive in _SAME or isinstance(node.primitive.lowering, Alias | IndexMap):
        return slow
    if node.primitive is branch_primitive:
        number = node.outputs.index(operand)
        return slow and all(
            _is_slow_in(graph.graph, number, node.inputs[1:], carries, made_by)
            for graph in node.params["branches"]
        )
    if "body" in node.params:
        # The loop inside was looked at when it was made.
        place = node.outputs.index(operand) + INDEX
        others = [o for k, o in enumerate(node.inputs) if k != place]
        return slow and not any(_depends(o, carries, made_by) for o in others)
    return False


def _is_slow_in(
    graph: Any,
    number: int,
    operands: Sequence[Any],
    carries: frozenset[Value],
    made_by: Mapping[Value, Node],
) -> bool:
    inner = {
        value
        for value, operand in zip(graph.inputs, operands, strict=True)
        if _depends(operand, carries, made_by)
    }
    return grows_slowly(graph.outputs[number], sorted(inner, key=graph.inputs.index), graph.nodes)
