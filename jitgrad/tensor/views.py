"""Views: Tensors that show a part of another one's values, and stay true when either changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jitgrad.core.primitive import Primitive
from jitgrad.ir.graph import Value
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
    steps : tuple of (Primitive, dict)
        The operations, with their parameters, that lead from `base` to the view.
    version : int
        State of `base` that the view's history was made for.
    recorded : bool
        Whether the view was made while operations were recorded, so that it has a history.
    """

    base: Tensor
    steps: tuple[tuple[Primitive, dict[str, Any]], ...]
    version: int
    recorded: bool

    @staticmethod
    def of(base: Tensor, primitive: Primitive, params: dict[str, Any]) -> View:
        """Return the view of `base`, which may be one itself, through one more operation."""
        step = (primitive, params)
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
        self.version = current
        part = self.base
        with enable_grad() if self.recorded else no_grad():
            for primitive, params in self.steps:
                part = primitive(part, **params)
        if isinstance(part._raw, Value):
            tensor._raw = part._raw
        tensor._requires_grad = part._requires_grad
        tensor._node, tensor._slot = part._node, part._slot

    def write(self, part: Tensor) -> Tensor:
        """Return the base with the elements that the view shows replaced by `part`."""
        return _write(self.base, self.steps, part)


def _write(
    base: Tensor, steps: tuple[tuple[Primitive, dict[str, Any]], ...], part: Tensor
) -> Tensor:
    if not steps:
        return part
    (primitive, params), rest = steps[0], steps[1:]
    inner = _write(primitive(base, **params), rest, part) if rest else part
    assert primitive.write_view is not None
    result: Tensor = primitive.write_view(base, inner, **params)
    return result
