"""The graph: values with shape and dtype, nodes with an operation, in single assignment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jitgrad.core.dtypes import DType, python_dtype
from jitgrad.core.extents import extents_in
from jitgrad.core.location import Location
from jitgrad.core.primitive import Primitive
from jitgrad.core.spec import Shape, Spec


@dataclass(eq=False, slots=True)
class Value:
    """A value of a graph, computed by exactly one node or given as input.

    Parameters
    ----------
    spec : Spec
        Its shape and dtype.
    name : str
        The user's name for it, ``""`` where none is known; for people only.
    """

    spec: Spec
    name: str = ""

    @property
    def shape(self) -> Shape:
        """Sizes of the axes."""
        return self.spec.shape

    @property
    def dtype(self) -> DType:
        """The dtype of the elements."""
        return self.spec.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.spec.shape)


@dataclass(frozen=True, slots=True)
class Literal:
    """A Python number as the input of a node or the output of a graph.

    Parameters
    ----------
    number : bool, int or float
        The number.
    kind : str
        The name of its type; so that ``1``, ``1.0`` and ``True`` are different literals.
    sign : str
        The number as text, so that ``0.0`` and ``-0.0`` are different literals.
    """

    number: bool | int | float
    kind: str
    sign: str

    @staticmethod
    def of(number: bool | int | float) -> Literal:
        """Return the literal of a Python number."""
        return Literal(number, type(number).__name__, repr(number))

    @property
    def spec(self) -> Spec:
        """Weak 0-d spec, in the dtype in which Python computes."""
        return Spec((), python_dtype(self.number), weak=True)


Operand = Value | Literal


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operation applied to operands.

    Parameters
    ----------
    primitive : Primitive
        The operation.
    inputs : tuple of Value or Literal
        Its operands.
    params : mapping
        Static parameters, hashable.
    outputs : tuple of Value
        What it computes.
    location : Location, optional
        The user's line that asked for it.
    adjoint : bool
        Whether it is part of a derivative of that line, not of the line itself.
    """

    primitive: Primitive
    inputs: tuple[Operand, ...]
    params: Mapping[str, Any]
    outputs: tuple[Value, ...]
    location: Location | None = None
    adjoint: bool = False

    @property
    def specs(self) -> tuple[Spec, ...]:
        """Specs of the inputs."""
        return tuple([operand.spec for operand in self.inputs])

    def value_inputs(self) -> Iterable[Value]:
        """Return the inputs that are values, not literals; sizes that parameters name included."""
        inputs = [operand for operand in self.inputs if isinstance(operand, Value)]
        return [*inputs, *self.sizes()]

    def sizes(self) -> list[Value]:
        """Return the values that are the extents among the parameters."""
        return [extent.value for item in self.params.values() for extent in extents_in(item)]


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A function: inputs, nodes in an order in which they can run, outputs.

    Parameters
    ----------
    inputs : tuple of Value
        Given at each call.
    nodes : tuple of Node
        Each uses only inputs and outputs of earlier nodes.
    outputs : tuple of Value or Literal
        What the function returns.
    """

    inputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Operand, ...]


@dataclass(slots=True)
class GraphBuilder:
    """Collects nodes, each with the outputs that its operation infers."""

    nodes: list[Node] = field(default_factory=list)

    def emit(
        self,
        primitive: Primitive,
        inputs: tuple[Operand, ...],
        params: Mapping[str, Any],
        location: Location | None = None,
        adjoint: bool = False,
    ) -> tuple[Value, ...]:
        """Append a node and return its outputs; raises the user's error where inputs don't fit."""
        specs = primitive.output_specs([operand.spec for operand in inputs], dict(params))
        outputs = tuple([Value(spec) for spec in specs])
        self.nodes.append(Node(primitive, inputs, params, outputs, location, adjoint))
        return outputs
