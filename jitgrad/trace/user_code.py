"""Records what a user's function does: each node gets the line, values the names of variables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import CodeType, FrameType
from typing import Any

from jitgrad.core.extents import Extent
from jitgrad.core.location import Location, location_of, user_frame
from jitgrad.core.primitive import Primitive
from jitgrad.ir.graph import Node, Value
from jitgrad.ops.arithmetic import add, mul
from jitgrad.ops.cast import cast
from jitgrad.ops.spans import clipped, new_extent
from jitgrad.tensor.tape import TapeNode
from jitgrad.tensor.tensor import Tensor, make_tensor
from jitgrad.trace.number_forms import Form, form_of
from jitgrad.trace.recorder import Recorder, operand_of
from jitgrad.trace.stand_ins import strong


class UserCodeRecorder(Recorder):
    """Base of the traces of functions that users wrote."""

    def __init__(self, nodes: list[Node] | None = None) -> None:
        super().__init__(nodes)
        self._locations: dict[int, Location | None] = {}
        self._going_back: TapeNode | None = None
        self._makers: dict[Value, Node] = {}
        self._made_up_to = 0
        self._parts: dict[Any, tuple[Any, Extent]] = {}
        self._extents: dict[Form, Extent] = {}
        # Whether an operator on Python numbers is being recorded, which gives a number again.
        self.among_numbers = False
        # Whether a stand-in may be told from what it stands for.
        self.asks_for_types = False
        # What became of the loops in the user's source, and how often a body could not be captured.
        self.constructs: dict[str, str] = {}
        self.failures: dict[CodeType, int] = {}
        # Bodies of loops that are left to Python.
        self.barred: set[CodeType] = set()
        self._frozen: list[tuple[Tensor, Any, Any]] = []
        self._shown: list[tuple[Tensor, list[tuple[Tensor, Any]], Any]] = []

    def evaluate(
        self, primitive: Primitive, raws: tuple[Any, ...], params: dict[str, Any]
    ) -> tuple[Any, ...]:
        """Append a node for the user's line that is running."""
        frame = user_frame()
        location = None
        if frame is not None:
            location = location_of(frame)
            _name_values(frame)
        if self._going_back is not None:
            location = self._locations.get(self._going_back.number, location)
        operands = tuple(map(operand_of, raws))
        if not self.among_numbers and primitive is not cast and _all_weak(operands):
            # jitgrad's functions make Tensors of numbers; Python's operators don't.
            return self.evaluate(primitive, tuple(map(_strong_raw, raws)), params)
        adjoint = self._going_back is not None
        return self.builder.emit(primitive, operands, params, location, adjoint)

    def freeze(self, tensor: Tensor, construct: Any = None, shown: Sequence[Tensor] = ()) -> None:
        """Note that it depends on values whose memory `tensor` has: nobody may write to it.

        Nor, as long as the trace goes on, to Tensors whose memory it may be.
        """
        self._frozen.append((tensor, tensor._raw, construct))
        self._shown.append((tensor, [(base, base._raw) for base in shown], construct))

    def is_frozen(self, tensor: Tensor) -> bool:
        """Return whether a Tensor is one that nobody may write to."""
        return any(tensor is frozen for frozen, _, _ in self._frozen)

    def written_to(self) -> list[Any]:
        """Return the constructs that frozen Tensors came from which were changed in place."""
        written = [construct for tensor, raw, construct in self._frozen if tensor._raw is not raw]
        for _, shown, construct in self._shown:
            written += [construct for base, raw in shown if base._raw is not raw]
        return written

    def shown_by(self, tensor: Tensor) -> list[Tensor]:
        """Return the Tensors whose memory a frozen one may have."""
        return [base for frozen, shown, _ in self._shown if frozen is tensor for base, _ in shown]

    def recorded(self, node: TapeNode) -> None:
        """Remember the user's line of an operation, for the comments of its derivative."""
        self._locations[node.number] = self.builder.nodes[-1].location

    def going_back_through(self, node: TapeNode | None) -> None:
        """Note which operation's derivative follows."""
        self._going_back = node

    def is_made_here(self, value: Value) -> bool:
        """Return whether a node of this trace computes `value`."""
        return value in self._makers_so_far()

    def _makers_so_far(self) -> dict[Value, Node]:
        """Return the node that computes each value."""
        for node in self.builder.nodes[self._made_up_to :]:
            self._makers.update(dict.fromkeys(node.outputs, node))
        self._made_up_to = len(self.builder.nodes)
        return self._makers

    # -- sizes that are not known ---------------------------------------------------------

    def part(self, start: Any, stop: Any, step: int, size: int) -> tuple[Any, Extent]:
        """Return where a slice with traced bounds begins, and how many elements it has.

        Slices with equal bounds have as many elements on axes of equal size, and their sizes are
        the same `Extent`.

        Parameters
        ----------
        start, stop : Tensor, int or None
            The bounds.
        step : int
            Not 0.
        size : int
            Of the axis.
        """
        bounds = tuple([None if b is None else self.form_of(b) for b in (start, stop)])
        return self.part_between(bounds, step, size)

    def part_between(self, bounds: Any, step: int, size: int) -> tuple[Any, Extent]:
        """Return the same where the bounds are sums; see `form_of`."""
        key = (bounds, step, size)
        if key not in self._parts:
            given = [None if form is None else self._number_of(form) for form in bounds]
            first, count = clipped((given[0], given[1]), step, size)
            self._parts[key] = (first, self.extent_of(self.form_of(count)))
        return self._parts[key]

    def extent_of(self, form: Form) -> Extent:
        """Return the size that a number is."""
        found = self._extents.get(form)
        if found is None:
            found = new_extent(self._number_of(form))
            self._extents[form] = self._extents[self.form_of(found.length)] = found
        return found

    def form_of(self, number: Any) -> Form:
        """Return a whole number as a sum of values that are no sums themselves."""
        operand = operand_of(number._raw if isinstance(number, Tensor) else number)
        return form_of(operand, self._makers_so_far())

    def _number_of(self, form: Form) -> Any:
        terms, total = form
        if len(terms) == 1 and not total:
            ((value, coefficient),) = terms
            if coefficient == 1:
                return make_tensor(value)
        result: Any = total
        for value, coefficient in terms:
            result = add(mul(make_tensor(value), coefficient), result)
        return result


_Function = Callable[..., Any]
_rewrite: Callable[[_Function], _Function] | None = None


def set_rewriting(rewrite: Callable[[_Function], _Function]) -> None:
    """Let `syntax` say what a function of the user's is run as while it is traced."""
    global _rewrite
    _rewrite = rewrite


def as_traced(function: _Function) -> _Function:
    """Return what a function of the user's is run as while it is traced."""
    return function if _rewrite is None else _rewrite(function)


def _name_values(frame: FrameType) -> None:
    """Give values the names of the local variables that hold them now."""
    for name, thing in frame.f_locals.items():
        if isinstance(thing, Tensor):
            raw = thing._raw
            if isinstance(raw, Value) and not raw.name:
                raw.name = name


def _all_weak(operands: Sequence[Any]) -> bool:
    """Return whether all operands are Python numbers, and one of them is not a constant."""
    values = [o for o in operands if isinstance(o, Value)]
    return bool(values) and all(o.spec.weak for o in operands)


def _strong_raw(raw: Any) -> Any:
    return strong(make_tensor(raw))._raw if isinstance(raw, Value) else raw
