"""What kernels find wrong while they run, as errors of the user's."""

from __future__ import annotations

from collections.abc import Sequence

from jitgrad.codegen.text import Failure
from jitgrad.core.errors import IndexingError


def raise_failure(failures: Sequence[Failure], number: int) -> None:
    """Raise the error that a kernel found; it numbers them from 1."""
    failure = failures[number - 1]
    size = failure.size
    why = "the axis is shorter in this iteration"
    if size is not None:
        why = f"indices of that axis go from {-size} to {size - 1}" if size else "the axis is empty"
    raise IndexingError(
        f"{failure.node.primitive.name}: an index is out of range for axis {failure.axis}"
        + ("" if size is None else f" of size {size}"),
        why=why,
        where=failure.node.location,
    )
