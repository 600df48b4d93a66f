"""Ties a Python function to its type rule and to the LLVM code that is compiled in its place.

An intrinsic is declared in one place, beside its twin::

    @floating
    def cube(x: Scalar) -> Scalar:
        return x * x * x

    @formula(cube)
    def _cube(e: Emitter, x: Value) -> Value:
        return x * x * x

Nothing here imports Numba: `registration.py` does, when the first kernel is built.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Scalar: TypeAlias = Any
"""A NumPy or Python number; NumPy types what its functions return as Any."""

Kinds: TypeAlias = tuple[str, ...]
"""Names of argument types: ``("float32", "int64")``."""

KindRule: TypeAlias = Callable[[Kinds], tuple[Kinds, str] | None]
"""From the kinds of the arguments to those they are cast to and that of the result, or None."""

TypeRule: TypeAlias = Callable[..., Any]
"""From Numba types of the arguments to a Numba signature, or None."""

Lowering: TypeAlias = Callable[[Any, Any, Any, Any], Any]
"""Numba's form: from context, builder, signature and LLVM arguments to an LLVM value."""

Formula: TypeAlias = Callable[..., Any]
"""From an `Emitter` and its values to a value."""

Twin: TypeAlias = Callable[..., Any]

NUMBER_KINDS = ("bool", "int32", "int64", "float32", "float64")


@dataclass(slots=True)
class Intrinsic:
    """One function that kernels can call.

    Parameters
    ----------
    name : str
        What it is called in generated source.
    twin : callable
        The Python function.
    kind_rule : callable, optional
        Type rule of a function of scalars.
    type_rule : callable, optional
        Type rule of a function that takes arrays, tuples or types.
    formula : callable, optional
        LLVM code of a function of scalars.
    lowering : callable, optional
        LLVM code of any other function.
    in_place : bool
        Whether the formula is so short that it is written out at each call.
    routine : callable, optional
        Function whose Python text is what is compiled.
    in_kernel : bool
        Whether the LLVM code must stand in the kernel itself, whose arguments it reads.
    """

    name: str
    twin: Twin
    kind_rule: KindRule | None = None
    type_rule: TypeRule | None = None
    formula: Formula | None = None
    lowering: Lowering | None = None
    in_place: bool = False
    routine: Twin | None = None
    in_kernel: bool = False


INTRINSICS: dict[str, Intrinsic] = {}


def _common_kind(kinds: Kinds) -> str | None:
    if any(kind not in NUMBER_KINDS for kind in kinds):
        return None
    if "float32" in kinds and any(kind in ("int64", "float64") for kind in kinds):
        return "float64"
    return max(kinds, key=NUMBER_KINDS.index)


def floating_kinds(kinds: Kinds) -> tuple[Kinds, str] | None:
    """Cast all to their common floating type, integers to float64; the result has it."""
    common = _common_kind(kinds)
    if common is None:
        return None
    if not common.startswith("float"):
        common = "float64"
    return (common,) * len(kinds), common


def numeric_kinds(kinds: Kinds) -> tuple[Kinds, str] | None:
    """Cast all to their common type; the result has it."""
    common = _common_kind(kinds)
    return None if common is None else ((common,) * len(kinds), common)


def predicate_kinds(kinds: Kinds) -> tuple[Kinds, str] | None:
    """Cast all to their common type; the result is a bool."""
    common = _common_kind(kinds)
    return None if common is None else ((common,) * len(kinds), "bool")


def selection_kinds(kinds: Kinds) -> tuple[Kinds, str] | None:
    """Cast the first to bool, the others to their common type; the result has it."""
    common = _common_kind(kinds[1:])
    return None if common is None else (("bool",) + (common,) * (len(kinds) - 1), common)


def _declare(twin: Twin, kind_rule: KindRule | None, type_rule: TypeRule | None) -> Twin:
    # domain errors are part of the contract (log(-1) is nan), so no warning may come of them
    quiet: Twin = np.errstate(all="ignore")(twin)
    INTRINSICS[twin.__name__] = Intrinsic(twin.__name__, quiet, kind_rule, type_rule)
    return quiet


def floating(twin: Twin) -> Twin:
    """Declare a function from floating scalars to one of their common type.

    Parameters
    ----------
    twin : callable
        What runs in plain Python.

    Returns
    -------
    callable
        `twin`, made silent; integers it gets in a kernel become float64.
    """
    return _declare(twin, floating_kinds, None)


def numeric(twin: Twin) -> Twin:
    """Declare a function from scalars of any type to one of their common type.

    Parameters
    ----------
    twin : callable
        What runs in plain Python.

    Returns
    -------
    callable
        `twin`, made silent.
    """
    return _declare(twin, numeric_kinds, None)


def predicate(twin: Twin) -> Twin:
    """Declare a function from scalars of any type to a bool.

    Parameters
    ----------
    twin : callable
        What runs in plain Python.

    Returns
    -------
    callable
        `twin`, made silent.
    """
    return _declare(twin, predicate_kinds, None)


def selection(twin: Twin) -> Twin:
    """Declare a function of a bool and scalars of any type, which returns one of these.

    Parameters
    ----------
    twin : callable
        What runs in plain Python.

    Returns
    -------
    callable
        `twin`, made silent.
    """
    return _declare(twin, selection_kinds, None)


def typed_by(type_rule: TypeRule) -> Callable[[Twin], Twin]:
    """Declare a function with a type rule of its own, for arrays, tuples and types.

    Parameters
    ----------
    type_rule : callable
        From the Numba types of the arguments to a signature, or None where they do not fit.

    Returns
    -------
    callable
        Decorator of the twin.
    """

    def decorate(twin: Twin) -> Twin:
        return _declare(twin, None, type_rule)

    return decorate


def formula(twin: Twin, *, in_place: bool = False) -> Callable[[Formula], Formula]:
    """Say which formula is compiled in place of a function of scalars.

    Parameters
    ----------
    twin : callable
        A declared function.
    in_place : bool
        Write the code out at each call, not as a function that is inlined: for a few instructions.

    Returns
    -------
    callable
        Decorator of the formula, which takes an `Emitter` and one `Value` an argument.
    """

    def decorate(body: Formula) -> Formula:
        INTRINSICS[twin.__name__].formula = body
        INTRINSICS[twin.__name__].in_place = in_place
        return body

    return decorate


def lowering(twin: Twin, *, in_kernel: bool = False) -> Callable[[Lowering], Lowering]:
    """Say which LLVM code is compiled in place of a function of arrays.

    Parameters
    ----------
    twin : callable
        A declared function.
    in_kernel : bool
        As of `Intrinsic`.

    Returns
    -------
    callable
        Decorator of a function from context, builder, signature and LLVM arguments to a value.
    """

    def decorate(body: Lowering) -> Lowering:
        INTRINSICS[twin.__name__].lowering = body
        INTRINSICS[twin.__name__].in_kernel = in_kernel
        return body

    return decorate
