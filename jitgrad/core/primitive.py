"""The record of one operation, and the table of all of them.

An operation is one entry: what it computes (`eager`), what comes out (`infer`), its derivative in
terms of other operations, how kernels compute it (`lowering`), and the inputs it is tested on.
Eager, traced and compiled code, forward and reverse mode, methods, tests and the reference page
all read that entry.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jitgrad.core.affine import Affine
from jitgrad.core.bind import bind
from jitgrad.core.spec import Spec


@dataclass(frozen=True, slots=True)
class Rule:
    """A derivative formula that names what it needs.

    The names of the function's parameters say what it is given, and so what has to be kept until
    ``backward``: ``out``, the names of the operation's inputs, ``<input>_spec`` for shape and
    dtype alone, ``ct`` for the cotangent, and the operation's static parameters. An operation
    with any number of inputs offers ``index`` (which input is asked for) and ``specs`` instead.

    Parameters
    ----------
    function : callable
        The formula, written with operations and operators only.
    needs : tuple of str
        The names of its parameters.
    """

    function: Callable[..., Any]
    needs: tuple[str, ...]

    @staticmethod
    def of(function: Callable[..., Any]) -> Rule:
        """Return the rule that `function` states."""
        return Rule(function, tuple(inspect.signature(function).parameters))

    def __call__(self, offered: dict[str, Any]) -> Any:
        """Evaluate the formula with what it needs out of `offered`."""
        return self.function(*[offered[name] for name in self.needs])


RuleFunction = Callable[..., Any] | None


@dataclass(frozen=True, slots=True)
class Partials:
    """Derivative of an elementwise operation: one partial derivative for each input.

    Parameters
    ----------
    rules : tuple of Rule or None
        None where the output does not depend differentiably on the input.
    singular : bool
        Whether a partial derivative may be infinite or nan; a cotangent of exactly zero then
        gives zero.
    """

    rules: tuple[Rule | None, ...]
    singular: bool = False


@dataclass(frozen=True, slots=True)
class Vjps:
    """Derivative as a map from the output's cotangent to each input's.

    Parameters
    ----------
    rules : tuple of Rule or None
        Each needs ``ct``; an operation with any number of inputs has one rule for all.
    linear : bool
        Whether the operation is linear in each of these inputs with the others fixed, so that the
        rules are its transposes and its tangent is the operation itself.
    """

    rules: tuple[Rule | None, ...]
    linear: bool = False


@dataclass(frozen=True, slots=True)
class Together:
    """Derivative as one map from the outputs' cotangents to those of several inputs at once.

    For operations whose way back is costly and the same for all inputs, such as loops.

    Parameters
    ----------
    rule : Rule
        Names what it needs as any rule; besides, ``wanted``, the numbers of the inputs asked for,
        ``params``, all static parameters, and ``record``, the last output. Gives one cotangent
        for each of `wanted`.
    """

    rule: Rule


@dataclass(frozen=True, slots=True)
class NoDerivative:
    """Says that an operation has no derivative, and why."""

    reason: str


Derivative = Partials | Vjps | Together | NoDerivative


def partials(*functions: RuleFunction, singular: bool = False) -> Partials:
    """Return the derivative with these partial derivatives, one for each input."""
    return Partials(_rules(functions), singular)


def vjps(*functions: RuleFunction) -> Vjps:
    """Return the derivative with these maps from the output's cotangent to the inputs'."""
    return Vjps(_rules(functions))


def transposes(*functions: RuleFunction) -> Vjps:
    """Return the derivative of an operation that is linear in each input that has a rule."""
    return Vjps(_rules(functions), linear=True)


def together(function: Callable[..., Any]) -> Together:
    """Return the derivative that one map to the cotangents of all inputs states."""
    return Together(Rule.of(function))


def none(reason: str) -> NoDerivative:
    """Return the statement that there is no derivative."""
    return NoDerivative(reason)


def _rules(functions: Sequence[RuleFunction]) -> tuple[Rule | None, ...]:
    return tuple(None if f is None else Rule.of(f) for f in functions)


@dataclass(frozen=True, slots=True)
class Template:
    """Kernels compute one element by a scalar expression.

    Parameters
    ----------
    text : str
        Python expression with ``{name}`` for each input's element, in the dtype of computation.
    integer, boolean : str
        Other expressions where the operation computes in integers or in booleans.
    uncast : tuple of str
        Inputs that keep their own dtype (the condition of ``where``).
    cost : int
        Roughly how many additions one evaluation is worth; recomputing is weighed by it.
    adds : bool
        Whether it is the sum of its two inputs; sums of parts of an array are collected.
    multiplies : bool
        Whether it is the product of its two inputs.
    """

    text: str
    integer: str = ""
    boolean: str = ""
    uncast: tuple[str, ...] = ()
    cost: int = 1
    adds: bool = False
    multiplies: bool = False


@dataclass(frozen=True, slots=True)
class Accumulation:
    """Kernels reduce over axes by updating an accumulator element by element.

    Parameters
    ----------
    combine : str
        Expression of ``{acc}`` and ``{x}`` that is the accumulator's next value.
    identity : callable
        Gives the accumulator's first value, a number, for a dtype.
    adds : bool
        Whether it is a sum.
    """

    combine: str
    identity: Callable[[np.dtype[Any]], float | int | bool]
    adds: bool = False


IndexMapFunction = Callable[..., tuple[Affine, ...] | None]


@dataclass(frozen=True, slots=True)
class IndexMap:
    """Kernels read the first input at another index; nothing is computed or copied.

    Parameters
    ----------
    function : callable
        ``function(index, x_spec, **params)`` gives the input's index for an output's, or None
        where it isn't linear; the operation is then carried out by `eager`.
    """

    function: IndexMapFunction


@dataclass(frozen=True, slots=True)
class Alias:
    """Kernels see the input's buffer under another shape, in the same order of elements.

    Parameters
    ----------
    function : callable
        An index map for the cases that have one, None for the others, as of `IndexMap`.
    """

    function: IndexMapFunction


@dataclass(frozen=True, slots=True)
class Contraction:
    """Kernels multiply matrices: small ones by loops, others by BLAS."""


@dataclass(frozen=True, slots=True)
class Fill:
    """Kernels store one number everywhere: the static parameter ``value``."""


# In the index that `Indexed` gives: stands for the element of the index array at this place.
LookedUp = tuple[Affine, ...]


@dataclass(frozen=True, slots=True)
class Indexed:
    """Kernels read or add to elements that an array of indices, the second input, names.

    Parameters
    ----------
    function : callable
        ``function(loops, *specs, **params)`` gives the index of the element; its entries are
        linear in the loops' indices or, as a tuple of such, an index into the index array.
    loops : callable
        ``loops(*specs, **params)`` gives the sizes of the loops.
    adds : bool
        False: the output, over the loops, is the element of the first input at the index. True:
        the first input, over the loops, is added to zeros at the index.
    writes : bool
        Whether the output is the first input with the third one, over the loops, at the index;
        where that is several times the same element the order of the loops decides.
    """

    function: Callable[..., tuple[Affine | LookedUp, ...] | None]
    loops: Callable[..., tuple[int, ...]]
    adds: bool = False
    writes: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an output that kernels write in a nest of its own.

    Parameters
    ----------
    shape : tuple of int
        Sizes of the loops.
    place : callable
        Gives, for the loops' indices, the index of the output's element.
    source : int, optional
        Number of the input that is read at the loops' indices; None writes zeros.
    overwrites : bool
        Whether it must come after the pieces before it.
    """

    shape: tuple[int, ...]
    place: Callable[[tuple[Affine, ...]], tuple[Affine, ...]]
    source: int | None
    overwrites: bool = False


@dataclass(frozen=True, slots=True)
class Pieces:
    """Kernels write the output piece by piece.

    Parameters
    ----------
    function : callable
        ``function(*specs, **params)`` gives the pieces in order.
    """

    function: Callable[..., list[Piece]]


@dataclass(frozen=True, slots=True)
class Call:
    """Kernels call an intrinsic on whole C-contiguous arrays: the inputs, then the output.

    Parameters
    ----------
    intrinsic : str
        Its name; it writes all of the output.
    arguments : callable
        ``arguments(**params)`` gives the integers that it takes after the arrays.
    cost : int, optional
        Roughly how many additions an element is worth, of an operation that a derivative may
        carry out again; without it the output is kept.
    """

    intrinsic: str
    arguments: Callable[..., tuple[int, ...]]
    cost: int | None = None


@dataclass(frozen=True, slots=True)
class External:
    """The compiled program calls `eager` on arrays between its kernels.

    Parameters
    ----------
    spelled : callable, optional
        Computes the same of Tensors with other operations, element by element, where there is
        little to compute; takes the static parameters as well. What `eager` raises is an index out
        of range here, after which `eager` is called.
    fits : callable
        ``fits(*specs, **params)`` says whether that is so.
    """

    spelled: Callable[..., Any] | None = None
    fits: Callable[..., bool] = lambda *specs, **params: False


Lowering = (
    Template
    | Accumulation
    | IndexMap
    | Alias
    | Contraction
    | Fill
    | Pieces
    | Indexed
    | Call
    | External
)


@dataclass(frozen=True, slots=True)
class Sample:
    """Inputs that an operation is tested on.

    Parameters
    ----------
    args : tuple
        NumPy arrays in float64, int64 or bool; floating ones are also tested in float32.
    params : dict
        Static parameters.
    label : str
        What is special about it.
    """

    args: tuple[Any, ...]
    params: dict[str, Any] = field(default_factory=dict)
    label: str = ""


SampleMaker = Callable[[np.random.Generator], list[Sample]]
Infer = Callable[..., Spec | tuple[Spec, ...]]


@dataclass(frozen=True, slots=True)
class Summed:
    """How the sum of an operation's outputs over many runs is one operation on their inputs.

    Parameters
    ----------
    function : callable
        Takes the inputs' arrays of all runs, stacked along a new first axis, and the static
        parameters; returns the sum.
    fits : callable
        ``fits(*specs, **params)`` says whether that can be done.
    """

    function: Callable[..., Any]
    fits: Callable[..., bool]


@dataclass(frozen=True, slots=True)
class Shared:
    """A result that is the same for all examples.

    Parameters
    ----------
    value : Tensor
        The result, without an axis of examples.
    """

    value: Any


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """What a batching rule is told about a call on many examples at once.

    Parameters
    ----------
    primitive : Primitive
        The operation.
    count : int
        How many examples there are.
    batched : tuple of bool
        Which inputs are different for each example; their first axis is that of the examples.
    specs, outputs : tuple of Spec
        Of inputs and outputs of one example.
    of_graph : callable
        ``of_graph(graph, batched, wanted)`` gives the graph that does for all examples what
        `graph` does for one, with an axis of examples for inputs that are `batched` and at least
        for outputs that are `wanted`; and which outputs have it.
    one_by_one : callable
        ``one_by_one(graph, inputs, batched)`` gives the outputs of a graph that is run for one
        example after the other.
    """

    primitive: Primitive
    count: int
    batched: tuple[bool, ...]
    specs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]
    of_graph: Callable[..., Any]
    one_by_one: Callable[..., Any]


# Of `Examples`, the inputs, and the static parameters by name. Gives outputs whose first axis is
# that of the examples, or `Shared`; None to run one example after the other.
Batching = Callable[..., Any]


@dataclass(frozen=True, slots=True, eq=False)
class Primitive:
    """One operation.

    Parameters
    ----------
    name : str
        Unique; what graphs print.
    inputs : tuple of str
        Names of the array inputs; ``("*xs",)`` for any number of them.
    eager : callable
        NumPy implementation: arrays (and Python numbers) in, an array or a tuple of arrays out.
    infer : callable
        ``infer(*specs, **params)`` gives the output's `Spec`, or a tuple of them; raises the
        user's error where inputs do not fit.
    derivative : Partials, Vjps, Together or NoDerivative
        In terms of other operations.
    lowering : Lowering
        How kernels compute it.
    samples : callable
        ``samples(rng)`` gives the inputs that the laws are tested on.
    doc : str
        One sentence.
    grad_name : str
        What ``grad_fn`` shows, as PyTorch names it: ``"AddBackward0"``.
    view : bool or callable
        Whether `eager` returns a view of its first input; or ``view(*specs)``, where that depends
        on the inputs.
    write_view : callable, optional
        For a view: ``write_view(base, part, *inputs, **params)``, without the first input, is
        `base` with the elements that the view shows replaced by `part`.
    impure : bool
        Whether equal calls may give different results (random numbers).
    neutral : dict
        For an operation of two inputs: by number of the input, the number that makes the output
        equal the other one (``x * 1``).
    merge : callable, optional
        For an operation of one input: ``merge(first, second)`` gives the static parameters that do
        at once what the operation does with `first` and then with `second`.
    unread : callable, optional
        ``unread(params, read)`` gives the static parameters that do where only those outputs are
        used for which `read` is true.
    summed : Summed, optional
        How its outputs are summed over many runs at once.
    inline : bool
        Whether its static parameter ``body``, a graph of its inputs, may stand in its place where
        no derivative is taken any more.
    batching : callable, optional
        ``batching(examples, *inputs, **params)``, written with operations, does for many examples
        at once what the operation does for one; see `Examples`. Without it `jitgrad.vmap` runs one
        after the other.
    """

    name: str
    inputs: tuple[str, ...]
    eager: Callable[..., Any]
    infer: Infer
    derivative: Derivative
    lowering: Lowering
    samples: SampleMaker
    doc: str
    grad_name: str
    view: bool | Callable[..., bool] = False
    write_view: Callable[..., Any] | None = None
    impure: bool = False
    neutral: dict[int, float] = field(default_factory=dict)
    merge: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]] | None = None
    unread: Callable[[dict[str, Any], tuple[bool, ...]], dict[str, Any]] | None = None
    summed: Summed | None = None
    inline: bool = False
    batching: Batching | None = None

    def __call__(self, *args: Any, **params: Any) -> Any:
        """Call the operation; arguments beyond its inputs are static parameters by name."""
        return bind(self, args, params)

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __reduce__(self) -> Any:
        # There is one of each: a copy would be another operation.
        return _entry, (self.name,)

    @property
    def variadic(self) -> bool:
        """Whether it takes any number of inputs."""
        return self.inputs[:1] != () and self.inputs[0].startswith("*")

    @property
    def differentiable(self) -> bool:
        """Whether its output can require a gradient."""
        return not isinstance(self.derivative, NoDerivative)

    def rule_for(self, index: int) -> Rule | None:
        """Return the derivative rule for input number `index`, None if it has none."""
        if isinstance(self.derivative, NoDerivative):
            return None
        if isinstance(self.derivative, Together):
            return self.derivative.rule
        return self.derivative.rules[0 if self.variadic else index]

    def output_specs(self, specs: Sequence[Spec], params: dict[str, Any]) -> tuple[Spec, ...]:
        """Return the specs of all outputs; raises the user's error where inputs do not fit."""
        inferred = self.infer(*specs, **params)
        return inferred if isinstance(inferred, tuple) else (inferred,)


TABLE: dict[str, Primitive] = {}


def _entry(name: str) -> Primitive:
    return TABLE[name]


def register(primitive: Primitive) -> Primitive:
    """Enter `primitive` into the table of operations.

    Raises
    ------
    ValueError
        If the name is taken, the derivative does not have a rule (or None) for each input, or
        partial derivatives are given for an input called ``ct``.
    """
    if primitive.name in TABLE:
        raise ValueError(f"operation {primitive.name} is in the table already")
    derivative = primitive.derivative
    if not isinstance(derivative, (NoDerivative, Together)):
        expected = 1 if primitive.variadic else len(primitive.inputs)
        if len(derivative.rules) != expected:
            raise ValueError(f"operation {primitive.name} needs {expected} derivative rules")
        if isinstance(derivative, Partials) and "ct" in primitive.inputs:
            raise ValueError(f"operation {primitive.name}: ct is the cotangent, not an input")
    TABLE[primitive.name] = primitive
    return primitive
