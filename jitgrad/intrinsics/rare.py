"""Functions that are seldom called from loops that are vectorised all the same.

A call under a condition keeps LLVM from vectorising a loop, unless it knows a vector form of what
is called. So a rare function gets one for each number of lanes: a guard that returns at once when
no lane needs the call, and behind it a loop that makes the call for the lanes that do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

BIT = ir.IntType(1)
BYTE_POINTER = ir.IntType(8).as_pointer()
INDEX = ir.IntType(32)
LANES = (2, 4, 8, 16)
_NARROW = 128


def add_attribute(function: Any, attribute: str) -> None:
    """Give an LLVM function an attribute that llvmlite does not list."""
    set.add(function.attributes, attribute)


def declare_rare(module: Any, scalar: Any, count: int, symbol: str) -> Any:
    """Declare a function of scalars, with its vector forms.

    Parameters
    ----------
    module : llvmlite.ir.Module
        Where.
    scalar : llvmlite type
        Type of the result and of each argument.
    count : int
        How many arguments.
    symbol : str
        Name of the function.

    Returns
    -------
    llvmlite.ir.Function
        Without a body.
    """
    function = _pure_function(module, scalar, [scalar] * count, symbol)
    function.attributes.add("cold")
    forms = [_guard(function, lanes) for lanes in LANES]
    names = [f"_ZGV_LLVM_M{n}{'v' * count}_{symbol}({symbol}_x{n})" for n in LANES]
    add_attribute(function, f'"vector-function-abi-variant"="{",".join(names)}"')
    keep_until_vectorised(module, forms)
    return function


def _pure_function(module: Any, result: Any, arguments: Sequence[Any], symbol: str) -> Any:
    function = ir.Function(module, ir.FunctionType(result, arguments), symbol)
    # LLVM finds the forms by name: a name that linking keeps
    function.linkage = "linkonce_odr"
    for attribute in ("noinline", "nounwind", "readnone"):
        function.attributes.add(attribute)
    add_attribute(function, "willreturn")
    return function


def _guard(function: Any, lanes: int) -> Any:
    """Define the form that LLVM calls: arguments, and a mask of the lanes that count."""
    vector = ir.VectorType(function.ftype.return_type, lanes)
    types = [*[vector] * len(function.args), ir.VectorType(BIT, lanes)]
    guard = _pure_function(function.module, vector, types, f"{function.name}_x{lanes}")
    loop = _loop_over_lanes(function, lanes, types)
    # else the caller would load its constants anew after each call; with the loop the same, the
    # guard itself has hardly a register to save. But where the result is no wider than 128 bits,
    # LLVM ends the function with vzeroupper, which clears the upper parts of what it promised to
    # leave alone.
    if lanes * _bits(function.ftype.return_type) > _NARROW:
        for form in (guard, loop):
            add_attribute(form, '"no_caller_saved_registers"')
    builder = ir.IRBuilder(guard.append_basic_block())
    packed = builder.bitcast(guard.args[-1], ir.IntType(lanes))
    with builder.if_then(builder.icmp_unsigned("!=", packed, packed.type(0)), likely=False):
        builder.ret(builder.call(loop, guard.args))
    builder.ret(guard.args[0])
    return guard


def _bits(scalar: Any) -> int:
    return 32 if isinstance(scalar, ir.FloatType) else 64


def _loop_over_lanes(function: Any, lanes: int, types: Sequence[Any]) -> Any:
    loop = _pure_function(function.module, types[0], types, f"{function.name}_lanes_{lanes}")
    # optsize keeps it a loop
    for attribute in ("cold", "optsize"):
        loop.attributes.add(attribute)
    *arguments, mask = loop.args
    entry, test, call, following, done = (
        loop.append_basic_block(name) for name in ("entry", "test", "call", "following", "done")
    )
    builder = ir.IRBuilder(entry)
    builder.branch(test)
    builder.position_at_end(test)
    lane, before = builder.phi(INDEX), builder.phi(types[0])
    builder.cbranch(builder.extract_element(mask, lane), call, following)
    builder.position_at_end(call)
    value = builder.call(function, [builder.extract_element(a, lane) for a in arguments])
    replaced = builder.insert_element(before, value, lane)
    builder.branch(following)
    builder.position_at_end(following)
    after = builder.phi(types[0])
    after.add_incoming(before, test)
    after.add_incoming(replaced, call)
    next_lane = builder.add(lane, INDEX(1))
    builder.cbranch(builder.icmp_unsigned("<", next_lane, INDEX(lanes)), test, done)
    lane.add_incoming(INDEX(0), entry)
    lane.add_incoming(next_lane, following)
    before.add_incoming(arguments[0], entry)
    before.add_incoming(after, following)
    builder.position_at_end(done)
    builder.ret(after)
    return loop


def keep_until_vectorised(module: Any, functions: Sequence[Any]) -> None:
    """List functions as used: nothing calls them before loops are vectorised."""
    name = "llvm.compiler.used"
    entries = [function.bitcast(BYTE_POINTER) for function in functions]
    variable = module.globals.get(name)
    if variable is None:
        variable = ir.GlobalVariable(module, ir.ArrayType(BYTE_POINTER, 0), name)
        variable.linkage = "appending"
        variable.section = "llvm.metadata"
    else:
        entries = [*variable.initializer.constant, *entries]
    array = ir.ArrayType(BYTE_POINTER, len(entries))
    variable.value_type, variable.type = array, array.as_pointer()
    variable.initializer = ir.Constant(array, entries)
