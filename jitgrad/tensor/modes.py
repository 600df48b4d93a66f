"""Whether operations are recorded for `backward`: `no_grad` and its kin."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class _Modes(threading.local):
    grad = True
    inference = False


modes = _Modes()


def is_grad_enabled() -> bool:
    """Return whether this thread records operations for `backward`.

    Returns
    -------
    bool
        True unless inside `no_grad`, `inference_mode` or ``set_grad_enabled(False)``.
    """
    return modes.grad


class _GradMode:
    """Context manager and decorator that sets the grad mode and restores it on leaving."""

    def __init__(self, enabled: bool, inference: bool = False) -> None:
        self._wanted = (enabled, inference)
        self._before: list[tuple[bool, bool]] = []

    def __enter__(self) -> None:
        self._before.append((modes.grad, modes.inference))
        modes.grad, modes.inference = self._wanted

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        modes.grad, modes.inference = self._before.pop()

    def __call__(self, function: F) -> F:
        wanted = self._wanted

        @functools.wraps(function)
        def in_mode(*args: Any, **kwargs: Any) -> Any:
            with _GradMode(*wanted):
                return function(*args, **kwargs)

        return in_mode  # type: ignore[return-value]


class no_grad(_GradMode):  # noqa: N801 - PyTorch's name
    """Switch recording for `backward` off, in a ``with`` block or for a decorated function.

    Examples
    --------
    >>> import jitgrad
    >>> w = jitgrad.ones(3, requires_grad=True)
    >>> with jitgrad.no_grad():
    ...     (w * 2).requires_grad
    False
    """

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(_GradMode):  # noqa: N801 - PyTorch's name
    """Switch recording for `backward` on, inside a `no_grad` block."""

    def __init__(self) -> None:
        super().__init__(True)


class inference_mode(_GradMode):  # noqa: N801 - PyTorch's name
    """Switch recording off; like `no_grad`, which see.

    Parameters
    ----------
    mode : bool
        False leaves recording on.
    """

    def __init__(self, mode: bool = True) -> None:
        super().__init__(not mode, mode)


class set_grad_enabled(_GradMode):  # noqa: N801 - PyTorch's name
    """Switch recording for `backward` on or off: at once, or for a ``with`` block.

    Parameters
    ----------
    mode : bool
        Whether to record.
    """

    def __init__(self, mode: bool) -> None:
        super().__init__(bool(mode))
        self._at_call = (modes.grad, modes.inference)
        modes.grad = bool(mode)

    def __enter__(self) -> None:
        self._before.append(self._at_call)
        modes.grad, modes.inference = self._wanted
