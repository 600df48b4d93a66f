"""A user's function inside a construct becomes a graph; what it finds outside becomes an input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from jitgrad.core.bind import Trace, active_trace, tracing
from jitgrad.core.errors import TraceError
from jitgrad.core.extents import Extent, extents_in
from jitgrad.core.location import Location
from jitgrad.core.spec import Shape, Spec
from jitgrad.core.tree import Tree, flatten
from jitgrad.ir.graph import Graph, Value
from jitgrad.ir.subgraph import SubGraph
from jitgrad.ops.creation import clone_primitive
from jitgrad.tensor.tensor import UNREAD, Tensor, box_tensor, make_tensor, raise_leaked
from jitgrad.trace.known_arrays import is_unsettled, settle
from jitgrad.trace.number_forms import Form, combined
from jitgrad.trace.stand_ins import StandIn, stand_in, strong
from jitgrad.trace.user_code import UserCodeRecorder, as_traced
from jitgrad.transforms.simplify import simplify

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Closure:
    """A Tensor that a body found outside.

    Parameters
    ----------
    tensor : Tensor
        The Tensor itself.
    value : Value
        Its place among the inputs of the body's graph.
    shadow : Tensor
        What stood for it inside.
    """

    tensor: Tensor
    value: Value
    shadow: Tensor


class BodyTrace(UserCodeRecorder):
    """The trace of a body.

    Parameters
    ----------
    operation : str
        The construct, for messages.
    """

    def __init__(self, operation: str) -> None:
        super().__init__()
        self.operation = operation
        self.outer: Trace | None = active_trace()
        self.closures: dict[int, Closure] = {}
        self.inputs: list[Value] = []
        self._inputs: set[Value] = set()
        self._alive: list[Any] = []

    def input(self, spec: Spec, differentiable: bool = False) -> Tensor:
        """Return a new input of the body; a body may change it in place."""
        self._hold_sizes(spec.shape)
        value = Value(spec)
        self.inputs.append(value)
        self._inputs.add(value)
        leaf = make_tensor(value)
        self._alive.append(leaf)
        if not differentiable:
            return leaf
        leaf._requires_grad = True
        leaf._grad = UNREAD
        with tracing(self):
            # No leaf, whose values could not be changed; but a sweep finds the leaf behind it.
            copied: Tensor = clone_primitive(leaf)
        return copied

    def lift(self, tensor: Any) -> Any:
        """Return what stands for `tensor` in the body."""
        raw = tensor._raw
        traced = isinstance(raw, Value)
        if traced and (raw in self._inputs or self.is_made_here(raw)):
            return tensor
        if is_unsettled(tensor):
            return settle(tensor, self)
        if traced and self.outer is None:
            raise_leaked(tensor)
        if tensor._view is not None:
            with tracing(self.outer):
                tensor._view.refresh(tensor)
        key = id(tensor) if traced or tensor._requires_grad else id(raw)
        held = self.closures.get(key)
        if held is None:
            held = self.closures[key] = self._closed_over(tensor)
        return held.shadow

    def _closed_over(self, tensor: Tensor) -> Closure:
        raw = tensor._raw
        value = Value(raw.spec if isinstance(raw, Value) else Spec(raw.shape, raw.dtype))
        self._hold_sizes(value.shape)
        self._inputs.add(value)
        shadow = make_tensor(value)
        kind = type(tensor)
        if issubclass(kind, StandIn):
            shadow = stand_in(shadow, kind)
        shadow._requires_grad = tensor._requires_grad
        shadow._grad = UNREAD
        return Closure(tensor, value, shadow)

    def _hold_sizes(self, shape: Shape) -> None:
        """Let the sizes that are not known of an input be inputs as well, under the same names."""
        for extent in extents_in(shape):
            value, length = extent.value, extent.length
            if value not in self._inputs and not self.is_made_here(value):
                self._inputs.add(value)
                self.closures[id(length)] = Closure(length, value, length)

    def part_between(self, bounds: Any, step: int, size: int) -> tuple[Any, Extent]:
        """Return where a slice begins and how long it is, found outside where that can be."""
        outer = self._body_around()
        if outer is not None and not (isinstance(size, Extent) and self.is_made_here(size.value)):
            forms = [None if form is None else self._outer_form(form) for form in bounds]
            if all(f is not None or b is None for f, b in zip(forms, bounds, strict=True)):
                first, count = outer.part_between(tuple(forms), step, size)
                self._hold_sizes((count,))
                return first, count
        return super().part_between(bounds, step, size)

    def extent_of(self, form: Form) -> Extent:
        """Return the size that a number is, one of the trace around where that knows it."""
        outer = self._body_around()
        known = None if outer is None else self._outer_form(form)
        if outer is None or known is None:
            return super().extent_of(form)
        extent = outer.extent_of(known)
        self._hold_sizes((extent,))
        return extent

    def _body_around(self) -> BodyTrace | None:
        return self.outer if isinstance(self.outer, BodyTrace) else None

    def _outer_form(self, form: Form) -> Form | None:
        """Return what a sum is in the trace around; None if part of it is computed here."""
        outside = {c.value: c.tensor for c in self.closures.values()}
        outer = self._body_around()
        assert outer is not None
        total: Form = (frozenset(), form[1])
        for value, coefficient in form[0]:
            if value not in outside:
                return None
            total = combined(total, outer.form_of(outside[value]), coefficient)
        return total

    def demand(self, value: Value) -> Any:
        """Refuse: the body runs many times, and only then are there values."""
        raise TraceError(
            f"{self.operation}: the body asks for the value of a Tensor",
            why="it is traced once and then runs compiled; while it is traced there are no values",
            do="write a branch as jitgrad.cond, an inner loop as jitgrad.while_loop; as the"
            " index of a NumPy array make that a Tensor first",
        )

    def check_zero(self, number: Tensor) -> bool:
        """Refuse to divide Python numbers whose values are not known."""
        self.refuse("it divides a Python number by one that changes from call to call")
        raise AssertionError

    def load_gradient(self, shadow: Tensor) -> None:
        """Refuse: one run of the body is not the only one."""
        raise TraceError(
            f"{self.operation}: the body uses or adds to the .grad of a Tensor from outside",
            why="the body is traced once, so that it would happen once",
            do="call jitgrad.grad inside the body, and carry the gradient along",
        )

    def refuse(self, reason: str) -> None:
        """End the trace of the function around; without one say why this can't be done."""
        if self.outer is not None:
            self.outer.refuse(reason)
        raise TraceError(f"{self.operation}: the body can't be traced: {reason}")

    def met_scalar(self) -> None:
        """Tell the trace around."""
        if self.outer is not None:
            self.outer.met_scalar()


@dataclass(frozen=True, slots=True, eq=False)
class Traced:
    """A body that was run once.

    Parameters
    ----------
    trace : BodyTrace
        What it did, and found outside.
    outputs : list of Tensor
        Leaves of what it returned.
    tree : Tree
        Their structure.
    """

    trace: BodyTrace
    outputs: list[Tensor]
    tree: Tree

    def line_of(self, number: int) -> Location | None:
        """Return the user's line that computed output `number`, None where none did."""
        value = self.outputs[number]._raw
        for node in self.trace.builder.nodes:
            if value in node.outputs:
                return node.location
        return None


def trace_body(trace: BodyTrace, function: Callable[..., Any], arguments: Sequence[Any]) -> Traced:
    """Run `function` on Tensors of `trace`.

    Raises
    ------
    TraceError
        If it does what can't be repeated: changes a Tensor from outside in place, or asks for
        the value of one.
    """
    with tracing(trace):
        leaves, tree = flatten(as_traced(function)(*arguments))
        outputs = [_output(trace, leaf) for leaf in leaves]
    for closure in trace.closures.values():
        if closure.shadow._raw is not closure.value:
            raise TraceError(
                f"{trace.operation}: the body changes a Tensor from outside in place",
                why=f"it has shape {tuple(closure.tensor.shape)}; the body is traced once, so that"
                " the change would happen once",
                do="pass it to the body as part of the carry or operands, and return it",
            )
    return Traced(trace, outputs, tree)


def _output(trace: BodyTrace, leaf: Any) -> Tensor:
    if leaf is None or isinstance(leaf, (str, bytes)) or callable(leaf):
        raise TraceError(
            f"{trace.operation}: the body returned {leaf!r}",
            why="only Tensors, arrays, numbers and nested structures of them can be handed on",
        )
    tensor: Tensor = trace.lift(box_tensor(leaf))
    if tensor._view is not None:
        tensor._view.refresh(tensor)
    held: Tensor = strong(tensor)
    for extent in extents_in(held.shape):
        if trace.is_made_here(extent.value):
            trace.refuse(
                f"a part of shape {held.shape} is handed on, whose size differs from one iteration"
                " to the next"
            )
    return held


def merge_closures(traces: Sequence[BodyTrace]) -> dict[int, Tensor]:
    """Return what the traces found outside, by key, each Tensor once."""
    return {key: c.tensor for trace in traces for key, c in trace.closures.items()}


def subgraph(
    traced: Traced, inputs: Sequence[Value], closures: dict[int, Tensor], name: str
) -> SubGraph:
    """Return the graph of a body from `inputs` and all of `closures` to its outputs."""
    held = traced.trace.closures
    captured = [
        held[key].value if key in held else Value(_spec_of(tensor))
        for key, tensor in closures.items()
    ]
    outputs = tuple([tensor._raw for tensor in traced.outputs])
    nodes = tuple(traced.trace.builder.nodes)
    return SubGraph(simplify(Graph((*inputs, *captured), nodes, outputs)), name)


def _spec_of(tensor: Tensor) -> Spec:
    raw: Any = tensor._raw
    return raw.spec if isinstance(raw, Value) else Spec(raw.shape, raw.dtype)


# -- services of the runtime -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """Where a body finds an array, or puts one, in each iteration.

    In iteration `k` that is ``address + stride * ((k + first) & mask)``.

    Parameters
    ----------
    array : ndarray
        What owns the memory.
    address : int
        Of the array in the first iteration.
    stride : int
        From one iteration to the next, in bytes.
    first : int
        Added to the number of the iteration.
    mask : int
        1 to take turns between two places, else -1.
    """

    array: Array
    address: int
    stride: int = 0
    first: int = 0
    mask: int = -1

    @staticmethod
    def of(array: Array) -> Place:
        """Return the place that is the same in all iterations."""
        return Place(array, array.ctypes.data)

    @staticmethod
    def along(
        array: Array, reverse: bool = False, start: int = 0, stop: int | None = None
    ) -> Place:
        """Return the places one after the other along the first axis, from either end."""
        step = array.strides[0] if array.ndim else 0
        last = (len(array) if stop is None else stop) - 1
        position = last if reverse else start
        return Place(array, array.ctypes.data + position * step, -step if reverse else step)

    @staticmethod
    def in_turns(pair: Array, first: int) -> Place:
        """Return the two halves of an array in turns, beginning with number `first`."""
        return Place(pair, pair.ctypes.data, pair.strides[0], first, 1)


# Runs the graph of a body on arrays.
Runner = Callable[..., tuple[Array, ...]]
# Runs it so many times on arrays in these places, inputs and then outputs, or until a flag, one
# byte that the body writes, is 0; returns how often it did.
Repeater = Callable[[Sequence[Place], int, Array | None], int]
_make_runner: Callable[[SubGraph], Runner]
_make_repeater: Callable[[SubGraph], Repeater | None]


def set_runners(
    runner: Callable[[SubGraph], Runner], repeater: Callable[[SubGraph], Repeater | None]
) -> None:
    """Let the runtime say what runs a body: once, and again and again without Python.

    Arrays are C-contiguous; what a runner returns is in memory of its own, or is what it was
    given.
    """
    global _make_runner, _make_repeater
    _make_runner, _make_repeater = runner, repeater


class LoopEngine(Protocol):
    """Runs whole loops in machine code."""

    def forward(
        self, loop: Any, operands: Sequence[Any], keep: tuple[int, ...]
    ) -> tuple[list[Array], Any] | None:
        """Return results and what the way back starts from; None where it can't run a loop."""

    def backward(
        self, loop: Any, operands: Sequence[Any], cts: Sequence[Array], record: Any
    ) -> dict[int, Array]:
        """Return the cotangents of the operands that were to be kept for, by number."""

    def kept_bytes(self, loop: Any, operands: Sequence[Any], keep: tuple[int, ...]) -> int | None:
        """Return about how much it keeps of each iteration; None where it can't run a loop."""


_loop_engine: Callable[[], LoopEngine | None] = lambda: None  # noqa: E731


def set_loop_engine(engine: Callable[[], LoopEngine | None]) -> None:
    """Let the runtime say what runs whole loops; None where only parts of them are compiled."""
    global _loop_engine
    _loop_engine = engine


def loop_engine() -> LoopEngine | None:
    """Return what runs whole loops in machine code."""
    return _loop_engine()


def runner_of(body: SubGraph) -> Runner:
    """Return what runs `body` once."""
    return _make_runner(body)


def repeater_of(body: SubGraph) -> Repeater | None:
    """Return what runs `body` again and again; None where only Python's loop can."""
    return _make_repeater(body)
