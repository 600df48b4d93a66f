"""Temporary arrays in an arena, without allocation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.intrinsics.arrays import scoped
from jitgrad.intrinsics.declare import lowering, typed_by
from jitgrad.intrinsics.structure import ArrayFields, array_structure

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _block_type(arena: Any, offset: Any, shape: Any, dtype: Any, *slot: Any) -> Any:
    from numba import types
    from numba.core.typing import signature

    fits = (
        isinstance(arena, types.Array)
        and arena.dtype == types.uint8
        and isinstance(offset, types.Integer)
        and isinstance(shape, types.BaseTuple)
        and isinstance(dtype, types.NumberClass)
        and all(isinstance(number, types.IntegerLiteral) for number in slot)
    )
    if not fits:
        return None
    axes = types.UniTuple(types.intp, len(shape)) if len(shape) else shape
    array = types.Array(dtype.dtype, len(shape), "C")
    for number in slot:
        array = scoped(array, f"slot {number.literal_value}")
    return signature(array, arena, types.intp, axes, dtype, *slot)


@typed_by(_block_type)
def block(
    arena: NDArray[np.uint8],
    offset: int,
    shape: tuple[int, ...],
    dtype: Any,
    slot: int | None = None,
) -> NDArray[Any]:
    """Return the C-contiguous array that lies at an offset in an arena.

    Parameters
    ----------
    arena : uint8[bytes], C-contiguous
        Memory that outlives the array.
    offset : int
        Where the array begins, in bytes; a multiple of the size of an element.
    shape : tuple of int
        Of the array; all of it lies within the arena, which a kernel does not check.
    dtype : type
        ``f32``, ``f64``, ``i32``, ``i64`` or ``b1``.
    slot : int, optional
        A constant: arrays of different slots share no memory.

    Returns
    -------
    array of `shape` and `dtype`
        Not initialised; shares memory with the arena.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    array: NDArray[Any] = arena[offset : offset + size].view(dtype).reshape(shape)
    return array


@lowering(block)
def _block(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    from numba.core import cgutils

    array_type = signature.return_type
    arena, offset, shape = arguments[:3]
    start = ArrayFields(builder, arena).data
    size = context.get_abi_sizeof(context.get_data_type(array_type.dtype))
    axes = cgutils.unpack_tuple(builder, shape, array_type.ndim)
    strides: list[Any] = []
    stride = offset.type(size)
    for axis in reversed(axes):
        strides.insert(0, stride)
        stride = builder.mul(stride, axis)
    element = context.get_data_type(array_type.dtype)
    data = builder.bitcast(builder.gep(start, [offset]), element.as_pointer())
    return array_structure(context, builder, array_type, data, axes, strides)
