"""The functions users call by name: what `jitgrad` exports and Tensors have as methods."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from jitgrad.core.primitive import Primitive

F = TypeVar("F", bound=Callable[..., Any])

# NumPy's parameter names are taken wherever PyTorch's are.
_NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim"}


@dataclass(frozen=True, slots=True)
class PublicFunction:
    """A function under its public name.

    Parameters
    ----------
    name : str
        As exported by `jitgrad`.
    function : callable
        Takes Tensors, arrays, numbers and nested lists where it takes arrays.
    method : bool
        Whether Tensors have it as a method.
    inplace : bool
        Whether Tensors also have it with a trailing underscore, changing themselves.
    namespace : str
        Module that exports it: ``""`` for `jitgrad` itself, or for instance ``"linalg"``.
    """

    name: str
    function: Callable[..., Any]
    method: bool
    inplace: bool
    namespace: str = ""


FUNCTIONS: dict[str, PublicFunction] = {}

# What Tensors have as attributes that are computed: ``x.T``.
PROPERTIES: dict[str, Callable[[Any], Any]] = {}


def tensor_property(function: F) -> F:
    """Give Tensors the decorated function of one Tensor as a read-only attribute."""
    PROPERTIES[function.__name__] = function
    return function


def publish(
    function: Callable[..., Any],
    name: str,
    *,
    method: bool = True,
    inplace: bool = False,
    namespace: str = "",
) -> None:
    """Enter `function` into the table of public functions.

    Raises
    ------
    ValueError
        If the name is taken in that namespace.
    """
    key = f"{namespace}.{name}" if namespace else name
    if key in FUNCTIONS:
        raise ValueError(f"public function {key} exists already")
    FUNCTIONS[key] = PublicFunction(name, function, method, inplace, namespace)


def functions_in(namespace: str) -> dict[str, Callable[..., Any]]:
    """Return the public functions of one namespace by name; ``""`` is that of `jitgrad`."""
    return {
        entry.name: entry.function for entry in FUNCTIONS.values() if entry.namespace == namespace
    }


def public(
    *aliases: str, method: bool = True, inplace: bool = False, namespace: str = ""
) -> Callable[[F], F]:
    """Publish the decorated function under its own name and `aliases`.

    Where it has a parameter ``dim`` or ``keepdim``, callers may also write ``axis``, ``keepdims``.
    """

    def decorate(function: F) -> F:
        accepting = _accept_numpy_names(function)
        for name in (function.__name__.rstrip("_"), *aliases):
            publish(accepting, name, method=method, inplace=inplace, namespace=namespace)
        return accepting

    return decorate


def _accept_numpy_names(function: F) -> F:
    parameters = inspect.signature(function).parameters
    renamed = {numpy: ours for numpy, ours in _NUMPY_NAMES.items() if ours in parameters}
    if not renamed:
        return function

    @functools.wraps(function)
    def accepting(*args: Any, **kwargs: Any) -> Any:
        for numpy, ours in renamed.items():
            if numpy in kwargs:
                kwargs[ours] = kwargs.pop(numpy)
        return function(*args, **kwargs)

    return accepting  # type: ignore[return-value]


def function_of(primitive: Primitive, doc: str) -> Callable[..., Any]:
    """Return a plain function, with signature and docstring, that calls `primitive`."""
    names = ", ".join(primitive.inputs)
    namespace: dict[str, Any] = {"bind": primitive.__call__}
    # A file name within the package, so that its frame is not taken for the user's.
    source = f"def {primitive.name}({names}):\n    return bind({names})"
    exec(compile(source, f"{__file__}:{primitive.name}", "exec"), namespace)
    function: Callable[..., Any] = namespace[primitive.name]
    listed = "\n".join(
        f"{name} : array_like\n    Any shape; shapes of several inputs broadcast."
        for name in primitive.inputs
    )
    function.__doc__ = (
        f"{doc}\n\nParameters\n----------\n{listed}\n\n"
        "Returns\n-------\nTensor\n    Of the broadcast shape.\n"
    )
    function.__module__ = "jitgrad"
    return function
