"""Finds the operation from which a nan or an infinity comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitgrad.core.dtypes import is_floating
from jitgrad.core.errors import GradientError
from jitgrad.core.location import Location
from jitgrad.core.spec import Spec
from jitgrad.diagnostics.path import Path, trace_path
from jitgrad.ir.graph import Graph, Literal, Node, Operand, Value
from jitgrad.ir.interpret import read_operand, run_nodes
from jitgrad.ir.printer import value_names
from jitgrad.ir.walk import active_values
from jitgrad.ops.generators import generator_state, set_generator_state
from jitgrad.tensor.tensor import Tensor
from jitgrad.transforms.adjoint import adjoint

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class ValueRange:
    """What the elements of a value are like.

    Parameters
    ----------
    name : str
        The user's name for it, or one made up; a number's text for a number.
    spec : Spec
        Shape and dtype.
    low, high : float
        The least and greatest finite element; nan if there is none.
    nans, infinities : int
        How many elements are not finite.
    """

    name: str
    spec: Spec
    low: float
    high: float
    nans: int
    infinities: int

    def __str__(self) -> str:
        parts = []
        if self.low == self.high:
            parts.append(f"{self.low:.6g}")
        elif self.low < self.high:
            parts.append(f"{self.low:.6g} to {self.high:.6g}")
        parts += [f"{self.nans} nan"] if self.nans else []
        parts += [f"{self.infinities} infinite"] if self.infinities else []
        return f"{self.name}: {self.spec}  {', '.join(parts) or 'no elements'}"


@dataclass(frozen=True, slots=True)
class NonfiniteReport:
    """Where the first nan or infinity comes from; print it.

    Parameters
    ----------
    operation : str
        Name of the operation; ``"argument"`` if what the function was given holds it already.
    location : Location, optional
        The user's line.
    in_gradient : bool
        Whether it is part of the derivative of that line, not of the line itself.
    outputs : tuple of ValueRange
        What the operation makes.
    inputs : tuple of ValueRange
        What it makes that of.
    reaches_result : bool
        Whether a result that is not finite depends on it.
    """

    operation: str
    location: Location | None
    in_gradient: bool
    outputs: tuple[ValueRange, ...]
    inputs: tuple[ValueRange, ...]
    reaches_result: bool

    def __str__(self) -> str:
        made = "a nan" if any(out.nans for out in self.outputs) else "an infinity"
        if self.operation == "argument":
            lines = [f"what the function is given holds {made}"]
        else:
            of = " in a derivative" if self.in_gradient else ""
            lines = [f"{self.operation}{of} makes {made}"]
        if self.location is not None:
            lines.append(f"  where: {self.location.describe()}")
        lines += [f"  in:    {value}" for value in self.inputs]
        lines += [f"  out:   {value}" for value in self.outputs]
        if not self.reaches_result:
            lines.append("  no result is spoilt by it")
        return "\n".join(lines)


def first_nonfinite(
    function: Callable[..., Any], *args: Any, gradient: bool = False, **kwargs: Any
) -> NonfiniteReport | None:
    """Return which operation makes the first nan or infinity when `function` is called.

    The call is traced and its operations run one after the other in NumPy; nothing is compiled,
    and arguments and ``.grad`` stay as they are. Operations from which a result that is not finite
    comes are preferred to others. An infinity that is written down (``full(3, -inf)``) or given
    is taken as meant, until a nan is made of it.

    Parameters
    ----------
    function : callable
        Plain or compiled.
    *args, **kwargs
        Arguments as for a call.
    gradient : bool
        Whether to look at the gradient, too: of the sum of the results by all that requires a
        gradient, or by every floating input if nothing does.

    Returns
    -------
    NonfiniteReport or None
        None if everything is finite.

    Raises
    ------
    ArgumentError
        If the function can't be captured.
    GradientError
        If there is no gradient to look at.

    Examples
    --------
    >>> import jitgrad, numpy
    >>> report = jitgrad.first_nonfinite(lambda x: jitgrad.log(x).sum(), numpy.array([1.0, 0.0]))
    >>> report.operation, str(report.inputs[0])
    ('log', 'x: f64[2]  0 to 1')
    """
    path = trace_path(function, args, kwargs)
    environment = {
        value: thing._raw if isinstance(thing, Tensor) else thing
        for value, thing in path.inputs.items()
    }
    nodes: Sequence[Node] = path.nodes
    results = path.results
    if gradient:
        nodes, found = _with_gradient(path, environment)
        results = [*results, *found]
    search = _Search(Graph(tuple(environment), tuple(nodes), tuple(results)), environment)
    # What is drawn here is drawn again by the call that the user makes.
    state = generator_state()
    try:
        search.run()
    finally:
        set_generator_state(state)
    return search.report()


def _with_gradient(path: Path, environment: dict[Value, Any]) -> tuple[Sequence[Node], list[Value]]:
    """Return the nodes with those of the adjoint, and the gradients; gives cotangents values."""
    floating = [v for v in path.tree.inputs if is_floating(v.dtype)]
    wrt = [v for v in floating if v in path.tree.differentiable] or floating
    active = active_values(path.nodes, wrt)
    outputs = [v for v in path.results if v in active]
    if not outputs:
        raise GradientError(
            f"first_nonfinite: {path.title} has no gradient",
            why="no floating result depends on a floating input",
            do="leave out gradient=True",
        )
    inputs = tuple(path.tree.inputs)
    joint = adjoint(Graph(inputs, tuple(path.nodes), tuple(outputs)), wrt, outputs)
    environment.update({v: np.ones(v.shape, v.dtype) for v in joint.cotangents})
    return joint.nodes, [g for g in joint.gradients if g is not None]


class _Search:
    """Runs a graph and keeps, for each value that is not finite, which node that comes from."""

    def __init__(self, graph: Graph, environment: dict[Value, Any]) -> None:
        self.graph = graph
        self.environment = environment
        self.number = {id(node): k for k, node in enumerate(graph.nodes)}
        self.origins: dict[Value, Node] = {}
        self.first: Node | None = None

    def run(self) -> None:
        for node in self.graph.nodes:
            run_nodes([node], self.environment)
            spoilt = [v for v in node.outputs if not _is_finite(self.environment[v])]
            if not spoilt:
                continue
            before = [self.origins[v] for v in node.value_inputs() if v in self.origins]
            if before:
                origin = min(before, key=lambda n: self.number[id(n)])
            elif self._makes_it(node, spoilt):
                origin = node
                self.first = self.first or node
            else:
                continue
            self.origins.update(dict.fromkeys(spoilt, origin))

    def _makes_it(self, node: Node, spoilt: list[Value]) -> bool:
        """Return whether a nan comes of no nan, or an infinity of finite values alone."""
        given = [read_operand(operand, self.environment) for operand in node.inputs]
        given += [p for p in node.params.values() if isinstance(p, float)]
        if any(_has_nan(self.environment[v]) for v in spoilt):
            return not any(map(_has_nan, given))
        return all(map(_is_finite, given))

    def report(self) -> NonfiniteReport | None:
        results = [v for v in self.graph.outputs if isinstance(v, Value)]
        culprits = [self.origins[v] for v in results if v in self.origins]
        if culprits:
            return self._of_node(min(culprits, key=lambda n: self.number[id(n)]), True)
        if not all(_is_finite(self.environment[v]) for v in results):
            given = [v for v in self.graph.inputs if not _is_finite(self.environment[v])]
            if given:
                ranges = self._ranges(given)
                return NonfiniteReport("argument", None, False, ranges, (), True)
        return None if self.first is None else self._of_node(self.first, False)

    def _of_node(self, node: Node, reaches: bool) -> NonfiniteReport:
        return NonfiniteReport(
            node.primitive.name,
            node.location,
            node.adjoint,
            self._ranges(node.outputs),
            self._ranges(node.inputs),
            reaches,
        )

    def _ranges(self, operands: Iterable[Operand]) -> tuple[ValueRange, ...]:
        names = value_names(self.graph)
        return tuple([_range_of(operand, names, self.environment) for operand in operands])


def _range_of(
    operand: Operand, names: Mapping[Value, str], environment: Mapping[Value, Any]
) -> ValueRange:
    name = operand.sign if isinstance(operand, Literal) else names[operand]
    array = np.asarray(read_operand(operand, environment))
    finite = array[np.isfinite(array)]
    return ValueRange(
        name,
        operand.spec,
        float(finite.min()) if finite.size else float("nan"),
        float(finite.max()) if finite.size else float("nan"),
        int(np.isnan(array).sum()),
        int(np.isinf(array).sum()),
    )


def _is_finite(raw: Any) -> bool:
    return bool(np.isfinite(raw).all())


def _has_nan(raw: Any) -> bool:
    return bool(np.isnan(raw).any())
