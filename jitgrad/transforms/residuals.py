"""What the forward run keeps for the adjoint, and what the adjoint computes again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jitgrad.core.primitive import Alias, Call, Contraction, Fill, IndexMap, Template
from jitgrad.ir.graph import Graph, Node, Value
from jitgrad.ir.walk import depends_on, needed_nodes, values_of
from jitgrad.transforms.adjoint import Joint

# Elementwise operations up to this cost are computed again rather than kept: a chain of a few
# additions costs less than writing and reading an array.
_CHEAP = 6
_CHEAP_CHAIN = 12


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """A function and its adjoint as two graphs.

    Parameters
    ----------
    forward : Graph
        Inputs to outputs, then what is kept.
    saved : tuple of Value
        What the backward graph takes besides cotangents: inputs of the function, and kept values.
    kept : tuple of Value
        Those of `saved` that the forward graph returns after its own outputs.
    backward : Graph
        `saved`, then cotangents, to gradients (those that exist).
    """

    forward: Graph
    saved: tuple[Value, ...]
    kept: tuple[Value, ...]
    backward: Graph

    @property
    def kept_bytes(self) -> int:
        """Memory held between the two runs, beyond inputs and outputs."""
        outputs = set(values_of(self.forward.outputs[: -len(self.kept) or None]))
        return sum(v.spec.size * v.dtype.itemsize for v in self.kept if v not in outputs)


def split(joint: Joint, is_repeated: bool = False) -> Split:
    """Cut the joint graph in two.

    The adjoint computes views, fills and short chains of cheap elementwise operations again, where
    that does not mean to keep more; results of reductions, contractions, transcendental functions
    and everything else it needs are kept. Of what `is_repeated`, the body of a loop, all
    elementwise operations are computed again, and sums of products of matrices are kept rather
    than the products.

    Examples
    --------
    Before: ``a = mul x x; h = tanh a; y = sum h; ...; dh = ...; da = ...(h); dx = ...(x)``.
    After: forward ``a, h, y`` returns ``y, h``; backward takes ``x, h, dy`` and needs no ``a``.
    """
    primal = joint.primal
    gradients = [g for g in joint.gradients if g is not None]
    after = depends_on(joint.nodes, joint.cotangents)
    wanted = needed_nodes([n for n in joint.nodes if not n.primitive.impure], gradients)
    adjoint_nodes = [n for n in wanted if any(v in after for v in n.outputs)]
    makers = {v: n for n in joint.nodes for v in n.outputs if v not in after}
    choose = _RepeatedChoice if is_repeated else _Choice
    choice = choose(makers, set(values_of(primal.outputs)))
    for node in adjoint_nodes:
        for value in node.value_inputs():
            if value not in after:
                choice.provide(value)
    for value in gradients:
        if value not in after:
            choice.provide(value)
    again = [n for n in wanted if any(v in choice.again for v in n.outputs)]
    kept = tuple(v for v in choice.saved if v in makers)
    saved = tuple(choice.saved)
    forward = Graph(
        primal.inputs,
        tuple(needed_nodes(list(joint.nodes), [*primal.outputs, *kept])),
        (*primal.outputs, *kept),
    )
    order = {id(n): k for k, n in enumerate(joint.nodes)}
    body = sorted({id(n): n for n in (*again, *adjoint_nodes)}.values(), key=lambda n: order[id(n)])
    backward = Graph((*saved, *joint.cotangents), tuple(body), tuple(gradients))
    return Split(forward, saved, kept, backward)


class _Choice:
    """Decides for each value the adjoint needs: keep it, or compute it again."""

    def __init__(self, makers: dict[Value, Node], outputs: set[Value]) -> None:
        self.makers = makers
        self.outputs = outputs
        self.saved: dict[Value, None] = {}
        self.again: set[Value] = set()

    def provide(self, value: Value) -> None:
        """Make `value` available to the adjoint."""
        if value in self.saved or value in self.again:
            return
        roots = self.roots_of(value)
        # What is there anyway costs nothing; else the fewer bytes are kept, here or further back.
        if roots is None or sum(map(self.price, roots)) > self.price(value):
            self.saved[value] = None
            return
        self.compute_again(value, roots)

    def compute_again(self, value: Value, roots: set[Value]) -> None:
        """Let the adjoint compute `value` from `roots`, which are kept."""
        if value in roots:
            self.saved[value] = None
        elif value not in self.saved and value not in self.again:
            self.again.add(value)
            for operand in self.makers[value].value_inputs():
                self.compute_again(operand, roots)

    def is_there(self, value: Value) -> bool:
        """Return whether `value` is in memory whatever is decided."""
        return value not in self.makers or value in self.outputs or value in self.saved

    def price(self, value: Value) -> int:
        """Return how many bytes keeping `value` takes."""
        return 0 if self.is_there(value) else value.spec.size * value.dtype.itemsize

    def roots_of(self, value: Value) -> set[Value] | None:
        """Return the values from which a short chain of cheap operations computes `value`.

        None if there is no such chain: it is there anyway, or is too expensive itself.
        """
        if self.is_there(value):
            return None
        roots: set[Value] = set()
        seen = {value}
        waiting, total = [value], 0
        while waiting:
            current = waiting.pop()
            cost = None if self.is_there(current) else _cost_again(self.makers[current])
            if cost is None:
                if current is value:
                    return None
                roots.add(current)
                continue
            total += cost
            if total > _CHEAP_CHAIN:
                return None
            for operand in self.makers[current].value_inputs():
                if operand not in seen:
                    seen.add(operand)
                    waiting.append(operand)
        return roots


def _cost_again(node: Node) -> int | None:
    """Return what computing the node again costs an element; None if it is to be kept."""
    lowering = node.primitive.lowering
    if isinstance(lowering, (Template, Call)):
        return lowering.cost if lowering.cost is not None and lowering.cost <= _CHEAP else None
    return 0 if isinstance(lowering, (IndexMap, Alias, Fill)) else None


class _RepeatedChoice(_Choice):
    """Decides for what is kept of each iteration of a loop."""

    def __init__(self, makers: dict[Value, Node], outputs: set[Value]) -> None:
        super().__init__(makers, set())
        self.sums = dict(self._sums())

    def _sums(self) -> Iterator[tuple[Value, Value]]:
        """Yield for each product of matrices the last of the sums that it alone goes into."""
        readers: dict[Value, list[Node]] = {}
        for node in dict.fromkeys(self.makers.values()):
            for operand in node.value_inputs():
                readers.setdefault(operand, []).append(node)
        for value, node in self.makers.items():
            if isinstance(node.primitive.lowering, Contraction):
                last = value
                while len(found := readers.get(last, [])) == 1 and _adds_to(found[0], last):
                    (last,) = found[0].outputs
                yield value, last

    def provide(self, value: Value) -> None:
        """Make `value` available to the adjoint."""
        if value in self.saved or value in self.again:
            return
        if self.is_there(value) or value in self.sums.values() or self.is_costly(value):
            self.saved[value] = None
            return
        self.again.add(value)
        for operand in self.makers[value].value_inputs():
            self.provide(operand)

    def is_costly(self, value: Value) -> bool:
        """Return whether computing the value again takes more than elementwise operations."""
        lowering = self.makers[value].primitive.lowering
        return not isinstance(lowering, (Template, IndexMap, Alias, Fill))


def _adds_to(node: Node, value: Value) -> bool:
    """Return whether a node adds something to a value."""
    lowering = node.primitive.lowering
    out = node.outputs[0].spec
    is_sum = isinstance(lowering, Template) and lowering.adds
    return is_sum and (out.shape, out.dtype) == (value.shape, value.dtype)
