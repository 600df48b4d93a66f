"""What a generated kernel is: its text, what it takes, and the names in it."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass, field

from jitgrad.codegen.expressions import CAST_NAMES
from jitgrad.ir.graph import Graph, Node, Value

_NAMES_OF_LOOPS = re.compile(r"[ijklmopq]|[icno]\d+")


@dataclass(frozen=True, slots=True, eq=False)
class Failure:
    """An index out of range that a kernel may find.

    Parameters
    ----------
    node : Node
        The operation.
    axis : int
        The axis that is indexed.
    size : int or None
        Its size, where that is known.
    """

    node: Node
    axis: int
    size: int | None


@dataclass(eq=False, slots=True)
class KernelText:
    """A generated function.

    Parameters
    ----------
    source : str
        Text of the ``def``, without imports.
    arguments : list of Value
        Arrays and numbers it takes, in order; those it writes last.
    written : set of Value
        Which of them it writes.
    sizes : list of int
        Contents of the argument ``sizes``; empty if it takes none.
    numbers : list of float
        Contents of the argument ``numbers``, which follow from sizes; empty if it takes none.
    arena_bytes : int
        Size of the argument ``arena``; zero if it takes none.
    failures : list of Failure
        What number ``k + 1`` in the argument ``failures`` means; empty if it takes none.
    statements : int
        How many loop statements it holds, for reports.
    nests : int
        How many outermost loops it has.
    team : bool
        Whether several threads may run it, who share the argument ``team``; ``rank`` is last.
    thread_bytes : int
        What the arena has in addition for each of these threads.
    multiplies : bool
        Whether these threads call BLAS, which then uses one thread itself.
    nanoseconds : float
        Estimated time of what they divide, on one thread.
    """

    source: str
    arguments: list[Value]
    written: set[Value]
    sizes: list[int]
    numbers: list[float]
    arena_bytes: int
    failures: list[Failure]
    statements: int
    nests: int
    team: bool = False
    thread_bytes: int = 0
    multiplies: bool = False
    nanoseconds: float = 0.0


@dataclass(slots=True)
class Writer:
    """Collects indented lines.

    Parameters
    ----------
    lines : list of str
        What has been written.
    depth : int
        Indentation, in steps of four spaces.
    """

    lines: list[str] = field(default_factory=list)
    depth: int = 1

    def line(self, text: str) -> None:
        """Add a line at the current indentation."""
        self.lines.append("    " * self.depth + text)


def name_values(
    graph: Graph, extra: dict[Value, Node | None], reserved: set[str]
) -> dict[Value, str]:
    """Return a unique Python name for each value: the user's, or one made from its operation.

    `extra` are values that are not in the graph, with the nodes that they belong to.
    """
    names: dict[Value, str] = {}
    taken = {*reserved, *CAST_NAMES.values()}
    # The latest number behind each stem, of the user's names and of others.
    numbers: dict[tuple[str, bool], int] = {}
    makers: dict[Value, Node | None] = {v: node for node in graph.nodes for v in node.outputs}
    for value, node in extra.items():
        makers.setdefault(value, node)
    for value in [*graph.inputs, *makers]:
        if value in names:
            continue
        node = makers.get(value)
        stem = value.name or (node.primitive.name if node is not None else "x")
        if node is not None and node.adjoint and not value.name:
            stem = f"d_{stem}"
        if not stem.isidentifier() or keyword.iskeyword(stem):
            stem = f"{stem}_" if f"{stem}_".isidentifier() else "value"
        if _NAMES_OF_LOOPS.fullmatch(stem):
            # Numbers behind it would make other such names.
            stem = f"{stem}_"
        name, number = stem, numbers.get((stem, bool(value.name)), 1)
        if number > 1 and value.name:
            name = f"{stem}_{number}"
        while _is_taken(name, taken) or (not value.name and name == stem):
            number += 1
            name = f"{stem}{number - 1}" if not value.name else f"{stem}_{number}"
        numbers[stem, bool(value.name)] = number
        names[value] = name
        # The second is the variable that holds an element of it.
        taken.update((name, f"{name}_"))
    return names


def _is_taken(name: str, taken: set[str]) -> bool:
    """Return whether a value can't have this name: others do, or loops and sizes may."""
    return name in taken or f"{name}_" in taken or bool(_NAMES_OF_LOOPS.fullmatch(name))
