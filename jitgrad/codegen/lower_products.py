"""From products of matrices to calls of BLAS, on arrays as they lie in memory, or to loops."""

from __future__ import annotations

from jitgrad.codegen.lowered import Steps
from jitgrad.codegen.nests import Element, Extent, Matrix, MatrixProduct, Read, Statement
from jitgrad.core.affine import Affine
from jitgrad.core.dtypes import is_floating
from jitgrad.core.primitive import Accumulation, IndexMap, Template
from jitgrad.ir.graph import Node, Operand, Value

# Up to this many multiplications a matrix product is loops that fuse with what surrounds them;
# beyond it a BLAS call is faster though it fuses with nothing.
LOOP_PRODUCT_LIMIT = 2048

PRODUCT = Template("{x} * {y}", boolean="{x} and {y}")


class ProductLowering(Steps):
    """Lowers products of matrices."""

    def add_contraction(self, node: Node) -> None:
        """Add a product, as loops where they are no slower than BLAS."""
        left, right = node.inputs
        out = node.outputs[0]
        sizes = (*left.spec.shape[-2:], right.spec.shape[-1])
        multiplications = left.spec.size * right.spec.shape[-1]
        # A matrix times a vector reads each element once, the product of two vectors writes each
        # once: BLAS can't do it faster.
        by_loops = multiplications <= LOOP_PRODUCT_LIMIT or 1 in sizes
        if by_loops or not is_floating(out.dtype):
            self.add_loop_product(node)
            return
        result = self.product_place(node)
        first, second = (self.matrix(operand, out) for operand in (left, right))
        axes = [Extent(size) for size in out.shape[:-2] if size != 1]
        self.unite_product_extents(result, first, second)
        product = MatrixProduct(node, axes, result, first, second)
        self.unite_stack(product)
        self.result.in_memory.update((result.value, first.value, second.value))
        self.result.steps.append(product)

    def stack_of(self, out: Value) -> tuple[Affine, ...]:
        """Return the index that the loops over the stack of a product make, with rows, columns."""
        axes, lead = self.loops_of_shape(out.shape[:-2])
        return (*lead, Affine.index(len(axes)), Affine.index(len(axes) + 1))

    def product_place(self, node: Node) -> Matrix:
        """Return where a product is written: where its only reader wants it, if BLAS can do so."""
        out = node.outputs[0]
        shape = (out.shape[-2], out.shape[-1])
        own = self.stack_of(out)
        stack = sum(size != 1 for size in out.shape[:-2])
        plain = Matrix(out, own, stack, shape)
        readers = self.readers.get(out, [])
        if len(readers) != 1 or not isinstance(readers[0].primitive.lowering, IndexMap):
            return plain
        if any(out is operand for operand in self.result.graph.outputs):
            return plain
        moved = readers[0].outputs[0]
        index = readers[0].primitive.lowering.function(
            tuple(map(Affine.index, range(moved.ndim))), out.spec, **readers[0].params
        )
        if index is None or sorted(e.bare_index or 0 for e in index) != list(range(moved.ndim)):
            return plain
        places: list[Affine] = [Affine()] * moved.ndim
        for number, entry in enumerate(index):
            if entry.bare_index is None:
                return plain
            places[entry.bare_index] = own[number]
        turned = Matrix(moved, tuple(places), stack, shape)
        if not turned.fits_blas:
            return plain
        self.placed.add(moved)
        return turned

    def unite_product_extents(self, out: Matrix, left: Matrix, right: Matrix) -> None:
        """Note that the product has the left factor's rows and the right one's columns."""
        pairs = [
            (out, out.rows_axis, left, left.rows_axis),
            (out, out.columns_axis, right, right.columns_axis),
            (left, left.columns_axis, right, right.rows_axis),
        ]
        for a, a_axis, b, b_axis in pairs:
            if a.is_whole(a_axis) and b.is_whole(b_axis):
                self.result.extent(a.value, a_axis).unite(self.result.extent(b.value, b_axis))

    def unite_stack(self, product: MatrixProduct) -> None:
        """Note which axes of the arrays the loops over the stack run over."""
        for matrix in (product.result, product.left, product.right):
            for axis, entry in enumerate(matrix.index):
                number = entry.bare_index
                if number is None or number >= matrix.stack:
                    continue
                if matrix.value.shape[axis] == product.axes[number].size:
                    product.axes[number].root().unite(self.result.extent(matrix.value, axis))

    def add_loop_product(self, node: Node) -> None:
        """Add a product as a statement over rows, columns and the contracted axis.

        The contracted axis is the innermost loop, unless the factor with more elements lies in
        memory the other way round.
        """
        left, right = node.inputs
        out = node.outputs[0]
        axes, out_index = self.loops_over(out)
        inner = left.spec.shape[-1]
        contracted = Affine() if inner == 1 else Affine.index(len(axes))
        if inner != 1:
            axes = [*axes, Extent(inner)]
        batch, row, column = out_index[:-2], out_index[-2], out_index[-1]
        elements = []
        for operand, tail in ((left, (row, contracted)), (right, (contracted, column))):
            stacked = operand.spec.shape[:-2]
            lead = batch[len(batch) - len(stacked) :]
            index = tuple(
                Affine() if size == 1 else i for size, i in zip(stacked, lead, strict=True)
            )
            elements.append(self.element(operand, (*index, *tail)))
        if inner == 1:
            # Nothing to add up: an outer product.
            self.add_statement(Statement(node, out, axes, out_index, tuple(elements), PRODUCT))
            return
        form = Accumulation("accumulate_sum({acc}, {x})", lambda dtype: 0)
        statement = Statement(node, out, axes, out_index, tuple(elements), form, product=True)
        larger = elements[0 if left.spec.size >= right.spec.size else 1]
        self.add_statement(_along_memory(statement, larger))

    def matrix(self, operand: Operand, like: Value) -> Matrix:
        """Return where a factor of the product `like` lies, a copy of it where BLAS needs one."""
        assert isinstance(operand, Value)
        own = self.stack_of(like)
        stack = sum(size != 1 for size in like.shape[:-2])
        lead = own[like.ndim - operand.ndim : -2]
        lead = tuple(
            [Affine() if size == 1 else i for size, i in zip(operand.shape, lead, strict=False)]
        )
        index = (*lead, *own[-2:])
        shape = (operand.shape[-2], operand.shape[-1])
        if operand.dtype == like.dtype:
            element = self.element(operand, index)
            if isinstance(element, Read) and self.is_row_major(element.value):
                found = Matrix(element.value, element.index, stack, shape)  # type: ignore[arg-type]
                if found.fits_blas:
                    return found
            buffer = self.whole(operand, row_major=True)
        else:
            buffer = self.copy(operand, like)
        return Matrix(buffer, index, stack, shape)


def _along_memory(statement: Statement, element: Element) -> Statement:
    """Return a statement whose innermost loop runs over the last axis of the array of `element`."""
    last = len(statement.axes) - 1
    if not isinstance(element, Read) or not element.index or statement.out.ndim != 2:
        return statement
    number = element.index[-1].bare_index
    if number is None or number == last:
        return statement
    order = [n for n in range(last + 1) if n != number] + [number]
    # The contracted loop goes to where it is in the array's order of axes.
    order.insert(number, order.pop(order.index(last)))
    return statement.in_order(order)
