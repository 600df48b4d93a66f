"""Records operations as nodes of a graph instead of computing them."""

from __future__ import annotations

from typing import Any

from jitgrad.core.errors import GraphError
from jitgrad.core.location import Location
from jitgrad.core.primitive import Primitive
from jitgrad.ir.graph import GraphBuilder, Literal, Node, Operand, Value


class Recorder:
    """A trace in which every Tensor holds a graph value already.

    Passes that write nodes by running rules and operations use it; `capture.Capture` adds what
    running a user's function needs.

    Parameters
    ----------
    nodes : list of Node, optional
        Nodes to continue from.
    """

    def __init__(self, nodes: list[Node] | None = None) -> None:
        self.builder = GraphBuilder(nodes if nodes is not None else [])
        self.location: Location | None = None
        self.adjoint = False

    def evaluate(
        self, primitive: Primitive, raws: tuple[Any, ...], params: dict[str, Any]
    ) -> tuple[Any, ...]:
        """Append a node and return the graph values of its outputs."""
        operands = tuple([operand_of(raw) for raw in raws])
        return self.builder.emit(primitive, operands, params, self.location, self.adjoint)

    def lift(self, tensor: Any) -> Any:
        """Return `tensor`; it must hold a graph value."""
        if not isinstance(tensor._raw, Value):
            raise GraphError("a derivative rule brought an array of its own into the graph")
        return tensor

    def demand(self, value: Value) -> Any:
        """Refuse: no values exist here."""
        raise GraphError("a derivative rule asked for the value of a traced Tensor")


def operand_of(raw: Any) -> Operand:
    """Return a raw value, a graph value or Python number, as the operand of a node."""
    if isinstance(raw, Value):
        return raw
    if isinstance(raw, float):  # numpy.float64 is one, and must print like one
        return Literal.of(float(raw))
    return Literal.of(raw)
