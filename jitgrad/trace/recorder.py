"""Records operations as nodes of a graph instead of computing them."""

from __future__ import annotations

from typing import Any

from jitgrad.core.errors import GraphError
from jitgrad.core.location import Location
from jitgrad.core.primitive import Primitive
from jitgrad.core.spec import Count
from jitgrad.ir.graph import GraphBuilder, Literal, Node, Operand, Value
from jitgrad.ops.cast import stop_gradient
from jitgrad.ops.creation import full_primitive


class Recorder:
    """A trace in which every Tensor holds a graph value already.

    Passes that write nodes by running rules and operations use it; `capture.Capture` adds what
    running a user's function needs.

    Parameters
    ----------
    nodes : list of Node, optional
        Nodes to continue from.
    """

    has_values = False

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
        """Return `tensor`, which holds a graph value; a number made of numbers becomes one."""
        raw = tensor._raw
        if isinstance(raw, Value):
            return tensor
        if raw.ndim or tensor.requires_grad:
            raise GraphError("a derivative rule brought an array of its own into the graph")
        return full_primitive(shape=(), value=raw.item(), dtype=raw.dtype)

    def constant(self, raw: Any) -> Any:
        """Return a raw value behind a ``stop_gradient``."""
        if not isinstance(raw, Value) or raw.dtype == object:
            # No number, or the record of a loop, which has no derivative anyway.
            return raw
        return self.evaluate(stop_gradient, (raw,), {})[0]

    def demand(self, value: Value) -> Any:
        """Refuse: no values exist here."""
        raise GraphError("a derivative rule asked for the value of a traced Tensor")

    def met_scalar(self) -> None:
        """Do nothing: only what a user's function meets is of interest."""

    def load_gradient(self, tensor: Any) -> None:
        """Refuse: nothing stands for a user's Tensor here."""
        raise GraphError("a derivative rule asked for the gradient of a Tensor")

    def recorded(self, node: Any) -> None:
        """Do nothing: rules are run without a tape."""

    def going_back_through(self, node: Any) -> None:
        """Do nothing: the pass that runs the rules knows their nodes."""

    def refuse(self, reason: str) -> None:
        """Report a defect: rules do nothing that can't be recorded."""
        raise GraphError(f"a derivative rule can't be recorded: {reason}")


def operand_of(raw: Any) -> Operand:
    """Return a raw value, a graph value or Python number, as the operand of a node."""
    if isinstance(raw, Value):
        return raw
    if (
        isinstance(raw, float) and type(raw) is not Count
    ):  # numpy.float64 is one, and must print like one
        return Literal.of(float(raw))
    return Literal.of(raw)
