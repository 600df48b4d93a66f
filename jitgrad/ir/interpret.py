"""The reference interpreter: runs any graph with the operations' NumPy implementations.

It is the oracle that compiled code is tested against, and what runs where no kernel can be built.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jitgrad.core.errors import ShapeError
from jitgrad.core.extents import Extent, with_sizes
from jitgrad.core.primitive import Primitive
from jitgrad.core.spec import Spec
from jitgrad.ir.graph import Graph, Literal, Node, Operand, Value

Array = np.ndarray[Any, Any]


def evaluate_primitive(
    primitive: Primitive, arrays: Sequence[Any], params: Mapping[str, Any]
) -> tuple[Array, ...]:
    """Return the outputs of an operation on arrays and Python numbers, as arrays.

    Where NumPy refuses the inputs, the operation's own check raises the error that the user sees.
    """
    try:
        result = _quietly(primitive, arrays, params)
    except Exception:
        primitive.output_specs([spec_of(array) for array in arrays], dict(params))
        raise
    if isinstance(result, tuple):
        return tuple([np.asarray(item) for item in result])
    return (result if type(result) is np.ndarray else np.asarray(result),)


# As a decorator it takes half the time that a with statement takes.
@np.errstate(all="ignore")
def _quietly(primitive: Primitive, arrays: Sequence[Any], params: Mapping[str, Any]) -> Any:
    return primitive.eager(*arrays, **params)


def spec_of(raw: Any) -> Spec:
    """Return the spec of an array, a graph value or a Python number."""
    if isinstance(raw, Value):
        return raw.spec
    if isinstance(raw, np.ndarray):
        return Spec(raw.shape, raw.dtype)
    return Literal.of(raw).spec


def run_nodes(nodes: Iterable[Node], environment: dict[Value, Any]) -> None:
    """Run `nodes` in order, reading values from `environment` and adding what they compute."""
    for node in nodes:
        arrays = [read_operand(operand, environment) for operand in node.inputs]
        params = node.params
        if node.sizes():
            params = {name: with_sizes(item, environment) for name, item in params.items()}
        outputs = evaluate_primitive(node.primitive, arrays, params)
        for value, output in zip(node.outputs, outputs, strict=True):
            if output.shape != value.shape:
                _check_shape(node, value, output, environment)
            # What comes of Python numbers alone stays one, as promotion depends on it.
            environment[value] = output.item() if value.spec.weak else output


def _check_shape(node: Node, value: Value, output: Array, environment: Mapping[Value, Any]) -> None:
    """Check sizes that could not be compared before: NumPy broadcasts where one of them is 1."""
    for found, size in zip(output.shape, value.shape, strict=True):
        known = environment.get(size.value) if isinstance(size, Extent) else size
        if known is not None and known != found:
            shapes = " and ".join(str(o.spec.shape) for o in node.inputs)
            raise ShapeError(
                f"{node.primitive.name}: shapes {shapes} do not fit",
                why=f"in the result an axis has size {found} in place of {known}",
                do="slices whose bounds depend on a loop must have equal sizes",
                where=node.location,
            )


def read_operand(operand: Operand, environment: Mapping[Value, Any]) -> Any:
    """Return the array or number that an operand stands for."""
    return operand.number if isinstance(operand, Literal) else environment[operand]


def interpret(graph: Graph, arguments: Sequence[Any]) -> tuple[Any, ...]:
    """Return the outputs of `graph` on these arrays (Python numbers for weak inputs)."""
    environment = dict(zip(graph.inputs, arguments, strict=True))
    run_nodes(graph.nodes, environment)
    return tuple([read_operand(operand, environment) for operand in graph.outputs])
