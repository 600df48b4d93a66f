"""Functions of one example as functions of many: `vmap`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitgrad.control.batch import run_batched
from jitgrad.control.bodies import BodyTrace, Traced, merge_closures, subgraph, trace_body
from jitgrad.control.draws import Draws, take_out_draws
from jitgrad.control.loop_examples import repeated
from jitgrad.control.operands import here, leaf_names, operand
from jitgrad.core.errors import ArgumentError, ShapeError, TraceError
from jitgrad.core.spec import Spec
from jitgrad.core.tree import LEAF, Tree, flatten, leaf_count, unflatten
from jitgrad.ops.arithmetic import add, mul
from jitgrad.ops.creation import arange
from jitgrad.ops.shape import permute_axes
from jitgrad.tensor.tensor import Tensor
from jitgrad.trace.user_code import as_traced

# The axis of each leaf; None where it is the same for all examples.
Axes = list[int | None]
_ARRAYS = (Tensor, np.ndarray, np.generic)
_RANDOMNESS = ("error", "different", "same")


def vmap(
    function: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    *,
    randomness: str = "error",
) -> Callable[..., Any]:
    """Return a function that does for many examples at once what `function` does for one.

    The function is run once, on Tensors without the axis of examples; what it did is then done for
    all of them by operations on whole arrays. Loops and branches that are decided by the examples
    themselves run until the last one has finished.

    Parameters
    ----------
    function : callable
        Takes and returns Tensors, arrays, numbers, or nested structures of them. It may use
        Tensors from outside, which are the same for all examples and get gradients.
    in_axes : int, None, or nested structure of such
        Along which axis of each positional argument the examples lie; None for what is the same
        for all. A tuple or list has one entry for each argument, an int or None for all leaves of
        it or a structure like it. Keyword arguments are the same for all examples.
    out_axes : int, None, or nested structure of such
        Where the axis goes in each result; None for what must be the same for all examples.
    randomness : {"error", "different", "same"}
        Whether random numbers may be drawn, and whether they differ from example to example.

    Returns
    -------
    callable
        Takes the arguments of `function` with an axis more, returns its results with an axis more,
        as Tensors. It can be differentiated, compiled and mapped once more.

    Raises
    ------
    ArgumentError
        If `in_axes` or `out_axes` do not fit, when called.
    ShapeError
        If an argument has no such axis, or the arguments have different numbers of examples.
    TraceError
        If the function asks for the value of a Tensor, or changes its arguments in place.

    Examples
    --------
    >>> import jitgrad
    >>> def squared_length(x):
    ...     return (x * x).sum()
    >>> points = jitgrad.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> jitgrad.vmap(squared_length)(points)
    tensor([ 5., 25.])
    >>> jitgrad.vmap(jitgrad.grad(squared_length), in_axes=1)(points)
    tensor([[2., 6.],
            [4., 8.]])
    """
    if randomness not in _RANDOMNESS:
        raise ArgumentError(
            f"vmap: randomness is {randomness!r}", why=f"it must be one of {_RANDOMNESS}"
        )

    @functools.wraps(function, updated=())
    def vectorized(*args: Any, **kwargs: Any) -> Any:
        given = _Given.of(args, in_axes)
        trace = BodyTrace("vmap")
        inputs = given.inputs(trace)
        arguments = given.with_examples(inputs)
        raws = [x._raw for x in inputs]
        traced = trace_body(trace, lambda: as_traced(function)(*arguments, **kwargs), ())
        if any(x._raw is not raw for x, raw in zip(inputs, raws, strict=True)):
            raise TraceError(
                "vmap: the function changes an argument in place",
                why="it is given one example, whose memory is not the argument's",
                do="change a copy, x = x.clone(), and return it",
            )
        return _finished(traced, given, out_axes, randomness)

    return vectorized


def _finished(traced: Traced, given: _Given, out_axes: Any, randomness: str) -> Any:
    """Do for all examples what was done for one."""
    trace, count = traced.trace, given.count
    draws = take_out_draws([trace])
    numbers = [_Numbers.of(d, count, randomness) for d in draws]
    closures = merge_closures([trace])
    drawn = [value for d in draws for value in (d.keys[0], d.firsts[0])]
    results = len(traced.outputs)
    traced.outputs.extend(d.lasts[0] for d in draws)
    body = subgraph(traced, [*trace.inputs, *drawn], closures, "vmap")
    arguments = [*given.examples, *(x for n in numbers for x in n.operands), *closures.values()]
    flags = [
        *[True for _ in given.examples],
        *(flag for n in numbers for flag in (False, n.differ)),
        *[False for _ in closures],
    ]
    found = run_batched(body.graph, arguments, flags, count)
    axes = _axes_of("out_axes", out_axes, traced.tree, "result")
    names = leaf_names("result", traced.tree)
    placed = [
        _placed(x, flag, axis, name, operand.spec, count)
        for (x, flag), axis, name, operand in zip(
            found[:results], axes, names, body.graph.outputs, strict=False
        )
    ]
    return unflatten(traced.tree, placed)


@dataclass(frozen=True, slots=True, eq=False)
class _Given:
    """What a mapped function was called with.

    Parameters
    ----------
    leaves : list
        The leaves of the arguments.
    tree : Tree
        Their structure.
    axes : list of int or None
        Where the examples lie in each.
    examples : list of Tensor
        The leaves that have examples, with these along the first axis.
    count : int
        How many there are.
    """

    leaves: list[Any]
    tree: Tree
    axes: Axes
    examples: list[Tensor]
    count: int

    @staticmethod
    def of(args: tuple[Any, ...], in_axes: Any) -> _Given:
        leaves, tree = flatten(args)
        if isinstance(in_axes, list):
            in_axes = tuple(in_axes)
        if isinstance(in_axes, tuple) and len(in_axes) != len(args):
            raise ArgumentError(
                f"vmap: in_axes has {len(in_axes)} entries for {len(args)} arguments",
                why="a tuple has one entry for each positional argument",
            )
        axes = _axes_of("in_axes", in_axes, tree, "args")
        names = [
            name
            for number, child in enumerate(tree.children)
            for name in leaf_names(f"argument {number}", child)
        ]
        examples: list[Tensor] = []
        counts: dict[str, int] = {}
        for number, (leaf, axis, name) in enumerate(zip(leaves, axes, names, strict=True)):
            if axis is None:
                continue
            if not isinstance(leaf, _ARRAYS):
                raise ArgumentError(
                    f"vmap: {name} is a {type(leaf).__name__}, which has no axis {axis}",
                    why="in_axes says that each example has its own",
                    do="let in_axes be None there, if it is the same for all examples",
                )
            x = here(operand("vmap", leaf))
            place = _normalized(axis, x.ndim, name, tuple(x.shape))
            axes[number] = place
            counts[name] = int(x.shape[place])
            examples.append(permute_axes(x, (place, *[a for a in range(x.ndim) if a != place])))
        if not counts:
            raise ArgumentError(
                "vmap: no argument has an axis of examples",
                why="in_axes is None for all of them",
            )
        if len(set(counts.values())) > 1:
            listed = ", ".join([f"{name} has {n}" for name, n in counts.items()])
            raise ShapeError("vmap: the numbers of examples differ", why=listed)
        return _Given(leaves, tree, axes, examples, next(iter(counts.values())))

    def inputs(self, trace: BodyTrace) -> list[Tensor]:
        """Return what stands for one example in the function."""
        return [
            trace.input(Spec(tuple(x.shape[1:]), x.dtype), x.requires_grad) for x in self.examples
        ]

    def with_examples(self, inputs: Sequence[Tensor]) -> Any:
        """Return the arguments of the function."""
        own = iter(inputs)
        pairs = zip(self.leaves, self.axes, strict=True)
        return unflatten(self.tree, [x if axis is None else next(own) for x, axis in pairs])


def _axes_of(what: str, given: Any, tree: Tree, name: str) -> Axes:
    """Return the axis for each leaf of a structure, from a structure that may end earlier."""
    if given is None or (isinstance(given, int) and not isinstance(given, bool)):
        return [given] * leaf_count(tree)
    leaves, found = flatten(given)
    kinds = (tuple, list)
    fits = found != LEAF and len(found.children) == len(tree.children)
    if fits and not (found.kind in kinds and tree.kind in kinds):
        fits = found.kind is tree.kind and found.keys == tree.keys
    if not fits:
        raise ArgumentError(
            f"vmap: {what} has {given!r} for {name}",
            why="it must be an int, None, or have the structure of what it belongs to",
        )
    axes: Axes = []
    start = 0
    names = tree.keys or range(len(tree.children))
    for key, child, part in zip(names, tree.children, found.children, strict=True):
        size = leaf_count(part)
        inner = unflatten(part, leaves[start : start + size])
        axes += _axes_of(what, inner, child, f"{name}[{key!r}]")
        start += size
    return axes


def _normalized(axis: int, ndim: int, name: str, shape: tuple[int, ...]) -> int:
    if not -ndim <= axis < ndim:
        raise ShapeError(
            f"vmap: {name} of shape {shape} has no axis {axis}",
            why="in_axes says that the examples lie along it",
        )
    return axis % ndim


def _placed(x: Any, flag: bool, axis: int | None, name: str, spec: Spec, count: int) -> Any:
    """Return a result with the axis of examples where it is to be."""
    if axis is None:
        if flag:
            raise ArgumentError(
                f"vmap: {name} differs from example to example",
                why="out_axes is None there, which says that it is the same for all",
            )
        return operand("vmap", x)
    x = x if flag else repeated(x, spec, count)
    place = axis + x.ndim if axis < 0 else axis
    if not 0 <= place < x.ndim:
        raise ShapeError(
            f"vmap: {name} has {x.ndim} axes, examples included, and so no axis {axis}",
            why="out_axes says that the examples go there",
        )
    return permute_axes(x, (*range(1, place + 1), 0, *range(place + 1, x.ndim)))


@dataclass(frozen=True, slots=True, eq=False)
class _Numbers:
    """The random numbers of all examples from one generator.

    Parameters
    ----------
    operands : tuple of Tensor
        Its key, and the number of the first draw.
    differ : bool
        Whether the latter is another one for each example.
    """

    operands: tuple[Any, Any]
    differ: bool

    @staticmethod
    def of(draws: Draws, count: int, randomness: str) -> _Numbers:
        if randomness == "error":
            raise ArgumentError(
                "vmap: the function draws random numbers",
                why="they could be the same for all examples, or not",
                do="pass randomness='different' or randomness='same'",
            )
        if draws.each is None:
            raise TraceError("vmap: how many random numbers are drawn depends on values")
        if randomness == "same":
            return _Numbers(draws.begin(1), False)
        key, first = draws.begin(count)
        return _Numbers((key, add(first, mul(arange(count), draws.each))), True)
