"""What the quick way to machine code does not take, by Numba's own compiler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitgrad.runtime.machine_code import (
    LoadedCode,
    MissingSymbolError,
    missing_symbols,
    plain_type,
)

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",  # division by zero gives inf, as in NumPy
    "fastmath": {"contract"},  # FMA allowed; nan, inf and the order of operations are kept
    "boundscheck": False,
}


def compile_with_numba(
    python: Callable[..., Any], argument_types: Sequence[Any]
) -> tuple[LoadedCode, bytes | None]:
    """Return a function as machine code, and the bytes from which `restore` makes it again.

    Parameters
    ----------
    python : callable
        The function, of a module.
    argument_types : sequence of numba type
        Of its arguments.

    Returns
    -------
    LoadedCode, bytes or None
        None where addresses of this process are in the code.
    """
    import numba
    from numba.core import serialize

    from jitgrad.intrinsics.registration import register

    register()
    dumps: Callable[[object], bytes] = serialize.dumps
    dispatcher = numba.njit(**OPTIONS)(python)
    dispatcher.compile(tuple(argument_types))
    (compiled,) = dispatcher.overloads.values()
    loaded = _loaded(dispatcher, compiled)
    if compiled.library.has_dynamic_globals or any(not code.can_cache for code in compiled.lifted):
        return loaded, None
    # the annotation is only a listing, but longer than the machine code
    reduced = compiled._replace(type_annotation="")._reduce()
    return loaded, dumps((_external_symbols(compiled), reduced))


def restore(python: Callable[..., Any], content: bytes) -> LoadedCode:
    """Return the machine code that `compile_with_numba` made, maybe in another process.

    Parameters
    ----------
    python : callable
        The function, whose module is imported.
    content : bytes
        What `compile_with_numba` returned.

    Raises
    ------
    MissingSymbolError
        If it refers to something that this process does not have.
    """
    import pickle

    import numba
    from numba.core.compiler import CompileResult
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.runtime.nrt import rtsys

    symbols, reduced = pickle.loads(content)
    dispatcher = numba.njit(**OPTIONS)(python)
    with global_compiler_lock:
        context = dispatcher.targetctx
        # all that machine code needs, and a tenth of what Numba starts before it compiles
        rtsys.initialize(context)
        if missing_symbols(symbols):
            context.refresh()
        missing = missing_symbols(symbols)
        if missing:
            raise MissingSymbolError(missing[0])
        rebuild: Callable[..., Any] = CompileResult._rebuild
        compiled = rebuild(context, *reduced)
        context.insert_user_function(compiled.entry_point, compiled.fndesc, [compiled.library])
        dispatcher.add_overload(compiled)
    return _loaded(dispatcher, compiled)


def _loaded(dispatcher: Any, compiled: Any) -> LoadedCode:
    # a call with other types is a defect, which must not be hidden by compiling for them
    dispatcher.disable_compile()
    address = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
    packer = compiled.target_context.get_arg_packer(compiled.fndesc.argtypes)
    passed = tuple(map(plain_type, packer.argument_types))
    return LoadedCode(dispatcher, compiled.entry_point, address, passed)


def _external_symbols(compiled: Any) -> list[str]:
    module = compiled.library._final_module
    return [
        symbol.name
        for symbols in (module.functions, module.global_variables)
        for symbol in symbols
        if symbol.is_declaration and not symbol.name.startswith("llvm.")
    ]
