"""`compile`: a function that is traced once and then runs as generated kernels."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, overload

import numpy as np

from jitgrad.core.bind import active_trace
from jitgrad.core.errors import ArgumentError, FallbackWarning
from jitgrad.core.tree import flatten, unflatten
from jitgrad.ops.random import generator_state, set_generator_state
from jitgrad.runtime.dispatch import Call, UnknownBranchError, run_tree
from jitgrad.runtime.key import Key, call_key
from jitgrad.tensor.tensor import Tensor, make_tensor
from jitgrad.trace.capture import Capture, Captured, CannotCaptureError, Source, capture
from jitgrad.trace.environment import Environment
from jitgrad.trace.segments import PathMismatchError, SegmentTree

F = TypeVar("F", bound=Callable[..., Any])

# How often one place may be traced anew before the function is left to plain Python.
_RETRACE_LIMIT = 16
# How many different values an int argument has before it becomes a run-time input.
_STATIC_INTS = 3


class Variant:
    """What was traced for one kind of arguments in one state of the world around the function.

    Parameters
    ----------
    environment : Environment
        What the function reads from outside its arguments, and the guards on it.
    """

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.tree = SegmentTree()
        self.traces = 0


class CompiledFunction:
    """A function that runs as compiled kernels; made by `compile`.

    Parameters
    ----------
    function : callable
        The plain function; kept as ``__wrapped__``.
    """

    def __init__(self, function: Callable[..., Any], retrace_limit: int = _RETRACE_LIMIT) -> None:
        self._function = function
        self._variants: dict[Key, list[Variant]] = {}
        self._eager_reason = ""
        self._ints_seen: dict[int, set[int]] = {}
        self._dynamic: frozenset[int] = frozenset()
        self._retrace_limit = retrace_limit
        self._log: list[str] = []
        functools.update_wrapper(self, function, updated=())
        self.__wrapped__ = function
        self._title = _title_of(function)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self) -> str:
        return f"<compiled {self._title}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._eager_reason or active_trace() is not None:
            # Inside another trace the plain function is traced along.
            return self._function(*args, **kwargs)
        leaves, tree = flatten((args, kwargs) if kwargs else args)
        key = call_key(leaves, tree, self._dynamic)
        for variant in self._variants.get(key, ()):
            captured = variant.environment.check(leaves)
            if captured is not None:
                call = Call(leaves, captured, variant.tree.constants)
                try:
                    return run_tree(variant.tree, call, self._title)
                except UnknownBranchError:
                    return self._trace(variant, leaves, tree, bool(kwargs), captured)
        return self._first_call(key, leaves, tree, bool(kwargs))

    # -- tracing --------------------------------------------------------------------------

    def _first_call(self, key: Key, leaves: list[Any], tree: Any, has_kwargs: bool) -> Any:
        self._note_ints(leaves)
        key = call_key(leaves, tree, self._dynamic)
        variants = self._variants.setdefault(key, [])
        if len(variants) >= self._retrace_limit:
            reason = f"what it reads outside its arguments keeps changing: {self._last_change(variants, leaves)}"
            return self._give_up(reason, leaves, tree, has_kwargs)
        environment = Environment(self._function, leaves)
        if environment.unguardable:
            return self._give_up(environment.unguardable, leaves, tree, has_kwargs)
        variant = Variant(environment)
        captured = environment.check(leaves)
        assert captured is not None
        result = self._trace(variant, leaves, tree, has_kwargs, captured)
        if not self._eager_reason:
            variants.append(variant)
        return result

    def _last_change(self, variants: list[Variant], leaves: list[Any]) -> str:
        return variants[-1].environment.why_stale(leaves) or "its state"

    def _note_ints(self, leaves: list[Any]) -> None:
        """Make an int argument that keeps changing a run-time input."""
        for number, leaf in enumerate(leaves):
            if type(leaf) is int and number not in self._dynamic:
                seen = self._ints_seen.setdefault(number, set())
                seen.add(leaf)
                if len(seen) > _STATIC_INTS:
                    self._dynamic |= {number}

    def _trace(
        self,
        variant: Variant,
        leaves: list[Any],
        tree: Any,
        has_kwargs: bool,
        captured_things: tuple[Any, ...],
    ) -> Any:
        if variant.traces >= self._retrace_limit:
            reason = "the values it asks for (a float, an int or a branch) differ from call to call"
            return self._give_up(reason, leaves, tree, has_kwargs)
        variant.traces += 1
        random_state = generator_state()
        try:
            captured = self._capture(variant, leaves, tree, has_kwargs, captured_things)
            changed = variant.environment.changed_by_itself(leaves)
            if changed:
                raise CannotCaptureError(changed)
            variant.tree.add(captured)
        except CannotCaptureError as error:
            set_generator_state(random_state)
            return self._give_up(str(error), leaves, tree, has_kwargs)
        except PathMismatchError:
            set_generator_state(random_state)
            reason = "it computes something else when it is run again with the same values"
            return self._give_up(reason, leaves, tree, has_kwargs)
        # The trace drew the numbers that the run is to draw.
        set_generator_state(random_state)
        call = Call(leaves, captured_things, variant.tree.constants)
        return run_tree(variant.tree, call, self._title)

    def _capture(
        self,
        variant: Variant,
        leaves: list[Any],
        tree: Any,
        has_kwargs: bool,
        captured_things: tuple[Any, ...],
    ) -> Captured:
        names = self._argument_names(leaves, tree, has_kwargs)

        def make_arguments(trace: Capture) -> tuple[Any, dict[str, Any]]:
            stand_ins = [
                self._stand_in(trace, leaf, number, names.get(number, ""))
                for number, leaf in enumerate(leaves)
            ]
            arguments = unflatten(tree, stand_ins)
            return arguments if has_kwargs else (arguments, {})

        sources = {id(thing): number for number, thing in enumerate(captured_things)}
        return capture(self._function, make_arguments, sources)

    def _stand_in(self, trace: Capture, leaf: Any, number: int, name: str) -> Any:
        source = Source("argument", number)
        if isinstance(leaf, Tensor):
            return trace.add_input(leaf, source, name)
        if isinstance(leaf, np.ndarray):
            return trace.add_input(make_tensor(leaf), source, name)
        if type(leaf) is float or (type(leaf) is int and number in self._dynamic):
            return trace.add_number(leaf, source, name)
        return leaf

    def _argument_names(self, leaves: list[Any], tree: Any, has_kwargs: bool) -> dict[int, str]:
        """Return the parameter's name for each leaf that is a whole argument."""
        numbered = unflatten(tree, range(len(leaves)))
        args, kwargs = numbered if has_kwargs else (numbered, {})
        try:
            bound = inspect.signature(self._function).bind(*args, **kwargs)
        except (TypeError, ValueError):
            return {}
        return {n: name for name, n in bound.arguments.items() if type(n) is int}

    def _give_up(self, reason: str, leaves: list[Any], tree: Any, has_kwargs: bool) -> Any:
        """Leave the function to plain Python from now on, saying why once."""
        self._eager_reason = reason
        warnings.warn(
            f"compile: {self._title} runs without being compiled: {reason}",
            FallbackWarning,
            stacklevel=4,
        )
        arguments = unflatten(tree, leaves)
        args, kwargs = arguments if has_kwargs else (arguments, {})
        return self._function(*args, **kwargs)


def _title_of(function: Callable[..., Any]) -> str:
    plain = inspect.unwrap(function)
    code = getattr(plain, "__code__", None) or getattr(
        getattr(plain, "__func__", None), "__code__", None
    )
    name = getattr(plain, "__name__", type(plain).__name__).replace("<lambda>", "lambda")
    if code is None:
        return name
    return f"{name} ({code.co_filename.rsplit('/', 1)[-1]}:{code.co_firstlineno})"


@overload
def compile(function: F) -> F: ...
@overload
def compile(function: None = None, *, retrace_limit: int = ...) -> Callable[[F], F]: ...
def compile(function: Any = None, *, retrace_limit: int = _RETRACE_LIMIT) -> Any:
    """Return `function` as one that is traced at its first call and then runs compiled.

    Parameters
    ----------
    function : callable
        Takes and returns Tensors, arrays, numbers, and nested tuples, lists, dicts, named tuples
        and dataclasses of them. Any callable: a function, method, lambda, ``functools.partial``.
    retrace_limit : int
        How often it may be traced anew for one kind of arguments before it is left to plain
        Python, with one warning.

    Returns
    -------
    CompiledFunction
        Gives what the plain function would; what it returns can be differentiated as usual.

    Raises
    ------
    ArgumentError
        If `function` is not callable.

    Examples
    --------
    >>> import jitgrad
    >>> @jitgrad.compile
    ... def loss(w, x):
    ...     return (w * x).sum()
    """
    if function is None:
        return functools.partial(compile, retrace_limit=retrace_limit)
    if not callable(function):
        raise ArgumentError(f"compile: {type(function).__name__} is not callable")
    if isinstance(function, CompiledFunction):
        return function
    return CompiledFunction(function, retrace_limit)
