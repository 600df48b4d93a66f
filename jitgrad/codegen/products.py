"""The text of matrix products: calls of BLAS on parts of arrays."""

from __future__ import annotations

from collections.abc import Callable

from jitgrad.codegen.expressions import index_text
from jitgrad.codegen.nests import Matrix, MatrixProduct
from jitgrad.codegen.storage import Storage
from jitgrad.ir.graph import Value


class ProductText:
    """Writes calls of BLAS.

    Parameters
    ----------
    storage : Storage
        Where the matrices lie.
    array : callable
        Gives the text of a whole array.
    offset : callable
        Gives the text of a number that follows from sizes.
    loops : list of str
        The variables of the loops over stacks.
    """

    def __init__(
        self,
        storage: Storage,
        array: Callable[[Value], str],
        offset: Callable[[int], str],
        loops: list[str],
    ) -> None:
        self.storage = storage
        self.array = array
        self.offset = offset
        self.loops = loops

    def call(self, step: MatrixProduct, rows: str = "", columns: str = "") -> str:
        """Return the text of a product, or of a range of its rows or columns: ``first:end``."""
        left, right = step.left, step.right
        factors = [(left, self.matrix(left, rows, "")), (right, self.matrix(right, "", columns))]
        flags = [left.transposed, right.transposed]
        if step.result.transposed:
            # The transpose of a product is that of the transposed factors in the other order.
            factors.reverse()
            flags = [not flag for flag in reversed(flags)]
        texts = [*(text for _, text in factors), self.matrix(step.result, rows, columns)]
        return f"gemm({', '.join(texts)}, {flags[0]}, {flags[1]}, False)"

    def matrix(self, matrix: Matrix, rows: str, columns: str) -> str:
        """Return the text of one matrix of a stack, or of some of its rows or columns."""
        wanted = {matrix.rows_axis: rows, matrix.columns_axis: columns}
        buffer = self.storage.buffers.get(matrix.value)
        axes = buffer.axes if buffer is not None else tuple(range(matrix.value.ndim))
        entries = [
            wanted[axis] or self.whole_range(matrix, axis)
            if axis in wanted
            else index_text((matrix.index[axis],), self.loops, self.offset, {})[1:-1]
            for axis in axes
        ]
        while entries and entries[-1] == ":":
            entries.pop()
        return self.array(matrix.value) + (f"[{', '.join(entries)}]" if entries else "")

    def whole_range(self, matrix: Matrix, axis: int) -> str:
        """Return the text of all elements that a matrix shows of an axis of the array."""
        if matrix.is_whole(axis):
            return ":"
        start = matrix.index[axis].constant
        return f"{self.offset(start)}:{self.offset(start + matrix.count(axis))}"
