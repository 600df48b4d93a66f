"""What `backward` keeps and goes through, under PyTorch's names: ``jitgrad.autograd.graph``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from jitgrad.tensor.modes import modes
from jitgrad.tensor.tape import TapeNode as Node

__all__ = ["Node", "saved_tensors_hooks"]


class saved_tensors_hooks(AbstractContextManager[None]):  # noqa: N801 - PyTorch's name
    """Keep what operations save for `backward` in a form of the user's, in a ``with`` block.

    Compiled functions keep what they save as they are.

    Parameters
    ----------
    pack_hook : callable
        Takes a Tensor that an operation saves; returns anything: a compressed form, a file's name.
    unpack_hook : callable
        Takes that, when `backward` needs it; returns a Tensor of the same shape and dtype.

    Examples
    --------
    >>> import jitgrad
    >>> x = jitgrad.ones(3, requires_grad=True)
    >>> kept = []
    >>> def pack(t):
    ...     kept.append(tuple(t.shape))
    ...     return t.numpy()
    >>> with jitgrad.autograd.graph.saved_tensors_hooks(pack, jitgrad.from_numpy):
    ...     y = (x * x).sum()
    >>> kept
    [(3,), (3,)]
    """

    def __init__(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]) -> None:
        self._hooks = (pack_hook, unpack_hook)
        self._before: list[Any] = []

    def __enter__(self) -> None:
        self._before.append(modes.packing)
        modes.packing = self._hooks

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        modes.packing = self._before.pop()
