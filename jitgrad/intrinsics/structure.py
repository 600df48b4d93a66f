"""How an array lies in the structure that Numba's functions pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# Places in the structure; before them owner, parent, number of elements and size of one.
_NUMBER, _ITEMSIZE, _DATA, _SHAPE, _STRIDES = 2, 3, 4, 5, 6


class ArrayFields:
    """What the structure of an array holds.

    Parameters
    ----------
    builder : llvmlite.ir.IRBuilder
        Where code goes that takes it apart.
    structure : llvmlite.ir.Value
        The array.
    """

    def __init__(self, builder: Any, structure: Any) -> None:
        self.data = builder.extract_value(structure, _DATA)
        self.shape = _parts(builder, structure, _SHAPE)
        self.strides = _parts(builder, structure, _STRIDES)


def array_structure(
    context: Any, builder: Any, array_type: Any, data: Any, shape: Sequence[Any], strides: Any
) -> Any:
    """Return the structure of an array that nobody owns: nothing counts references to it.

    Parameters
    ----------
    context, builder : numba context, llvmlite.ir.IRBuilder
        Of the code that makes it.
    array_type : numba type
        Of the array.
    data : llvmlite.ir.Value
        Address of the first element.
    shape, strides : sequence of llvmlite.ir.Value
        For each axis.
    """
    from llvmlite import ir

    llvm_type = context.get_value_type(array_type)
    structure = ir.Constant(llvm_type, None)
    size = context.get_abi_sizeof(context.get_data_type(array_type.dtype))
    number = ir.IntType(64)(1)
    for extent in shape:
        number = builder.mul(number, extent)
    structure = builder.insert_value(structure, number, _NUMBER)
    structure = builder.insert_value(structure, ir.IntType(64)(size), _ITEMSIZE)
    structure = builder.insert_value(structure, data, _DATA)
    for axis, (extent, stride) in enumerate(zip(shape, strides, strict=True)):
        structure = builder.insert_value(structure, extent, [_SHAPE, axis])
        structure = builder.insert_value(structure, stride, [_STRIDES, axis])
    return structure


def _parts(builder: Any, structure: Any, place: int) -> tuple[Any, ...]:
    count = structure.type.elements[place].count
    return tuple([builder.extract_value(structure, [place, axis]) for axis in range(count)])
