"""Runs a user's function once on Tensors that hold graph values, and keeps what it did."""

from __future__ import annotations

import enum
import inspect
import types
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jitgrad.core.bind import tracing
from jitgrad.core.errors import TraceError
from jitgrad.core.spec import Spec
from jitgrad.core.tree import Tree, flatten
from jitgrad.ir.graph import Node, Value
from jitgrad.ir.interpret import run_nodes
from jitgrad.ir.walk import active_values
from jitgrad.ops.cast import stop_gradient
from jitgrad.tensor.tape import is_spent
from jitgrad.tensor.tensor import UNREAD, Tensor, make_tensor
from jitgrad.trace.known_arrays import is_known, is_unsettled, settle
from jitgrad.trace.narrow import Widened, kind_of
from jitgrad.trace.recorder import operand_of
from jitgrad.trace.stand_ins import ArrayStandIn, NumberStandIn, stand_in
from jitgrad.trace.user_code import UserCodeRecorder


class CannotCaptureError(BaseException):
    """Ends a trace of something that can't be captured; the function then runs eagerly.

    Not an `Exception`, so that a ``try`` block in the user's function does not swallow it.
    """


class WrittenToError(CannotCaptureError):
    """Ends a trace that changes in place what may be one Tensor or another.

    Parameters
    ----------
    constructs : sequence of code
        Loops of the user's, which left the choice to a run; run by Python they don't.
    """

    def __init__(self, constructs: Sequence[types.CodeType]) -> None:
        super().__init__("it changes in place what may be one Tensor or another")
        self.constructs = set(constructs)


@dataclass(frozen=True, slots=True)
class Source:
    """Where an input of a captured graph comes from at each call.

    Parameters
    ----------
    kind : {"argument", "captured", "constant"}
        A leaf of the arguments; something the function reads from outside them; an array made
        while tracing that depends on nothing.
    number : int
        Which leaf, which captured object, or which constant.
    gradient : bool
        Whether it is that Tensor's ``.grad`` rather than the Tensor.
    """

    kind: str
    number: int
    gradient: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A place where the function asked for a value.

    Parameters
    ----------
    position : int
        How many nodes came before.
    value : Value
        What was asked for.
    answer : bytes
        The elements it had.
    """

    position: int
    value: Value
    answer: bytes


@dataclass(frozen=True, slots=True)
class ResultLeaf:
    """One leaf of what the function returned.

    Parameters
    ----------
    kind : {"value", "array", "source", "static", "copy"}
        Computed; the same, to be returned as a NumPy array; one of the objects that it was given
        or found, unchanged; anything that never changes; an array that no input changes.
    content : Value, Source or object
        Accordingly.
    spent : str
        For a computed Tensor whose graph a backward in the function has freed, the name of its
        node; else empty.
    """

    kind: str
    content: Any
    spent: str = ""


@dataclass(slots=True, eq=False)
class Captured:
    """What one run of a function did.

    Parameters
    ----------
    inputs : dict
        The graph's inputs and where each comes from.
    nodes : list of Node
        What was computed, in order.
    cuts : list of Cut
        Values that were asked for, in order.
    tree : Tree
        Structure of the result.
    leaves : list of ResultLeaf
        Its leaves.
    writes : list of (Source, Value)
        Tensors changed in place, and the values they end with.
    gradients : list of (Source, Value or None)
        Tensors whose ``.grad`` was assigned or accumulated, and what it ends with.
    gradient_reads : dict
        For each Tensor whose ``.grad`` mattered, whether there was one.
    constants : list of array
        Arrays made while tracing.
    checks : list of Value
        Numbers that must be zero; where one is not, Python would do what no kernel does.
    met_numpy : bool
        Whether arrays or scalars of NumPy came in that are neither inputs nor captured.
    differentiable : set of Value
        Inputs that require a gradient.
    constructs : dict
        What became of each loop in the user's source, by its place.
    """

    inputs: dict[Value, Source] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    tree: Tree | None = None
    leaves: list[ResultLeaf] = field(default_factory=list)
    writes: list[tuple[Source, Value]] = field(default_factory=list)
    gradients: list[tuple[Source, Value | None]] = field(default_factory=list)
    gradient_reads: dict[Source, bool] = field(default_factory=dict)
    constants: list[Any] = field(default_factory=list)
    checks: list[Value] = field(default_factory=list)
    met_numpy: bool = False
    differentiable: set[Value] = field(default_factory=set)
    constructs: dict[str, str] = field(default_factory=dict)


class Capture(UserCodeRecorder):
    """The trace of a user's function.

    Parameters
    ----------
    sources : dict
        Number of each object outside the arguments that may become an input, by its ``id``.
    objects : set of int
        ``id`` of every object that the function reads from outside.
    """

    has_values = True

    def __init__(self, sources: dict[int, int], objects: Set[int] = frozenset()) -> None:
        super().__init__()
        self.sources = sources
        self.objects = objects
        self.captured = Captured(nodes=self.builder.nodes)
        self.known: dict[Value, Any] = {}
        self._run_up_to = 0
        self._shadows: dict[int, Tensor] = {}
        self._alive: list[Any] = []
        self._first_values: dict[int, tuple[Source, Tensor, Any, Tensor]] = {}
        self._objects: dict[int, Source] = {}

    # -- inputs ---------------------------------------------------------------------------

    def add_input(self, tensor: Tensor, source: Source, name: str = "") -> Tensor:
        """Return what stands for a Tensor from outside; the same Tensor gets the same thing."""
        held = self._shadows.get(id(tensor))
        if held is not None:
            return held
        value = Value(Spec(tensor.shape, tensor.dtype), name)
        self.captured.inputs[value] = source
        self.known[value] = tensor._raw
        shadow = make_tensor(value)
        shadow._requires_grad = tensor._requires_grad
        shadow._grad = UNREAD
        self._alive.append(tensor)
        if tensor._requires_grad:
            self.captured.differentiable.add(value)
        self._shadows[id(tensor)] = shadow
        self._first_values[id(shadow)] = (source, shadow, value, tensor)
        return shadow

    def add_array(self, array: Any, source: Source, name: str = "") -> Tensor:
        """Return what stands for a NumPy array or scalar given as argument."""
        held = self._shadows.get(id(array))
        if held is None:
            kind = kind_of(array.narrow) if isinstance(array, Widened) else ArrayStandIn
            if (
                kind is ArrayStandIn
                and isinstance(array, np.ndarray)
                and type(array) is not np.ndarray
            ):
                raise CannotCaptureError(f"it is given a {type(array).__name__}")
            tensor = self.add_input(Tensor(np.asarray(array)), source, name)
            held = self._shadows[id(array)] = stand_in(tensor, kind)
            held._is_array = isinstance(array, np.ndarray)
            self._alive.append(array)
        return held

    def add_number(self, number: float, source: Source, name: str = "") -> Any:
        """Return what stands for a Python number given as argument."""
        spec = operand_of(number).spec
        value = Value(spec, name)
        self.captured.inputs[value] = source
        self.known[value] = number
        held = stand_in(make_tensor(value), NumberStandIn)
        self._first_values[id(held)] = (source, held, value, held)
        return held

    def add_object(self, thing: Any, source: Source) -> Any:
        """Return `thing`, noting that it may be returned as it is."""
        self._objects[id(thing)] = source
        return thing

    def lift(self, tensor: Any) -> Any:
        """Return what stands for `tensor` here: itself, an input, or a constant."""
        raw = tensor._raw
        if isinstance(raw, Value):
            if raw not in self.known and not self.is_made_here(raw):
                raise TraceError(
                    f"a Tensor of shape {tuple(tensor.shape)} of another trace was used",
                    why="it was made while another compiled function was being traced",
                    do="return it from that function instead of storing it elsewhere",
                )
            return tensor
        if is_unsettled(tensor):
            self.captured.met_numpy = True
            return settle(tensor, self)
        held = self._shadows.get(id(tensor))
        if held is not None:
            return held
        number = self.sources.get(id(tensor))
        if number is not None:
            return self.add_input(tensor, Source("captured", number))
        number = self.sources.get(id(raw))
        if number is not None:
            held = self._shadows.get(id(raw))
            if held is None:
                held = self._shadows[id(raw)] = self.add_input(tensor, Source("captured", number))
            return held
        if tensor._node is not None or tensor._requires_grad:
            raise CannotCaptureError(
                "it uses a Tensor that requires a gradient and can't be found by name"
            )
        # A copy: the function may change the array afterwards.
        kept = raw.copy()
        self.captured.constants.append(kept)
        self.captured.met_numpy = True
        source = Source("constant", len(self.captured.constants) - 1)
        held = self._shadows[id(tensor)] = self.add_input(make_tensor(kept), source)
        self._alive.append(tensor)
        return held

    # -- values on demand -----------------------------------------------------------------

    def demand(self, value: Value) -> Any:
        """Return the elements of `value`, and note that what follows depends on them."""
        array = np.asarray(self._value_of(value))
        cut = Cut(len(self.builder.nodes), value, array.tobytes())
        if all(c.value is not value for c in self.captured.cuts):
            self.captured.cuts.append(cut)
        if not isinstance(self.known[value], np.ndarray):
            array = array.astype(value.dtype)
        array = array.copy()
        # What the user wrote to it would not reach the Tensor that it shows.
        array.flags.writeable = False
        return array

    def _value_of(self, value: Value) -> Any:
        """Return what `value` is in this run."""
        if value not in self.known:
            nodes = self.builder.nodes[self._run_up_to :]
            run_nodes(nodes, self.known)
            self._run_up_to = len(self.builder.nodes)
        return self.known[value]

    def check_zero(self, number: Tensor) -> bool:
        """Return whether a Python number is zero; a later run in which it is not ends at once."""
        if self._value_of(number._raw):
            return False
        self.captured.checks.append(number._raw)
        return True

    def met_scalar(self) -> None:
        """Note that a scalar of NumPy became a constant: it may be an element of an array."""
        self.captured.met_numpy = True

    def load_gradient(self, shadow: Tensor) -> None:
        """Give a stand-in the ``.grad`` that the Tensor it stands for has."""
        source, _, _, tensor = self._first_values[id(shadow)]
        shadow._grad = None
        if tensor._leaf is not None and tensor._leaf.hooks:
            raise CannotCaptureError("it carries gradients to a Tensor with hooks")
        if tensor._grad is not None:
            gradient_source = Source(source.kind, source.number, gradient=True)
            shadow._grad = self.add_input(tensor._grad, gradient_source)
        self.captured.gradient_reads[source] = tensor._grad is not None

    def refuse(self, reason: str) -> None:
        """End the trace; the function then runs eagerly."""
        raise CannotCaptureError(reason)

    # -- the end --------------------------------------------------------------------------

    def finish(self, result: Any) -> Captured:
        """Return what was captured, given what the function returned."""
        captured = self.captured
        written = self.written_to()
        if written:
            raise WrittenToError(written)
        captured.constructs = self.constructs
        leaves, captured.tree = flatten(result)
        active = active_values(self.builder.nodes, captured.differentiable)
        captured.leaves = [self._result_leaf(leaf, active) for leaf in leaves]
        for source, shadow, first, tensor in self._first_values.values():
            if shadow._raw is not first and source.kind != "constant":
                if shadow._raw.spec != first.spec:
                    raise CannotCaptureError("it gives a Tensor another shape or dtype in place")
                if tensor._requires_grad and not shadow._requires_grad:
                    raise CannotCaptureError("it takes a Tensor's history away in place")
                captured.writes.append((source, shadow._raw))
            elif shadow._requires_grad != tensor._requires_grad:
                raise CannotCaptureError("it changes requires_grad of a Tensor it was given")
            if shadow._grad is not UNREAD and shadow is not tensor:
                self._note_gradient(source, shadow, tensor)
        return captured

    def _note_gradient(self, source: Source, shadow: Tensor, tensor: Tensor) -> None:
        gradient = shadow._grad
        before = self._shadows.get(id(tensor._grad)) if tensor._grad is not None else None
        if gradient is before:
            return
        if gradient is not None and not isinstance(gradient._raw, Value):
            gradient = self.lift(gradient)
        raw = None if gradient is None else gradient._raw
        self.captured.gradients.append((source, raw))

    def _result_leaf(self, leaf: Any, active: set[Value]) -> ResultLeaf:
        if not isinstance(leaf, Tensor):
            return self._other_leaf(leaf)
        if is_known(leaf):
            return self._other_leaf(leaf._raw)
        if isinstance(leaf, ArrayStandIn) and leaf.narrow is not None:
            raise CannotCaptureError(f"it returns an array of dtype {leaf.narrow}")
        tensor = self.lift(leaf)
        first = self._first_values.get(id(tensor))
        if first is not None and first[0].kind != "constant":
            return ResultLeaf("source", first[0])
        for source, shadow, *_ in self._first_values.values():
            if shadow._grad is tensor:
                return ResultLeaf("source", Source(source.kind, source.number, gradient=True))
        if tensor._view is not None:
            tensor._view.refresh(tensor)
        if tensor._requires_grad and tensor._raw not in active:
            raise CannotCaptureError("its result requires the gradient of a Tensor made inside it")
        if is_spent(tensor._node):
            # Nobody can ask for this gradient again, so nothing is kept for it.
            assert tensor._node is not None
            return ResultLeaf("value", stop_gradient(tensor)._raw, tensor._node.name_)
        is_array = isinstance(leaf, ArrayStandIn)
        return ResultLeaf("array" if is_array else "value", tensor._raw)

    def _other_leaf(self, leaf: Any) -> ResultLeaf:
        if id(leaf) in self.sources:
            return ResultLeaf("source", Source("captured", self.sources[id(leaf)]))
        if id(leaf) in self._objects:
            return ResultLeaf("source", self._objects[id(leaf)])
        if isinstance(leaf, (np.ndarray, np.generic)):
            self.met_scalar()
        if isinstance(leaf, (np.ndarray, set)):
            return ResultLeaf("copy", leaf)
        if isinstance(leaf, _NEVER_CHANGING) or id(leaf) in self.objects:
            return ResultLeaf("static", leaf)
        if inspect.iscoroutine(leaf):
            leaf.close()
        raise CannotCaptureError(f"it returns a {type(leaf).__name__} that it makes itself")


_NEVER_CHANGING = (
    bool, int, float, complex, str, bytes, type(None), type(Ellipsis), type, slice, range,
    frozenset, np.generic, np.dtype, enum.Enum, types.ModuleType, types.BuiltinFunctionType,
)  # fmt: skip


def capture(
    function: Callable[..., Any],
    make_arguments: Callable[[Capture], tuple[Sequence[Any], dict[str, Any]]],
    sources: dict[int, int],
    objects: Set[int] = frozenset(),
) -> Captured:
    """Run `function` once and return what it did.

    Parameters
    ----------
    function : callable
        The user's function.
    make_arguments : callable
        Given the trace, returns the arguments: stand-ins for Tensors, the others as they are.
    sources, objects : dict, set
        As of `Capture`.

    Returns
    -------
    Captured
        Nodes, cuts, result.

    Raises
    ------
    CannotCaptureError
        If it does something that can't be captured.
    """
    barred: set[types.CodeType] = set()
    while True:
        trace = Capture(sources, objects)
        trace.barred = barred
        arguments = make_arguments(trace)
        leaves, tree = flatten(arguments)
        args, kwargs = arguments
        with tracing(trace):
            result = function(*args, **kwargs)
            after, tree_after = flatten(arguments)
            if tree_after != tree or any(a is not b for a, b in zip(leaves, after, strict=True)):
                raise CannotCaptureError("it changes a list or dict among its arguments")
            try:
                return trace.finish(result)
            except WrittenToError as error:
                if error.constructs <= barred:
                    raise
                barred = barred | error.constructs
