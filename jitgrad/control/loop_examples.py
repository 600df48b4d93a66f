"""The loop that does for many examples at once what a loop does for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from jitgrad.control.loop_form import INDEX, Loop
from jitgrad.core.bind import box, tracing
from jitgrad.core.primitive import Examples, External, Indexed, Partials, Shared
from jitgrad.core.spec import Spec
from jitgrad.ir.graph import Graph, Node, Value
from jitgrad.ir.subgraph import SubGraph, subgraphs_of
from jitgrad.ops.cast import convert
from jitgrad.ops.reduction import any_over
from jitgrad.ops.selection import select
from jitgrad.ops.shape import broadcast_to, permute_axes, reshape_to
from jitgrad.tensor.modes import no_grad
from jitgrad.tensor.tensor import make_tensor
from jitgrad.trace.recorder import Recorder
from jitgrad.transforms.replay import replay


@dataclass(frozen=True, slots=True, eq=False)
class LoopOfExamples:
    """A loop over carries that hold all examples.

    Parameters
    ----------
    examples : Examples
        How many, and what else is known of the call.
    single, loop : Loop
        The loop of one example, and of all.
    operands : tuple of bool
        Which operands have an axis of examples.
    outputs : tuple of bool
        Which results have one.
    may_fail : bool
        Whether an example that has stopped could raise an error while others go on.
    """

    examples: Examples
    single: Loop
    loop: Loop
    operands: tuple[bool, ...]
    outputs: tuple[bool, ...]
    may_fail: bool

    @staticmethod
    def of(
        examples: Examples, loop: Loop, batched: Sequence[bool], wanted: Sequence[bool] = ()
    ) -> LoopOfExamples:
        """Return the loop of many examples.

        Parameters
        ----------
        examples : Examples
            How many, and what else is known of the call.
        loop : Loop
            Of one example, with the same bounds for all.
        batched : sequence of bool
            Which operands are different for each example.
        wanted : sequence of bool
            Which results are to have an axis of examples in any case.
        """
        carries, sliced, constants = loop.split(batched)
        wanted = wanted or [False] * len(loop.outputs)
        carried = [a or b for a, b in zip(carries, wanted, strict=False)]
        stops_apart = False
        while True:
            flags = (False, *carried, *sliced, *constants)
            forced = (*carried, *wanted[loop.carried :])
            body, found = examples.of_graph(loop.body.graph, flags, forced)
            if loop.condition is not None:
                given = (*carried, *constants)
                condition, (stops_apart,) = examples.of_graph(loop.condition.graph, given)
            grown = [stops_apart or flag for flag in found[: loop.carried]]
            if grown == carried:
                break
            carried = grown
        made = replace(loop, body=SubGraph(body, f"examples of {loop.body.name}"))
        if loop.condition is not None:
            made = replace(made, condition=SubGraph(condition, loop.condition.name))
        if stops_apart:
            made = _until_all_stop(made, body, condition)
        held = (False,) * INDEX + (*carried, *sliced, *constants)
        fails = stops_apart and may_fail(loop.body.graph)
        return LoopOfExamples(examples, loop, made, held, tuple(found), fails)

    def given(self, operands: Sequence[Any], batched: Sequence[bool]) -> list[Any]:
        """Return what the loop takes in place of a single one's operands."""
        count, specs = self.examples.count, self.examples.specs
        found: list[Any] = []
        for number, (x, has) in enumerate(zip(operands, batched, strict=True)):
            if not self.operands[number]:
                found.append(x)
                continue
            x = x if has else repeated(x, specs[number], count)
            found.append(_second(x) if self.is_sliced(number) else x)
        return found

    def is_sliced(self, operand: int) -> bool:
        """Return whether an operand is taken apart along its first axis."""
        return 0 <= operand - INDEX - self.single.carried < self.single.sliced

    def is_stacked(self, output: int) -> bool:
        """Return whether a result holds something of each iteration."""
        return output >= self.single.carried

    def for_operand(self, operand: int, ct: Any) -> Any:
        """Return the cotangent of the single loop's operand, for each example, from the loop's."""
        return _second(ct) if self.is_sliced(operand) else ct

    def results(self, made: Sequence[Any]) -> list[Any]:
        """Return the loop's results as a batching rule gives them."""
        found: list[Any] = []
        for number, (x, has) in enumerate(zip(made, self.outputs, strict=True)):
            x = _second(x) if has and self.is_stacked(number) else x
            found.append(x if has else Shared(x))
        return found

    def cotangent(self, output: int, ct: Any, has: bool) -> Any:
        """Return the cotangent of a result from that of the single loop's."""
        if not self.outputs[output]:
            return ct
        if not has:
            ct = repeated(ct, self.single.outputs[output], self.examples.count)
        return _second(ct) if self.is_stacked(output) else ct


def may_fail(graph: Graph) -> bool:
    """Return whether running a graph on other values could raise an error."""
    return any(
        isinstance(node.primitive.lowering, Indexed)
        or _may_fail_in_numpy(node)
        or any(may_fail(s.graph) for item in node.params.values() for s in subgraphs_of(item))
        for node in graph.nodes
    )


def _may_fail_in_numpy(node: Node) -> bool:
    """Return whether it is a call of NumPy's that is neither elementwise nor holds graphs."""
    primitive = node.primitive
    if not isinstance(primitive.lowering, External) or isinstance(primitive.derivative, Partials):
        return False
    return not any(True for item in node.params.values() for _ in subgraphs_of(item))


def repeated(x: Any, spec: Spec, count: int) -> Any:
    """Return what is the same for all examples once for each, along a new first axis."""
    return broadcast_to(convert(box(x), spec.dtype), (count, *spec.shape))


def _second(x: Any) -> Any:
    """Exchange the axes of examples and of iterations."""
    return permute_axes(x, (1, 0, *range(2, x.ndim)))


def _until_all_stop(loop: Loop, body: Graph, condition: Graph) -> Loop:
    """Return the loop that goes on as long as an example does, and leaves the others alone."""
    recorder = Recorder()
    carried = loop.carried
    inputs = tuple([Value(v.spec, v.name) for v in body.inputs])
    with tracing(recorder), no_grad():
        tensors = [make_tensor(v) for v in inputs]
        carries, constants = tensors[1 : 1 + carried], tensors[1 + carried + loop.sliced :]
        (goes_on,) = replay(condition, [*carries, *constants])
        stepped = replay(body, tensors)
        outputs = [
            box(_chosen(goes_on, new, old))._raw for new, old in zip(stepped, carries, strict=True)
        ]
    whole = SubGraph(Graph(inputs, tuple(recorder.builder.nodes), tuple(outputs)), loop.body.name)
    recorder = Recorder()
    with tracing(recorder), no_grad():
        (goes_on,) = replay(condition, [make_tensor(v) for v in condition.inputs])
        one = any_over(goes_on, axes=(0,), keepdims=False)
    nodes = tuple(recorder.builder.nodes)
    assert loop.condition is not None
    holds = SubGraph(Graph(condition.inputs, nodes, (one._raw,)), loop.condition.name)
    return replace(loop, body=whole, condition=holds)


def _chosen(goes_on: Any, new: Any, old: Any) -> Any:
    mask = reshape_to(goes_on, (*goes_on.shape, *[1 for _ in old.shape[1:]]))
    return select(mask, new, old)
