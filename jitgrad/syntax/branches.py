"""Branches of rewritten functions: an operation of the graph where a condition is not known yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.control.branches import branch_primitive
from jitgrad.control.captured import (
    CannotRepeatError,
    CapturedBody,
    as_number,
    graph_of,
    overwrite,
    strong_operand,
)
from jitgrad.control.draws import take_out_draws
from jitgrad.core.bind import active_trace, tracing
from jitgrad.core.dtypes import bool_, category, promote_dtypes
from jitgrad.core.spec import Spec
from jitgrad.core.tree import flatten, unflatten
from jitgrad.ops.cast import convert
from jitgrad.ops.creation import full_primitive
from jitgrad.syntax.conditions import either, is_undecided, truth
from jitgrad.syntax.jumps import RESULT
from jitgrad.syntax.leaves import inside, is_array, is_number, kind_of, same_leaf, spec_of
from jitgrad.syntax.variables import UNSET, Variables
from jitgrad.tensor.tape import next_number
from jitgrad.tensor.tensor import Tensor
from jitgrad.trace.stand_ins import NumberStandIn, StandIn, stand_in

Later = Callable[[], Any]


def alternatives(
    condition: Tensor,
    then: Later,
    other: Later,
    line: int,
    variables: Variables | None = None,
    after: Sequence[str] = (),
) -> Any:
    """Trace both sides of a branch and record the operation that runs one of them.

    Parameters
    ----------
    condition : Tensor
        One boolean.
    then, other : function
        The sides; what they return is merged.
    line : int
        Where the branch stands.
    variables : Variables
        Those that the sides assign.
    after : sequence of str
        Those that are read later.
    """
    held = variables if variables is not None else Variables([], [])
    entry = held.all()
    sides = [_Side(other, held, entry), _Side(then, held, entry)]
    return _Merge(condition, sides, line, held, entry).merged(after)


class _Side:
    """One side of a branch, run in a trace of its own."""

    def __init__(self, function: Later, variables: Variables, entry: dict[str, Any]) -> None:
        self.trace = CapturedBody("if", set())
        variables.restore(entry)
        with tracing(self.trace):
            self.result = function()
        self.trace.end()
        self.ends = variables.all()
        variables.restore(entry)

    def made(self, tensor: Tensor) -> bool:
        """Return whether a Tensor was made on this side, so that nobody else holds it."""
        return self.trace.is_fresh(tensor)


class _Merge:
    """Merges what the sides of a branch lead to."""

    def __init__(
        self,
        condition: Tensor,
        sides: Sequence[_Side],
        line: int,
        variables: Variables,
        entry: dict[str, Any],
    ) -> None:
        self.condition = condition
        self.sides = sides
        self.line = line
        self.variables = variables
        self.entry = entry
        # For each result of the operation, what each side gives, and what it is to Python.
        self.outputs: list[tuple[list[Tensor], type]] = []
        # Of results that may be Tensors from outside, or parts of such, these.
        self.frozen: dict[int, list[Tensor]] = {}
        self.draws = take_out_draws([side.trace for side in sides])

    def merged(self, after: Sequence[str]) -> Any:
        """Record the operation, give variables what comes of it, and return the result."""
        trees = {name: self.pair(name, *[s.ends[name] for s in self.sides]) for name in after}
        result = self.pair("", *[side.result for side in self.sides])
        targets: dict[int, Tensor] = {}
        for side in self.sides:
            targets |= {key: side.trace.closures[key].tensor for key in side.trace.changed()}
        first_target = len(self.outputs)
        for target in targets.values():
            self.add([target, target], type(target), target.spec)
        checked = any(side.trace.checks for side in self.sides)
        if checked:
            self.outputs.append(([_check_of(side.trace) for side in self.sides], NumberStandIn))
        since = next_number()
        found = self.bind() if self.outputs or self.draws else []
        if checked:
            trace: Any = active_trace()
            trace.check_zero(found[-1])
        for target, value in zip(targets.values(), found[first_target:], strict=False):
            overwrite("if", target, value, since)
        made = [self.as_python(k, value) for k, value in enumerate(found[:first_target])]
        self.variables.restore(dict.fromkeys(self.entry, UNSET))
        for name, tree in trees.items():
            self.variables[name] = tree(made)
        return result(made)

    def pair(self, name: str, a: Any, b: Any) -> Callable[[list[Any]], Any]:
        """Return what gives a variable its content, from the results of the operation."""
        if a is b:
            return lambda made: a
        if a is UNSET or b is UNSET:
            if name != RESULT:
                raise CannotRepeatError(f"`{name}` is set on one side of a branch only")
            # Nobody reads the result of a function that has not returned yet.
            return self.one_sided(a, b)
        (ours, tree), (theirs, tree_b) = flatten(a), flatten(b)
        if tree != tree_b:
            raise CannotRepeatError(f"`{name or 'a value'}` has two structures")
        parts = [self.leaf(name, x, y) for x, y in zip(ours, theirs, strict=True)]
        return lambda made: unflatten(tree, [part(made) for part in parts])

    def one_sided(self, a: Any, b: Any) -> Callable[[list[Any]], Any]:
        given = b if a is UNSET else a
        leaves, tree = flatten(given)
        parts: list[Callable[[list[Any]], Any]] = []
        for leaf in leaves:
            if not is_array(leaf) and not is_number(leaf):
                raise CannotRepeatError("it returns an object on one side of a branch only")
            zero: Any = 0
            spec = spec_of(leaf)
            if spec.shape:
                zero = full_primitive(shape=spec.shape, value=0, dtype=spec.dtype)
            both = [zero, leaf] if a is UNSET else [leaf, zero]
            number = self.add(both, kind_of(leaf), spec)
            parts.append(lambda made, number=number: made[number])  # type: ignore[misc]
        return lambda made: unflatten(tree, [part(made) for part in parts])

    def leaf(self, name: str, a: Any, b: Any) -> Callable[[list[Any]], Any]:
        if same_leaf(a, b):
            return lambda made: a
        for x in (a, b):
            if not is_array(x) and not is_number(x):
                raise CannotRepeatError(f"`{name or 'a value'}` is one object or another")
        spec, kind = _common(name or "a value", a, b)
        number = self.add([a, b], kind, spec)
        for side, x in zip(self.sides, (a, b), strict=True):
            if is_array(x) and not side.made(x):
                self.frozen.setdefault(number, []).extend(side.trace.outside(x))
        return lambda made: made[number]

    def add(self, leaves: Sequence[Any], kind: type, spec: Spec) -> int:
        """Add a result of the operation, and return its number."""
        tensors = [
            inside(side.trace, leaf, spec) for side, leaf in zip(self.sides, leaves, strict=True)
        ]
        self.outputs.append((tensors, kind))
        return len(self.outputs) - 1

    def bind(self) -> list[Any]:
        tensors: dict[int, Tensor] = {}
        for side in self.sides:
            tensors |= {key: c.tensor for key, c in side.trace.closures.items()}
        constants = list(tensors)
        graphs = []
        for number, (name, side) in enumerate(zip(("else", "then"), self.sides, strict=True)):
            outputs = [both[number] for both, _ in self.outputs]
            outputs += [d.lasts[number] for d in self.draws]
            drawn = [value for d in self.draws for value in (d.keys[number], d.firsts[number])]
            title = f"{name} of line {self.line}"
            graphs.append(graph_of(side.trace, drawn, constants, tensors, outputs, title))
        index = convert(self.condition, np.dtype(np.int64))
        tickets = [d.begin(1) for d in self.draws]
        operands = [number for ticket in tickets for number in ticket]
        operands += [strong_operand(tensors[key]) for key in constants]
        found = branch_primitive(index, *operands, branches=tuple(graphs))
        results = list(found) if isinstance(found, tuple) else [found]
        count = len(self.outputs)
        for d, (_, first), last in zip(self.draws, tickets, results[count:], strict=True):
            d.end(1, first, last)
        return results[:count]

    def as_python(self, number: int, value: Any) -> Any:
        kind = self.outputs[number][1]
        if issubclass(kind, NumberStandIn):
            return as_number(value)
        if issubclass(kind, StandIn):
            value = stand_in(value, kind)
        if number in self.frozen:
            trace: Any = active_trace()
            trace.freeze(value, shown=self.frozen[number])
        return value


def _check_of(trace: CapturedBody) -> Tensor:
    """Return whether a check of a side has failed."""
    with tracing(trace):
        result: Tensor = full_primitive(shape=(), value=False, dtype=bool_)
        for check in trace.checks:
            result = either(result, trace.tensor_of(check))
        return result


def _common(name: str, a: Any, b: Any) -> tuple[Spec, type]:
    """Return what a leaf is after the branch."""
    one, two = spec_of(a), spec_of(b)
    if one.shape != two.shape:
        raise CannotRepeatError(f"`{name}` has two shapes")
    if one.weak and two.weak:
        return Spec((), promote_dtypes(one.dtype, two.dtype), weak=True), NumberStandIn
    if one.weak or two.weak:
        number, other = (one, two) if one.weak else (two, one)
        if category(number.dtype) > category(other.dtype):
            raise CannotRepeatError(f"`{name}` has two dtypes")
        return other, kind_of(b if one.weak else a)
    if one.dtype != two.dtype:
        raise CannotRepeatError(f"`{name}` has two dtypes")
    if kind_of(a) is not kind_of(b):
        raise CannotRepeatError(f"`{name}` is an array on one side of a branch only")
    return one, kind_of(a)


def if_(
    condition: Any,
    then: Later,
    other: Later,
    assigned: tuple[str, ...],
    again: tuple[str, ...],
    after: tuple[str, ...],
    stops: tuple[str, ...],
    line: int,
    obstacle: str,
) -> None:
    """Run ``if condition: then() else: other()``."""
    if not is_undecided(condition):
        if condition:
            then()
        else:
            other()
        return
    trace: Any = active_trace()
    if obstacle:
        trace.refuse(obstacle)
    variables = Variables([then, other], assigned)
    alternatives(truth(condition), then, other, line, variables, after)
