"""Bodies that are pieces of a function, not functions: they read and change what is around them.

What such a body reads becomes an input of its graph. Tensors that it changes in place become
carries of a loop, or results of a branch, and are changed in place after it. Which variables of
the function are among the carries and results, `syntax` knows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.control.bodies import BodyTrace, Closure
from jitgrad.control.operands import here
from jitgrad.core.bind import tracing
from jitgrad.core.extents import extents_in
from jitgrad.core.primitive import Primitive
from jitgrad.core.spec import Spec
from jitgrad.ir.graph import Graph, Value
from jitgrad.ir.subgraph import SubGraph
from jitgrad.ops.arithmetic import add, mul, neg, sub
from jitgrad.ops.cast import cast, convert, number_primitive
from jitgrad.ops.comparison import eq
from jitgrad.ops.creation import clone_primitive
from jitgrad.tensor.inplace import assign
from jitgrad.tensor.modes import enable_grad
from jitgrad.tensor.tape import keep_copies
from jitgrad.tensor.tensor import UNREAD, Tensor, make_tensor
from jitgrad.trace.capture import CannotCaptureError
from jitgrad.trace.known_arrays import is_unsettled, settle
from jitgrad.trace.stand_ins import NumberStandIn, StandIn, stand_in
from jitgrad.transforms.numbers import read_values_for_numbers
from jitgrad.transforms.simplify import simplify

Interval = tuple[int, int]


class CannotRepeatError(CannotCaptureError):
    """Ends the trace of a body that can't become part of a graph; Python then runs it."""


class KindChangesError(CannotRepeatError):
    """Ends the trace of a body that what it hands on does not fit; a later iteration's may."""


class CapturedBody(BodyTrace):
    """The trace of a body.

    Parameters
    ----------
    operation : str
        The construct, for messages.
    differentiable : set of int
        Keys of Tensors from outside that come to require a gradient.
    """

    def __init__(self, operation: str, differentiable: set[int]) -> None:
        super().__init__(operation)
        self.differentiable = differentiable
        # Booleans that must be False; where one is not, Python would do what no graph does.
        self.checks: list[Value] = []
        self.intervals: dict[Value, Interval] = {}
        self.failed = ""
        # What Tensors that came from outside held at first, by `id`.
        self.first_raws: dict[int, Any] = {}
        self.first_grads: dict[int, Any] = {}
        # What was made again of views and numbers from outside, by `id`.
        self._again: dict[int, tuple[Tensor, Tensor]] = {}

    # -- what is found outside ----------------------------------------------------------------

    def enter(self, kind: type, spec: Spec, differentiable: bool = False) -> tuple[Value, Tensor]:
        """Return a new input, and the Tensor, array or number (`kind`) that it is to the body."""
        value = self._new_input(spec)
        entered = self._entering(value, kind, differentiable)
        self.first_raws[id(entered)] = entered._raw
        return value, entered

    def enter_index(self, bounds: Interval | None) -> tuple[Value, Tensor]:
        """Return the index of a loop as an int; `bounds` are its least and greatest value."""
        value, index = self.enter(NumberStandIn, Spec((), np.dtype(np.int64)))
        if bounds is not None:
            self.intervals[value] = bounds
        return value, index

    def _new_input(self, spec: Spec) -> Value:
        self._hold_sizes(spec.shape)
        value = Value(Spec(spec.shape, spec.dtype))
        self.inputs.append(value)
        self._inputs.add(value)
        return value

    def _entering(self, value: Value, kind: type, differentiable: bool) -> Tensor:
        """Return a Tensor of this body for one of its inputs; no leaf, so it can be changed."""
        tensor = make_tensor(value)
        with tracing(self), enable_grad():
            if differentiable:
                tensor._requires_grad = True
                tensor._grad = UNREAD
                self._alive.append(tensor)
                tensor = clone_primitive(tensor)
            if issubclass(kind, NumberStandIn):
                tensor = as_number(tensor)
            elif issubclass(kind, StandIn):
                tensor = stand_in(tensor, kind)
        self._alive.append(tensor)
        return tensor

    def lift(self, tensor: Any) -> Any:
        """Return what stands for `tensor` in the body: one thing, however it is come by."""
        raw = tensor._raw
        if isinstance(raw, Value) and (raw in self._inputs or self.is_made_here(raw)):
            return tensor
        if is_unsettled(tensor):
            return settle(tensor, self)
        assert self.outer is not None
        with tracing(self.outer):
            tensor = self.outer.lift(tensor)
            if tensor._view is not None:
                tensor._view.refresh(tensor)
        if tensor._view is not None:
            return self._view_again(tensor)
        if type(tensor) is NumberStandIn and tensor._counted is not None:
            return self._number_again(tensor)
        held = self.closures.get(id(tensor))
        if held is None:
            held = self.closures[id(tensor)] = self._closed_over(tensor)
            self.first_raws[id(held.shadow)] = held.shadow._raw
            self.first_grads[id(tensor)] = held.shadow._grad
        return held.shadow

    def _closed_over(self, tensor: Tensor) -> Closure:
        spec = tensor.spec
        self._hold_sizes(spec.shape)
        value = Value(Spec(spec.shape, spec.dtype), tensor._raw.name)
        self._inputs.add(value)
        if isinstance(self.outer, CapturedBody):
            found = self.outer.interval(tensor._raw)
            if found is not None:
                self.intervals[value] = found
        is_leaf = tensor._requires_grad and tensor._node is None
        wanted = id(tensor) in self.differentiable or (tensor._requires_grad and not is_leaf)
        shadow = self._entering(value, type(tensor), wanted)
        if is_leaf:
            shadow._requires_grad = True
            shadow._grad = UNREAD
        return Closure(tensor, value, shadow)

    def _view_again(self, tensor: Tensor) -> Tensor:
        """Return the view of what stands for its base here, so that both show one memory."""
        held = self._again.get(id(tensor))
        if held is None:
            view: Any = tensor._view
            part = self.lift(view.base)
            with tracing(self), enable_grad():
                for step in view.steps:
                    part = step.read(part)
            if isinstance(tensor, StandIn):
                part = stand_in(part, type(tensor))
            held = self._again[id(tensor)] = (tensor, part)
        return held[1]

    def changed(self) -> list[int]:
        """Return the keys of the Tensors from outside that the body changes in place."""
        return [key for key, held in self.closures.items() if self.is_changed(held.shadow)]

    def end(self) -> None:
        """Refuse what has become clear when the body has run.

        Raises
        ------
        CannotRepeatError
            Saying what.
        """
        if any(
            held.shadow._grad is not self.first_grads.get(k, held.shadow._grad)
            for k, held in self.closures.items()
        ):
            self.refuse("it assigns the .grad of a Tensor from outside")
        if self.written_to():
            self.refuse("it changes in place what may be one Tensor or another")
        if self.failed:
            raise CannotRepeatError(self.failed)

    def is_changed(self, entered: Tensor) -> bool:
        """Return whether a Tensor that came from outside was changed in place."""
        return entered._raw is not self.first_raws.get(id(entered), entered._raw)

    def is_fresh(self, tensor: Tensor) -> bool:
        """Return whether a Tensor was made by this run of the body, and is no other's."""
        entered = any(held.shadow is tensor for held in self.closures.values())
        return (
            self.is_made_here(tensor._raw)
            and tensor._view is None
            and not entered
            and id(tensor) not in self.first_raws
            and not self.is_frozen(tensor)
        )

    def outside(self, thing: Any) -> list[Tensor]:
        """Return the Tensors from outside whose memory something in the body may have."""
        if not isinstance(thing, Tensor) or type(thing) is NumberStandIn:
            return []
        here = [thing, *self.shown_by(thing)]
        entered = [(held.shadow._storage, held.tensor) for held in self.closures.values()]
        found = [outer for s, outer in entered for own in here if own._storage is s]
        if found or self.is_made_here(thing._raw) or thing._raw in self._inputs:
            return found
        return [thing if thing._view is None else thing._view.base]

    def tensor_of(self, value: Value) -> Tensor:
        """Return a value of this trace as a Tensor."""
        tensor = make_tensor(value)
        return stand_in(tensor, NumberStandIn) if value.spec.weak else tensor

    def _number_again(self, number: NumberStandIn) -> Tensor:
        """Return the number that is made here of what `number` was made of outside."""
        held = self._again.get(id(number))
        if held is None:
            with tracing(self):
                held = self._again[id(number)] = (number, as_number(self.lift(number._counted)))
        return held[1]

    def handed_on(self, tensor: Tensor) -> Tensor:
        """Return a Tensor of the body as an output; its size has to be known outside."""
        if tensor._view is not None:
            tensor._view.refresh(tensor)
        if any(self.is_made_here(extent.value) for extent in extents_in(tensor.shape)):
            self.refuse("it hands on a part whose size differs from one iteration to the next")
        return tensor

    # -- what a body can't do -----------------------------------------------------------------

    def refuse(self, reason: str) -> None:
        """End the trace of the body."""
        self.failed = self.failed or reason
        raise CannotRepeatError(reason)

    def demand(self, value: Value) -> Any:
        """Refuse: the body runs many times, and only then are there values."""
        self.refuse("it asks for a value that changes from one iteration to the next")

    def load_gradient(self, shadow: Tensor) -> None:
        """Refuse: one run of the body is not the only one."""
        self.refuse("it uses the .grad of a Tensor from outside")

    def check_zero(self, number: Tensor) -> bool:
        """Note that a number must be zero whenever the body runs."""
        value: Any = number._raw
        node = next((n for n in reversed(self.builder.nodes) if value in n.outputs), None)
        if node is not None and node.primitive is eq:
            found = self.interval(node.inputs[0])
            if found is not None and not found[0] <= 0 <= found[1]:
                return True
        self.checks.append(value)
        return True

    def interval(self, operand: Any) -> Interval | None:
        """Return the least and the greatest value of an integer, where they follow from indices."""
        if not isinstance(operand, Value):
            number = operand.number
            return (number, number) if isinstance(number, int) else None
        if operand in self.intervals:
            return self.intervals[operand]
        node = next((n for n in self.builder.nodes if operand in n.outputs), None)
        if node is None or operand.dtype.kind != "i":
            return None
        parts = [self.interval(o) for o in node.inputs]
        known = [p for p in parts if p is not None]
        rule = _INTERVALS.get(node.primitive)
        if rule is None or len(known) < len(parts):
            return None
        ends = rule(*known)
        return min(ends), max(ends)


_INTERVALS: dict[Primitive, Callable[..., Sequence[int]]] = {
    add: lambda a, b: (a[0] + b[0], a[1] + b[1]),
    sub: lambda a, b: (a[0] - b[1], a[1] - b[0]),
    mul: lambda a, b: [x * y for x in a for y in b],
    neg: lambda a: (-a[1], -a[0]),
    cast: lambda a: a,
    number_primitive: lambda a: a,
}


def as_number(tensor: Tensor) -> Any:
    """Return a value without axes as what stands for a Python number."""
    made = stand_in(number_primitive(tensor), NumberStandIn)
    made._counted = tensor
    return made


def graph_of(
    trace: CapturedBody,
    inputs: Sequence[Value],
    closures: Sequence[int],
    tensors: dict[int, Tensor],
    outputs: Sequence[Tensor],
    name: str,
) -> SubGraph:
    """Return the graph of a body.

    Parameters
    ----------
    trace : CapturedBody
        What it did.
    inputs : sequence of Value
        The first inputs.
    closures : sequence of int
        Keys of the Tensors from outside that are the other inputs, used or not.
    tensors : dict
        These Tensors.
    outputs : sequence of Tensor
        Of this trace.
    name : str
        For reports.
    """
    held = trace.closures
    more = [
        held[key].value if key in held else Value(Spec(tensors[key].shape, tensors[key].dtype))
        for key in closures
    ]
    raws = tuple([tensor._raw for tensor in outputs])
    graph = Graph((*inputs, *more), tuple(trace.builder.nodes), raws)
    return SubGraph(simplify(read_values_for_numbers(graph)), name)


def strong_operand(tensor: Tensor) -> Tensor:
    """Return a Tensor as an operand, numbers in the dtype in which Python computes."""
    if not tensor.spec.weak:
        return tensor
    converted: Tensor = cast(tensor, dtype=tensor.dtype)
    return converted


def overwrite(operation: str, target: Tensor, new: Tensor, since: int) -> None:
    """Give a Tensor from outside the content that a construct, recorded `since`, has made of it."""
    if new._node is not None:
        # What the construct was given of it is what its way back needs.
        keep_copies(new._node, here(target)._storage, since)
    assign(operation, target, convert(new, target.dtype))
