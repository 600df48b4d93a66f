"""Sums over the rows or columns of a product of matrices, as products with sums of the factors."""

from __future__ import annotations

from jitgrad.core.primitive import Accumulation, Contraction, Template
from jitgrad.ir.graph import Graph, GraphBuilder, Literal, Node, Operand, Value
from jitgrad.ir.walk import uses, values_of


def sum_factors(graph: Graph) -> Graph:
    """Sum a factor instead of the product: a matrix times a vector is left of two matrices.

    The adjoint of a row that is added to all rows of a factor is such a sum.

    Before: ``c = matmul a b; d = mul c -1.0; y = sum d axes=(0,)``.
    After: ``r = sum a axes=(0,) keepdims=True; c = matmul r b; d = mul c -1.0; y = sum d ...``.
    """
    made_by = {v: n for n in graph.nodes for v in n.outputs}
    readers = uses(graph)
    returned = set(values_of(graph.outputs))
    dropped: set[Node] = set()
    builder = GraphBuilder()
    for node in graph.nodes:
        chain: list[Node] = []
        operand: Operand = node.inputs[0] if _adds(node) else Literal.of(0)
        while isinstance(operand, Value) and len(readers[operand]) == 1:
            maker = made_by.get(operand)
            if maker is None or operand in returned:
                break
            chain.append(maker)
            if isinstance(maker.primitive.lowering, Contraction):
                break
            operand = _multiplied(maker)
        side = _summed_factor(node, chain[-1]) if chain else None
        if side is None:
            builder.nodes.append(node)
            continue
        dropped.update(chain)
        builder.nodes.append(_of_summed_factor(builder, node, chain, side))
    kept = tuple([node for node in builder.nodes if node not in dropped])
    return Graph(graph.inputs, kept, graph.outputs)


def _adds(node: Node) -> bool:
    lowering = node.primitive.lowering
    return isinstance(lowering, Accumulation) and lowering.adds


def _multiplied(node: Node) -> Operand:
    """Return the input that `node` multiplies by a number, else a number."""
    lowering = node.primitive.lowering
    if isinstance(lowering, Template) and lowering.multiplies:
        for operand, other in (node.inputs, node.inputs[::-1]):
            if isinstance(other, Literal) and operand.spec.dtype == node.outputs[0].dtype:
                return operand
    return Literal.of(0)


def _summed_factor(node: Node, product: Node) -> int | None:
    """Return which factor's rows or columns become sums of the product: 0, 1, or None."""
    if not isinstance(product.primitive.lowering, Contraction):
        return None
    ndim = product.outputs[0].ndim
    for side, axis in ((0, ndim - 2), (1, ndim - 1)):
        factor = product.inputs[side]
        if (
            axis in node.params["axes"]
            and product.outputs[0].shape[axis] != 1
            and isinstance(factor, Value)
            and factor.dtype == product.outputs[0].dtype == node.outputs[0].dtype
        ):
            return side
    return None


def _of_summed_factor(builder: GraphBuilder, node: Node, chain: list[Node], side: int) -> Node:
    """Emit the product of a factor's sums, and what follows; return what sums the rest."""
    *others, product = chain
    factors = list(product.inputs)
    axes = (factors[side].spec.ndim - (2 if side == 0 else 1),)
    (factors[side],) = builder.emit(
        node.primitive, (factors[side],), {"axes": axes, "keepdims": True}, node.location,
        node.adjoint,
    )  # fmt: skip
    inputs = tuple(factors)
    for step in (product, *reversed(others)):
        (value,) = builder.emit(step.primitive, inputs, step.params, step.location, step.adjoint)
        following = node if step is chain[0] else chain[chain.index(step) - 1]
        inputs = tuple([value if o is step.outputs[0] else o for o in following.inputs])
    return Node(node.primitive, inputs, node.params, node.outputs, node.location, node.adjoint)
