"""Whether operations are recorded for `backward`: `no_grad` and its kin."""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class _Modes(threading.local):
    grad = True
    inference = False
    # Whether a function is running that `grad` differentiates.
    differentiating = False
    # Whether lines are remembered, and gradients checked; see `anomaly`.
    anomaly = False
    checks = False
    # What the user packs, and unpacks, saved values with; see `saved_tensors_hooks`.
    packing: tuple[Callable[[Any], Any], Callable[[Any], Any]] | None = None


modes = _Modes()


def is_grad_enabled() -> bool:
    """Return whether this thread records operations for `backward`.

    Returns
    -------
    bool
        True unless inside `no_grad`, `inference_mode` or ``set_grad_enabled(False)``.
    """
    return modes.grad


@contextlib.contextmanager
def differentiating() -> Generator[None, None, None]:
    """Run a function that `grad` differentiates: operations are recorded."""
    before = modes.differentiating
    modes.differentiating = True
    try:
        with enable_grad():
            yield
    finally:
        modes.differentiating = before


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
        if inspect.isgeneratorfunction(function):
            return _generator_in_mode(function, wanted)

        @functools.wraps(function)
        def in_mode(*args: Any, **kwargs: Any) -> Any:
            with _GradMode(*wanted):
                return function(*args, **kwargs)

        return in_mode  # type: ignore[return-value]


def _generator_in_mode(function: F, wanted: tuple[bool, bool]) -> F:
    """Return a generator function that is in the mode while it runs, its caller never."""

    @functools.wraps(function)
    def in_mode(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        generator = function(*args, **kwargs)
        resume = functools.partial(next, generator)
        try:
            while True:
                with _GradMode(*wanted):
                    try:
                        item = resume()
                    except StopIteration as stop:
                        return stop.value
                try:
                    sent = yield item
                except GeneratorExit:
                    raise
                except BaseException as error:
                    resume = functools.partial(generator.throw, error)
                else:
                    resume = functools.partial(generator.send, sent)
        finally:
            with _GradMode(*wanted):
                generator.close()

    return in_mode  # type: ignore[return-value]


class _PlainGradMode(_GradMode):
    """A grad mode that also decorates a function without parentheses: ``@no_grad``."""

    def __new__(cls, function: Any = None) -> Any:
        return super().__new__(cls) if not callable(function) else cls()(function)


class no_grad(_PlainGradMode):  # noqa: N801 - PyTorch's name
    """Switch recording for `backward` off, in a ``with`` block or for a decorated function.

    Parameters
    ----------
    function : callable, optional
        The function, where this is a decorator without parentheses.

    Examples
    --------
    >>> import jitgrad
    >>> w = jitgrad.ones(3, requires_grad=True)
    >>> with jitgrad.no_grad():
    ...     (w * 2).requires_grad
    False
    """

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        super().__init__(False)


class enable_grad(_PlainGradMode):  # noqa: N801 - PyTorch's name
    """Switch recording for `backward` on, inside a `no_grad` block.

    Parameters
    ----------
    function : callable, optional
        The function, where this is a decorator without parentheses.
    """

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
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

    def __call__(self, function: F) -> F:
        """Return `function` running in the mode, which is not set now."""
        modes.grad, modes.inference = self._at_call
        return super().__call__(function)
