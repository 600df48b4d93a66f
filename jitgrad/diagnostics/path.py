"""One call of a function, traced for a look at it: its graph, and what the graph runs on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jitgrad.api.compile import CompiledFunction
from jitgrad.core.errors import ArgumentError
from jitgrad.core.tree import flatten
from jitgrad.ir.graph import Node, Value
from jitgrad.ir.walk import values_of
from jitgrad.runtime.dispatch import Call
from jitgrad.trace.segments import Segment, SegmentTree


@dataclass(frozen=True, slots=True)
class Path:
    """What one call does.

    Parameters
    ----------
    title : str
        The function and where it stands.
    tree : SegmentTree
        The path, as the only one of a tree of its own.
    inputs : dict
        The Tensors and Python numbers that the graph's inputs stand for.
    """

    title: str
    tree: SegmentTree
    inputs: dict[Value, Any]

    @property
    def segments(self) -> list[Segment]:
        """The parts into which values that are asked for cut it."""
        return self.tree.in_order()

    @property
    def nodes(self) -> list[Node]:
        """All that is computed, in order."""
        return [node for segment in self.segments for node in segment.nodes]

    @property
    def results(self) -> list[Value]:
        """What is returned, and what Tensors and their ``.grad`` are changed to."""
        captured = self.segments[-1].result
        assert captured is not None
        found = [leaf.content for leaf in captured.leaves if isinstance(leaf.content, Value)]
        found += [value for _, value in captured.writes]
        found += [value for _, value in captured.gradients if value is not None]
        return values_of(found)


def trace_path(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Path:
    """Trace a call anew, and leave a compiled function and the arguments as they are.

    Raises
    ------
    ArgumentError
        If the function can't be captured.
    """
    plain = function.__wrapped__ if isinstance(function, CompiledFunction) else function
    traced = CompiledFunction(plain)
    leaves, tree = flatten((args, kwargs) if kwargs else args)
    found = traced._prepare(leaves, tree, bool(kwargs))
    if not isinstance(found, tuple):
        if found.error is not None:
            raise found.error
        raise ArgumentError(
            f"{traced._title} can't be looked into",
            why=traced._eager_reason,
            do="look into the parts of it that can be traced",
        )
    variant, captured = found
    call = Call(leaves, captured, variant.tree.constants)
    inputs = {value: call.operand(source) for value, source in variant.tree.inputs.items()}
    return Path(traced._title, variant.tree, inputs)
