"""Matrix products by the BLAS library that SciPy carries, without the interpreter.

They go to the symbols that Numba exports for its own linear algebra, so that compiled code holds no
address and can be kept on disk. Shapes are not checked in a kernel; the twins check them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from jitgrad.intrinsics.declare import lowering, typed_by
from jitgrad.intrinsics.structure import ArrayFields

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"


def _is_array_of(types: Any, candidate: Any, ndim: int, dtype: Any) -> bool:
    return (
        isinstance(candidate, types.Array) and candidate.ndim == ndim and candidate.dtype == dtype
    )


def _gemm_type(a: Any, b: Any, out: Any, *flags: Any) -> Any:
    from numba import types
    from numba.core.typing import signature

    if len(flags) != 3 or getattr(a, "dtype", None) not in (types.float32, types.float64):
        return None
    if not all(_is_array_of(types, array, 2, a.dtype) for array in (a, b, out)):
        return None
    return signature(types.none, a, b, out, *[types.boolean] * 3)


@typed_by(_gemm_type)
def gemm(
    a: Array, b: Array, out: Array, transpose_a: bool, transpose_b: bool, accumulate: bool
) -> None:
    """Write or add the product of two matrices to a third: ``out = op(a) @ op(b)``.

    Parameters
    ----------
    a, b : float[m, k] and float[k, n], each row without gaps
        The factors; `a` has shape (k, m) if `transpose_a`, `b` has shape (n, k) if `transpose_b`.
    out : float[m, n], each row without gaps
        Where the product goes; does not overlap the factors.
    transpose_a, transpose_b : bool
        Whether a factor is transposed first.
    accumulate : bool
        Add to what `out` holds.
    """
    left = a.T if transpose_a else a
    right = b.T if transpose_b else b
    if accumulate:
        out += left @ right
    else:
        np.matmul(left, right, out=out)


@lowering(gemm)
def _gemm(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    call = _BlasCall(context, builder, signature.args[0].dtype)
    a, b, out = (call.array(value) for value in arguments[:3])
    transpose_a, transpose_b, accumulate = arguments[3:]
    rows, columns = out.shape
    a_shape, b_shape = a.shape, b.shape
    inner = builder.select(transpose_a, a_shape[0], a_shape[1])
    # BLAS counts by columns, so what it sees are the transposes: out' = op(b)' @ op(a)'
    call.emit(
        "numba_xxgemm",
        "cciiippipippi",
        call.transposed(transpose_b),
        call.transposed(transpose_a),
        columns,
        rows,
        inner,
        call.one,
        b.data,
        call.distance(b, b_shape[1]),
        a.data,
        call.distance(a, a_shape[1]),
        call.factor(accumulate),
        out.data,
        call.distance(out, columns),
    )
    return context.get_dummy_value()


class _BlasCall:
    """Arguments as Numba's BLAS symbols take them."""

    def __init__(self, context: Any, builder: Any, dtype: Any) -> None:
        self.context = context
        self.builder = builder
        self.dtype = dtype
        self.one = self.slot(1.0)
        self.zero = self.slot(0.0)

    def slot(self, number: float) -> Any:
        from numba.core import cgutils

        constant = self.context.get_value_type(self.dtype)(number)
        return cgutils.alloca_once_value(self.builder, constant)

    def array(self, value: Any) -> ArrayFields:
        return ArrayFields(self.builder, value)

    def character(self, letter: str) -> Any:
        from llvmlite import ir

        return ir.Constant(ir.IntType(8), ord(letter))

    def transposed(self, flag: Any) -> Any:
        return self.builder.select(flag, self.character("t"), self.character("n"))

    def factor(self, accumulate: Any) -> Any:
        return self.builder.select(accumulate, self.one, self.zero)

    def leading(self, columns: Any) -> Any:
        # BLAS refuses a leading dimension of zero even where there is nothing to do
        one = columns.type(1)
        return self.builder.select(self.builder.icmp_signed("<", columns, one), one, columns)

    def distance(self, array: Any, columns: Any) -> Any:
        """Return how many elements lie between the starts of two rows."""
        stride = array.strides[0]
        itemsize = self.context.get_abi_sizeof(self.context.get_data_type(self.dtype))
        rows = self.builder.sdiv(stride, stride.type(itemsize))
        # the stride of a single row may be anything
        enough = self.builder.icmp_signed(">=", rows, columns)
        return self.leading(self.builder.select(enough, rows, columns))

    def emit(self, symbol: str, form: str, *arguments: Any) -> None:
        """Call a symbol; `form` has c for a character, i for a size, p for a pointer."""
        from llvmlite import ir
        from numba.core import cgutils

        pointer = ir.IntType(8).as_pointer()
        types = {"c": ir.IntType(8), "i": self.context.get_value_type(_intp()), "p": pointer}
        kind = self.character("s" if self.dtype.bitwidth == 32 else "d")
        signature = ir.FunctionType(
            ir.IntType(32), [types["c"], *(types[letter] for letter in form)]
        )
        callee = cgutils.get_or_insert_function(self.builder.module, signature, symbol)
        converted = [
            self.builder.bitcast(argument, pointer) if letter == "p" else argument
            for letter, argument in zip(form, arguments, strict=True)
        ]
        self.builder.call(callee, [kind, *converted])


def _intp() -> Any:
    from numba import types

    return types.intp
