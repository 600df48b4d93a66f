"""The tree of segments: what a function computes between the values it asks for.

Where the function asks for a value (``if loss > 3:``) the trace is cut. The part before is a
segment that ends by computing the value; what the function did next, for each value seen, is a
branch below it. A call walks the tree from its root; only a branch never seen is traced.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from jitgrad.ir.graph import Graph, Node, Operand, Value
from jitgrad.ir.walk import needed_nodes, values_of
from jitgrad.trace.capture import Captured, Source


@dataclass(slots=True, eq=False)
class Segment:
    """Nodes between two values that were asked for.

    Parameters
    ----------
    nodes : list of Node
        What is computed.
    demanded : Value, optional
        What is asked for at its end; None for the last segment of a path.
    exports : dict
        What it hands on: to later segments, to the result, and what is demanded.
    branches : dict
        The segment that follows, by the demanded value's bytes.
    result : Captured, optional
        Of the last segment: what the function returned and changed, in this tree's values.
    compiled : object
        What the runtime made of it; dropped when `exports` grows.
    given : tuple of Value
        Inputs that nobody needs afterwards: results may be made in their memory.
    """

    nodes: list[Node]
    demanded: Value | None = None
    exports: dict[Value, None] = field(default_factory=dict)
    branches: dict[bytes, Segment] = field(default_factory=dict)
    result: Captured | None = None
    compiled: Any = None
    given: tuple[Value, ...] = ()

    def graph(self) -> Graph:
        """Return the segment as a graph, from what it uses of `before` to `exports`."""
        outputs = tuple(self.exports)
        nodes = needed_nodes(self.nodes, outputs)
        made = {v for node in nodes for v in node.outputs}
        inputs = [v for node in nodes for v in node.value_inputs() if v not in made]
        passed_on = [v for v in outputs if v not in made]
        return Graph(tuple(dict.fromkeys([*inputs, *passed_on])), tuple(nodes), outputs)

    def export(self, value: Value) -> None:
        """Make `value` available after the segment."""
        if value not in self.exports:
            self.exports[value] = None
            self.compiled = None


class PathMismatchError(Exception):
    """The function did something else than before with the same values: it can't be captured."""


@dataclass(slots=True, eq=False)
class SegmentTree:
    """All paths through a function that have been seen, for one kind of arguments.

    Parameters
    ----------
    inputs : dict
        Where each input of the graphs comes from.
    root : Segment, optional
        Where every call begins.
    paths : int
        How many have been entered.
    constants : list of array
        Arrays that the function makes and that depend on nothing.
    differentiable : set of Value
        Inputs that require a gradient.
    draws : bool
        Whether random numbers are drawn on some path.
    writes : set of Source
        What is changed in place on some path.
    constructs : dict
        What became of each loop in the user's source, by its place.
    """

    inputs: dict[Value, Source] = field(default_factory=dict)
    root: Segment | None = None
    paths: int = 0
    constants: list[Any] = field(default_factory=list)
    differentiable: set[Value] = field(default_factory=set)
    draws: bool = False
    writes: set[Source] = field(default_factory=set)
    constructs: dict[str, str] = field(default_factory=dict)

    def in_order(self) -> list[Segment]:
        """Return every segment, each before those that follow it."""
        found: list[Segment] = []
        stack = [] if self.root is None else [self.root]
        while stack:
            segment = stack.pop()
            found.append(segment)
            stack.extend(reversed(segment.branches.values()))
        return found

    def is_straight(self) -> bool:
        """Return whether no value is asked for: there is one path, of one segment."""
        return self.root is not None and self.root.result is not None

    def add(self, captured: Captured) -> None:
        """Enter the path that a run of the function took.

        Raises
        ------
        PathMismatchError
            If it is not the same as a known path up to where the values differ.
        """
        path = _Path(self, captured)
        previous: list[Segment] = []
        segment: Segment | None = None
        starts = [0, *(cut.position for cut in captured.cuts)]
        ends = [*(cut.position for cut in captured.cuts), len(captured.nodes)]
        for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
            nodes = captured.nodes[start:end]
            known = (
                self.root
                if segment is None
                else segment.branches.get(captured.cuts[number - 1].answer)
            )
            demanded = captured.cuts[number].value if number < len(captured.cuts) else None
            if known is not None:
                path.match(known, nodes, demanded)
                following = known
            else:
                following = path.append(nodes, demanded, previous)
                if segment is None:
                    self.root = following
                else:
                    segment.branches[captured.cuts[number - 1].answer] = following
            previous.append(following)
            segment = following
        assert segment is not None
        if segment.result is None:
            segment.result = path.translated_result()
            for value in _result_values(segment.result):
                path.export_to_later(value, previous)
        self.paths += 1
        self.constructs |= captured.constructs
        self.draws |= any(node.primitive.impure for node in captured.nodes)
        self.writes |= {source for source, _ in captured.writes}


class _Path:
    """Translates the values of a new run into those of the tree."""

    def __init__(self, tree: SegmentTree, captured: Captured) -> None:
        self.tree = tree
        self.captured = captured
        self.mapping: dict[Value, Value] = {}
        self.maker: dict[Value, Segment] = {}
        self.searched = 0
        held = {source: value for value, source in tree.inputs.items()}
        for value, source in captured.inputs.items():
            if source.kind == "constant":
                source = self.known_constant(source)
            known = held.get(source)
            if known is None:
                tree.inputs[value] = source
                known = value
            self.mapping[value] = known
            if value in captured.differentiable:
                tree.differentiable.add(known)

    def known_constant(self, source: Source) -> Source:
        """Return the tree's source for a constant array, entering it if it is new."""
        array = self.captured.constants[source.number]
        for number, other in enumerate(self.tree.constants):
            same_kind = other.shape == array.shape and other.dtype == array.dtype
            if same_kind and other.tobytes() == array.tobytes():
                return Source("constant", number)
        self.tree.constants.append(array.copy())
        return Source("constant", len(self.tree.constants) - 1)

    def operand(self, operand: Operand) -> Operand:
        return self.mapping.get(operand, operand) if isinstance(operand, Value) else operand

    def match(self, segment: Segment, nodes: list[Node], demanded: Value | None) -> None:
        """Check that `nodes` are those of a known segment, and map their values to its own."""
        if len(nodes) != len(segment.nodes):
            raise PathMismatchError
        for new, old in zip(nodes, segment.nodes, strict=True):
            same = (
                new.primitive is old.primitive
                and tuple(map(self.operand, new.inputs)) == old.inputs
                and dict(new.params) == dict(old.params)
            )
            if not same:
                raise PathMismatchError
            self.mapping.update(zip(new.outputs, old.outputs, strict=True))
        wanted = None if demanded is None else self.mapping[demanded]
        if wanted is not segment.demanded:
            raise PathMismatchError

    def append(self, nodes: list[Node], demanded: Value | None, previous: list[Segment]) -> Segment:
        """Return a new segment for `nodes`, whose needs earlier segments now export."""
        own = [
            Node(
                n.primitive,
                tuple(map(self.operand, n.inputs)),
                n.params,
                n.outputs,
                n.location,
                n.adjoint,
            )
            for n in nodes
        ]
        wanted = None if demanded is None else self.mapping.get(demanded, demanded)
        segment = Segment(own, wanted)
        for node in own:
            for value in node.value_inputs():
                self.export_to_later(value, previous)
        if wanted is not None:
            self.export_to_later(wanted, previous)
            if any(wanted in node.outputs for node in own):
                segment.export(wanted)
        return segment

    def export_to_later(self, value: Value, previous: list[Segment]) -> None:
        """Make the segment that computes `value`, if one of `previous` does, hand it on."""
        maker = self.maker.get(value)
        if maker is None:
            for segment in previous[self.searched :]:
                for node in segment.nodes:
                    self.maker.update(dict.fromkeys(node.outputs, segment))
            self.searched = len(previous)
            maker = self.maker.get(value)
        if maker is not None:
            maker.export(value)

    def translated_result(self) -> Captured:
        """Return the result of the run in the values of the tree."""
        c = self.captured

        def value_of(value: Any) -> Any:
            return self.mapping.get(value, value) if isinstance(value, Value) else value

        leaves = [replace(leaf, content=value_of(leaf.content)) for leaf in c.leaves]
        return Captured(
            tree=c.tree,
            leaves=leaves,
            writes=[(source, value_of(value)) for source, value in c.writes],
            gradients=[(source, value_of(value)) for source, value in c.gradients],
            gradient_reads=c.gradient_reads,
            checks=[value_of(value) for value in c.checks],
        )


def _result_values(result: Captured) -> list[Value]:
    values = [leaf.content for leaf in result.leaves if leaf.kind in ("value", "array")]
    values += [value for _, value in result.writes]
    values += result.checks
    values += [value for _, value in result.gradients if value is not None]
    return values_of(values)
