"""What `compile` makes: a function that is traced once and then runs as generated kernels."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitgrad.api.explain import Explanation, explain
from jitgrad.api.into import check_buffers, placed, run_into, takes_out
from jitgrad.api.titles import frames_of_our_own, title_of
from jitgrad.control.loop import limited_memory
from jitgrad.core.bind import active_trace
from jitgrad.core.collector import collection_paused
from jitgrad.core.errors import ArgumentError, FallbackWarning, explains
from jitgrad.core.tree import Tree, flatten, unflatten
from jitgrad.ir.printer import format_graph
from jitgrad.ops.generators import generator_state, set_generator_state
from jitgrad.runtime.background import make_in_background, wait
from jitgrad.runtime.branching import make_branching
from jitgrad.runtime.build import clear_cache as clear_kernels
from jitgrad.runtime.dispatch import (
    Call,
    UnfitCallError,
    UnknownBranchError,
    adjoint_programs,
    forward_programs,
    programs_so_far,
    run_tree,
)
from jitgrad.runtime.key import ById, Key, call_key, leaf_key, what_changed
from jitgrad.runtime.native import MISS
from jitgrad.runtime.program import make_program
from jitgrad.runtime.straight import Straight, make_straight
from jitgrad.runtime.variant import Variant
from jitgrad.syntax.convert import converted
from jitgrad.tensor.modes import modes
from jitgrad.tensor.tensor import Tensor
from jitgrad.trace.capture import CannotCaptureError, Capture, Captured, Source, capture
from jitgrad.trace.environment import Environment
from jitgrad.trace.narrow import widened
from jitgrad.trace.segments import PathMismatchError, SegmentTree
from jitgrad.trace.stand_ins import StandIn

# What makes a program.
MODES = {"immediate": make_program, "background": make_in_background}
# How often one place may be traced anew before the function is left to plain Python.
RETRACE_LIMIT = 16
# How many different values an int argument has before it becomes a run-time input.
_STATIC_INTS = 3
# How many kinds of calls have a generated function of their own, the latest first.
_QUICK_KINDS = 8
# How often one is written for the same shapes, where layouts or the order of calls vary.
_STRAIGHT_LIMIT = 3


@dataclass(frozen=True, slots=True)
class LeftToPython:
    """In place of a result: the plain function is to run.

    Parameters
    ----------
    error : Exception, optional
        What tracing it, or running it compiled, has raised.
    has_run : bool
        Whether it was the run.
    """

    error: Exception | None = None
    has_run: bool = False


class CompiledFunction:
    """A function that runs as compiled kernels; made by `compile`.

    Parameters
    ----------
    function : callable
        The plain function; kept as ``__wrapped__``.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        retrace_limit: int = RETRACE_LIMIT,
        mode: str = "immediate",
        memory: int = 0,
    ) -> None:
        self._function = function
        self._make = MODES[mode]
        self._memory = memory
        self._variants: dict[Key, list[Variant]] = {}
        # For calls without and with keywords, each a list that is replaced and never changed.
        self._straight: list[Straight] = []
        self._straight_named: list[Straight] = []
        self._eager_reason = ""
        self._ints_seen: dict[int, set[int]] = {}
        self._dynamic: frozenset[int] = frozenset()
        self._retrace_limit = retrace_limit
        self._log: list[str] = []
        self._objects_seen = 0
        self._free_lock()
        functools.update_wrapper(self, function, updated=())
        self.__wrapped__ = function
        self._title = title_of(function)
        self._takes_out = takes_out(function)
        _compiled.add(self)

    def _free_lock(self) -> None:
        """Let threads trace, whoever was at it."""
        self._tracing = threading.RLock()

    def forget(self) -> None:
        """Forget everything that was traced, so that the next call traces anew."""
        self._variants.clear()
        self._straight = self._straight_named = []
        self._eager_reason = ""
        self._log.clear()

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self) -> str:
        return f"<compiled {self._title}>"

    def __reduce__(self) -> Any:
        # As functions: what stands in a module under its name is found there again.
        name = getattr(self, "__qualname__", "")
        found: Any = sys.modules.get(getattr(self, "__module__", None) or "")
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is self:
            return name
        mode = next(mode for mode, make in MODES.items() if make is self._make)
        return CompiledFunction, (self._function, self._retrace_limit, mode, self._memory)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the plain function would return."""
        result: Any
        if kwargs and "out" in kwargs and not self._takes_out:
            return self._into(kwargs.pop("out"), args, kwargs)
        if modes.anomaly:
            return self._function(*args, **kwargs)
        given: Any = (args, kwargs) if kwargs else args
        for straight in self._straight_named if kwargs else self._straight:
            try:
                result = straight(given)
            except Exception as error:  # what it is, the plain function tells
                return self._run_plain(LeftToPython(error, has_run=True), args, kwargs)
            if result is not MISS:
                return result
        if active_trace() is not None:
            # Inside another trace the function is traced along.
            return converted(self._function)(*args, **kwargs)
        if self._eager_reason:
            return self._function(*args, **kwargs)
        result = self._dispatch(args, kwargs)
        if type(result) is LeftToPython:
            return self._run_plain(result, args, kwargs)
        return result

    def _dispatch(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a call compiled, tracing it if it is new; say so if it is left to Python."""
        leaves, tree = flatten((args, kwargs) if kwargs else args)
        leaves = widened(leaves)
        key = call_key(leaves, tree, bool(kwargs), self._dynamic)
        for variant in tuple(self._variants.get(key, ())):
            captured = variant.matches(leaves)
            if captured is not None:
                result = self._run(variant, leaves, tree, bool(kwargs), captured)
                self._add_straight(variant, leaves, tree, bool(kwargs), captured)
                return result
        with collection_paused():
            with self._tracing:
                found = self._prepare(leaves, tree, bool(kwargs))
            if isinstance(found, LeftToPython):
                return found
            return self._run(found[0], leaves, tree, bool(kwargs), found[1])

    def _into(self, out: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return `out`, filled with what the plain function would return."""
        if active_trace() is not None:
            raise ArgumentError(f"{self._title}: out= has no place inside a compiled function")
        buffers, structure = flatten(out)
        check_buffers(self._title, buffers, args, kwargs)
        leaves, tree = flatten((args, kwargs) if kwargs else args)
        leaves = widened(leaves)
        key = call_key(leaves, tree, bool(kwargs), self._dynamic)
        made = None
        for variant in tuple(self._variants.get(key, ())):
            captured = variant.matches(leaves)
            if captured is not None:
                made = run_into(variant, leaves, captured, buffers, self._title, self._make)
                break
        result = self(*args, **kwargs) if made is None else made[0]
        return placed(self._title, result, buffers, structure)

    def _run_plain(self, why: LeftToPython, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the plain function, after a trace or a compiled run has raised an error.

        If it raises one as well, that is what the user is to see, from the user's own lines; of a
        mistake in the use of NumPy the trace has more to tell.
        """
        try:
            result = self._function(*args, **kwargs)
        except Exception as plain:
            if explains(why.error, plain):
                raise why.error.with_traceback(plain.__traceback__) from plain
            raise
        if why.error is not None and not self._eager_reason:
            # jitgrad's errors take several lines.
            text = str(why.error).partition("\n")[0]
            self._give_up(f"it fails when it is traced: {type(why.error).__name__}: {text}")
        return result

    def _add_straight(
        self,
        variant: Variant,
        leaves: list[Any],
        tree: Tree,
        has_kwargs: bool,
        captured: tuple[Any, ...],
    ) -> None:
        """Make the next call of this kind a quick one; called at the second call of the kind."""
        if not variant.may_write(_STRAIGHT_LIMIT) or _is_pending(variant):
            return
        make = make_straight if variant.tree.is_straight() else make_branching
        straight = make(variant, leaves, tree, self._dynamic, captured, self._title)
        if _is_pending(variant):
            # It has asked for the program of the gradient: better wait for that.
            return
        variant.note_written()
        if straight is not None:
            known = self._straight_named if has_kwargs else self._straight
            latest = [straight, *known[: _QUICK_KINDS - 1]]
            if has_kwargs:
                self._straight_named = latest
            else:
                self._straight = latest

    def _run(
        self,
        variant: Variant,
        leaves: list[Any],
        tree: Tree,
        has_kwargs: bool,
        captured: tuple[Any, ...],
    ) -> Any:
        """Run a call down the variant's tree, tracing the branch it takes if that is new."""
        paths = variant.tree
        random_state = generator_state() if paths.draws else None
        try:
            for _ in range(2):
                try:
                    return run_tree(
                        paths, Call(leaves, captured, paths.constants), self._title, self._make
                    )
                except UnknownBranchError:
                    set_generator_state(random_state)
                    known = paths.paths
                    with self._tracing:
                        # Another thread may have traced the branch in the meantime.
                        left = (
                            None
                            if paths.paths > known
                            else self._trace(variant, leaves, tree, has_kwargs, captured)
                        )
                    if left is not None:
                        return left
        except UnfitCallError:
            set_generator_state(random_state)
            return LeftToPython()
        except Exception as error:  # what it is, the plain function tells
            set_generator_state(random_state)
            return LeftToPython(error, has_run=True)
        return LeftToPython()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the kernels that are being built in the background are there.

        Parameters
        ----------
        timeout : float, optional
            After how many seconds to give up.

        Returns
        -------
        bool
            Whether the kernels of all calls so far are there.
        """
        variants = [v for listed in self._variants.values() for v in listed]
        return wait([p for variant in variants for p in programs_so_far(variant.tree)], timeout)

    # -- looking inside -------------------------------------------------------------------

    def _traced(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> SegmentTree:
        """Return the paths known for these arguments, tracing them if they are new."""
        leaves, tree = flatten((args, kwargs) if kwargs else args)
        leaves = widened(leaves)
        left = LeftToPython()
        if not self._eager_reason:
            with self._tracing:
                found = self._prepare(leaves, tree, bool(kwargs))
            if not isinstance(found, LeftToPython):
                return found[0].tree
            left = found
        if left.error is not None:
            raise left.error
        raise ArgumentError(
            f"{self._title} is not compiled",
            why=self._eager_reason,
            do="explain() tells what it does instead",
        )

    def graph(self, *args: Any, **kwargs: Any) -> str:
        """Return the graph for these arguments as text, one part for each segment.

        Parameters
        ----------
        *args, **kwargs
            Arguments as for a call; they are traced if they are new, and nothing is run.

        Returns
        -------
        str
            One line a node, with the user's file and line.
        """
        segments = self._traced(args, kwargs).in_order()
        return "\n\n".join(format_graph(s.graph(), self._title.partition(" ")[0]) for s in segments)

    def source(self, *args: Any, **kwargs: Any) -> str:
        """Return the generated source of the forward computation for these arguments.

        Parameters
        ----------
        *args, **kwargs
            Arguments as for a call.

        Returns
        -------
        str
            Python text; each kernel runs as it stands, with ``jitgrad`` importable.
        """
        programs = forward_programs(self._traced(args, kwargs), self._title)
        return "\n\n".join(program.source() for program in programs)

    def adjoint_source(self, *args: Any, **kwargs: Any) -> str:
        """Return the generated source that carries gradients back for these arguments.

        Parameters
        ----------
        *args, **kwargs
            Arguments as for a call.

        Returns
        -------
        str
            Python text; empty if nothing among them requires a gradient.
        """
        programs = adjoint_programs(self._traced(args, kwargs), self._title)
        return "\n\n".join(program.source() for program in programs)

    def explain(self, *args: Any, **kwargs: Any) -> Explanation:
        """Return what became of the function: programs, guards, kernels, retraces, times.

        Parameters
        ----------
        *args, **kwargs
            Arguments as for a call, traced if they are new; none to report all calls so far.

        Returns
        -------
        Explanation
            Print it, or read its fields.
        """
        if (args or kwargs) and not self._eager_reason:
            self._traced(args, kwargs)
        variants = [v for listed in self._variants.values() for v in listed]
        return explain(self._title, self._eager_reason, self._log, variants)

    # -- tracing --------------------------------------------------------------------------

    def _prepare(
        self, leaves: list[Any], tree: Tree, has_kwargs: bool
    ) -> tuple[Variant, tuple[Any, ...]] | LeftToPython:
        """Return the variant for a call, traced if it is new, and what it reads from outside."""
        self._note_ints(leaves)
        key = call_key(leaves, tree, has_kwargs, self._dynamic)
        variants = self._variants.setdefault(key, [])
        for variant in variants:
            captured = variant.matches(leaves)
            if captured is not None:
                return variant, captured
        if variants:
            changed = variants[-1].environment.why_stale(leaves) or "which arguments are the same"
            self._log.append(f"traced anew: {changed}")
            if len(variants) >= self._retrace_limit:
                return self._give_up(f"what it reads keeps changing ({changed})")
        elif len(self._variants) > 1:
            names = self._argument_names(leaves, tree, has_kwargs)
            known = [other for other in self._variants if other != key]
            self._log.append(f"traced anew: {what_changed(known, key, names)}")
            self._objects_seen += any(isinstance(part, ById) for part in key)
            if self._objects_seen > self._retrace_limit:
                return self._give_up("an object among its arguments is another one in each call")
        environment = Environment(self._function, leaves)
        if environment.unguardable:
            return self._give_up(environment.unguardable)
        captured = environment.check(leaves)
        if captured is None:
            return self._give_up(environment.why_stale(leaves) or "its state can't be checked")
        variant = Variant(environment, leaves, captured)
        left = self._trace(variant, leaves, tree, has_kwargs, captured)
        if left is not None:
            return left
        variants.append(variant)
        return variant, captured

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
        tree: Tree,
        has_kwargs: bool,
        captured_things: tuple[Any, ...],
    ) -> LeftToPython | None:
        """Trace one call into the variant's tree; None if that went well."""
        if variant.traces >= self._retrace_limit:
            return self._give_up("the values it asks for (a float, an int, a branch) keep changing")
        variant.traces += 1
        if variant.traces > 1:
            self._log.append("traced anew: a value that it asks for was never seen before")
        random_state = generator_state()
        before = variant.environment.snapshot(captured_things)
        changed = ""
        try:
            with limited_memory(self._memory):
                captured = self._capture(variant, leaves, tree, has_kwargs, captured_things)
            changed = variant.environment.changed_by_itself(leaves, captured_things)
            changed = changed or before.what_changed()
            if changed:
                raise CannotCaptureError(changed)
            variant.tree.add(captured)
            self._after_trace(variant, leaves, tree, has_kwargs)
            taken = [s.number for s in variant.tree.inputs.values() if s.kind == "captured"]
            variant.environment.guard_contents(taken, captured_things, captured.met_numpy)
            variant.environment.guard_gradients(captured.gradient_reads)
        except CannotCaptureError as error:
            before.restore()
            return self._give_up(str(error))
        except PathMismatchError:
            before.restore()
            return self._give_up("it computes something else when run again with the same values")
        except Exception as error:  # what it is, the plain function tells
            before.restore()
            return LeftToPython(error)
        except BaseException:
            before.restore()
            raise
        finally:
            # The trace drew the numbers that the run is to draw.
            set_generator_state(random_state)
        return None

    def _after_trace(
        self, variant: Variant, leaves: list[Any], tree: Tree, has_kwargs: bool
    ) -> None:
        """Note what is special about a trace, before anything is made of it."""

    def _capture(
        self,
        variant: Variant,
        leaves: list[Any],
        tree: Tree,
        has_kwargs: bool,
        captured_things: tuple[Any, ...],
    ) -> Captured:
        names = self._argument_names(leaves, tree, has_kwargs)

        def make_arguments(trace: Capture) -> tuple[Any, dict[str, Any]]:
            stand_ins = [
                self._stand_in(trace, leaf, number, names.get(number, ""))
                for number, leaf in enumerate(leaves)
            ]
            trace.asks_for_types = variant.environment.asks_for_types()
            if trace.asks_for_types and any(isinstance(x, StandIn) for x in stand_ins):
                raise CannotCaptureError("it asks for the type of what may be an argument")
            arguments = unflatten(tree, stand_ins)
            return arguments if has_kwargs else (arguments, {})

        sources = {id(thing): number for number, thing in enumerate(captured_things)}
        function = converted(self._function)
        return capture(function, make_arguments, sources, variant.environment.objects)

    def _stand_in(self, trace: Capture, leaf: Any, number: int, name: str) -> Any:
        source = Source("argument", number)
        if isinstance(leaf, Tensor):
            held = trace.add_input(leaf, source, name)
            # What is read from outside, too, must be the same object in both places.
            return leaf if id(leaf) in trace.sources else held
        if isinstance(leaf, (np.ndarray, np.generic)):
            return trace.add_array(leaf, source, name)
        if type(leaf) is float or leaf_key(leaf, number in self._dynamic) is int:
            return trace.add_number(leaf, source, name)
        return trace.add_object(leaf, source)

    def _argument_names(self, leaves: list[Any], tree: Tree, has_kwargs: bool) -> dict[int, str]:
        """Return the parameter's name for each leaf that is a whole argument."""
        numbered = unflatten(tree, range(len(leaves)))
        args, kwargs = numbered if has_kwargs else (numbered, {})
        try:
            bound = inspect.signature(self._function).bind(*args, **kwargs)
        except (TypeError, ValueError):
            return {}
        return {n: name for name, n in bound.arguments.items() if type(n) is int}

    def _give_up(self, reason: str) -> LeftToPython:
        """Leave the function to plain Python from now on, saying why once."""
        if self._eager_reason:
            return LeftToPython()
        self._eager_reason = reason
        self._straight = self._straight_named = []
        warnings.warn(
            f"compile: {self._title} runs without being compiled: {reason}",
            FallbackWarning,
            stacklevel=frames_of_our_own(),
        )
        return LeftToPython()


def _is_pending(variant: Variant) -> bool:
    return any(program.pending for program in programs_so_far(variant.tree))


_compiled: weakref.WeakSet[CompiledFunction] = weakref.WeakSet()


def _free_locks() -> None:
    """Let go of what threads hold that a forked process does not have."""
    for function in list(_compiled):
        function._free_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_locks)


def clear_cache(disk: bool = True) -> None:
    """Forget all traces and kernels of this process, so that everything is built anew.

    Parameters
    ----------
    disk : bool
        Delete the kernels kept on disk, too.
    """
    for function in list(_compiled):
        function.forget()
    clear_kernels(disk)
