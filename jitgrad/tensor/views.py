"""Views: Tensors that show a part of another one's values, and stay true when either changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.affine import Affine
from jitgrad.core.bind import active_trace
from jitgrad.core.primitive import Alias, Primitive
from jitgrad.ir.graph import Value
from jitgrad.ops.steps import Step, write_part
from jitgrad.tensor.modes import enable_grad, modes, no_grad

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import Tensor


@dataclass(slots=True)
class View:
    """How a Tensor follows from the one it is a view of.

    Parameters
    ----------
    base : Tensor
        The Tensor at the root, which is no view.
    steps : tuple of Step
        What leads from `base` to the view.
    version : int
        State of `base` that the view's history was made for.
    recorded : bool
        Whether the view was made while operations were recorded, so that it has a history.
    """

    base: Tensor
    steps: tuple[Step, ...]
    version: int
    recorded: bool

    @staticmethod
    def of(base: Tensor, step: Step) -> View:
        """Return the view of `base`, which may be one itself, through one more operation."""
        if base._view is None:
            return View(base, (step,), base._storage.version, modes.grad)
        outer = base._view
        version, recorded = base._storage.version, outer.recorded and modes.grad
        return View(outer.base, (*outer.steps, step), version, recorded)

    def refresh(self, tensor: Tensor) -> None:
        """Bring the value and history of `tensor`, whose view this is, up to date."""
        current = tensor._storage.version
        if self.version == current:
            return
        self.refuse_reshaped()
        self.version = current
        part = self.base
        with enable_grad() if self.recorded else no_grad():
            for step in self.steps:
                part = step.read(part)
        if isinstance(part._raw, Value):
            tensor._raw = part._raw
        tensor._requires_grad = part._requires_grad
        tensor._node, tensor._slot = part._node, part._slot

    def refuse_reshaped(self) -> None:
        """End a trace in which it matters whether a reshape shares memory."""
        trace = active_trace()
        if trace is not None and any(step.may_copy for step in self.steps):
            # It depends on strides, which a trace does not know.
            trace.refuse("it changes a reshaped Tensor in place")

    def write(self, part: Tensor) -> Tensor:
        """Return the base with the elements that the view shows replaced by `part`."""
        return write_part(self.base, self.steps, part)


def attach_view(
    primitive: Primitive, params: dict[str, Any], inputs: Sequence[Any], output: Tensor
) -> None:
    """Let the output of an operation be a view of its first input, if it shares its memory."""
    base, *others = inputs
    if not _shows(output._raw, base._raw):
        return
    if isinstance(primitive.view, bool) or primitive.view(*[x.spec for x in inputs]):
        may_copy = isinstance(base._raw, Value) and _may_copy(primitive, params, base)
        output._view = View.of(base, Step(primitive, tuple(others), params, may_copy))
        output._storage = base._storage


def _may_copy(primitive: Primitive, params: dict[str, Any], base: Tensor) -> bool:
    """Return whether a reshape copies where elements don't lie one after the other."""
    if not isinstance(primitive.lowering, Alias):
        return False
    root, steps = (base, ()) if base._view is None else (base._view.base, base._view.steps)
    if root._in_order and all(isinstance(step.primitive.lowering, Alias) for step in steps):
        return False
    index = tuple(map(Affine.index, range(len(params.get("shape", base.shape)))))
    return primitive.lowering.function(index, base.spec, **params) is None


def _shows(part: Any, whole: Any) -> bool:
    """Return whether a view's value shares memory with that of its base."""
    if isinstance(part, Value) or part is whole:
        return True
    owner = part.base
    if owner is None:
        return False
    return owner is whole or owner is whole.base or np.may_share_memory(whole, part)
