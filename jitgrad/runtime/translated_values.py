"""What the names and expressions of a kernel stand for while it is translated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types as numba_types

from jitgrad.runtime.machine_code import UntranslatableError

# Numba says nothing of the types of its types.
types: Any = numba_types
KINDS = {
    np.float32: "float32",
    np.float64: "float64",
    np.int32: "int32",
    np.int64: "int64",
    np.bool_: "bool",
}
NUMBA_TYPES = {
    "bool": types.boolean,
    "int32": types.int32,
    "int64": types.int64,
    "float32": types.float32,
    "float64": types.float64,
}
NUMPY_TYPES = {kind: numpy_type for numpy_type, kind in KINDS.items()}


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number.

    Parameters
    ----------
    llvm : llvmlite.ir.Value
        What holds it.
    kind : str
        As the intrinsics name them: ``"float64"``.
    literal : int, optional
        Its value, where the text says it.
    """

    llvm: Any
    kind: str
    literal: int | None = None


@dataclass(frozen=True, slots=True)
class Variable:
    """A number that is assigned several times.

    Parameters
    ----------
    slot : llvmlite.ir.Value
        Its place on the stack.
    kind : str
        As of `Scalar`.
    """

    slot: Any
    kind: str


@dataclass(frozen=True, slots=True)
class View:
    """An array.

    Parameters
    ----------
    type : numba type
        Array, or one that shares no memory with others.
    data : llvmlite.ir.Value
        Address of the first element.
    shape, strides : tuple of llvmlite.ir.Value
        For each axis.
    structure : llvmlite.ir.Value, optional
        What holds all of it.
    """

    type: Any
    data: Any
    shape: tuple[Any, ...]
    strides: tuple[Any, ...]
    structure: Any = None


@dataclass(frozen=True, slots=True)
class Framed:
    """Something that lies in a frame; see `frames.py`.

    Parameters
    ----------
    like : Scalar, Variable or View
        The same thing, where it was made.
    place : int
        Of its first word in the frame.
    """

    like: Any
    place: int


def pieces_of(thing: Any) -> list[Any]:
    """Return the LLVM values that something bound to a name consists of."""
    if isinstance(thing, View):
        return [thing.data, *thing.shape, *thing.strides]
    if isinstance(thing, Variable):
        return [thing.slot]
    if not isinstance(thing, Scalar):
        raise UntranslatableError(repr(thing))
    return [] if isinstance(thing.llvm, ir.Constant) else [thing.llvm]


def from_pieces(like: Any, pieces: Iterator[Any]) -> Any:
    """Return the same kind of thing, made of other LLVM values."""
    if isinstance(like, View):
        axes = range(len(like.shape))
        data = next(pieces)
        shape = tuple([next(pieces) for _ in axes])
        return View(like.type, data, shape, tuple([next(pieces) for _ in axes]))
    if isinstance(like, Variable):
        return Variable(next(pieces), like.kind)
    return like if isinstance(like.llvm, ir.Constant) else Scalar(next(pieces), like.kind)


def parameter(like: Any, parameters: Iterator[Any]) -> Any:
    """Return what a function's parameters hold for an argument."""
    if isinstance(like, Scalar):
        return Scalar(next(parameters), "int64")
    axes = range(len(like.shape))
    data = next(parameters)
    shape = tuple([next(parameters) for _ in axes])
    strides = tuple([next(parameters) for _ in axes])
    return View(types.Array(like.type.dtype, len(shape), "C"), data, shape, strides)


def arithmetic_kind(a: str, b: str) -> str:
    """Return the kind in which Numba computes with two numbers."""
    floats = [kind for kind in (a, b) if kind.startswith("float")]
    if not floats:
        return "int64"
    if "bool" in (a, b):
        raise UntranslatableError("arithmetic with truth values")
    return "float32" if floats == ["float32", "float32"] else "float64"


def is_element(view: View, entries: tuple[Any, ...]) -> bool:
    """Return whether an index names an element, not a part of the array."""
    return len(entries) == len(view.shape) and all(isinstance(e, Scalar) for e in entries)


def numba_type(thing: Any) -> Any:
    """Return the Numba type of an argument."""
    if isinstance(thing, View):
        return thing.type
    if isinstance(thing, tuple):
        return types.Tuple([numba_type(part) for part in thing])
    if isinstance(thing, Scalar):
        return NUMBA_TYPES[thing.kind] if thing.literal is None else types.literal(thing.literal)
    if isinstance(thing, type) and thing in KINDS:
        return types.NumberClass(NUMBA_TYPES[KINDS[thing]])
    raise UntranslatableError(repr(thing))
