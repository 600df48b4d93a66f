"""Records what a user's function does: each node gets the line, values the names of variables."""

from __future__ import annotations

from collections.abc import Sequence
from types import FrameType
from typing import Any

from jitgrad.core.location import Location, location_of, user_frame
from jitgrad.core.primitive import Primitive
from jitgrad.ir.graph import Node, Value
from jitgrad.ops.cast import cast
from jitgrad.tensor.tape import TapeNode
from jitgrad.tensor.tensor import Tensor, make_tensor
from jitgrad.trace.recorder import Recorder, operand_of
from jitgrad.trace.stand_ins import strong


class UserCodeRecorder(Recorder):
    """Base of the traces of functions that users wrote."""

    def __init__(self, nodes: list[Node] | None = None) -> None:
        super().__init__(nodes)
        self._locations: dict[int, Location | None] = {}
        self._going_back: TapeNode | None = None
        self._made: set[Value] = set()
        self._made_up_to = 0
        # Whether an operator on Python numbers is being recorded, which gives a number again.
        self.among_numbers = False

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

    def recorded(self, node: TapeNode) -> None:
        """Remember the user's line of an operation, for the comments of its derivative."""
        self._locations[node.number] = self.builder.nodes[-1].location

    def going_back_through(self, node: TapeNode | None) -> None:
        """Note which operation's derivative follows."""
        self._going_back = node

    def is_made_here(self, value: Value) -> bool:
        """Return whether a node of this trace computes `value`."""
        # A set of what all nodes compute is kept up to date.
        made = self._made
        for node in self.builder.nodes[self._made_up_to :]:
            made.update(node.outputs)
        self._made_up_to = len(self.builder.nodes)
        return value in made


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
