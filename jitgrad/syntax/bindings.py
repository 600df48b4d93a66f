"""A loop whose body was run becomes an operation, and variables get what comes out of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitgrad.control.captured import (
    CannotRepeatError,
    CapturedBody,
    as_number,
    graph_of,
    overwrite,
    strong_operand,
)
from jitgrad.control.draws import how_many, take_out_draws
from jitgrad.control.loop import bind_loop
from jitgrad.control.loop_form import Loop
from jitgrad.control.operands import asked_for, here
from jitgrad.core.bind import active_trace, tracing
from jitgrad.core.dtypes import bool_
from jitgrad.core.spec import Spec
from jitgrad.core.tree import flatten, unflatten
from jitgrad.ir.graph import Value
from jitgrad.ops.cast import convert
from jitgrad.ops.comparison import logical_not
from jitgrad.ops.creation import full_primitive
from jitgrad.ops.selection import where
from jitgrad.syntax.booleans import and_, go_on
from jitgrad.syntax.carries import Carry, Form, Place, Run, Settling
from jitgrad.syntax.conditions import either
from jitgrad.syntax.courses import Course
from jitgrad.syntax.integers import grows_slowly
from jitgrad.syntax.jumps import RESULT
from jitgrad.syntax.leaves import inside, is_array
from jitgrad.syntax.trials import Surroundings, code_of
from jitgrad.syntax.variables import UNSET, Variables
from jitgrad.tensor.tape import next_number
from jitgrad.tensor.tensor import Tensor
from jitgrad.trace.stand_ins import NumberStandIn, StandIn, stand_in

_INT = Spec((), np.dtype(np.int64))
_BOOL = Spec((), bool_)
# In place of a variable, whether the number of iterations is odd.
_ODD: Place = ("", 0)


@dataclass(frozen=True, slots=True, eq=False)
class Construct:
    """A loop of the user's, as it stands in the source.

    Parameters
    ----------
    body, test : function
        What an iteration does; for a ``while``, whether there is another one.
    variables : Variables
        Those that it assigns.
    again, after : tuple of str
        Those of them that are read by the next iteration or later, and those after the loop.
    stops : tuple of str
        Flags that end it.
    line : int
        Where it stands.
    """

    body: Callable[..., Any]
    test: Callable[[], Any] | None
    variables: Variables
    again: tuple[str, ...]
    after: tuple[str, ...]
    stops: tuple[str, ...]
    line: int

    @property
    def parts(self) -> list[Callable[..., Any]]:
        """What the loop was divided into."""
        return [self.body] if self.test is None else [self.body, self.test]

    def is_stopped(self) -> bool:
        """Return whether a flag that ends the loop is set."""
        return any(bool(self.variables[flag]) for flag in self.stops)


class Binding:
    """Makes an operation of a body that was run, and gives variables what comes out."""

    def __init__(
        self,
        loop: Construct,
        course: Course | None,
        settling: Settling,
        run: Run,
        surroundings: Surroundings,
    ) -> None:
        self.surroundings = surroundings
        self.loop = loop
        self.course = course
        self.settling = settling
        self.run = run
        self.trace = run.trace
        self.operation = "while" if course is None else "for"
        self.flags = [f for f in loop.stops if run.ends[f] is not False]
        if any(run.ends[flag] is True for flag in self.flags):
            raise CannotRepeatError("its first iteration is its last")
        self.conditional = course is None or bool(self.flags)
        # Leaves that come back as they were are constants of the loop.
        self.kept = [p for p, (_, t) in run.entered.items() if settling.end_of(run, p) is t]
        self.moving = [place for place in run.entered if place not in self.kept]
        self.swaps = self.find_swaps()
        self.since = 0

    def bind(self) -> str:
        """Make the operation, and return what became of the loop."""
        carries = self.carries()
        inputs = [carry.value for carry in carries]
        tensors = {k: c.tensor for k, c in self.trace.closures.items()}
        changed = set(self.trace.changed())
        condition_trace, holds = None, None
        condition_inputs: list[Value] = []
        if self.conditional:
            condition_trace, condition_inputs, holds = self.condition(carries)
            tensors |= {k: c.tensor for k, c in condition_trace.closures.items()}
        constants = [key for key in tensors if key not in changed]
        # Of each generator the number of the next draw is carried along, the key is kept.
        draws = take_out_draws([self.trace])
        inputs += [d.firsts[0] for d in draws]
        kept = [self.run.entered[place][0] for place in self.kept]
        kept += [d.keys[0] for d in draws]
        outputs = [carry.output for carry in carries] + [d.lasts[0] for d in draws]
        name = f"{self.operation} of line {self.loop.line}"
        body = graph_of(
            self.trace,
            [self.run.index, *inputs, *kept],
            constants,
            tensors,
            outputs,
            f"body of {name}",
        )
        condition = None
        if condition_trace is not None:
            assert holds is not None
            if take_out_draws([condition_trace]):
                raise CannotRepeatError("its condition draws random numbers")
            unread = [Value(v.spec) for d in draws for v in (d.keys[0], d.firsts[0])]
            number = len(carries)
            condition_inputs[number:number] = unread[: len(draws)]
            condition_inputs += unread[len(draws) :]
            condition = graph_of(
                condition_trace, condition_inputs, constants, tensors, [holds], f"test of {name}"
            )
        self.loop.variables.restore(self.settling.entry)
        self.surroundings.check()
        lower, upper, reverse = 0, 0, False
        if self.course is not None and not self.conditional:
            lower, upper, reverse = self.course.lower, self.course.upper, self.course.reverse
        form = Loop(body, condition, len(inputs), 0, 0, reverse)
        bounds = [strong_operand(b) if isinstance(b, Tensor) else b for b in (lower, upper)]
        first = [self.operand(carry.init, carry.form) for carry in carries]
        held = [self.operand(self.initial(p), self.settling.forms[p]) for p in self.kept]
        more = [strong_operand(tensors[key]) for key in constants]
        runs = None if self.conditional else how_many(*bounds)
        tickets = [d.begin(runs) for d in draws]
        numbers, keys = [number for _, number in tickets], [key for key, _ in tickets]
        operands = [*bounds, *first, *numbers, *held, *keys, *more]
        self.since = next_number()
        results, _ = bind_loop(form, operands, asked_for(operands))
        for d, before, last in zip(draws, numbers, results[len(carries) :], strict=True):
            d.end(runs, before, last)
        self.hand_out(carries, results[: len(carries)])
        return "a loop" if condition is None else "a loop with a condition"

    def find_swaps(self) -> dict[Place, Place]:
        """Return for leaves that exchange Tensors which one each takes over: ``a, b = b, a``.

        Raises
        ------
        CannotRepeatError
            If a Tensor that is changed in place, and then bound to another variable, is lost.
        """
        holders = {id(self.run.entered[place][1]): place for place in self.moving}
        taken = {p: holders.get(id(self.settling.end_of(self.run, p))) for p in self.moving}
        swaps: dict[Place, Place] = {}
        for place in self.moving:
            inside = self.run.entered[place][1]
            if not is_array(inside) or not self.trace.is_changed(inside):
                continue
            cycle = [place]
            while taken.get(cycle[-1]) not in (None, place) and len(cycle) <= len(taken):
                cycle.append(taken[cycle[-1]])  # type: ignore[arg-type]
            if taken.get(cycle[-1]) != place:
                raise CannotRepeatError(f"`{place[0]}` is changed in place and bound anew")
            swaps.update({p: taken[p] for p in cycle})  # type: ignore[misc]
        if not self.is_counted and any(swaps[swaps[place]] != place for place in swaps):
            raise CannotRepeatError("how often it runs decides which variable has which Tensor")
        self.check_names(swaps)
        return swaps

    def check_names(self, swaps: dict[Place, Place]) -> None:
        """Refuse Tensors that variables exchange and that have other names besides.

        These show what is changed in place under the variables' names, at times.
        """
        initial = [self.initial(place) for place in swaps]
        others = [self.initial(place) for place in self.run.entered if place not in swaps]
        others += [held.tensor for held in self.trace.closures.values()]
        memory = [t._storage for t in initial if is_array(t)]
        if any(is_array(t) and any(t._storage is own for own in memory) for t in others):
            raise CannotRepeatError("a Tensor that variables exchange has other names besides")

    @property
    def is_counted(self) -> bool:
        """Whether it is known how often the loop runs."""
        return not self.conditional and self.course is not None and self.course.count is not None

    @property
    def is_entered(self) -> bool:
        """Whether it is known that the loop runs at least once."""
        return self.course is not None and bool(self.course.count)

    # -- carries ------------------------------------------------------------------------------

    def carries(self) -> list[Carry]:
        """Return everything that one iteration hands to the next."""
        trace, run = self.trace, self.run
        found: list[Carry] = []
        for key in trace.changed():
            held = trace.closures[key]
            form = Form(type(held.tensor), held.tensor.spec)
            found.append(Carry(held.value, held.tensor, held.shadow, form, target=held.tensor))
        for place in self.moving:
            end = self.settling.end_of(run, place)
            form = self.settling.forms[place]
            init = self.initial(place)
            value = run.entered[place][0]
            found.append(Carry(value, init, self.handed_on(end, form), form, [place]))
        for name in self.loop.after:
            if name not in self.loop.stops and self.settling.entry[name] is UNSET:
                found += self.emergent(name)
        self.check_integers(found)
        for flag in self.flags:
            value, _ = trace.enter(Tensor, _BOOL)
            output = inside(trace, run.ends[flag], _BOOL)
            found.append(Carry(value, False, output, Form(NumberStandIn, _BOOL), [(flag, 0)]))
        if self.swaps and not self.is_counted:
            found.append(self.odd())
        if trace.checks:
            found.append(self.wrong())
        if self.course is not None and self.conditional:
            found.append(self.counter())
        return found

    def check_integers(self, carries: list[Carry]) -> None:
        """Refuse to hand on Python's ints that may grow beyond 64 bits."""
        whole = [c for c in carries if c.form.spec.weak and c.form.spec.dtype.kind == "i"]
        values = [carry.value for carry in whole]
        for carry in whole:
            if not grows_slowly(carry.output._raw, values, self.trace.builder.nodes):
                raise CannotRepeatError(f"`{carry.places[0][0]}` may grow beyond 64 bits")

    def handed_on(self, end: Any, form: Form) -> Tensor:
        """Return a leaf at the end of an iteration as a Tensor of the body."""
        shown = self.trace.shown_by(end) if is_array(end) else []
        is_part = is_array(end) and end._view is not None and self.trace.changed()
        if is_part or any(self.trace.is_changed(base) for base in shown):
            raise CannotRepeatError("a variable shows a part of a Tensor that changes")
        return inside(self.trace, end, form.spec)

    def emergent(self, name: str) -> list[Carry]:
        """Return the carries of a variable that has no content before the loop."""
        end = self.run.ends[name]
        if end is UNSET:
            return []
        if name != RESULT and not self.runs_at_least_once():
            raise CannotRepeatError(f"`{name}` would not be set if there were no iterations")
        leaves, _ = flatten(end)
        carries = []
        for number, leaf in enumerate(leaves):
            if not isinstance(leaf, Tensor):
                continue
            form = Form(type(leaf), Spec(leaf.shape, leaf.dtype))
            tensor = self.handed_on(leaf, form)
            value, _ = self.trace.enter(Tensor, form.spec)
            carries.append(Carry(value, 0, tensor, form, [(name, number)]))
        return carries

    def runs_at_least_once(self) -> bool:
        """Return whether there is an iteration; asks for it where the trace has values."""
        count = None if self.course is None else self.course.count
        if count is not None:
            return count > 0
        trace: Any = active_trace()
        if not trace.has_values:
            return False
        if self.course is not None:
            return bool(self.course.upper > self.course.lower)
        assert self.loop.test is not None
        self.loop.variables.restore(self.settling.entry)
        return bool(self.loop.test())

    def wrong(self) -> Carry:
        """Return the carry that tells whether a check has failed so far."""
        trace = self.trace
        value, before = trace.enter(Tensor, _BOOL)
        with tracing(trace):
            output: Tensor = before
            for check in trace.checks:
                output = either(output, trace.tensor_of(check))
        return Carry(value, False, output, Form(NumberStandIn, _BOOL))

    def odd(self) -> Carry:
        """Return the carry that tells whether the number of iterations so far is odd."""
        value, before = self.trace.enter(Tensor, _BOOL)
        with tracing(self.trace):
            output = logical_not(before)
        return Carry(value, False, output, Form(Tensor, _BOOL), [_ODD])

    def counter(self) -> Carry:
        """Return the index as a carry, where a condition ends the loop, too."""
        assert self.course is not None
        trace, reverse = self.trace, self.course.reverse
        with tracing(trace):
            index = trace.tensor_of(self.run.index)
            output = index - 1 if reverse else index + 1
        init = self.course.upper - 1 if reverse else self.course.lower
        value = self.run.index
        self.run.index, _ = trace.enter_index(None)
        return Carry(value, init, output, Form(NumberStandIn, _INT))

    def initial(self, place: Place) -> Any:
        """Return what a leaf was before the loop."""
        return self.settling.leaves[place[0]][0][place[1]]

    def operand(self, init: Any, form: Form) -> Any:
        """Return what goes into the first iteration, of the dtype that the body takes."""
        spec = form.spec
        if not isinstance(init, Tensor):
            return full_primitive(shape=spec.shape, value=init or 0, dtype=spec.dtype)
        return convert(strong_operand(here(init)), spec.dtype)

    # -- the condition ------------------------------------------------------------------------

    def condition(self, carries: list[Carry]) -> tuple[CapturedBody, list[Value], Tensor]:
        """Return the trace of what decides whether there is another iteration."""
        loop, variables = self.loop, self.loop.variables
        trace = CapturedBody(self.operation, self.settling.differentiable)
        variables.restore(self.settling.entry)
        entered = self.settling.enter(trace)
        numbers: dict[str, Tensor] = {}
        values: list[Value | None] = []
        counter: Tensor | None = None
        for carry in carries:
            place = carry.places[0] if carry.places else None
            if place in entered:
                values.append(entered[place][0])
            elif carry.target is not None:
                values.append(None)
            elif place is not None and place[0] in self.flags:
                value, flag = trace.enter(NumberStandIn, _BOOL)
                variables[place[0]] = numbers[place[0]] = flag
                values.append(value)
            else:
                value, held = trace.enter(carry.form.kind, carry.form.spec)
                counter = held if carry.value is carries[-1].value else counter
                values.append(value)
        before = variables.all()
        with tracing(trace):
            going = go_on(*numbers.values())
            if self.course is None:
                assert loop.test is not None
                answer = and_(going, loop.test)
            else:
                assert counter is not None
                course = self.course
                within = counter >= course.lower if course.reverse else counter < course.upper
                answer = and_(going, lambda: within)
        if not isinstance(answer, Tensor):
            raise CannotRepeatError("its condition is known when it is traced")
        holds = inside(trace, answer, _BOOL)
        after = variables.all()
        if trace.changed() or any(after[name] is not before[name] for name in before):
            raise CannotRepeatError("its condition changes something")
        if trace.checks or trace.failed:
            raise CannotRepeatError(trace.failed or "its condition may fail")
        for number, carry in enumerate(carries):
            if carry.target is not None:
                held_there = trace.closures.get(id(carry.target))
                spec = carry.target.spec
                values[number] = (
                    Value(Spec(spec.shape, spec.dtype)) if held_there is None else held_there.value
                )
        values += [entered[place][0] for place in self.kept]
        return trace, values, holds  # type: ignore[return-value]

    # -- afterwards ---------------------------------------------------------------------------

    def hand_out(self, carries: list[Carry], results: list[Any]) -> None:
        """Give variables, and Tensors that are changed in place, what comes out of the loop."""
        made: dict[Place, Any] = {}
        same: dict[int, Any] = {}
        for carry, result in zip(carries, results, strict=True):
            if carry.target is None and not carry.places:
                self.check(carry, result)
        for carry, result in zip(carries, results, strict=True):
            if carry.target is not None:
                overwrite(self.operation, carry.target, result, self.since)
            elif carry.places:
                place = carry.places[0]
                end = None if place == _ODD else self.settling.end_of(self.run, place)
                thing = self.as_python(carry, end, result)
                # What one iteration makes one thing, none leaves as it was.
                made[place] = same.setdefault(id(end), thing) if self.is_entered else thing
        self.put_into_swapped(made)
        variables = self.loop.variables
        variables.restore(dict.fromkeys(variables.all(), UNSET))
        for name in self.loop.after:
            if name in self.loop.stops:
                variables[name] = made.get((name, 0), False)
                continue
            before = self.settling.entry[name]
            leaves, tree = flatten(self.run.ends[name] if before is UNSET else before)
            kept = [made.get((name, k), leaf) for k, leaf in enumerate(leaves)]
            variables[name] = unflatten(tree, kept)

    def as_python(self, carry: Carry, end: Any, result: Tensor) -> Any:
        """Return a result as what it is to the function."""
        kind = carry.form.kind
        if issubclass(kind, NumberStandIn):
            return as_number(result)
        if issubclass(kind, StandIn):
            result = stand_in(result, kind)
        fresh = is_array(end) and self.trace.is_fresh(end)
        if not fresh or not self.is_entered:
            # The Tensor may be one from outside; of Python's numbers none can be written to.
            trace: Any = active_trace()
            trace.freeze(result, code_of(self.loop.body), self.shown_by(carry, end))
        return result

    def shown_by(self, carry: Carry, end: Any) -> list[Tensor]:
        """Return the Tensors from outside whose memory a result may have."""
        if carry.places[0] in self.swaps:
            return []  # these are given their contents
        shown = self.trace.outside(end)
        return shown if self.is_entered else shown + self.trace.outside(carry.init)

    def put_into_either(self, made: dict[Place, Any]) -> None:
        """Do the same where only a run knows which of two variables has which of two Tensors."""
        trace: Any = active_trace()
        for place, other in self.swaps.items():
            target = self.initial(place)
            if is_array(target):
                content: Any = where(made[_ODD], made[other], made[place])
                overwrite(self.operation, target, content, self.since)
        for place in self.swaps:
            # It is one of the Tensors, and neither may be changed without the other.
            shown = [t for t in map(self.initial, self.swaps) if is_array(t)]
            trace.freeze(made[place], code_of(self.loop.body), shown)

    def put_into_swapped(self, made: dict[Place, Any]) -> None:
        """Give Tensors that variables exchange in each iteration their contents."""
        if not self.is_counted:
            self.put_into_either(made)
            return
        final: dict[Place, Any] = {}
        for place in self.swaps:
            assert self.course is not None
            held = place
            for _ in range((self.course.count or 0) % _cycle_length(self.swaps, place)):
                held = self.swaps[held]
            target = self.initial(held)
            if is_array(target):
                overwrite(self.operation, target, made[place], self.since)
                final[place] = target
        made.update(final)

    def check(self, carry: Carry, result: Tensor) -> None:
        """Refuse the loop if something in it fails in this run, or let later runs check that."""
        trace: Any = active_trace()
        if carry.form.spec == _BOOL and not trace.check_zero(result):
            raise CannotRepeatError("it does what only Python can do")


def _cycle_length(swaps: dict[Place, Place], place: Place) -> int:
    length, held = 1, swaps[place]
    while held != place:
        length, held = length + 1, swaps[held]
    return length
