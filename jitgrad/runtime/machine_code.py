"""Machine code of generated functions, made and loaded by LLVM alone.

What is kept on disk is an object file with two functions: ``kernel``, called as Numba calls its
own, and ``entry``, which Python calls. Loading one takes a few milliseconds, and nothing of Numba.
"""

from __future__ import annotations

import ast
import ctypes
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jitgrad.runtime.access_groups import distinct
from jitgrad.runtime.blas_library import NUMBA_PRODUCT, PRODUCT, provide_blas
from jitgrad.runtime.built_in import DATA, SHAPE, STRIDES, built_in, is_usual, new_engine

# Arguments beyond which what reads them off Python's objects is compiled as it is written.
_MOST_OPTIMISED = 16
# Arguments beyond which the kernel takes them as words in memory.
_MOST_PARAMETERS = 64
# Statements beyond which loops compute one iteration's worth of vectors at a time.
_MOST_INTERLEAVED = 600


@dataclass(frozen=True, slots=True)
class MachineCode:
    """The machine code of one kernel, good for any process on this machine.

    Parameters
    ----------
    object_file : bytes
        In the format of the platform.
    symbols : tuple of str
        What it refers to.
    passed : tuple of str
        LLVM types of what ``kernel`` takes, apart from two addresses for what it returns; empty for
        one whose arguments are words in memory.
    """

    object_file: bytes
    symbols: tuple[str, ...]
    passed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LoadedCode:
    """Machine code in this process.

    Parameters
    ----------
    call : callable
        Takes what the kernel does and checks the types.
    unchecked : callable
        The same without the check.
    address : int
        Of ``kernel``; 0 if its arguments are words in memory.
    passed : tuple of str
        As of `MachineCode`.
    """

    call: Callable[..., Any]
    unchecked: Callable[..., Any]
    address: int
    passed: tuple[str, ...]


class UntranslatableError(Exception):
    """Something that generated source seldom holds."""


class MissingSymbolError(Exception):
    """Machine code refers to something that is not there.

    Parameters
    ----------
    name : str
        What it refers to.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"it needs {name}, which this process does not have")


def missing_symbols(names: Sequence[str]) -> list[str]:
    """Return which names LLVM does not find; code that refers to one of them ends the process."""
    import llvmlite.binding as llvm

    return [name for name in names if not llvm.address_of_symbol(name)]


def plain_type(llvm_type: Any) -> str:
    """Return the name of an LLVM type."""
    return "ptr" if llvm_type.is_pointer else str(llvm_type)


def machine() -> tuple[str, str, str]:
    """Return the platform, the processor and its features, for which code is made."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    name = os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()
    features = os.environ.get("NUMBA_CPU_FEATURES") or llvm.get_host_cpu_features().flatten()
    return llvm.get_process_triple(), name, features


def load(code: MachineCode, check: Callable[..., None]) -> LoadedCode:
    """Return machine code as functions of this process.

    Parameters
    ----------
    code : MachineCode
        Made for this machine.
    check : callable
        Given what the kernel is to be called with, raises an error unless types fit.

    Raises
    ------
    MissingSymbolError
        If it refers to something that this process does not have.
    """
    import llvmlite.binding as llvm

    for provide in (_provide_from_process, _provide_from_blas, _provide_from_numba):
        provide(missing_symbols(code.symbols))
    missing = missing_symbols(code.symbols)
    if missing:
        raise MissingSymbolError(missing[0])
    engine = new_engine()
    engine.add_object_file(llvm.ObjectFileRef.from_data(code.object_file))
    engine.finalize_object()
    entry = built_in(engine.get_function_address("entry"), [engine])

    def call(*arguments: Any) -> None:
        check(*arguments)
        entry(*arguments)

    address = engine.get_function_address("kernel") if code.passed else 0
    return LoadedCode(call, entry, address, code.passed)


def _provide_from_process(names: Sequence[str]) -> None:
    """Let LLVM find functions of Python and of the C library."""
    import llvmlite.binding as llvm

    for name in names:
        symbol = getattr(ctypes.pythonapi, name, None)
        if symbol is not None:
            llvm.add_symbol(name, ctypes.cast(symbol, ctypes.c_void_p).value)


def _provide_from_blas(names: Sequence[str]) -> None:
    """Let LLVM find what calls SciPy's BLAS."""
    for name in names:
        provide_blas(name, machine())


def _provide_from_numba(names: Sequence[str]) -> None:
    """Let LLVM find Numba's C functions."""
    if not names:
        return
    import llvmlite.binding as llvm
    from numba.core.registry import cpu_target
    from numba.core.runtime.nrt import rtsys

    rtsys.initialize(cpu_target.target_context)
    if PRODUCT in names:
        llvm.add_symbol(PRODUCT, llvm.address_of_symbol(NUMBA_PRODUCT))


def compile_directly(
    python: Callable[..., Any], source: str, argument_types: Sequence[Any]
) -> MachineCode:
    """Return the machine code of a function of generated source.

    Parameters
    ----------
    python : callable
        The function; returns nothing.
    source : str
        The text of its module.
    argument_types : sequence of numba type
        Of its arguments.

    Raises
    ------
    UntranslatableError
        If the text holds what only Numba itself knows to compile.
    """
    from llvmlite import ir
    from numba.core import cpu, fastmathpass, types
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.registry import cpu_target

    from jitgrad.runtime.function_text import FunctionText
    from jitgrad.runtime.translate import translate, translate_wide

    if not is_usual():
        raise UntranslatableError("arrays do not lie in memory as expected")
    context = cpu_target.target_context
    tree = function_tree(source, python.__name__)
    text = FunctionText(tree, source)
    with global_compiler_lock:
        module = context.create_module("kernel")
        form = context.call_conv.get_function_type(types.none, argument_types)
        is_wide = len(argument_types) > _MOST_PARAMETERS
        if is_wide:
            # Threads that help call it with another last argument, their rank.
            word = ir.IntType(64)
            ranks = [word] if tree.args.args[-1].arg == "rank" else []
            form = ir.FunctionType(form.return_type, [*form.args[:2], word.as_pointer(), *ranks])
        kernel = ir.Function(module, form, "kernel")
        kernel.attributes.add("noinline")
        builder = ir.IRBuilder(kernel.append_basic_block("begin"))
        context.call_conv.init_call_helper(builder)
        if is_wide:
            translate_wide(context, builder, python.__globals__, text, argument_types)
        else:
            names = [parameter.arg for parameter in tree.args.args]
            context.call_conv.decorate_function(kernel, names, argument_types)
            given = context.call_conv.decode_arguments(builder, argument_types, kernel)
            translate(context, builder, python.__globals__, text, given, argument_types)
        if NUMBA_PRODUCT in module.globals:
            module.globals[NUMBA_PRODUCT].name = PRODUCT
        context.call_conv.return_value(builder, context.get_dummy_value())
        fastmathpass.rewrite_module(module, cpu.FastMathOptions({"contract"}))
        _write_entry(context, module, kernel, argument_types, is_wide=is_wide)
        passed = () if is_wide else tuple([plain_type(a.type) for a in kernel.args[2:]])
        is_long = text.count(tree.body) > _MOST_INTERLEAVED
        return _object_code(module, passed, is_long=is_long)


def function_tree(source: str, name: str) -> ast.FunctionDef:
    """Return the syntax tree of a function in the text of a module."""
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.FunctionDef) and statement.name == name:
            return statement
    raise KeyError(name)


def _object_code(module: Any, passed: tuple[str, ...], *, is_long: bool) -> MachineCode:
    """Optimise a module and make an object file of it."""
    import llvmlite.binding as llvm

    triple, cpu, features = machine()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(triple)
    relocation = "static" if target.name.startswith("x86") else "default"
    target_machine = target.create_target_machine(
        cpu=cpu, features=features, opt=3, reloc=relocation, codemodel="jitdefault", jit=True
    )
    code = llvm.parse_assembly(distinct(str(module)))
    code.triple = triple
    code.data_layout = str(target_machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    options.slp_vectorization = False
    options.loop_interleaving = not is_long
    passes = llvm.create_pass_builder(target_machine, options)
    passes.getModulePassManager().run(code, passes)
    symbols = [
        symbol.name
        for kind in (code.functions, code.global_variables)
        for symbol in kind
        if symbol.is_declaration and not symbol.name.startswith("llvm.")
    ]
    return MachineCode(target_machine.emit_object(code), tuple(symbols), passed)


def _write_entry(
    context: Any, module: Any, kernel: Any, argument_types: Sequence[Any], *, is_wide: bool
) -> None:
    """Write the function that Python calls: it reads what the kernel takes off the objects."""
    from llvmlite import ir
    from numba.core import types

    from jitgrad.runtime.words import places, write_words

    byte, word, code = ir.IntType(8).as_pointer(), ir.IntType(64), ir.IntType(32)
    entry = ir.Function(module, ir.FunctionType(byte, [byte, byte.as_pointer(), word]), "entry")
    if len(argument_types) > _MOST_OPTIMISED:
        # One call with hundreds of arguments, which LLVM takes longer for than for the kernel.
        entry.attributes.add("noinline")
        entry.attributes.add("optnone")
    builder = ir.IRBuilder(entry.append_basic_block("begin"))
    passed: list[Any] = [builder.alloca(kernel.args[k].type.pointee) for k in range(2)]

    def field(thing: Any, offset: int, kind: Any) -> Any:
        place = builder.gep(thing, [word(offset)])
        return builder.load(builder.bitcast(place, kind.as_pointer()))

    def of_python(name: str, result: Any, *arguments: Any) -> Any:
        form = ir.FunctionType(result, [argument.type for argument in arguments])
        function = module.globals.get(name) or ir.Function(module, form, name)
        return builder.call(function, arguments)

    if is_wide:
        words = builder.alloca(word, size=word(places(argument_types)[1]))
        write_words(builder, entry.args[1], words, argument_types)
        # Who is called by Python has rank 0.
        passed += [words, *[word(0) for _ in kernel.args[3:]]]
    for number, kind in enumerate(() if is_wide else argument_types):
        thing = builder.load(builder.gep(entry.args[1], [word(number)]))
        wanted = kernel.args[len(passed)].type
        if isinstance(kind, types.Array):
            shape, strides = (field(thing, at, word.as_pointer()) for at in (SHAPE, STRIDES))
            sizes, steps = (
                [builder.load(builder.gep(axes, [word(axis)])) for axis in range(kind.ndim)]
                for axes in (shape, strides)
            )
            count = word(1)
            for size in sizes:
                count = builder.mul(count, size)
            element = kernel.args[len(passed) + 4].type
            itemsize = word(context.get_abi_sizeof(element.pointee))
            data = field(thing, DATA, element)
            passed += [byte(None), byte(None), count, itemsize, data, *sizes, *steps]
        elif isinstance(kind, types.Float):
            double = of_python("PyFloat_AsDouble", ir.DoubleType(), thing)
            passed.append(double if wanted == double.type else builder.fptrunc(double, wanted))
        else:
            whole = of_python("PyLong_AsLongLong", word, thing)
            passed.append(whole if wanted == word else builder.trunc(whole, wanted))
    if not all(isinstance(kind, types.Array) for kind in argument_types):
        error = of_python("PyErr_Occurred", byte)
        with builder.if_then(builder.icmp_unsigned("!=", error, byte(None)), likely=False):
            builder.ret(byte(None))
    thread = of_python("PyEval_SaveThread", byte)
    status = builder.call(kernel, passed)
    of_python("PyEval_RestoreThread", ir.VoidType(), thread)
    with builder.if_then(builder.icmp_unsigned("!=", status, code(0)), likely=False):
        of_python("PyErr_NoMemory", byte)
        builder.ret(byte(None))
    nothing = ir.GlobalVariable(module, ir.IntType(8), "_Py_NoneStruct")
    of_python("Py_IncRef", ir.VoidType(), nothing)
    builder.ret(nothing)
