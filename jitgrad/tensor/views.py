"""Views: Tensors that show a part of another one's values, and stay true when either changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jitgrad.core.primitive import Primitive
from jitgrad.ir.graph import Value

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
    """

    base: Tensor
    steps: tuple[tuple[Primitive, dict[str, Any]], ...]
    version: int = field(default=0)

    @staticmethod
    def of(base: Tensor, primitive: Primitive, params: dict[str, Any]) -> View:
        """Return the view of `base`, which may be one itself, through one more operation."""
        step = (primitive, params)
        if base._view is None:
            return View(base, (step,), base._storage.version)
        return View(base._view.base, (*base._view.steps, step), base._storage.version)

    def refresh(self, tensor: Tensor) -> None:
        """Bring the value and history of `tensor`, whose view this is, up to date."""
        current = tensor._storage.version
        if self.version == current:
            return
        self.version = current
        part = self.base
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
