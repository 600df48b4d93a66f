"""Anomaly mode: errors where a nan or an infinity arises, that name the user's line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from jitgrad.core.errors import GradientError
from jitgrad.core.location import Location, user_location
from jitgrad.core.primitive import Primitive
from jitgrad.tensor.modes import modes
from jitgrad.tensor.tape import TapeNode


@dataclass(frozen=True, slots=True)
class _Origin:
    """What is remembered of a recorded operation.

    Parameters
    ----------
    operation : str
        Its name.
    location : Location or None
        The user's line.
    inputs, outputs : str
        What they were like.
    spoils : bool
        Whether an output holds a nan or an infinity, and no input does.
    """

    operation: str
    location: Location | None
    inputs: str
    outputs: str
    spoils: bool


_origins: WeakKeyDictionary[TapeNode, _Origin] = WeakKeyDictionary()


def note(node: TapeNode, primitive: Primitive, args: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Remember where an operation was recorded, and what it was given."""
    inputs = [x if isinstance(x, (bool, int, float)) else x._raw for x in args]
    made = [x._raw for x in outputs]
    if not all(isinstance(x, (bool, int, float, np.ndarray)) for x in (*inputs, *made)):
        return  # values of a trace
    spoils = not all(map(_is_finite, made)) and all(map(_is_finite, inputs))
    _origins[node] = _Origin(
        primitive.name,
        user_location(),
        ", ".join(map(_described, inputs)),
        ", ".join(map(_described, made)),
        spoils,
    )


def check(node: TapeNode, arrived: Sequence[Any], results: Sequence[Any]) -> None:
    """Check what the sweep has got from a node.

    Raises
    ------
    GradientError
        If it is not finite, though what arrived at the node is.
    """
    if all(_is_finite_tensor(ct) for ct in results):
        return
    if not all(_is_finite_tensor(ct) for ct in arrived):
        return
    number = next(k for k, ct in enumerate(results) if not _is_finite_tensor(ct))
    origin = _origins.get(node)
    first = min(_spoilers(node), key=lambda held: held.number, default=None)
    why = f"the gradient by its input {number} is {_described(results[number]._raw)}"
    if origin is not None:
        why += f"; it was given {origin.inputs}, and made {origin.outputs}"
    where = None if origin is None else origin.location
    if first is not None and first is not node:
        cause = _origins[first]
        where = cause.location
        why = (
            f"the first operation that made one was {cause.operation}, of {cause.inputs}: "
            f"{cause.outputs}; then {why}"
        )
    raise GradientError(
        f"backward: {node.name()} returned nan or infinite values",
        where=where,
        why=why,
        do="keep its argument in the range where it is smooth; of jitgrad.where the side that is"
        " not taken does not contribute",
    )


def _spoilers(node: TapeNode) -> Iterator[TapeNode]:
    """Yield what a node depends on that made something that is not finite."""
    seen: set[TapeNode] = set()
    stack = [node]
    while stack:
        held = stack.pop()
        if held in seen:
            continue
        seen.add(held)
        origin = _origins.get(held)
        if origin is not None and origin.spoils:
            yield held
        stack.extend(edge[0] for edge in held.edges if edge is not None)


def _is_finite(value: Any) -> bool:
    array = np.asarray(value)
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _is_finite_tensor(ct: Any) -> bool:
    return ct is None or not isinstance(ct._raw, np.ndarray) or _is_finite(ct._raw)


def _described(value: Any) -> str:
    array = np.asarray(value)
    if array.size == 1:
        return f"{array.reshape(())[()]}"
    text = f"{array.dtype}{list(array.shape)}"
    if array.dtype.kind != "f" or not array.size:
        return text
    finite = array[np.isfinite(array)]
    parts = [f"{finite.min():.6g} to {finite.max():.6g}"] if finite.size else []
    nans, infinities = int(np.isnan(array).sum()), int(np.isinf(array).sum())
    parts += [f"{nans} nan"] if nans else []
    parts += [f"{infinities} infinite"] if infinities else []
    return f"{text} ({', '.join(parts)})"


class set_detect_anomaly(AbstractContextManager[None]):  # noqa: N801 - PyTorch's name
    """Switch anomaly mode on or off, at once and for a ``with`` block.

    Parameters
    ----------
    mode : bool
        Whether to check.
    check_nan : bool
        False remembers the lines alone, and raises nothing.
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before = (modes.anomaly, modes.checks)
        modes.anomaly, modes.checks = bool(mode), bool(mode) and check_nan

    def __enter__(self) -> None:
        """Do nothing: the mode is set already."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        modes.anomaly, modes.checks = self._before


class detect_anomaly(AbstractContextManager[None]):  # noqa: N801 - PyTorch's name
    """Let `backward` and its kin raise where a nan or an infinity arises, in a ``with`` block.

    The error names the operation, the user's line of the first one that made such a value, and
    what it was given. Compiled functions run as plain Python inside, operation by operation: it is
    slow, and meant for finding errors. Where a function can't, see `jitgrad.first_nonfinite`.

    Parameters
    ----------
    check_nan : bool
        False remembers the lines alone, and raises nothing.

    Examples
    --------
    >>> import jitgrad
    >>> x = jitgrad.tensor(0.0, requires_grad=True)
    >>> with jitgrad.autograd.detect_anomaly():
    ...     jitgrad.sqrt(x).backward()
    Traceback (most recent call last):
    jitgrad.core.errors.GradientError: backward: SqrtBackward0 returned nan or infinite values...
    """

    def __init__(self, check_nan: bool = True) -> None:
        self._check_nan = check_nan
        self._entered: list[set_detect_anomaly] = []

    def __enter__(self) -> None:
        self._entered.append(set_detect_anomaly(True, self._check_nan))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entered.pop().__exit__(kind, error, traceback)
