"""Sends the call of an operation to whoever owns its arguments.

The owner is the Tensor class: it keeps the books for `backward` and hands what its Tensors hold
(arrays, or values of a graph that is being traced) to the evaluator in force: NumPy at once, or
a trace that records the call.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from jitgrad.core.primitive import Primitive


class Boxed:
    """Marks Tensors for the rooms that stand left of the Tensor class."""

    __slots__ = ()

    @classmethod
    def __bind__(cls, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Call `primitive` on `args`: Tensors, arrays, numbers, nested lists of numbers."""
        raise NotImplementedError

    @classmethod
    def __box__(cls, value: Any) -> Any:
        """Return `value` (a Tensor, array, number or nested list of numbers) as a Tensor."""
        raise NotImplementedError


class Trace(Protocol):
    """Records operations instead of computing them."""

    # Whether `demand` can give values; else an index of no axes stays one of run time.
    has_values: bool

    def evaluate(
        self, primitive: Primitive, raws: tuple[Any, ...], params: dict[str, Any]
    ) -> tuple[Any, ...]:
        """Return graph values for the outputs of `primitive` on graph values and numbers."""

    def lift(self, tensor: Any) -> Any:
        """Return the Tensor that stands for `tensor` in this trace."""

    def constant(self, raw: Any) -> Any:
        """Return a raw value as a constant of differentiation."""

    def demand(self, value: Any) -> Any:
        """Return the elements of a graph value, on which the trace then depends."""

    def met_scalar(self) -> None:
        """Take note that a scalar of NumPy became a constant."""

    def load_gradient(self, tensor: Any) -> None:
        """Give a stand-in the ``.grad`` of the Tensor it stands for."""

    def recorded(self, node: Any) -> None:
        """Take note of a tape node made for the operation that was evaluated last."""

    def going_back_through(self, node: Any) -> None:
        """Take note that what follows is the derivative of a tape node; of none if None."""

    def refuse(self, reason: str) -> None:
        """End a trace of something that can't be captured."""


class _State(threading.local):
    trace: Trace | None = None


# Public for generated functions, which read it at each call.
thread_state = _State()
_owner: type[Boxed] = Boxed


def set_owner(owner: type[Boxed]) -> None:
    """Make `owner` receive every call of an operation; the Tensor class does so when defined."""
    global _owner
    _owner = owner


def bind(primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
    """Call `primitive` on `args` and return Tensors."""
    return _owner.__bind__(primitive, args, params)


def box(value: Any) -> Any:
    """Return `value` as a Tensor: itself if it is one, else made of an array or numbers."""
    return value if isinstance(value, Boxed) else _owner.__box__(value)


def active_trace() -> Trace | None:
    """Return the trace that records what this thread does now, or None in eager mode."""
    return thread_state.trace


@contextmanager
def tracing(trace: Trace | None) -> Iterator[None]:
    """Make `trace` record what this thread does; None goes back to eager mode."""
    before = thread_state.trace
    thread_state.trace = trace
    try:
        yield
    finally:
        thread_state.trace = before
