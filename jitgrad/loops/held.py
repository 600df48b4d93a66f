"""What a value of the graph is while its loop program is written."""

from __future__ import annotations

from dataclasses import dataclass, field

from jitgrad.core.spec import Shape
from jitgrad.ir.graph import Graph, Node, Value
from jitgrad.ir.walk import uses, values_of
from jitgrad.loops.program import Array, Index, Linear, Number

# Arrays of at most so many elements are numbers in registers.
MOST_IN_REGISTERS = 16


@dataclass(eq=False, slots=True)
class Registers:
    """An array whose elements are numbers, in C order; a 0-d value is one number.

    Parameters
    ----------
    shape : tuple of int
        Sizes of the axes.
    numbers : list
        The elements.
    """

    shape: Shape
    numbers: list[Linear | Number]


@dataclass(eq=False, slots=True)
class Memory:
    """An array in memory, or one of those that are stacked in it.

    Parameters
    ----------
    array : Array
        The memory.
    first : tuple of Linear
        The first part of an index into it; the rest is an index of the value.
    """

    array: Array
    first: Index = ()


@dataclass(eq=False, slots=True)
class Computed:
    """An array that is not there: an element is computed where it is asked for.

    Parameters
    ----------
    node : Node
        What computes it.
    scope : Scope
        Where its operands are found.
    """

    node: Node
    scope: Scope


Held = Registers | Memory | Computed


@dataclass(eq=False, slots=True)
class Scope:
    """The values of one graph while its nodes are lowered.

    Parameters
    ----------
    graph : Graph
        Of a body, or of the whole program.
    held : dict
        What each value is.
    own : set of Array
        Memory that may be written to, as nothing outside reads it.
    position : int
        Number of the node that is lowered.
    """

    graph: Graph
    held: dict[Value, Held] = field(default_factory=dict)
    own: set[Array] = field(default_factory=set)
    position: int = 0
    last_use: dict[Value, int] = field(init=False)
    users: dict[Value, list[Node]] = field(init=False)

    def __post_init__(self) -> None:
        self.users = uses(self.graph)
        number = {node: k for k, node in enumerate(self.graph.nodes)}
        self.last_use = {value: number[nodes[-1]] for value, nodes in self.users.items()}
        self.last_use |= dict.fromkeys(values_of(self.graph.outputs), len(self.graph.nodes))

    def is_read_later(self, value: Value) -> bool:
        """Return whether a node after this one, or the end, reads a value."""
        return self.last_use.get(value, -1) > self.position

    def is_output(self, value: Value) -> bool:
        """Return whether a value is handed out."""
        return value in self.graph.outputs

    def aliases(self, memory: Memory, but: Value) -> bool:
        """Return whether another value that is read later is this memory."""
        return any(
            isinstance(held, Memory)
            and held.array is memory.array
            and held.first == memory.first
            and self.is_read_later(value)
            for value, held in self.held.items()
            if value is not but
        )


def reads(held: Held) -> set[Array]:
    """Return the memory that elements of a value are computed from."""
    if isinstance(held, Memory):
        return {held.array}
    if isinstance(held, Registers):
        return set()
    found: set[Array] = set()
    for operand in held.node.inputs:
        if isinstance(operand, Value):
            found |= reads(held.scope.held[operand])
    return found
