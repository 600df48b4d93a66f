"""Random numbers from counters, in blocks of four words of 64 bits.

References
----------
.. [1] J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, Parallel random numbers: as easy as
   1, 2, 3, Proc. SC11 (2011).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from jitgrad.core.philox import philox
from jitgrad.intrinsics.declare import lowering, typed_by
from jitgrad.intrinsics.structure import ArrayFields

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"

_ROUNDS = 10
_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_KEY_STEPS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)


def _type(key: Any, number: Any, out: Any, stream: Any) -> Any:
    from numba import types
    from numba.core.typing import signature

    return signature(types.none, key, number, out, types.intp)


@typed_by(_type)
def fill_uniform(key: Array, number: Array, out: Array, stream: int) -> None:
    """Write random numbers that are equally likely anywhere from 0 to 1.

    Parameters
    ----------
    key, number : int64[]
        Key, and number of the draw.
    out : floating[...]
        Where they go.
    stream : int
        Sequences of the same draw are independent.
    """
    out[...] = philox(key, number, stream).random(out.shape, dtype=out.dtype.type)


@lowering(fill_uniform)
def _fill_uniform(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    from llvmlite import ir
    from numba.core import cgutils

    word = ir.IntType(64)
    key, number, out = (ArrayFields(builder, a) for a in arguments[:3])
    element = context.get_data_type(signature.args[2].dtype)
    size = ir.Constant(word, 1)
    for extent in out.shape:
        size = builder.mul(size, extent)
    form = ir.FunctionType(ir.VoidType(), [word, word, word, element.as_pointer(), word])
    name = f"jitgrad_uniform_{element.intrinsic_name}"
    function = cgutils.get_or_insert_function(builder.module, form, name)
    if function.is_declaration:
        function.linkage = "linkonce_odr"
        function.attributes.add("noinline")
        _write(ir.IRBuilder(function.append_basic_block()), function.args)
    seeds = [builder.load(key.data), builder.load(number.data)]
    builder.call(function, [*seeds, arguments[3], out.data, size])
    return context.get_dummy_value()


def _write(builder: Any, arguments: Sequence[Any]) -> None:
    """Write the body: as many whole blocks as there are, then a part of one."""
    from llvmlite import ir
    from numba.core import cgutils

    key, number, stream, out, size = arguments
    word, element = size.type, out.type.pointee
    single = isinstance(element, ir.FloatType)
    many = 8 if single else 4
    whole = builder.udiv(size, word(many))
    with cgutils.for_range(builder, whole) as loop:
        words = _block(builder, loop.index, key, number, stream)
        values = _numbers_of_words(builder, words, element)
        place = builder.gep(out, [builder.mul(loop.index, word(many))])
        place = builder.bitcast(place, values.type.as_pointer())
        builder.store(values, place, align=4 if single else 8)
    first = builder.mul(whole, word(many))
    with builder.if_then(builder.icmp_unsigned("<", first, size)):
        values = _numbers_of_words(builder, _block(builder, whole, key, number, stream), element)
        for k in range(many):
            place = builder.add(first, word(k))
            with builder.if_then(builder.icmp_unsigned("<", place, size)):
                value = builder.extract_element(values, word(k))
                builder.store(value, builder.gep(out, [place]))
    builder.ret_void()


def _numbers_of_words(builder: Any, words: Sequence[Any], element: Any) -> Any:
    """Return a vector of the numbers from 0 to 1 that four words hold."""
    from llvmlite import ir

    vector: Any = ir.Constant(ir.VectorType(words[0].type, 4), ir.Undefined)
    for k, word in enumerate(words):
        vector = builder.insert_element(vector, word, ir.IntType(32)(k))
    single = isinstance(element, ir.FloatType)
    # Of a single number only half a word is needed; the lower half comes first.
    bits, digits, many = (32, 24, 8) if single else (64, 53, 4)
    whole, real = ir.VectorType(ir.IntType(bits), many), ir.VectorType(element, many)
    vector = builder.lshr(builder.bitcast(vector, whole), whole([bits - digits] * many))
    return builder.fmul(builder.sitofp(vector, real), real([2.0**-digits] * many))


def _block(builder: Any, block: Any, key: Any, number: Any, stream: Any) -> list[Any]:
    """Return the four words of one block."""
    from llvmlite import ir

    word, wide = block.type, ir.IntType(128)
    keys = [key, word(0)]
    # NumPy counts before it computes.
    counter = [builder.add(block, word(1)), word(0), stream, number]
    for step in range(_ROUNDS):
        if step:
            keys = [builder.add(k, word(s)) for k, s in zip(keys, _KEY_STEPS, strict=True)]
        products = [
            builder.mul(builder.zext(c, wide), wide(m))
            for c, m in zip((counter[0], counter[2]), _MULTIPLIERS, strict=True)
        ]
        low = [builder.trunc(p, word) for p in products]
        high = [builder.trunc(builder.lshr(p, wide(64)), word) for p in products]
        counter = [
            builder.xor(builder.xor(high[1], counter[1]), keys[0]), low[1],
            builder.xor(builder.xor(high[0], counter[3]), keys[1]), low[0],
        ]  # fmt: skip
    return counter
