"""A scalar in LLVM code that formulas treat like a number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from jitgrad.intrinsics.emitter import Emitter

Number: TypeAlias = int | float


class Value:
    """A scalar in LLVM code, with the operators of a number.

    Parameters
    ----------
    emitter : Emitter
        Writes the code.
    llvm : llvmlite value
        What it stands for.
    kind : str
        ``bool``, ``int32``, ``int64``, ``float32`` or ``float64``.
    """

    __slots__ = ("emitter", "kind", "llvm")

    def __init__(self, emitter: Emitter, llvm: Any, kind: str) -> None:
        self.emitter = emitter
        self.llvm = llvm
        self.kind = kind

    @property
    def is_float(self) -> bool:
        """Whether it is of a floating type."""
        return self.kind.startswith("float")

    def __add__(self, other: Value | Number) -> Value:
        return self.emitter.arithmetic("add", self, other)

    def __radd__(self, other: Number) -> Value:
        return self.emitter.arithmetic("add", self.like(other), self)

    def __sub__(self, other: Value | Number) -> Value:
        return self.emitter.arithmetic("sub", self, other)

    def __rsub__(self, other: Number) -> Value:
        return self.emitter.arithmetic("sub", self.like(other), self)

    def __mul__(self, other: Value | Number) -> Value:
        return self.emitter.arithmetic("mul", self, other)

    def __rmul__(self, other: Number) -> Value:
        return self.emitter.arithmetic("mul", self.like(other), self)

    def __truediv__(self, other: Value | Number) -> Value:
        return self.emitter.arithmetic("div", self, other)

    def __rtruediv__(self, other: Number) -> Value:
        return self.emitter.arithmetic("div", self.like(other), self)

    def __neg__(self) -> Value:
        builder = self.emitter.builder
        negated = builder.fneg(self.llvm) if self.is_float else builder.neg(self.llvm)
        return Value(self.emitter, negated, self.kind)

    def __and__(self, other: Value | int) -> Value:
        return self.emitter.bitwise("and_", self, other)

    def __or__(self, other: Value | int) -> Value:
        return self.emitter.bitwise("or_", self, other)

    def __xor__(self, other: Value | int) -> Value:
        return self.emitter.bitwise("xor", self, other)

    def __lshift__(self, other: Value | int) -> Value:
        return self.emitter.bitwise("shl", self, other)

    def __rshift__(self, other: Value | int) -> Value:
        return self.emitter.bitwise("ashr", self, other)

    def __invert__(self) -> Value:
        return Value(self.emitter, self.emitter.builder.not_(self.llvm), self.kind)

    def __lt__(self, other: Value | Number) -> Value:
        return self.emitter.compare("<", self, other)

    def __le__(self, other: Value | Number) -> Value:
        return self.emitter.compare("<=", self, other)

    def __gt__(self, other: Value | Number) -> Value:
        return self.emitter.compare(">", self, other)

    def __ge__(self, other: Value | Number) -> Value:
        return self.emitter.compare(">=", self, other)

    def equals(self, other: Value | Number) -> Value:
        """Return whether both are equal; false for nan."""
        return self.emitter.compare("==", self, other)

    def like(self, number: Number) -> Value:
        """Return a constant of this value's kind."""
        return self.emitter.constant(number, self.kind)
