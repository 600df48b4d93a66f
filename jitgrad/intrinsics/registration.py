"""Tells Numba about every intrinsic, once, before the first kernel is built."""

from __future__ import annotations

import threading
from typing import Any

from jitgrad.intrinsics.declare import Intrinsic, KindRule, Lowering, TypeRule

_lock = threading.Lock()
_registered: set[str] = set()


def register() -> None:
    """Give Numba the type rule and the LLVM code of every intrinsic.

    Imports Numba, which takes about half a second the first time. May be called from any thread,
    and again: what is registered is not registered twice.
    """
    # the import order is that of the table, so that no intrinsic is missed
    from jitgrad.intrinsics import arrays, catalogue

    with _lock:
        if not _registered:
            arrays.register_access()
        for intrinsic in catalogue.all_intrinsics():
            if intrinsic.name not in _registered:
                _register(intrinsic)
                _registered.add(intrinsic.name)


def _register(intrinsic: Intrinsic) -> None:
    from numba import types
    from numba.core.typing.templates import AbstractTemplate, infer_global
    from numba.extending import lower_builtin

    type_rule = intrinsic.type_rule
    if intrinsic.kind_rule is not None:
        type_rule = _type_rule_of_kinds(intrinsic.kind_rule)
    assert type_rule is not None

    def generic(self: Any, arguments: Any, keywords: Any) -> Any:
        return None if keywords else type_rule(*arguments)

    # one positional rule: Numba's CallableTemplate would inspect a signature at every call
    template = type(
        f"{intrinsic.name}_template",
        (AbstractTemplate,),
        {"key": intrinsic.twin, "generic": generic},
    )
    infer_global(intrinsic.twin, types.Function(template))
    lower_builtin(intrinsic.twin, types.VarArg(types.Any))(_lowering_of(intrinsic))


def _type_rule_of_kinds(kind_rule: KindRule) -> TypeRule:
    from numba import types
    from numba.core.typing import signature

    numba_types = {
        "bool": types.boolean,
        "int32": types.int32,
        "int64": types.int64,
        "float32": types.float32,
        "float64": types.float64,
    }

    def type_rule(*arguments: Any) -> Any:
        kinds = kind_rule(tuple(types.unliteral(argument).name for argument in arguments))
        if kinds is None:
            return None
        cast_to, result = kinds
        return signature(numba_types[result], *(numba_types[kind] for kind in cast_to))

    return type_rule


def _lowering_of(intrinsic: Intrinsic) -> Lowering:
    if intrinsic.lowering is not None:
        return intrinsic.lowering
    assert intrinsic.formula is not None, f"{intrinsic.name} has no LLVM code"

    from jitgrad.intrinsics.emitter import Emitter

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emitter = Emitter(context, builder)
        emitter.widen_vectors()
        values = [
            emitter.value_of(argument, kind.name)
            for argument, kind in zip(arguments, signature.args, strict=True)
        ]
        return emitter.call(intrinsic.twin, *values).llvm

    return lower
