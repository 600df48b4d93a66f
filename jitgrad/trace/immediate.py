"""A trace that computes at once: for programs in plain NumPy that are differentiated uncompiled.

In a trace what is written to an array never reaches the values that were read before, so that all
that NumPy allows, overwriting what the derivative needs included, is differentiated rightly.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.core.bind import tracing
from jitgrad.core.errors import TraceError
from jitgrad.core.primitive import Primitive
from jitgrad.core.spec import Spec
from jitgrad.core.tree import map_tree
from jitgrad.ir.graph import Value
from jitgrad.ir.interpret import run_nodes
from jitgrad.tensor.tensor import Tensor, make_tensor, raise_leaked
from jitgrad.trace.known_arrays import is_unsettled, settle
from jitgrad.trace.narrow import Widened, kind_of, widened
from jitgrad.trace.recorder import Recorder
from jitgrad.trace.stand_ins import ArrayStandIn, StandIn, stand_in


class NeedsHistoryError(Exception):
    """The function uses a Tensor from outside whose history the trace does not know."""


class ImmediateTrace(Recorder):
    """Records operations and carries them out."""

    has_values = True

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[Value, Any] = {}
        self.among_numbers = False
        self._shadows: dict[int, tuple[Any, Tensor]] = {}
        # What came from outside, which is what it was where nobody has written to it.
        self._first: set[Value] = set()

    def evaluate(
        self, primitive: Primitive, raws: tuple[Any, ...], params: dict[str, Any]
    ) -> tuple[Any, ...]:
        """Compute an operation; its outputs are values that are known."""
        outputs = super().evaluate(primitive, raws, params)
        run_nodes([self.builder.nodes.pop()], self.known)
        return outputs

    def add_array(self, array: Any) -> Any:
        """Return what stands for an array; the same array gets the same thing."""
        held = self._shadows.get(id(array))
        if held is None:
            (wide,) = widened([array])
            kind = kind_of(wide.narrow) if isinstance(wide, Widened) else ArrayStandIn
            held = self._shadows[id(array)] = (array, self._value_of(np.array(wide)))
            stand_in(held[1], kind)
        return held[1]

    def _value_of(self, array: Any) -> Tensor:
        value = Value(Spec(array.shape, array.dtype))
        self._first.add(value)
        self.known[value] = array
        return make_tensor(value)

    def lift(self, tensor: Any) -> Any:
        """Return what stands for a Tensor from outside."""
        if is_unsettled(tensor):
            return settle(tensor, self)
        if isinstance(tensor._raw, Value):
            if tensor._raw not in self.known:
                raise_leaked(tensor)
            return tensor
        if tensor.requires_grad:
            raise NeedsHistoryError
        held = self._shadows.get(id(tensor))
        if held is None:
            held = self._shadows[id(tensor)] = (tensor, self._value_of(tensor._raw))
        return held[1]

    def demand(self, value: Value) -> Any:
        """Return the elements of a value."""
        array = np.array(self.known[value])
        array.flags.writeable = False
        return array

    def check_zero(self, number: Tensor) -> bool:
        """Return whether a Python number is zero."""
        return not self.known[number._raw]

    def refuse(self, reason: str) -> None:
        """Say what can't be differentiated."""
        raise TraceError(
            f"grad: {reason}",
            why="what NumPy would do there can't be followed",
            do="give the function Tensors, which leave NumPy's functions to jitgrad",
        )

    def result(self, thing: Any) -> Any:
        """Return a result with arrays and Tensors in place of what stood for them."""

        def concrete(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor) or not isinstance(leaf._raw, Value):
                return leaf._raw if isinstance(leaf, StandIn) else leaf
            with tracing(self):
                array = np.asarray(self.demand(self.lift(leaf)._raw)).copy()
            if not isinstance(leaf, StandIn):
                return make_tensor(array)
            return array if array.ndim else array[()]

        return map_tree(concrete, thing)

    def write_back(self) -> None:
        """Give arrays and Tensors from outside what the function has written to them."""
        for thing, shadow in self._shadows.values():
            array = thing._raw if isinstance(thing, Tensor) else thing
            if shadow._raw not in self._first and array.flags.writeable:
                array[...] = self.known[shadow._raw]
