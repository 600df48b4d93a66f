"""Formulas as functions that are called, scalar and for whole vectors, where there are many calls.

Where a formula is inlined, LLVM optimises its dozens of instructions anew at each place, twice: in
the vectorised loop, and in the one for the iterations left over. With a hundred places that takes
longer than all else, and a call costs little beside what is computed.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from jitgrad.intrinsics.rare import INDEX, LANES, add_attribute, keep_until_vectorised

# Instructions from which a formula is worth a call.
_FEWEST_INSTRUCTIONS = 12
# Widest vectors, by a feature of the processor.
_VECTOR_BYTES = {"+avx512f": 64, "+avx": 32}
_USUAL_VECTOR_BYTES = 16

_sharing: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


def share_formulas(module: Any, features: str) -> None:
    """Have the formulas that a module calls from here on be functions that are not inlined."""
    known = set(features.split(","))
    widths = [width for feature, width in _VECTOR_BYTES.items() if feature in known]
    _sharing[module] = max(widths, default=_USUAL_VECTOR_BYTES)


def shared_form(function: Any, of_vectors: Callable[[int], Any]) -> Any:
    """Return what is called in place of a formula's function: itself, or a form that is shared.

    Parameters
    ----------
    function : llvmlite.ir.Function
        With its body; marked to be inlined. Arguments and result are of one type.
    of_vectors : callable
        Returns the same for vectors of so many lanes.

    Returns
    -------
    llvmlite.ir.Function
        Of the same type.
    """
    width = _sharing.get(function.module)
    kind = function.ftype.return_type
    if width is None or not isinstance(kind, (ir.FloatType, ir.DoubleType)):
        return function
    if sum(len(block.instructions) for block in function.blocks) < _FEWEST_INSTRUCTIONS:
        return function
    symbol = f"{function.name}_shared"
    found = function.module.globals.get(symbol)
    if found is not None:
        return found
    native = width // (4 if isinstance(kind, ir.FloatType) else 8)
    return _declare(function, symbol, native, of_vectors(native))


def _declare(function: Any, symbol: str, native: int, of_vectors: Any) -> Any:
    module, kind, count = function.module, function.ftype.return_type, len(function.args)
    shared = _new_function(module, kind, count, symbol)
    builder = ir.IRBuilder(shared.append_basic_block())
    builder.ret(builder.call(function, shared.args))
    forms = {
        lanes: _new_function(module, ir.VectorType(kind, lanes), count, f"{symbol}_x{lanes}")
        for lanes in LANES
    }
    for lanes, form in forms.items():
        builder = ir.IRBuilder(form.append_basic_block())
        if lanes == native:
            builder.ret(builder.call(of_vectors, form.args))
        elif lanes < native:
            repeated = [*range(lanes), *[0] * (native - lanes)]
            wide = [_shuffled(builder, vector, repeated) for vector in form.args]
            builder.ret(_shuffled(builder, builder.call(forms[native], wide), range(lanes)))
        else:
            half = lanes // 2
            low, high = (
                builder.call(forms[half], [_shuffled(builder, v, part) for v in form.args])
                for part in (range(half), range(half, lanes))
            )
            builder.ret(_shuffled(builder, low, range(lanes), high))
    names = [f"_ZGV_LLVM_N{n}{'v' * count}_{symbol}({symbol}_x{n})" for n in LANES]
    add_attribute(shared, f'"vector-function-abi-variant"="{",".join(names)}"')
    keep_until_vectorised(module, list(forms.values()))
    return shared


def _new_function(module: Any, kind: Any, count: int, symbol: str) -> Any:
    function = ir.Function(module, ir.FunctionType(kind, [kind] * count), symbol)
    # LLVM finds the forms by name: a name that linking keeps
    function.linkage = "linkonce_odr"
    for attribute in ("noinline", "nounwind", "readnone"):
        function.attributes.add(attribute)
    for attribute in ("willreturn", '"prefer-vector-width"="512"'):
        add_attribute(function, attribute)
    return function


def _shuffled(builder: Any, vector: Any, lanes: Sequence[int], other: Any = None) -> Any:
    """Return the vector of these lanes of one vector, or of two in a row."""
    mask = ir.Constant(ir.VectorType(INDEX, len(lanes)), list(lanes))
    undefined = ir.Constant(vector.type, ir.Undefined)
    return builder.shuffle_vector(vector, undefined if other is None else other, mask)
