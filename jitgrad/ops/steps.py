"""One operation on the way from a Tensor to a part of it: how parts are read, and written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jitgrad.core.primitive import Primitive

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """An operation that reads a part of its first input.

    Parameters
    ----------
    primitive : Primitive
        The operation; has `write_view`.
    inputs : tuple
        Its inputs after the first one.
    params : dict
        Its static parameters.
    may_copy : bool
        Whether it is a reshape of which nobody knows, in a trace, if it shares memory.
    """

    primitive: Primitive
    inputs: tuple[Any, ...]
    params: dict[str, Any]
    may_copy: bool = False

    def read(self, base: Tensor) -> Tensor:
        """Return the part of `base`."""
        part: Tensor = self.primitive(base, *self.inputs, **self.params)
        return part

    def write(self, base: Tensor, part: Tensor) -> Tensor:
        """Return `base` with the part replaced."""
        assert self.primitive.write_view is not None
        changed: Tensor = self.primitive.write_view(base, part, *self.inputs, **self.params)
        return changed


def write_part(base: Tensor, steps: Sequence[Step], part: Tensor) -> Tensor:
    """Return `base` with what the steps lead to replaced by `part`."""
    if not steps:
        return part
    first, rest = steps[0], steps[1:]
    inner = write_part(first.read(base), rest, part) if rest else part
    return first.write(base, inner)
