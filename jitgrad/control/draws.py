"""Random numbers inside constructs: a body is given the number of its next draw and returns it.

So a body is a function of its inputs, which draws the same numbers on the way back, and the
generator counts on as if the plain function had run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jitgrad.core.bind import tracing
from jitgrad.core.dtypes import int64
from jitgrad.core.spec import Spec
from jitgrad.ir.graph import Node, Operand, Value
from jitgrad.ops.arithmetic import add, mul, sub
from jitgrad.ops.generators import Generator, random_ticket
from jitgrad.ops.selection import maximum
from jitgrad.tensor.modes import no_grad
from jitgrad.tensor.tensor import make_tensor
from jitgrad.trace.recorder import Recorder


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """What the bodies of a construct draw from one generator.

    Parameters
    ----------
    source : Generator
        The generator.
    keys, firsts : list of Value
        For each body, what stands for the key, and for the number of the next draw at its
        beginning.
    lasts : list of Tensor
        The same at its end.
    each : int or None
        How many draws each run is; None where that depends on values, or on the body.
    """

    source: Generator
    keys: list[Value]
    firsts: list[Value]
    lasts: list[Any]
    each: int | None

    def begin(self, runs: Any) -> tuple[Any, Any]:
        """Return key and number of the first draw; take the numbers of so many runs if known."""
        if self.each is None or runs is None:
            ticket: tuple[Any, Any] = random_ticket(count=0, source=self.source)
        elif isinstance(runs, int):
            ticket = random_ticket(count=runs * self.each, source=self.source)
        else:
            ticket = random_ticket(mul(runs, self.each), count=0, source=self.source)
        return ticket

    def end(self, runs: Any, first: Any, last: Any) -> None:
        """Take the numbers that were drawn, where nobody knew before how many."""
        if self.each is None or runs is None:
            random_ticket(sub(last, first), count=0, source=self.source)


def how_many(lower: Any, upper: Any) -> Any:
    """Return how often a counted loop runs, from bounds that are ints or Tensors."""
    if isinstance(lower, int) and isinstance(upper, int):
        return max(upper - lower, 0)
    return maximum(sub(upper, lower), 0)


def take_out_draws(bodies: Sequence[Recorder]) -> list[Draws]:
    """Let `bodies` draw numbers that belong to inputs rather than to generators.

    Parameters
    ----------
    bodies : sequence of Recorder
        Their traces. Changed: the nodes that count draws give way to additions.
    """
    sources: dict[Generator, None] = {}
    for body in bodies:
        for node in body.builder.nodes:
            if node.primitive is random_ticket:
                sources[node.params["source"]] = None
    return [_from(source, bodies) for source in sources]


def _from(source: Generator, bodies: Sequence[Recorder]) -> Draws:
    keys, firsts, lasts, counts = [], [], [], set()
    for body in bodies:
        key, first, last, count = _numbered(source, body)
        keys.append(key)
        firsts.append(first)
        lasts.append(last)
        counts.add(count)
    return Draws(source, keys, firsts, lasts, counts.pop() if len(counts) == 1 else None)


def _numbered(source: Generator, body: Recorder) -> tuple[Value, Value, Any, int | None]:
    """Return key, number before and number after the body's draws, and how many if known."""
    key, first = Value(Spec((), int64)), Value(Spec((), int64))
    place: dict[Value, Operand] = {}
    number: Any = make_tensor(first)
    each: int | None = 0
    recorder = Recorder()
    nodes = recorder.builder.nodes
    with tracing(recorder), no_grad():
        for node in body.builder.nodes:
            inputs = tuple([place.get(v, v) if isinstance(v, Value) else v for v in node.inputs])
            if node.primitive is not random_ticket or node.params["source"] is not source:
                nodes.append(
                    Node(
                        node.primitive,
                        inputs,
                        node.params,
                        node.outputs,
                        node.location,
                        node.adjoint,
                    )
                )
                continue
            place.update(zip(node.outputs, (key, number._raw), strict=True))
            count = node.params["count"]
            each = None if inputs or each is None else each + count
            for more in inputs:
                count = add(make_tensor(more), count)
            number = add(number, count)
    body.builder.nodes[:] = nodes
    return key, first, number, each
