"""Arguments of a kernel with very many arrays: words in memory, not parameters.

LLVM takes a time that grows with the square of the number of parameters of a function. So a kernel
with hundreds of arrays takes the address of words, which hold the pieces of each argument: for an
array its address, sizes and strides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import types

from jitgrad.runtime.built_in import DATA, SHAPE, STRIDES
from jitgrad.runtime.translated_values import Scalar, View

_BYTE, _WORD = ir.IntType(8).as_pointer(), ir.IntType(64)


def places(argument_types: Sequence[Any]) -> tuple[list[int], int]:
    """Return the number of each argument's first word, and how many words there are."""
    found, count = [], 0
    for kind in argument_types:
        found.append(count)
        count += 1 + 2 * kind.ndim if isinstance(kind, types.Array) else 1
    return found, count


def arguments_in(
    builder: Any, context: Any, words: Any, argument_types: Sequence[Any]
) -> list[Any]:
    """Return arguments like those in memory: arrays without code that loads them."""
    found: list[Any] = []
    for place, kind in zip(places(argument_types)[0], argument_types, strict=True):
        if isinstance(kind, types.Array):
            element = context.get_data_type(kind.dtype).as_pointer()
            axes = (ir.Constant(_WORD, ir.Undefined),) * kind.ndim
            found.append(View(kind, ir.Constant(element, ir.Undefined), axes, axes))
        else:
            number = context.get_value_type(kind).as_pointer()
            address = builder.bitcast(builder.gep(words, [_WORD(place)]), number)
            found.append(Scalar(builder.load(address), kind.name))
    return found


def write_words(builder: Any, given: Any, words: Any, argument_types: Sequence[Any]) -> None:
    """Write what reads the arguments off Python's objects, at an address, into words."""
    module = builder.module
    for number, (place, kind) in enumerate(
        zip(places(argument_types)[0], argument_types, strict=True)
    ):
        thing = builder.load(builder.gep(given, [_WORD(number)]))
        target = builder.gep(words, [_WORD(place)])
        if isinstance(kind, types.Array):
            builder.call(_array_writer(module, kind.ndim), [thing, target])
            continue
        if isinstance(kind, types.Float):
            found = _of_python(builder, "PyFloat_AsDouble", ir.DoubleType(), thing)
            if kind.bitwidth == 32:
                found = builder.fptrunc(found, ir.FloatType())
        else:
            found = _of_python(builder, "PyLong_AsLongLong", _WORD, thing)
        builder.store(found, builder.bitcast(target, found.type.as_pointer()))


def _of_python(builder: Any, name: str, result: Any, thing: Any) -> Any:
    module = builder.module
    function = module.globals.get(name) or ir.Function(
        module, ir.FunctionType(result, [_BYTE]), name
    )
    return builder.call(function, [thing])


def _array_writer(module: Any, ndim: int) -> Any:
    """Return the function that writes the words of an array of so many axes."""
    name = f"write_array_{ndim}"
    function = module.globals.get(name)
    if function is None:
        form = ir.FunctionType(ir.VoidType(), [_BYTE, _WORD.as_pointer()])
        function = ir.Function(module, form, name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        builder = ir.IRBuilder(function.append_basic_block("begin"))
        thing, words = function.args

        def field(offset: int, kind: Any) -> Any:
            place = builder.gep(thing, [_WORD(offset)])
            return builder.load(builder.bitcast(place, kind.as_pointer()))

        builder.store(field(DATA, _WORD), words)
        for first, offset in ((1, SHAPE), (1 + ndim, STRIDES)):
            axes = field(offset, _WORD.as_pointer())
            for axis in range(ndim):
                size = builder.load(builder.gep(axes, [_WORD(axis)]))
                builder.store(size, builder.gep(words, [_WORD(first + axis)]))
        builder.ret_void()
    return function
