"""A graph as a function of Tensors: compiled forward, compiled adjoint, one node on the tape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitgrad.core.bind import active_trace
from jitgrad.core.errors import GradientError
from jitgrad.ir.graph import Graph, Literal, Value
from jitgrad.ir.walk import active_values
from jitgrad.runtime.program import USUAL_LAYOUT, Program, layout_of, make_program
from jitgrad.tensor.modes import modes
from jitgrad.tensor.tape import Edge, TapeNode, next_number
from jitgrad.tensor.tensor import Tensor, connected_tensor, make_tensor
from jitgrad.transforms.adjoint import adjoint
from jitgrad.transforms.replay import replay
from jitgrad.transforms.residuals import Split, split
from jitgrad.transforms.simplify import simplify

# From a graph, the layouts of its inputs and a title to a program.
MakeProgram = Callable[..., Program]


class GraphFunction:
    """A graph that runs compiled, forwards and backwards.

    Parameters
    ----------
    graph : Graph
        The function; simplified here.
    title : str
        The user's function and where it stands, for reports and generated files.
    make : callable
        `make_program`, or what takes its place.
    given : sequence of Value
        Inputs whose memory results may be written to, where no derivative is asked for.
    """

    def __init__(
        self,
        graph: Graph,
        title: str,
        make: MakeProgram = make_program,
        given: Sequence[Value] = (),
    ) -> None:
        self.graph = simplify(graph)
        self.given = given
        self.title = title
        self.make = make
        self._plain = simplify(graph, differentiated=False)
        self._forward: dict[tuple[int, ...], Program] = {}
        self._derivatives: dict[tuple[int, ...], Derivative] = {}

    def forward_programs(self, wrt: tuple[int, ...]) -> list[Program]:
        """Return what computes the outputs, ready for gradients by the inputs numbered `wrt`."""
        if wrt and self.derivative(wrt).outputs:
            return self.derivative(wrt).forward_programs()
        if not self._forward:
            self.forward_program(_usual_layouts(self.graph.inputs))
        return list(self._forward.values())

    def adjoint_programs(self, wrt: tuple[int, ...]) -> list[Program]:
        """Return what computes gradients by the inputs numbered `wrt`."""
        if wrt and self.derivative(wrt).outputs:
            return self.derivative(wrt).adjoint_programs()
        return []

    def all_programs(self) -> list[Program]:
        """Return every program made so far."""
        found = list(self._forward.values())
        for derivative in self._derivatives.values():
            found.extend(derivative.all_programs())
        return found

    def kept_bytes(self) -> int:
        """Return how much is kept between forward and backward runs, for the largest case."""
        return max((d.split.kept_bytes for d in self._derivatives.values() if d.outputs), default=0)

    def forward_program(self, layouts: tuple[int, ...]) -> Program:
        """Return the program that computes the outputs alone."""
        program = self._forward.get(layouts)
        if program is None:
            program = self._forward[layouts] = self.make(
                self._plain, layouts, self.title, self.given
            )
        return program

    def derivative(self, wrt: tuple[int, ...]) -> Derivative:
        """Return the function's derivative with respect to the inputs of these numbers."""
        derivative = self._derivatives.get(wrt)
        if derivative is None:
            derivative = self._derivatives[wrt] = Derivative(self.graph, wrt, self.title, self.make)
        return derivative

    def apply(self, arguments: Sequence[Any]) -> list[Any]:
        """Return the outputs on Tensors (Python numbers for weak inputs).

        Parameters
        ----------
        arguments : sequence of Tensor or number
            The inputs, of the graph's shapes and dtypes.

        Returns
        -------
        list of Tensor or number
            The outputs; with one node on the tape if a gradient may be asked for.
        """
        raws = [a._raw if isinstance(a, Tensor) else a for a in arguments]
        layouts = tuple(map(layout_of, raws))
        if modes.grad:
            wrt = tuple(
                [k for k, a in enumerate(arguments) if isinstance(a, Tensor) and a._requires_grad]
            )
            if wrt:
                derivative = self.derivative(wrt)
                if derivative.outputs:
                    return derivative.apply(arguments, raws, layouts)
        results = self.forward_program(layouts).run(*raws)
        return list(map(_boxed, results, self.graph.outputs))

    def apply_into(self, arguments: Sequence[Any], into: list[Any]) -> list[Any] | None:
        """Return the outputs, in the arrays of `into` where these are not None.

        None if the program can't do that, has an error, or a gradient may be asked for. Arguments
        are those of `apply`.
        """
        tensors = [a for a in arguments if isinstance(a, Tensor)]
        if modes.grad and any(tensor._requires_grad for tensor in tensors):
            return None
        raws = [a._raw if isinstance(a, Tensor) else a for a in arguments]
        run = self.forward_program(tuple(map(layout_of, raws))).make_into()
        if run is None:
            return None
        try:
            results = run(into, *raws)
        except Exception:  # the usual way tells what it is
            return None
        return list(map(_boxed, results, self.graph.outputs))


def _usual_layouts(inputs: Sequence[Value]) -> tuple[int, ...]:
    """Return the layouts of fresh arrays."""
    return tuple([-1 if v.spec.weak else USUAL_LAYOUT for v in inputs])


def _boxed(raw: Any, operand: Any) -> Any:
    if isinstance(operand, Literal):
        return raw
    if operand.spec.weak:
        return raw.item() if isinstance(raw, np.ndarray) else raw
    return make_tensor(raw)


def _copied(thing: Any) -> Any:
    return thing.owned_copy() if isinstance(thing, Tensor) else thing.copy()


class Derivative:
    """The derivative of a graph with respect to some of its inputs.

    Parameters
    ----------
    graph : Graph
        The function.
    wrt : tuple of int
        Numbers of the inputs.
    title, make
        As of `GraphFunction`.
    """

    def __init__(
        self, graph: Graph, wrt: tuple[int, ...], title: str, make: MakeProgram = make_program
    ) -> None:
        self.graph = graph
        self.title = title
        self.make = make
        inputs = [graph.inputs[k] for k in wrt]
        active = active_values(graph.nodes, inputs)
        # An output that is an input itself, or a repeated one, still gets its own cotangent.
        self.outputs = tuple(
            k for k, v in enumerate(graph.outputs) if isinstance(v, Value) and v in active
        )
        self.wrt = wrt
        self._split: Split | None = None
        self._forward: dict[tuple[int, ...], Program] = {}
        self._backward: dict[tuple[int, ...], Program] = {}
        self._gradient: GraphFunction | None = None
        self._reach: tuple[int, ...] | None = None
        self.out_specs = tuple([graph.outputs[k].spec for k in self.outputs])
        if self.outputs:
            self._derive()

    def _derive(self) -> None:
        graph = self.graph
        outputs = [graph.outputs[k] for k in self.outputs]
        joint = adjoint(graph, [graph.inputs[k] for k in self.wrt], outputs)  # type: ignore[arg-type]
        whole = Graph(
            (*graph.inputs, *joint.cotangents),
            joint.nodes,
            (*graph.outputs, *(g for g in joint.gradients if g is not None)),
        )
        self.has_gradient = tuple(g is not None for g in joint.gradients)
        tidy = simplify(whole, differentiated=False)
        count = len(graph.outputs)
        gradients = iter(tidy.outputs[count:])
        joint = type(joint)(
            Graph(graph.inputs, graph.nodes, tidy.outputs[:count]),
            tidy.nodes,
            joint.cotangents,
            tuple([next(gradients) if has else None for has in self.has_gradient]),  # type: ignore[misc]
        )
        self._split = split(joint)
        # Kept with stop_gradient, so that it can be differentiated again.
        self._gradient_graph = Graph(whole.inputs, whole.nodes, whole.outputs[count:])

    @property
    def split(self) -> Split:
        """The forward and backward graphs."""
        assert self._split is not None
        return self._split

    def forward_programs(self) -> list[Program]:
        """Return the forward programs, one made if there is none."""
        if not self._forward:
            self.forward_program(_usual_layouts(self.graph.inputs))
        return list(self._forward.values())

    def adjoint_programs(self) -> list[Program]:
        """Return the backward programs, one made if there is none."""
        if not self._backward:
            self.backward_program(_usual_layouts(self.split.backward.inputs))
        return list(self._backward.values())

    def all_programs(self) -> list[Program]:
        """Return every program made so far."""
        own = [*self._forward.values(), *self._backward.values()]
        return own if self._gradient is None else [*own, *self._gradient.all_programs()]

    def forward_program(self, layouts: tuple[int, ...]) -> Program:
        """Return the program from inputs to outputs and what is kept."""
        program = self._forward.get(layouts)
        if program is None:
            program = self.make(self.split.forward, layouts, f"{self.title} forward")
            self._forward[layouts] = program
        return program

    def backward_program(self, layouts: tuple[int, ...]) -> Program:
        """Return the program from what is saved and cotangents to gradients."""
        program = self._backward.get(layouts)
        if program is None:
            program = self.make(self.split.backward, layouts, f"{self.title} adjoint")
            self._backward[layouts] = program
        return program

    def outputs_by_input(self) -> tuple[int, ...]:
        """Return, for each input of `wrt`, the outputs that depend on it, as bits of an int."""
        if self._reach is None:
            outputs = [self.graph.outputs[k] for k in self.outputs]
            reached = [active_values(self.graph.nodes, [self.graph.inputs[k]]) for k in self.wrt]
            self._reach = tuple(
                [sum([1 << slot for slot, v in enumerate(outputs) if v in r]) for r in reached]
            )
        return self._reach

    def gradient_function(self) -> GraphFunction:
        """Return the function from inputs and cotangents to gradients, differentiable again."""
        if self._gradient is None:
            self._gradient = GraphFunction(
                self._gradient_graph, f"{self.title} gradient", self.make
            )
        return self._gradient

    def apply(
        self, arguments: Sequence[Any], raws: list[Any], layouts: tuple[int, ...]
    ) -> list[Any]:
        """Run forward, keeping what the adjoint needs; see `GraphFunction.apply`."""
        results = self.forward_program(layouts).run(*raws)
        count = len(self.graph.outputs)
        outputs = list(map(_boxed, results[:count], self.graph.outputs))
        node = ProgramNode(
            self,
            arguments,
            tuple([arguments[k]._edge() for k in self.wrt]),
            results[count:],
            [a._storage.version if isinstance(a, Tensor) else 0 for a in arguments],
        )
        for slot, k in enumerate(self.outputs):
            output = outputs[k]
            output._requires_grad = True
            output._node = node
            output._slot = slot
        return outputs

    def run_backward(self, arguments: list[Any]) -> tuple[Any, ...]:
        """Return the gradients, as arrays, from the arrays of `Split.saved` and cotangents."""
        layouts = tuple(map(layout_of, arguments))
        return self.backward_program(layouts).run(*arguments)


class ProgramNode(TapeNode):
    """The tape's node of a compiled function.

    Parameters
    ----------
    derivative : Derivative
        What ran.
    arguments : sequence of Tensor, array or number
        What it ran on.
    edges : tuple
        Where the cotangents of `Derivative.wrt` go; see `TapeNode`.
    kept : sequence of array
        What the forward run returned for the adjoint.
    versions : list of int
        The state of each argument; 0 for what is no Tensor.
    into_leaves : callable, optional
        For a function of one number and leaves: given this node, carries the gradient into the
        leaves without any detour; False if that is not possible.
    """

    __slots__ = ("arguments", "derivative", "freed", "into_leaves", "kept", "used", "versions")

    # Which outputs got a cotangent has to be seen; what got none becomes zeros here.
    materialize = False

    def __init__(
        self,
        derivative: Derivative,
        arguments: Sequence[Any],
        edges: Sequence[Edge | None],
        kept: Sequence[Any],
        versions: list[int],
        into_leaves: Callable[[ProgramNode], bool] | None = None,
    ) -> None:
        # Set here rather than by the base class: this is the price of every compiled call.
        self.name_ = "CompiledFunctionBackward"
        self.edges = edges
        self.out_specs = derivative.out_specs
        self.hooks = None
        self.number = next_number()
        self.derivative = derivative
        self.arguments = arguments
        self.versions = versions
        self.kept = kept
        self.into_leaves = into_leaves
        self.freed = False
        self.used = 0

    def input_cotangents(self, cts: list[Any], keep: bool) -> Sequence[Any]:
        """Return the gradients that the compiled adjoint computes; see `TapeNode`."""
        arrived = sum([1 << slot for slot, ct in enumerate(cts) if ct is not None])
        if self.freed or self.used & arrived:
            raise GradientError(
                "backward: the graph was freed by an earlier backward",
                why="the values that the compiled function had saved are gone",
                do="pass retain_graph=True to the earlier call, or compute the output again",
            )
        given = cts
        cts = [
            Tensor.zeros_of(spec) if ct is None else ct
            for ct, spec in zip(given, self.out_specs, strict=True)
        ]
        if modes.grad or active_trace() is not None:
            gradients = self._differentiable_gradients(cts)
        else:
            gradients = self._compiled_gradients(cts)
        if not keep:
            # Results that were recorded one by one would not need one another either.
            self.used |= arrived
            if self.used == (1 << len(cts)) - 1:
                self.free()
        results = iter(gradients)
        found = [next(results) if has else None for has in self.derivative.has_gradient]
        if any(ct is None for ct in given):
            # What only other outputs depend on gets no gradient, rather than zeros.
            reach = self.derivative.outputs_by_input()
            found = [
                gradient if slots & arrived else None
                for gradient, slots in zip(found, reach, strict=True)
            ]
        return found

    def free(self) -> None:
        """Let go of what was kept; backward can't run again."""
        self.freed = True
        self.arguments, self.kept, self.into_leaves = (), (), None

    def keep_copy(self, number: int) -> None:
        """Keep a copy of an argument, which is about to be changed by the function itself."""
        kept = list(self.arguments)
        kept[number] = _copied(kept[number])
        self.arguments = kept
        self.versions[number] = 0

    def _check_unchanged(self, number: int) -> None:
        argument, version = self.arguments[number], self.versions[number]
        if isinstance(argument, Tensor) and argument._storage.version != version:
            raise GradientError(
                "backward: a value needed for the gradient was changed in place",
                why=f"argument {number} of the compiled function, of shape"
                f" {tuple(argument.shape)}, was at version {version} when it ran and is at"
                f" version {argument._storage.version} now",
                do="use an out-of-place operation (x = x + 1), or change a copy: x.clone()",
            )

    def _compiled_gradients(self, cts: list[Any]) -> list[Any]:
        plan = self.derivative.split
        number = {v: k for k, v in enumerate(self.derivative.graph.inputs)}
        kept = iter(self.kept)
        values: list[Any] = []
        for value in plan.saved:
            if value in number:
                self._check_unchanged(number[value])
                argument = self.arguments[number[value]]
                values.append(argument._raw if isinstance(argument, Tensor) else argument)
            else:
                values.append(next(kept))
        values.extend(ct._raw for ct in cts)
        return [make_tensor(raw) for raw in self.derivative.run_backward(values)]

    def _differentiable_gradients(self, cts: list[Any]) -> list[Any]:
        """Return the gradients by a computation that is itself recorded."""
        edge_of = dict(zip(self.derivative.wrt, self.edges, strict=True))
        arguments: list[Any] = []
        for k, argument in enumerate(self.arguments):
            self._check_unchanged(k)
            if isinstance(argument, Tensor):
                edge = edge_of.get(k)
                argument = connected_tensor(argument._raw, edge, argument._storage)
            elif isinstance(argument, np.ndarray):
                argument = make_tensor(argument)
            arguments.append(argument)
        function = self.derivative.gradient_function()
        if active_trace() is not None:
            return replay(function.graph, [*arguments, *cts])
        return function.apply([*arguments, *cts])
