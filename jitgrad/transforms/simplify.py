"""Tidying up: dead code, repeated computations, operations that change nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitgrad.core.affine import Affine
from jitgrad.core.dtypes import is_floating
from jitgrad.core.primitive import Alias, Contraction, Fill, IndexMap, Pieces, Template
from jitgrad.core.spec import Count, Spec
from jitgrad.ir.graph import Graph, GraphBuilder, Literal, Node, Operand, Value
from jitgrad.ir.interpret import evaluate_primitive
from jitgrad.ir.walk import needed_nodes, uses, values_of
from jitgrad.transforms.product_sums import sum_factors

Substitution = dict[Value, Operand]


def simplify(graph: Graph, differentiated: bool = True) -> Graph:
    """Return an equivalent graph with less in it.

    Parameters
    ----------
    graph : Graph
        Any graph.
    differentiated : bool
        Whether the adjoint of the result may be taken, so that ``stop_gradient`` must stay.
    """
    if not differentiated:
        graph = put_in_line(graph)
    graph = fold_fills(graph)
    graph = remove_identities(graph, keep_stops=differentiated)
    graph = merge_moves(graph)
    graph = transpose_factors(graph)
    graph = sum_factors(graph)
    graph = merge_moves(graph)
    graph = remove_identities(graph, keep_stops=differentiated)
    graph = merge_repeated(graph)
    return remove_dead(graph)


def put_in_line(graph: Graph) -> Graph:
    """Put graphs in the place of the operations that hold them for the sake of a derivative.

    Before: ``y = user_function x body=graph; ...``, where the graph is ``a = tanh v; return a``.
    After: ``a = tanh x; ...``.
    """
    mapping: Substitution = {}
    nodes: list[Node] = []

    def add(inner: Graph, places: Substitution) -> None:
        for node in inner.nodes:
            inputs = tuple([_mapped(operand, places) for operand in node.inputs])
            if node.primitive.inline:
                body = node.params["body"].graph
                inside = dict(zip(body.inputs, inputs, strict=True))
                add(body, inside)
                found = [_mapped(operand, inside) for operand in body.outputs]
                places.update(zip(node.outputs, found, strict=True))
                continue
            # The same graph may be there twice.
            outputs = node.outputs
            if inner is not graph:
                outputs = tuple([Value(v.spec, v.name) for v in node.outputs])
                places.update(zip(node.outputs, outputs, strict=True))
            nodes.append(
                Node(node.primitive, inputs, node.params, outputs, node.location, node.adjoint)
            )

    if not any(node.primitive.inline for node in graph.nodes):
        return graph
    add(graph, mapping)
    return Graph(graph.inputs, tuple(nodes), tuple([_mapped(o, mapping) for o in graph.outputs]))


def remove_dead(graph: Graph) -> Graph:
    """Drop nodes that no output depends on, and what others do for outputs that nobody reads.

    Before: ``a = mul x x; b = tanh x; return a``. After: ``a = mul x x; return a``.
    """
    nodes = needed_nodes(graph.nodes, graph.outputs)
    read = {*values_of(graph.outputs), *(v for node in nodes for v in node.value_inputs())}
    return Graph(graph.inputs, tuple([_without_unread(n, read) for n in nodes]), graph.outputs)


def _without_unread(node: Node, read: set[Value]) -> Node:
    unread = node.primitive.unread
    if unread is None:
        return node
    params = unread(dict(node.params), tuple([value in read for value in node.outputs]))
    return Node(node.primitive, node.inputs, params, node.outputs, node.location, node.adjoint)


def merge_repeated(graph: Graph) -> Graph:
    """Compute equal nodes once; impure ones are never equal.

    Before: ``a = tanh x; b = tanh x; y = mul a b``. After: ``a = tanh x; y = mul a a``.
    """
    first: dict[Any, Node] = {}

    def merge(node: Node) -> tuple[Operand, ...] | None:
        if node.primitive.impure:
            return None
        params = tuple(sorted((name, _typed(value)) for name, value in node.params.items()))
        key = (node.primitive.name, node.inputs, params)
        held = first.setdefault(key, node)
        if held is node:
            return None
        for kept, dropped in zip(held.outputs, node.outputs, strict=True):
            kept.name = kept.name or dropped.name
        return held.outputs

    return _substitute(graph, merge)


def _typed(value: Any) -> Any:
    # 1, 1.0 and True are equal, and so are 0.0 and -0.0, but they are different parameters.
    return type(value).__name__, repr(value)


def remove_identities(graph: Graph, keep_stops: bool) -> Graph:
    """Replace the output of an operation that changes nothing by its input.

    Before: ``a = mul x 1.0; b = reshape a shape=(3,); c = slice_update z b index=0:3; y = tanh c``
    with ``x, z: f64[3]``. After: ``y = tanh x``.
    """

    def unchanged(node: Node) -> tuple[Operand, ...] | None:
        kept = _neutral(node) or _moves_nothing(node, keep_stops) or _replaces_all(node)
        return None if kept is None else (kept,)

    return _substitute(graph, unchanged)


def _neutral(node: Node) -> Operand | None:
    """Return the input that the output equals because another one is neutral: ``x * 1``."""
    for index, number in node.primitive.neutral.items():
        operand = node.inputs[index]
        if not isinstance(operand, Literal) or operand.number != number:
            continue
        other = node.inputs[1 - index]
        if isinstance(other, Value) and _same(other.spec, node.outputs[0].spec):
            return other
    return None


def _moves_nothing(node: Node, keep_stops: bool) -> Operand | None:
    if len(node.inputs) != 1 or not _same(node.inputs[0].spec, node.outputs[0].spec):
        return None
    operand, lowering = node.inputs[0], node.primitive.lowering
    if isinstance(lowering, Template):
        # Only a cast computes nothing, and its dtype is unchanged here.
        return operand if lowering.text == "{x}" else None
    if not isinstance(lowering, (IndexMap, Alias)):
        return None
    if keep_stops and not node.primitive.differentiable:
        return None
    index = tuple(map(Affine.index, range(operand.spec.ndim)))
    moved = lowering.function(index, operand.spec, **node.params)
    return operand if moved == index else None


def _replaces_all(node: Node) -> Operand | None:
    """Return the input that an operation writes over all that it makes: ``x[:] = y``."""
    lowering, out = node.primitive.lowering, node.outputs[0].spec
    if not isinstance(lowering, Pieces):
        return None
    pieces = lowering.function(*node.specs, **node.params)
    if not pieces or pieces[-1].source is None or pieces[-1].shape != out.shape:
        return None
    operand = node.inputs[pieces[-1].source]
    index = tuple(map(Affine.index, range(out.ndim)))
    is_whole = _same(operand.spec, out) and pieces[-1].place(index) == index
    return operand if is_whole and isinstance(operand, Value) else None


def _same(a: Spec, b: Spec) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.weak == b.weak


def fold_fills(graph: Graph) -> Graph:
    """Let elementwise operations read the number of a fill instead of the filled array.

    What elementwise operations make of fills alone is a fill, too.

    Before: ``one = full value=1 shape=(3,); two = add one one; y = mul x two``.
    After: ``y = mul x 2.0``.
    """
    numbers: dict[Value, Literal] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node.primitive.lowering, Fill):
            numbers[node.outputs[0]] = Literal.of(node.params["value"])
        elif isinstance(node.primitive.lowering, (IndexMap, Alias)) and node.inputs[0] in numbers:
            numbers[node.outputs[0]] = numbers[node.inputs[0]]
        elif isinstance(node.primitive.lowering, Template):
            number = _number_of(node, numbers)
            if number is not None:
                numbers[node.outputs[0]] = number
        nodes.append(_with_numbers(node, numbers))
    return Graph(graph.inputs, tuple(nodes), graph.outputs)


def _number_of(node: Node, numbers: dict[Value, Literal]) -> Literal | None:
    """Return the number that an elementwise operation makes of numbers and fills alone."""
    out = node.outputs[0]
    operands = [numbers.get(o, o) if isinstance(o, Value) else o for o in node.inputs]
    if not is_floating(out.dtype) or any(isinstance(o, Value) for o in operands):
        return None
    arrays = [
        np.asarray(o.number, given.spec.dtype)  # type: ignore[union-attr]
        for o, given in zip(operands, node.inputs, strict=True)
    ]
    (result,) = evaluate_primitive(node.primitive, arrays, node.params)
    number = float(result.astype(out.dtype))
    from_sizes = any(isinstance(o.number, Count) for o in operands)  # type: ignore[union-attr]
    return Literal.of(Count(number) if from_sizes else number)


def _with_numbers(node: Node, numbers: dict[Value, Literal]) -> Node:
    """Return `node` with filled operands replaced by numbers where shape and dtype allow it."""
    if not isinstance(node.primitive.lowering, Template):
        return node
    if not any(operand in numbers for operand in node.inputs):
        return node
    inputs = tuple([numbers.get(o, o) if isinstance(o, Value) else o for o in node.inputs])
    if all(isinstance(operand, Literal) for operand in inputs):
        return node
    inferred = node.primitive.output_specs([o.spec for o in inputs], dict(node.params))
    if not all(_same(a, v.spec) for a, v in zip(inferred, node.outputs, strict=True)):
        return node
    return Node(node.primitive, inputs, node.params, node.outputs, node.location, node.adjoint)


def merge_moves(graph: Graph) -> Graph:
    """Do two operations of a kind at once, where one of them can do what both do.

    Before: ``a = permute x axes=(1,0); b = permute a axes=(1,0); y = tanh b``.
    After: ``a = permute x axes=(1,0); b = permute x axes=(0,1); y = tanh b``.
    """
    made_by: dict[Value, Node] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        inner = made_by.get(node.inputs[0]) if len(node.inputs) == 1 else None  # type: ignore[arg-type]
        merge = node.primitive.merge
        if inner is not None and merge is not None and inner.primitive is node.primitive:
            params = merge(dict(inner.params), dict(node.params))
            node = Node(
                node.primitive, inner.inputs, params, node.outputs, node.location, node.adjoint
            )
        nodes.append(node)
        made_by.update(dict.fromkeys(node.outputs, node))
    return Graph(graph.inputs, tuple(nodes), graph.outputs)


def transpose_factors(graph: Graph) -> Graph:
    """Transpose the factors of a product instead of the product, which BLAS does on the way.

    Before: ``c = matmul a b; d = permute c axes=(1,0); return d``.
    After: ``p = permute b axes=(1,0); q = permute a axes=(1,0); d = matmul p q; return d``.
    """
    made_by = {v: n for n in graph.nodes for v in n.outputs}
    readers = uses(graph)
    returned = set(values_of(graph.outputs))
    dropped: set[Node] = set()
    builder = GraphBuilder()
    for node in graph.nodes:
        product = made_by.get(node.inputs[0]) if len(node.inputs) == 1 else None  # type: ignore[arg-type]
        if product is None or not _swaps_matrix(node, product):
            builder.nodes.append(node)
            continue
        (value,) = product.outputs
        if len(readers[value]) > 1 or value in returned:
            builder.nodes.append(node)
            continue
        dropped.add(product)
        left, right = product.inputs
        (first,) = builder.emit(node.primitive, (right,), node.params, node.location, node.adjoint)
        (second,) = builder.emit(node.primitive, (left,), node.params, node.location, node.adjoint)
        builder.nodes.append(
            Node(
                product.primitive, (first, second), product.params, node.outputs,
                product.location, product.adjoint,
            )
        )  # fmt: skip
    kept = tuple([node for node in builder.nodes if node not in dropped])
    return Graph(graph.inputs, kept, graph.outputs)


def _swaps_matrix(node: Node, product: Node) -> bool:
    """Return whether `node` transposes what `product` makes, a product of two matrices."""
    if not isinstance(product.primitive.lowering, Contraction):
        return False
    return all(operand.spec.ndim == 2 for operand in product.inputs) and swaps_axes(node)


def swaps_axes(node: Node) -> bool:
    """Return whether a node transposes a matrix."""
    lowering = node.primitive.lowering
    if not isinstance(lowering, IndexMap) or len(node.inputs) != 1:
        return False
    spec = node.inputs[0].spec
    if node.outputs[0].ndim != 2 or spec.ndim != 2:
        return False
    rows, columns = Affine.index(0), Affine.index(1)
    return lowering.function((rows, columns), spec, **node.params) == (columns, rows)


def _substitute(graph: Graph, replacement: Callable[[Node], tuple[Operand, ...] | None]) -> Graph:
    """Drop the nodes for which `replacement` gives operands, and use those in their place."""
    mapping: Substitution = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        inputs = tuple([_mapped(operand, mapping) for operand in node.inputs])
        current = (
            node
            if all(a is b for a, b in zip(inputs, node.inputs, strict=True))
            else Node(
                node.primitive, inputs, node.params, node.outputs, node.location, node.adjoint
            )
        )
        found = replacement(current)
        if found is None:
            nodes.append(current)
            continue
        for value, operand in zip(node.outputs, found, strict=True):
            if isinstance(operand, Value):
                operand.name = operand.name or value.name
            mapping[value] = operand
    outputs = tuple([_mapped(operand, mapping) for operand in graph.outputs])
    return Graph(graph.inputs, tuple(nodes), outputs)


def _mapped(operand: Operand, mapping: Substitution) -> Operand:
    return mapping.get(operand, operand) if isinstance(operand, Value) else operand
