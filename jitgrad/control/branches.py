"""Branches that users write as functions, `cond` and `switch`; and `checkpoint`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from jitgrad.control.bodies import (
    BodyTrace,
    Traced,
    merge_closures,
    runner_of,
    subgraph,
    trace_body,
)
from jitgrad.control.derive import backward_graph
from jitgrad.control.draws import take_out_draws
from jitgrad.control.loop_examples import may_fail
from jitgrad.control.operands import here, leaf_names, operand, predicate
from jitgrad.control.run_loop import own_copies, usual_arrays
from jitgrad.core.bind import active_trace
from jitgrad.core.dtypes import int64, is_floating
from jitgrad.core.errors import ArgumentError, DtypeError, TraceError
from jitgrad.core.primitive import Examples, External, Primitive, Shared, together
from jitgrad.core.spec import Spec
from jitgrad.core.tree import flatten, map_tree, unflatten
from jitgrad.ir.subgraph import SubGraph
from jitgrad.ops.cast import convert
from jitgrad.ops.comparison import eq
from jitgrad.ops.selection import select
from jitgrad.ops.shape import reshape_to
from jitgrad.tensor.modes import modes
from jitgrad.tensor.tensor import Tensor, box_tensor
from jitgrad.trace.user_code import as_traced
from jitgrad.transforms.replay import replay

F = TypeVar("F", bound=Callable[..., Any])


def cond(
    pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any
) -> Any:
    """Return ``true_fn(*operands)`` where `pred` holds, else ``false_fn(*operands)``.

    Parameters
    ----------
    pred : bool, or 0-d Tensor
        What decides.
    true_fn, false_fn : callable
        Both return the same structure, shapes and dtypes. They may use Tensors from outside,
        which get gradients.
    *operands : array_like, or nested structures of such
        What they are called with.

    Returns
    -------
    Tensor, or structure of Tensors
        Only one of the functions is run, forwards and backwards: what the other one would give,
        nan or not, has no influence.

    Raises
    ------
    ShapeError
        If `pred` has several elements.
    TraceError
        If the functions return different kinds of results, inside `jitgrad.compile`.

    Examples
    --------
    >>> import jitgrad
    >>> x = jitgrad.tensor(0.0)
    >>> jitgrad.cond(x > 0, jitgrad.log, jitgrad.zeros_like, x)
    tensor(0.)
    """
    if isinstance(pred, (bool, np.bool_)):
        return _call((false_fn, true_fn)[int(pred)], "cond", operands)
    decided = predicate("cond: the predicate", pred)
    return _branch("cond", decided, ("false_fn", "true_fn"), (false_fn, true_fn), operands)


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """Return what the function of number `index` gives for `operands`.

    Parameters
    ----------
    index : int, or 0-d integer Tensor
        Which one; below 0 the first is meant, beyond the end the last.
    branches : sequence of callable
        All return the same structure, shapes and dtypes. They may use Tensors from outside,
        which get gradients.
    *operands : array_like, or nested structures of such
        What they are called with.

    Returns
    -------
    Tensor, or structure of Tensors
        Only one of the functions is run, forwards and backwards.

    Raises
    ------
    ArgumentError
        If there are no branches.
    DtypeError
        If `index` is no integer.
    TraceError
        If the functions return different kinds of results, inside `jitgrad.compile`.

    Examples
    --------
    >>> import jitgrad
    >>> jitgrad.switch(1, [jitgrad.sin, jitgrad.exp], 0.0)
    tensor(1.)
    """
    if not branches:
        raise ArgumentError("switch: there are no branches")
    last = len(branches) - 1
    if isinstance(index, (int, np.integer)) and not isinstance(index, Tensor):
        return _call(branches[min(max(int(index), 0), last)], "switch", operands)
    chosen: Any = box_tensor(index)
    if chosen.dtype.kind not in "iu" or chosen.shape:
        raise DtypeError(
            f"switch: the index is a Tensor {chosen.spec}",
            why="it must be one integer",
            do="use jitgrad.cond to decide between two functions",
        )
    names = [f"branches[{k}]" for k in range(len(branches))]
    return _branch("switch", chosen.clamp(0, last), names, branches, operands)


def checkpoint(function: F) -> F:
    """Return `function` as one of which backward keeps the arguments alone.

    What else it needs is computed again when the gradient is asked for: less memory for more
    time.

    Parameters
    ----------
    function : callable
        Takes Tensors, arrays and anything else, nested or not; returns Tensors, arrays, numbers
        or nested structures of them. It may use Tensors from outside, which get gradients.

    Returns
    -------
    callable
        Gives the same values and gradients; random numbers that it draws are the same.

    Examples
    --------
    >>> import jitgrad
    >>> @jitgrad.checkpoint
    ... def layer(x):
    ...     return jitgrad.tanh(x * x).sum()
    >>> jitgrad.grad(layer)(jitgrad.ones(2)).shape
    (2,)
    """

    @functools.wraps(function)
    def recomputed(*args: Any, **kwargs: Any) -> Any:
        if not modes.grad:
            return function(*args, **kwargs)
        leaves, tree = flatten((args, kwargs))
        arrays = (Tensor, np.ndarray, np.generic)
        places = [k for k, leaf in enumerate(leaves) if isinstance(leaf, arrays)]

        def called(*operands: Any) -> Any:
            filled = list(leaves)
            for place, given in zip(places, operands, strict=True):
                filled[place] = given
            args, kwargs = unflatten(tree, filled)
            return as_traced(function)(*args, **kwargs)

        return _traced("checkpoint", 0, ("function",), (called,), [leaves[k] for k in places])

    return recomputed  # type: ignore[return-value]


# -- running and recording ---------------------------------------------------------------------


def _call(function: Callable[..., Any], operation: str, operands: Sequence[Any]) -> Any:
    """Call the function that is chosen already."""
    result = function(*map_tree(lambda leaf: operand(operation, leaf), tuple(operands)))
    return map_tree(lambda leaf: operand(operation, leaf), result)


def _branch(
    operation: str,
    index: Tensor,
    names: Sequence[str],
    branches: Sequence[Callable[..., Any]],
    operands: Sequence[Any],
) -> Any:
    if active_trace() is None:
        return _call(branches[int(index.item())], operation, operands)
    return _traced(operation, convert(index, int64), names, branches, operands)


def _traced(
    operation: str,
    index: Any,
    names: Sequence[str],
    branches: Sequence[Callable[..., Any]],
    operands: Sequence[Any],
) -> Any:
    """Trace all branches, then run or record the operation that holds them."""
    leaves, tree = flatten(tuple(operands))
    given = [here(operand(operation, leaf)) for leaf in leaves]
    runs: list[Traced] = []
    for branch in branches:
        trace = BodyTrace(operation)
        inputs = [trace.input(Spec(t.shape, t.dtype), t.requires_grad) for t in given]
        runs.append(trace_body(trace, branch, unflatten(tree, inputs)))
    _check_same(operation, names, runs)
    draws = take_out_draws([run.trace for run in runs])
    tickets = [d.begin(1) for d in draws]
    closures = merge_closures([run.trace for run in runs])
    graphs: list[SubGraph] = []
    for number, (name, run) in enumerate(zip(names, runs, strict=True)):
        numbers = [value for d in draws for value in (d.keys[number], d.firsts[number])]
        run.outputs.extend(d.lasts[number] for d in draws)
        values = [*run.trace.inputs, *numbers]
        graphs.append(subgraph(run, values, closures, f"{name} of {operation}"))
    everything = [*given, *(n for ticket in tickets for n in ticket), *closures.values()]
    found = branch_primitive(index, *everything, branches=tuple(graphs))
    results = found if isinstance(found, tuple) else (found,)
    count = len(results) - len(draws)
    for d, (_, first), last in zip(draws, tickets, results[count:], strict=True):
        d.end(1, first, last)
    return unflatten(runs[0].tree, results[:count])


def _check_same(operation: str, names: Sequence[str], runs: Sequence[Traced]) -> None:
    """Raise the user's error where branches return different kinds of results."""
    first = runs[0]
    for name, run in zip(names[1:], runs[1:], strict=True):
        if run.tree != first.tree:
            raise TraceError(
                f"{operation}: {names[0]} and {name} return different structures",
                why="which one runs is decided later; the result has to be of one kind",
            )
        for number, leaf in enumerate(leaf_names("result", first.tree)):
            a, b = first.outputs[number].spec, run.outputs[number].spec
            if (a.shape, a.dtype) != (b.shape, b.dtype):
                raise TraceError(
                    f"{operation}: {leaf} is {a} of {names[0]} and {b} of {name}",
                    why="which one runs is decided later; the result has to be of one kind",
                    where=run.line_of(number),
                )


def _run(index: Any, *operands: Any, branches: tuple[SubGraph, ...]) -> Any:
    given = usual_arrays(operands)
    return tuple(own_copies(runner_of(branches[int(index)])(*given), given))


def _infer(*specs: Spec, branches: tuple[SubGraph, ...]) -> tuple[Spec, ...]:
    return tuple([Spec(v.spec.shape, v.spec.dtype) for v in branches[0].graph.outputs])


def _backward(ct: Any, xs: Any, wanted: Any, params: Any) -> Sequence[Any]:
    cts = ct if isinstance(ct, tuple) else (ct,)
    branches: tuple[SubGraph, ...] = params["branches"]
    outputs = branches[0].graph.outputs
    places = tuple([k for k, v in enumerate(outputs) if is_floating(v.spec.dtype)])
    wrt = tuple([k - 1 for k in wanted])
    back = tuple([_branch_back(branch, wrt, places) for branch in branches])
    found = branch_primitive(*xs, *[cts[k] for k in places], branches=back)
    return found if isinstance(found, tuple) else (found,)


@functools.lru_cache(maxsize=1024)
def _branch_back(branch: SubGraph, wrt: tuple[int, ...], outputs: tuple[int, ...]) -> SubGraph:
    return SubGraph(backward_graph(branch.graph, wrt, outputs), f"adjoint of {branch.name}")


def _for_examples(
    examples: Examples, index: Any, *operands: Any, branches: tuple[SubGraph, ...]
) -> list[Any] | None:
    flags = examples.batched[1:]
    if examples.batched[0]:
        if any(may_fail(branch.graph) for branch in branches):
            # What an example has not chosen must not raise an error.
            return None
        return _all_for_examples(examples, index, operands, branches)
    found = [examples.of_graph(branch.graph, flags)[1] for branch in branches]
    wanted = [any(column) for column in zip(*found, strict=True)]
    graphs = [examples.of_graph(branch.graph, flags, wanted)[0] for branch in branches]
    named = zip(graphs, branches, strict=True)
    bodies = tuple([SubGraph(graph, f"examples of {branch.name}") for graph, branch in named])
    made = branch_primitive(index, *operands, branches=bodies)
    results = made if isinstance(made, tuple) else (made,)
    return [x if flag else Shared(x) for x, flag in zip(results, wanted, strict=True)]


def _all_for_examples(
    examples: Examples, index: Any, operands: Sequence[Any], branches: Sequence[SubGraph]
) -> list[Any]:
    """Run all branches for all examples, each of which takes what it has chosen."""
    wanted = (True,) * len(examples.outputs)
    chosen: list[Any] = []
    for number, branch in enumerate(branches):
        graph, _ = examples.of_graph(branch.graph, examples.batched[1:], wanted)
        made = replay(graph, operands)
        if chosen:
            mask = eq(index, number)
            made = [
                select(reshape_to(mask, (examples.count, *[1] * spec.ndim)), new, old)
                for new, old, spec in zip(made, chosen, examples.outputs, strict=True)
            ]
        chosen = made
    return chosen


branch_primitive = Primitive(
    "branch",
    ("*xs",),
    eager=_run,
    infer=_infer,
    derivative=together(_backward),
    lowering=External(),
    samples=lambda rng: [],
    doc="Runs one of several graphs.",
    grad_name="BranchBackward",
    batching=_for_examples,
)
