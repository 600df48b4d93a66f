"""Memory in which a long function keeps what its parts share.

LLVM takes much longer for one function in which hundreds of values are alive at once than for many
that load the few values they need.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from jitgrad.runtime.translated_values import Variable, from_pieces, pieces_of

_WORD = ir.IntType(64)


class Frame:
    """A function's frame, on its stack.

    Parameters
    ----------
    builder : llvmlite.ir.IRBuilder
        Anywhere in the function.
    """

    def __init__(self, builder: Any) -> None:
        with builder.goto_entry_block():
            # How long it must be is known at the end.
            self.memory = builder.alloca(_WORD, size=_WORD(0), name="frame")
        self.words = 0

    def reserve(self, thing: Any) -> int:
        """Return the place for something: the number of its first word of 8 bytes."""
        place = self.words
        self.extend(len(pieces_of(thing)))
        return place

    def extend(self, count: int) -> None:
        """Make it longer by so many words."""
        self.words += count
        self.memory.operands = [_WORD(self.words)]


def keep(builder: Any, address: Any, thing: Any) -> None:
    """Store something at an address in a frame."""
    pieces = [builder.load(thing.slot)] if isinstance(thing, Variable) else pieces_of(thing)
    for number, piece in enumerate(pieces):
        builder.store(piece, _slot(builder, address, number, piece.type))


def fetch(builder: Any, address: Any, like: Any) -> Any:
    """Return the thing, like another one, at an address in a frame; a variable stays there."""
    if isinstance(like, Variable):
        return Variable(_slot(builder, address, 0, like.slot.type.pointee), like.kind)
    pieces = [
        builder.load(_slot(builder, address, number, piece.type))
        for number, piece in enumerate(pieces_of(like))
    ]
    return from_pieces(like, iter(pieces))


def _slot(builder: Any, address: Any, number: int, kind: Any) -> Any:
    return builder.bitcast(builder.gep(address, [_WORD(number)]), kind.as_pointer())
