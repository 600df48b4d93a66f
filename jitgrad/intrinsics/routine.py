"""Functions of whole arrays whose Python text is itself what is compiled."""

from __future__ import annotations

from typing import Any

from jitgrad.intrinsics.declare import INTRINSICS, Twin, lowering, typed_by


def routine(function: Twin) -> Twin:
    """Declare a function of C-contiguous arrays and integers that writes to some of the arrays.

    Kernels call it as it stands, compiled by Numba; it may call other intrinsics.

    Parameters
    ----------
    function : callable
        Loops over arrays of one floating dtype, or of that and int64; returns nothing.

    Returns
    -------
    callable
        `function`, made silent.
    """
    quiet: Twin = typed_by(_routine_type)(function)
    INTRINSICS[function.__name__].routine = function

    @lowering(quiet)
    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from numba import types
        from numba.core import cgutils, typing

        # of the elements' type alone, so that calls on any arrays share the machine code
        kinds = [
            types.Array(kind.dtype, kind.ndim, "C") if isinstance(kind, types.Array) else kind
            for kind in signature.args
        ]
        body = context.compile_subroutine(builder, function, typing.signature(types.none, *kinds))
        callee = context.declare_function(builder.module, body.fndesc)
        # never inlined: it is long, and so it is compiled once however often a kernel calls it
        status, _ = context.call_conv.call_function(
            builder, callee, types.none, kinds, arguments, ("noinline",)
        )
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return quiet


def _routine_type(*arguments: Any) -> Any:
    from numba import types
    from numba.core.typing import signature

    fits = all(
        isinstance(a, types.Integer) or (isinstance(a, types.Array) and a.layout == "C")
        for a in arguments
    )
    if not fits:
        return None
    plain = [types.intp if isinstance(a, types.Integer) else a for a in arguments]
    return signature(types.none, *plain)
