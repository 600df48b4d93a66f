"""From a call to the program that runs it: a walk down the tree of segments."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jitgrad.core.spec import Spec
from jitgrad.core.tree import unflatten
from jitgrad.ir.graph import Value
from jitgrad.ir.walk import active_values
from jitgrad.runtime.graph_function import GraphFunction, MakeProgram, ProgramNode
from jitgrad.runtime.program import Program, make_program
from jitgrad.tensor.inplace import assign
from jitgrad.tensor.modes import enable_grad, modes, no_grad
from jitgrad.tensor.tape import SpentNode
from jitgrad.tensor.tensor import Tensor, make_tensor
from jitgrad.trace.capture import Captured, ResultLeaf, Source
from jitgrad.trace.segments import Segment, SegmentTree


class UnknownBranchError(Exception):
    """A value that was asked for had no known answer: the function must be traced again."""


class UnfitCallError(Exception):
    """The plain function must run: its work in this call is none that kernels can do.

    What it changes in place shares memory with other inputs or can't be written to, or a Python
    number is such that Python raises an error.
    """


@dataclass(frozen=True, slots=True, eq=False)
class CompiledSegment:
    """A segment with what runs it.

    Parameters
    ----------
    function : GraphFunction
        Its graph, compiled when first run.
    inputs : tuple of Value
        What it takes, in order.
    outputs : tuple of Value
        What it hands on, in order.
    """

    function: GraphFunction
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


@dataclass(slots=True, eq=False)
class Call:
    """One call: the leaves of its arguments, and what the function reads from outside.

    Parameters
    ----------
    leaves : list
        Leaves of the arguments.
    captured : tuple
        Tensors and arrays found outside the arguments.
    constants : list of array
        Arrays made while tracing.
    """

    leaves: list[Any]
    captured: tuple[Any, ...]
    constants: list[Any]
    values: dict[Value, Any] = field(default_factory=dict)

    def thing(self, source: Source) -> Any:
        """Return the object that `source` names, as the user knows it."""
        if source.kind == "argument":
            found = self.leaves[source.number]
        elif source.kind == "captured":
            found = self.captured[source.number]
        else:
            found = self.constants[source.number]
        return found._grad if source.gradient else found

    def operand(self, source: Source) -> Any:
        """Return what `source` names as a Tensor, or as the Python number it is."""
        found = self.thing(source)
        if isinstance(found, Tensor) or type(found) in (float, int):
            return found
        return make_tensor(found if type(found) is np.ndarray else np.asarray(found))


def run_tree(tree: SegmentTree, call: Call, title: str, make: MakeProgram = make_program) -> Any:
    """Run a call down the tree and return what the function would.

    Raises
    ------
    UnknownBranchError
        If the path leads to a value that was never seen; nothing has been changed then.
    UnfitCallError
        If the plain function has to run.
    """
    values = call.values
    for value, source in tree.inputs.items():
        values[value] = call.operand(source)
    if tree.writes:
        changed = [call.operand(source)._raw for source in tree.writes]
        others = [values[v] for v, source in tree.inputs.items() if source not in tree.writes]
        if share_memory(changed, [t._raw for t in others if isinstance(t, Tensor)]):
            raise UnfitCallError
    segment = tree.root
    assert segment is not None
    while True:
        _run_segment(segment, values, title, make)
        if segment.result is not None:
            return finish(segment.result, call, tree)
        assert segment.demanded is not None
        following = segment.branches.get(_answer(values[segment.demanded], segment.demanded))
        if following is None:
            raise UnknownBranchError
        segment = following


def compile_segment(
    segment: Segment, title: str, make: MakeProgram = make_program
) -> CompiledSegment:
    """Return what runs `segment`; its kernels are built when they are first needed."""
    if segment.compiled is None:
        graph = segment.graph()
        segment.compiled = CompiledSegment(
            GraphFunction(graph, title, make, segment.given), graph.inputs, tuple(segment.exports)
        )
    compiled: CompiledSegment = segment.compiled
    return compiled


def _run_segment(segment: Segment, values: dict[Value, Any], title: str, make: MakeProgram) -> None:
    compiled = segment.compiled or compile_segment(segment, title, make)
    if compiled.outputs:
        arguments = [values[value] for value in compiled.inputs]
        values.update(zip(compiled.outputs, compiled.function.apply(arguments), strict=True))


def _answer(found: Any, value: Value) -> bytes:
    raw = found._raw if isinstance(found, Tensor) else np.asarray(found)
    return raw.tobytes()


def share_memory(changed: Sequence[Any], others: Sequence[Any]) -> bool:
    """Return whether an array that is changed in place may show elements of another one."""
    return any(
        np.may_share_memory(array, other)
        for k, array in enumerate(changed)
        for other in (*others, *changed[:k])
    )


def finish(result: Captured, call: Call, tree: SegmentTree) -> Any:
    """Carry out what the function did besides computing, and return its result."""
    if any(call.values[value] for value in result.checks):
        raise UnfitCallError
    for source, _ in result.writes:
        target = call.thing(source)
        array = target._raw if isinstance(target, Tensor) else target
        if not array.flags.writeable:
            raise UnfitCallError
    if result.writes:
        keep_copies([call.thing(source) for source, _ in result.writes], call)
    for source, value in result.writes:
        write_back(call.thing(source), call.values[value])
    taken = {leaf.content for leaf in result.leaves if leaf.kind in ("value", "array")}
    for source, gradient in result.gradients:
        new = None if gradient is None else call.values[gradient]
        if new is not None and (gradient in taken or gradient in tree.inputs):
            # Each .grad has memory of its own, in which later gradients are added up.
            new = new.owned_copy()
        taken.add(gradient)
        call.thing(source)._grad = new
    assert result.tree is not None
    return unflatten(result.tree, [_leaf(leaf, call, tree) for leaf in result.leaves])


def _leaf(leaf: ResultLeaf, call: Call, tree: SegmentTree) -> Any:
    if leaf.kind == "value":
        found = call.values[leaf.content]
        # A Tensor of its own that has an input's or a constant's values has its own memory, too.
        found = found.owned_copy() if leaf.content in tree.inputs else found
        return spent(found, leaf.spent) if leaf.spent else found
    if leaf.kind == "array":
        return as_array(call.values[leaf.content]._raw)
    if leaf.kind == "copy":
        return copy.copy(leaf.content)
    return call.thing(leaf.content) if leaf.kind == "source" else leaf.content


def spent(tensor: Tensor, name: str) -> Tensor:
    """Return a Tensor as one that a graph computed, of node `name`, which has been freed."""
    tensor._requires_grad = True
    tensor._node = SpentNode(name, (), (Spec(tuple(tensor.shape), tensor.dtype),))
    return tensor


def as_array(raw: Any) -> Any:
    """Return an array as NumPy would: a scalar where it has no axes."""
    return raw if raw.ndim else raw[()]


def keep_copies(targets: list[Any], call: Call) -> None:
    """Let the nodes of this call keep copies of arguments that are about to be changed."""
    changed = {id(target) for target in targets}
    found = (t._node for t in call.values.values() if isinstance(t, Tensor))
    own = {id(t) for t in call.values.values()}
    for node in {node for node in found if isinstance(node, ProgramNode)}:
        # Other nodes belong to the arguments, and were there before.
        if all(id(argument) in own for argument in node.arguments):
            for number, argument in enumerate(node.arguments):
                if id(argument) in changed:
                    node.keep_copy(number)


def write_back(target: Any, new: Tensor) -> None:
    """Give an argument that the function changed in place its new values and history."""
    if not isinstance(target, Tensor):
        np.copyto(target, new._raw)
        return
    recorded = modes.grad and new._requires_grad
    if target._view is not None:
        with enable_grad() if recorded else no_grad():
            assign("an in-place operation", target, new)
        return
    np.copyto(target._raw, new._raw)
    target._storage.version += 1
    if recorded:
        target._requires_grad = True
        target._node, target._slot = new._node, new._slot


def forward_programs(tree: SegmentTree, title: str) -> list[Program]:
    """Return the programs that run the tree's segments forwards, made where there are none."""
    return [
        program
        for segment, wrt in _differentiated(tree)
        for program in compile_segment(segment, title).function.forward_programs(wrt)
    ]


def adjoint_programs(tree: SegmentTree, title: str) -> list[Program]:
    """Return the programs that carry gradients back through the tree's segments."""
    return [
        program
        for segment, wrt in _differentiated(tree)
        for program in compile_segment(segment, title).function.adjoint_programs(wrt)
    ]


def programs_so_far(tree: SegmentTree) -> list[Program]:
    """Return the programs that were made for the tree's segments."""
    compiled = [segment.compiled for segment in tree.in_order() if segment.compiled is not None]
    return [program for segment in compiled for program in segment.function.all_programs()]


def _differentiated(tree: SegmentTree) -> list[tuple[Segment, tuple[int, ...]]]:
    """Return each segment with the numbers of those of its inputs that require a gradient."""
    segments = tree.in_order()
    nodes = [node for segment in segments for node in segment.nodes]
    active = active_values(nodes, tree.differentiable)
    return [
        (segment, tuple([k for k, v in enumerate(segment.graph().inputs) if v in active]))
        for segment in segments
    ]
