"""Loops that users write as functions: `fori_loop`, `while_loop`, `scan`, `map`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitgrad.control.bodies import BodyTrace, Traced, merge_closures, subgraph, trace_body
from jitgrad.control.draws import how_many, take_out_draws
from jitgrad.control.loop import bind_loop, limited_memory, memory_limit
from jitgrad.control.loop_form import Loop
from jitgrad.control.operands import asked_for, here, leaf_names, operand, predicate
from jitgrad.core.dtypes import int64, promote_dtypes
from jitgrad.core.errors import ArgumentError, DtypeError, ShapeError, TraceError
from jitgrad.core.spec import Spec
from jitgrad.core.tree import Tree, flatten, unflatten
from jitgrad.ir.graph import Value
from jitgrad.ir.subgraph import SubGraph
from jitgrad.tensor.tensor import Tensor, make_tensor
from jitgrad.trace.user_code import as_traced

# What all bodies are traced as: from index, carry and slices to carry and what is stacked.
Body = Callable[[Any, Any, Any], tuple[Any, Any]]


def fori_loop(
    lower: int | Tensor,
    upper: int | Tensor,
    body: Callable[[Any, Any], Any],
    init: Any,
    *,
    checkpoint: str | None = None,
    memory: int | None = None,
) -> Any:
    """Return what a carry becomes when `body` is applied for each index of a range.

    Parameters
    ----------
    lower, upper : int, or 0-d integer Tensor
        The indices are ``range(lower, upper)``. Tensors may have another value in each call
        without anything being traced or compiled again.
    body : callable
        ``body(i, carry)`` returns the next carry, of the structure, shapes and dtypes of the
        carry before; `i` is a 0-d integer Tensor. It may use Tensors from outside, which get
        gradients, and change the carry in place.
    init : array_like, or nested structure of such
        The first carry.
    checkpoint : {None, "auto"}
        Whether what the gradient needs of each iteration is kept within `memory`; what does not
        fit is computed again on the way back. None keeps all of it.
    memory : int, optional
        So many bytes may be kept; 256 MB where `checkpoint` is given alone.

    Returns
    -------
    Tensor, or structure of Tensors like `init`
        The last carry; `init` itself where the range is empty.

    Raises
    ------
    TraceError
        If the carry changes its structure, shapes or dtypes, or the body does what can't be
        repeated.
    DtypeError
        If a bound is no integer.
    ArgumentError
        If `checkpoint` is something else, or `memory` no positive number.

    Examples
    --------
    >>> import jitgrad
    >>> jitgrad.fori_loop(1, 5, lambda i, product: product * i, 1)
    tensor(24)
    """
    bounds = (_bound("lower", lower), _bound("upper", upper))
    with limited_memory(memory_limit("fori_loop", checkpoint, memory)):
        carry, _ = _loop(
            "fori_loop", lambda i, c, _: (as_traced(body)(i, c), ()), init, bounds=bounds
        )
    return carry


def while_loop(cond: Callable[[Any], Any], body: Callable[[Any], Any], init: Any) -> Any:
    """Return what a carry becomes when `body` is applied as long as `cond` holds.

    Parameters
    ----------
    cond : callable
        ``cond(carry)`` returns one boolean.
    body : callable
        ``body(carry)`` returns the next carry, of the structure, shapes and dtypes of the carry
        before. It may use Tensors from outside, which get gradients, and change the carry in
        place.
    init : array_like, or nested structure of such
        The first carry.

    Returns
    -------
    Tensor, or structure of Tensors like `init`
        The first carry for which `cond` does not hold. It can be differentiated; no bound on the
        number of iterations is needed.

    Raises
    ------
    ShapeError
        If `cond` returns several elements.
    TraceError
        If the carry changes its structure, shapes or dtypes, or the body does what can't be
        repeated.

    Examples
    --------
    >>> import jitgrad
    >>> jitgrad.while_loop(lambda x: x < 100, lambda x: 2 * x, 3)
    tensor(192)
    """
    carry, _ = _loop("while_loop", lambda _i, c, _s: (as_traced(body)(c), ()), init, condition=cond)
    return carry


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    *,
    checkpoint: str | None = None,
    memory: int | None = None,
) -> tuple[Any, Any]:
    """Return the last carry, and all outputs, of `f` applied along the first axis of `xs`.

    Parameters
    ----------
    f : callable
        ``f(carry, x)`` returns the next carry and an output; `x` is ``xs[k]``, leaf by leaf.
    init : array_like, or nested structure of such
        The first carry.
    xs : array_like, or nested structure of such, optional
        All of one length; without it `x` is None and `length` must be given.
    length : int, optional
        How many iterations; must agree with `xs`.
    reverse : bool
        Whether to begin with the last element; outputs stand where their inputs do.
    checkpoint : {None, "auto"}
        Whether what the gradient needs of each iteration is kept within `memory`; what does not
        fit is computed again on the way back. None keeps all of it.
    memory : int, optional
        So many bytes may be kept; 256 MB where `checkpoint` is given alone.

    Returns
    -------
    carry : Tensor, or structure of Tensors like `init`
        The last carry.
    ys : Tensor, or structure of Tensors like the output of `f`
        The outputs stacked along a new first axis.

    Raises
    ------
    ShapeError
        If the leaves of `xs` differ in length, or have no axes.
    ArgumentError
        If there is no length, or a negative one; if `checkpoint` is something else than these, or
        `memory` no positive number.
    TraceError
        If `f` does not return a pair, the carry changes its structure, shapes or dtypes, or `f`
        does what can't be repeated.

    Examples
    --------
    >>> import jitgrad
    >>> jitgrad.scan(lambda total, x: (total + x, total), 0.0, jitgrad.arange(4.0))
    (tensor(6.), tensor([0., 0., 1., 3.]))
    """

    def pair(_: Any, carry: Any, x: Any) -> tuple[Any, Any]:
        result = as_traced(f)(carry, x)
        if not isinstance(result, tuple) or len(result) != 2:
            raise TraceError(
                "scan: the function must return a pair (carry, output)",
                why=f"it returned {type(result).__name__}",
                do="return (carry, ()) if there is no output",
            )
        return result

    with limited_memory(memory_limit("scan", checkpoint, memory)):
        return _loop("scan", pair, init, xs, length=_length(xs, length), reverse=reverse)


def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """Return the outputs of `f` applied to each element along the first axis of `xs`.

    Parameters
    ----------
    f : callable
        ``f(x)`` returns an output; `x` is ``xs[k]``, leaf by leaf.
    xs : array_like, or nested structure of such
        All of one length.

    Returns
    -------
    Tensor, or structure of Tensors like the output of `f`
        The outputs stacked along a new first axis.

    Raises
    ------
    ShapeError
        If the leaves of `xs` differ in length, or have no axes.

    Examples
    --------
    >>> import jitgrad
    >>> jitgrad.map(lambda x: x * x, jitgrad.arange(3.0))
    tensor([0., 1., 4.])
    """
    body: Body = lambda _i, _c, x: ((), as_traced(f)(x))  # noqa: E731 - as short as its description
    return _loop("map", body, (), xs, length=_length(xs, None, "map"))[1]


# -- arguments -------------------------------------------------------------------------------


def _bound(name: str, value: Any) -> int | Tensor:
    if isinstance(value, (int, np.integer)) and not isinstance(value, (bool, Tensor)):
        return int(value)
    if isinstance(value, np.ndarray):
        value = make_tensor(value)
    if isinstance(value, Tensor) and value.dtype.kind in "iu" and not value.shape:
        return value
    given = f"a Tensor {value.spec}" if isinstance(value, Tensor) else type(value).__name__
    raise DtypeError(
        f"fori_loop: {name} is {given}",
        why="a bound of the index is an integer, or a Tensor of one",
    )


def _length(xs: Any, length: int | None, operation: str = "scan") -> int:
    """Return the number of iterations along `xs`."""
    leaves = [] if xs is None else [operand(operation, leaf) for leaf in flatten(xs)[0]]
    names = leaf_names("xs", flatten(xs)[1])
    lengths: dict[str, int] = {}
    for name, leaf in zip(names, leaves, strict=False):
        if not leaf.shape:
            raise ShapeError(f"{operation}: {name} has no axes", why="there is nothing to go along")
        lengths[name] = leaf.shape[0]
    if length is not None:
        lengths["the argument length"] = length
    if not lengths:
        raise ArgumentError(
            f"{operation}: the number of iterations is not known",
            do="pass xs, or length=... where there is nothing to go along",
        )
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {n}" for name, n in lengths.items())
        raise ShapeError(
            f"{operation}: the lengths differ", why=f"{listed}; there is one element each time"
        )
    found = next(iter(lengths.values()))
    if found < 0:
        raise ArgumentError(f"{operation}: length is {found}", why="it must not be negative")
    return found


# -- tracing -----------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Carry:
    """The first carry, leaf by leaf.

    Parameters
    ----------
    given : list
        The leaves as the user gave them.
    tensors : list of Tensor
        The leaves as Tensors of the dtypes that the loop gives them.
    differentiable : list of bool
        Which of them come to require a gradient.
    tree : Tree
        Their structure.
    """

    given: list[Any]
    tensors: list[Tensor]
    differentiable: list[bool]
    tree: Tree

    @staticmethod
    def of(operation: str, init: Any) -> _Carry:
        given, tree = flatten(init)
        tensors = [here(operand(operation, leaf)) for leaf in given]
        return _Carry(given, tensors, [t.requires_grad for t in tensors], tree)

    def adapt(self, traced: Traced) -> bool:
        """Take from one run of the body what the first carry has to be; False if nothing."""
        changed = False
        for number, out in enumerate(traced.outputs[: len(self.tensors)]):
            held = self.tensors[number]
            common = promote_dtypes(held.dtype, out.dtype)
            if common != held.dtype and _is_number(self.given[number]):
                self.tensors[number] = _number_as(self.given[number], common)
                changed = True
            if out.requires_grad and not self.differentiable[number]:
                self.differentiable[number] = changed = True
        return changed

    def check(self, operation: str, traced: Traced) -> None:
        """Raise the user's error where the body returned another kind of carry."""
        returned = traced.tree.children[0]
        if returned != self.tree:
            raise TraceError(
                f"{operation}: the carry changes its structure",
                why=f"it starts as {_shown(self.tree)} and comes back as {_shown(returned)}",
                do="return from the body what it takes",
            )
        for number, name in enumerate(leaf_names("carry", self.tree)):
            before, after = self.tensors[number].spec, traced.outputs[number].spec
            if (before.shape, before.dtype) != (after.shape, after.dtype):
                kind, do = "shape", "let init have the shape that the body returns"
                if before.shape == after.shape:
                    kind = "dtype"
                    do = "let init have that dtype, or convert in the body with .to(...)"
                raise TraceError(
                    f"{operation}: {name} changes its {kind}",
                    why=f"it starts as {before} and comes back as {after}",
                    do=do,
                    where=traced.line_of(number),
                )


def _is_number(leaf: Any) -> bool:
    if isinstance(leaf, Tensor):
        return leaf.spec.weak
    return isinstance(leaf, (bool, int, float))


def _number_as(number: Any, dtype: Any) -> Tensor:
    """Return a Python number as a Tensor of this dtype, not rounded to another one before."""
    if isinstance(number, Tensor):
        from jitgrad.ops.cast import cast

        converted: Tensor = cast(number, dtype=dtype)
        return converted
    return make_tensor(np.asarray(number, dtype))


def _shown(tree: Tree) -> str:
    if tree.kind is None:
        return "a leaf"
    if not tree.children:
        return f"an empty {tree.kind.__name__}"
    named = f" with {', '.join(str(k) for k in tree.keys)}" if tree.keys else ""
    return f"a {tree.kind.__name__} of {len(tree.children)}{named}"


def _loop(
    operation: str,
    body: Body,
    init: Any,
    xs: Any = None,
    *,
    bounds: Sequence[int | Tensor] | None = None,
    condition: Callable[[Any], Any] | None = None,
    length: int = 0,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """Trace a loop, run or record it, and return the last carry and what is stacked."""
    carry = _Carry.of(operation, init)
    leaves, xs_tree = ([], None) if xs is None else flatten(xs)
    sliced = [here(operand(operation, leaf)) for leaf in leaves]
    while True:
        traced = _trace(operation, body, carry, sliced, xs_tree)
        if traced.tree.children[0] != carry.tree or not carry.adapt(traced):
            break
    carry.check(operation, traced)
    traces = [traced.trace]
    stopping = None
    if condition is not None:
        stopping = _trace_condition(operation, condition, carry)
        if take_out_draws([stopping.trace]):
            stopping.trace.refuse("its condition draws random numbers")
        traces.append(stopping.trace)
    closures = merge_closures(traces)
    lower, upper = (0, length) if bounds is None else bounds
    # Of each generator the number of the next draw is carried along, the key is a constant.
    draws = take_out_draws([traced.trace])
    runs = None if condition is not None else how_many(lower, upper)
    tickets = [d.begin(runs) for d in draws]
    count, carried = len(carry.tensors), len(carry.tensors) + len(draws)
    keys = [d.keys[0] for d in draws]
    traced.outputs[count:count] = [d.lasts[0] for d in draws]
    given = traced.trace.inputs
    values = [*given[: 1 + count], *(d.firsts[0] for d in draws), *given[1 + count :], *keys]
    graph = subgraph(traced, values, closures, f"body of {operation}")
    holds: SubGraph | None = None
    if stopping is not None:
        unread = [Value(v.spec) for v in (*keys, *keys)]
        values = [*stopping.trace.inputs, *unread]
        holds = subgraph(stopping, values, closures, f"condition of {operation}")
    loop = Loop(graph, holds, carried, len(sliced), length, reverse)
    firsts = [number for _, number in tickets]
    operands = [
        lower, upper, *carry.tensors, *firsts, *sliced, *(key for key, _ in tickets),
        *closures.values(),
    ]  # fmt: skip
    results, _ = bind_loop(loop, operands, asked_for(operands))
    for d, first, last in zip(draws, firsts, results[count:carried], strict=True):
        d.end(runs, first, last)
    stacked = unflatten(traced.tree.children[1], results[carried:])
    return unflatten(carry.tree, results[:count]), stacked


def _trace(
    operation: str, body: Body, carry: _Carry, sliced: Sequence[Tensor], xs_tree: Tree | None
) -> Traced:
    trace = BodyTrace(operation)
    index = trace.input(Spec((), int64))
    held = zip(carry.tensors, carry.differentiable, strict=True)
    carries = [trace.input(Spec(t.shape, t.dtype), wanted) for t, wanted in held]
    slices = [trace.input(Spec(x.shape[1:], x.dtype), x.requires_grad) for x in sliced]
    x = None if xs_tree is None else unflatten(xs_tree, slices)
    return trace_body(trace, body, (index, unflatten(carry.tree, carries), x))


def _trace_condition(operation: str, condition: Callable[[Any], Any], carry: _Carry) -> Traced:
    trace = BodyTrace(operation)
    carries = [trace.input(Spec(t.shape, t.dtype)) for t in carry.tensors]

    def holds(value: Any) -> Any:
        return predicate(f"{operation}: the condition", as_traced(condition)(value))

    return trace_body(trace, holds, (unflatten(carry.tree, carries),))
