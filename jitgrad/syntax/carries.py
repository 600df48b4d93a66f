"""What one iteration of a loop hands to the next: leaves of variables, and Tensors it changes.

A variable that is bound to something new in each iteration hands on a value. A Tensor that is
changed in place hands on its content, whoever knows it. Which of both holds for a variable shows
only when the body has run; where it was taken for the other one, the body is run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from jitgrad.control.captured import CapturedBody, KindChangesError
from jitgrad.control.operands import here
from jitgrad.core.bind import tracing
from jitgrad.core.dtypes import category, promote_dtypes
from jitgrad.core.spec import Spec
from jitgrad.core.tree import Tree, flatten, unflatten
from jitgrad.ir.graph import Value
from jitgrad.syntax.leaves import (
    is_array,
    is_number,
    kind_of,
    needs_gradient,
    same_leaf,
    spec_of,
)
from jitgrad.syntax.variables import UNSET, Variables
from jitgrad.tensor.tensor import Tensor
from jitgrad.trace.stand_ins import ArrayStandIn, ScalarStandIn

# How often a body is run until it is known what it hands on.
_MOST_RUNS = 8

# A leaf of a variable: its name, and its number in the variable's content.
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Form:
    """What a handed-on leaf is in the body.

    Parameters
    ----------
    kind : type
        Tensor, or a stand-in for an array or number.
    spec : Spec
        Its shape and dtype.
    differentiable : bool
        Whether it comes to require a gradient.
    """

    kind: type
    spec: Spec
    differentiable: bool = False


@dataclass(slots=True, eq=False)
class Carry:
    """One value that is handed on.

    Parameters
    ----------
    value : Value
        The body's input.
    init : object
        What it is before the first iteration; None for zeros that nobody reads.
    output : Tensor
        What the body makes of it.
    form : Form
        What it is to Python.
    places : list of Place
        Leaves of variables that are bound to it after the loop.
    target : Tensor, optional
        Tensor from outside whose content it is.
    """

    value: Value
    init: Any
    output: Tensor
    form: Form
    places: list[Place] = field(default_factory=list)
    target: Tensor | None = None


@dataclass(slots=True, eq=False)
class Run:
    """One run of the body.

    Parameters
    ----------
    trace : CapturedBody
        What it did.
    index : Value
        The first input.
    entered : dict
        Input and Tensor for each leaf that was handed in.
    ends : dict
        Contents of the variables after it.
    """

    trace: CapturedBody
    index: Value
    entered: dict[Place, tuple[Value, Tensor]]
    ends: dict[str, Any]


class Settling:
    """Runs a body until it is known what it hands on.

    Parameters
    ----------
    variables : Variables
        Those that it assigns.
    live : iterable of str
        Those of them that are read later.
    stops : tuple of str
        Flags that end the loop; they are False whenever an iteration begins.
    guess : set of Place
        Leaves that kept their Tensor the last time.
    """

    def __init__(
        self,
        variables: Variables,
        live: Iterable[str],
        stops: tuple[str, ...],
        guess: set[Place],
    ) -> None:
        self.variables = variables
        self.entry = variables.all()
        self.live = sorted(set(live) - set(stops))
        self.stops = stops
        self.leaves: dict[str, tuple[list[Any], Tree]] = {
            name: flatten(self.entry[name]) for name in self.live
        }
        self.forms: dict[Place, Form] = {}
        self.shared: set[Place] = set()
        self.differentiable: set[int] = set()
        for name in self.live:
            for number, leaf in enumerate(self.leaves[name][0]):
                place = (name, number)
                if is_array(leaf) and place not in guess:
                    self.forms[place] = Form(type(leaf), here(leaf).spec, leaf.requires_grad)

    def settled(self, run: Callable[[CapturedBody], Value]) -> Run:
        """Return the run of the body after which nothing has to be other than it was."""
        for _ in range(_MOST_RUNS):
            found = self.attempt(run)
            if not self.learn(found):
                return found
        raise KindChangesError("what it hands on does not keep its kind")

    def attempt(self, run: Callable[[CapturedBody], Value]) -> Run:
        """Run the body once."""
        trace = CapturedBody("loop", self.differentiable)
        self.variables.restore(self.entry)
        entered = self.enter(trace)
        with tracing(trace):
            index = run(trace)
        trace.end()
        return Run(trace, index, entered, self.variables.all())

    def enter(self, trace: CapturedBody) -> dict[Place, tuple[Value, Tensor]]:
        """Give variables their contents at the beginning of an iteration."""
        entered: dict[Place, tuple[Value, Tensor]] = {}
        for name in self.live:
            leaves, tree = self.leaves[name]
            inside = list(leaves)
            for number in range(len(leaves)):
                form = self.forms.get((name, number))
                if form is not None:
                    held = trace.enter(form.kind, form.spec, form.differentiable)
                    entered[name, number] = held
                    inside[number] = held[1]
            if self.entry[name] is not UNSET:
                self.variables[name] = unflatten(tree, inside)
        return entered

    # -- what a run shows ---------------------------------------------------------------------

    def learn(self, run: Run) -> bool:
        """Note what has to be handed on otherwise; False if nothing."""
        changed = False
        for name in self.live:
            if self.entry[name] is UNSET:
                continue
            leaves, tree = self.leaves[name]
            ends, tree_after = flatten(run.ends[name])
            if tree_after != tree:
                raise KindChangesError(f"`{name}` changes its structure")
            for number, (leaf, end) in enumerate(zip(leaves, ends, strict=True)):
                changed |= self._learn_leaf(run, (name, number), leaf, end)
        for key in run.trace.changed():
            shadow = run.trace.closures[key].shadow
            if shadow._requires_grad and key not in self.differentiable:
                tensor = run.trace.closures[key].tensor
                if not tensor._requires_grad:
                    self.differentiable.add(key)
                    changed = True
        return changed

    def _learn_leaf(self, run: Run, place: Place, leaf: Any, end: Any) -> bool:
        form = self.forms.get(place)
        if is_number(leaf):
            return self._learn_number(place, leaf, end, form)
        if not is_array(leaf):
            if not same_leaf(leaf, end):
                raise KindChangesError(f"`{place[0]}` becomes another object")
            return False
        if form is None:
            if _is_still(run.trace, leaf, end):
                return False
            if id(here(leaf)) in run.trace.changed():
                raise KindChangesError(f"`{place[0]}` is changed in place and bound anew")
            if place in self.shared:
                raise KindChangesError(f"`{place[0]}` shares its memory, and is bound anew")
            self.forms[place] = Form(type(leaf), here(leaf).spec, leaf.requires_grad)
            return True
        return self._learn_array(run, place, leaf, end, form)

    def _learn_number(self, place: Place, leaf: Any, end: Any, form: Form | None) -> bool:
        if form is None and same_leaf(leaf, end):
            return False
        if not (is_number(end) or is_array(end)) or spec_of(end).shape:
            raise KindChangesError(f"`{place[0]}` starts as a number and becomes something else")
        if form is not None and not form.spec.weak and _fits_as_number(end, form):
            return False
        spec, kind = spec_of(end), kind_of(end)
        known = spec_of(leaf) if form is None else form.spec
        if (spec.weak and not known.weak) or (
            known.weak and not spec.weak and category(spec.dtype) < category(known.dtype)
        ):
            raise KindChangesError(f"`{place[0]}` is a number and a Tensor by turns")
        weaker = known.weak and not spec.weak
        dtype = spec.dtype if weaker else promote_dtypes(known.dtype, spec.dtype)
        differentiable = needs_gradient(end) or (form is not None and form.differentiable)
        wanted = Form(kind, Spec((), dtype, spec.weak), differentiable)
        self.forms[place] = wanted
        return wanted != form

    def _learn_array(self, run: Run, place: Place, leaf: Any, end: Any, form: Form) -> bool:
        inside = run.entered[place][1]
        storage = here(leaf)._storage
        known = {c.tensor._storage for c in run.trace.closures.values()}
        written = {run.trace.closures[key].tensor._storage for key in run.trace.changed()}
        changed = run.trace.is_changed(inside)
        if storage in written or (changed and (end is inside or storage in known)):
            # Others may see the change: the Tensor itself has to be in the body.
            del self.forms[place]
            self.shared.add(place)
            return True
        if end is inside:
            return False
        if _fits_as_number(end, form):
            return False
        if kind_of(end) is ScalarStandIn and _is_plain_array(form) and not changed:
            # What NumPy computes from an array without axes is a scalar.
            self.forms[place] = Form(ScalarStandIn, form.spec, form.differentiable)
            return True
        if not is_array(end) or kind_of(end) is not form.kind:
            raise KindChangesError(f"`{place[0]}` becomes another kind of object")
        if (end.shape, end.dtype) != (form.spec.shape, form.spec.dtype):
            raise KindChangesError(
                f"`{place[0]}` is {form.spec} before an iteration and {end.spec} after it"
            )
        if changed and not any(self.end_of(run, other) is inside for other in run.entered):
            raise KindChangesError(f"`{place[0]}` is changed in place and bound anew")
        if end.requires_grad and not form.differentiable:
            self.forms[place] = Form(form.kind, form.spec, True)
            return True
        return False

    def end_of(self, run: Run, place: Place) -> Any:
        """Return what a leaf is bound to after an iteration."""
        found: Any = flatten(run.ends[place[0]])[0][place[1]]
        return found


def _is_plain_array(form: Form) -> bool:
    return form.kind is ArrayStandIn and not form.spec.shape


def _fits_as_number(end: Any, form: Form) -> bool:
    """Return whether a number can be what a Tensor without axes is at other times."""
    if not is_number(end) or form.spec.shape or form.spec.weak:
        return False
    return category(spec_of(end).dtype) <= category(form.spec.dtype)


def _is_still(trace: CapturedBody, leaf: Tensor, end: Any) -> bool:
    """Return whether a variable holds the Tensor from outside that it held before."""
    if end is leaf:
        return True
    if not isinstance(end, Tensor) or type(end) is not type(leaf):
        return False
    with tracing(trace):
        return trace.lift(end) is trace.lift(leaf)
