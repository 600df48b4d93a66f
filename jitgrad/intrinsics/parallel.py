"""A kernel's nests in blocks, which the threads of a team take one after the other.

All threads of a team run the whole kernel. What computes scalars every one of them does; what
writes memory outside of blocks only the first one does::

    enter(team, rank)
    b = take(team)
    while b < blocks:
        for i in range(first_of(b, blocks, n), first_of(b + 1, blocks, n)):
            y[i] = exp(x[i])
        b = take(team)
    meet(team, rank)
    leave(team, rank)

The first thread calls the kernel; `enter` has the others call it, too. Who is not there soon after
the first one reaches `meet` takes no part: nobody waits long for a thread that does not get a core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.intrinsics.declare import lowering, typed_by
from jitgrad.intrinsics.structure import ArrayFields

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Team = NDArray[np.int64]

# Places in a team's array. Words that different threads write lie on different lines of the cache.
POOL = 0  # address of the threads' common state, 0 for a team of one
START, MEET, LEAVE = 1, 2, 3  # addresses of the pool's functions
LIMIT = 4  # how many threads may take part
SIZE = 5  # how many do, once that is known
ACTIVE = 6  # whether others take part
BLAS = 7  # address of what sets the number of threads of BLAS, or 0
BLAS_THREADS = 9  # how many it has outside of blocks
PATIENCE = 10  # how often the first thread looks for others before it goes on without them
NEXT_BLOCK = 8
ARRIVED = 16
MEETINGS = 24
WORDS = 32


def _step_type(team: Any, rank: Any) -> Any:
    from numba import types
    from numba.core.typing import signature

    if not _is_team(types, team) or not isinstance(rank, types.Integer):
        return None
    return signature(types.none, team, types.int64)


def _is_team(types: Any, team: Any) -> bool:
    return isinstance(team, types.Array) and team.dtype == types.int64 and team.ndim == 1


@typed_by(_step_type)
def enter(team: Team, rank: int) -> None:
    """Have the other threads of the team call the kernel with the same arguments.

    Parameters
    ----------
    team : int64[WORDS]
        What the threads share; no two runs at a time have the same.
    rank : int
        Number of the calling thread, which is the kernel's last argument; 0 begins.
    """
    team[NEXT_BLOCK] = 0


@lowering(enter, in_kernel=True)
def _enter(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    from llvmlite import ir

    team, rank = _data(context, builder, signature, arguments), arguments[1]
    word = ir.IntType(64)
    kernel = builder.function
    with builder.if_then(builder.icmp_signed("==", rank, rank.type(0)), likely=True):
        for place in (SIZE, ACTIVE, NEXT_BLOCK, ARRIVED):
            builder.store(word(0), _place(builder, team, place))
        pool = builder.load(_place(builder, team, POOL))
        with builder.if_then(builder.icmp_signed("!=", pool, word(0))):
            frame = _frame(builder, kernel)
            again = _call_again(kernel, frame.type.pointee)
            limit = builder.load(_place(builder, team, LIMIT))
            # before the others begin, who look
            builder.store(word(1), _place(builder, team, ACTIVE))
            started = _call(
                builder,
                team,
                START,
                [pool, builder.ptrtoint(again, word), builder.ptrtoint(frame, word), limit],
            )
            builder.store(started, _place(builder, team, ACTIVE))
    return context.get_dummy_value()


def _frame(builder: Any, kernel: Any) -> Any:
    """Return memory that holds the arguments of the running kernel."""
    from llvmlite import ir
    from numba.core import cgutils

    given = kernel.args[2:]  # after those by which Numba's functions return
    frame = cgutils.alloca_once(builder, ir.LiteralStructType([a.type for a in given]))
    for number, argument in enumerate(given):
        builder.store(argument, cgutils.gep_inbounds(builder, frame, 0, number))
    return frame


def _call_again(kernel: Any, arguments: Any) -> Any:
    """Return a function of a frame and a rank that calls the kernel with that rank."""
    from llvmlite import ir
    from numba.core import cgutils

    word = ir.IntType(64)
    name = f"{kernel.name}.again"
    again = ir.Function(kernel.module, ir.FunctionType(ir.VoidType(), [word, word]), name)
    again.linkage = "internal"
    builder = ir.IRBuilder(again.append_basic_block())
    frame = builder.inttoptr(again.args[0], arguments.as_pointer())
    others = range(len(kernel.args[2:]) - 1)
    passed = [builder.load(cgutils.gep_inbounds(builder, frame, 0, number)) for number in others]
    passed.append(again.args[1])
    returned = [cgutils.alloca_once(builder, argument.type.pointee) for argument in kernel.args[:2]]
    builder.call(kernel, [*returned, *passed])
    builder.ret_void()
    return again


def _take_type(team: Any) -> Any:
    from numba import types
    from numba.core.typing import signature

    return signature(types.int64, team) if _is_team(types, team) else None


@typed_by(_take_type)
def take(team: Team) -> int:
    """Return the number of the next block that no thread has taken."""
    team[NEXT_BLOCK] += 1
    return int(team[NEXT_BLOCK]) - 1


@lowering(take)
def _take(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    from llvmlite import ir

    team = _data(context, builder, signature, arguments)
    counter = _place(builder, team, NEXT_BLOCK)
    return builder.atomic_rmw("add", counter, ir.IntType(64)(1), "monotonic")


@typed_by(_step_type)
def meet(team: Team, rank: int) -> None:
    """Wait for the other threads; the blocks of the next nest count from 0."""
    team[NEXT_BLOCK] = 0


@lowering(meet)
def _meet(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    from llvmlite import ir

    team = _data(context, builder, signature, arguments)
    active = _is_active(builder, team)
    with builder.if_else(active) as (together, alone):
        with together:
            _call(builder, team, MEET, [team, arguments[1]])
        with alone:
            builder.store(ir.IntType(64)(0), _place(builder, team, NEXT_BLOCK))
    return context.get_dummy_value()


@typed_by(_step_type)
def leave(team: Team, rank: int) -> None:
    """Return in a thread that is not the first; wait for these in the first."""


@lowering(leave)
def _leave(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    team = _data(context, builder, signature, arguments)
    rank = arguments[1]
    is_first = builder.icmp_signed("==", rank, rank.type(0))
    with builder.if_then(builder.and_(is_first, _is_active(builder, team))):
        _call(builder, team, LEAVE, [team])
    return context.get_dummy_value()


def _share_blas_type(team: Any, shared: Any) -> Any:
    from numba import types
    from numba.core.typing import signature

    return signature(types.none, team, types.boolean) if _is_team(types, team) else None


@typed_by(_share_blas_type)
def share_blas(team: Team, shared: bool) -> None:
    """Let BLAS divide a product among threads, or not: the threads of a team call it themselves.

    Parameters
    ----------
    team : int64[WORDS]
        What the threads share.
    shared : bool
        Whether one product may use all threads.
    """


@lowering(share_blas)
def _share_blas(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    from llvmlite import ir

    team, word = _data(context, builder, signature, arguments), ir.IntType(64)
    address = builder.load(_place(builder, team, BLAS))
    with builder.if_then(builder.icmp_signed("!=", address, word(0))):
        together = builder.load(_place(builder, team, BLAS_THREADS))
        _call(builder, team, BLAS, [builder.select(arguments[1], together, word(1))])
    return context.get_dummy_value()


def _first_of_type(block: Any, blocks: Any, size: Any) -> Any:
    from numba import types
    from numba.core.typing import signature

    if not all(isinstance(number, types.Integer) for number in (block, blocks, size)):
        return None
    return signature(types.int64, types.int64, types.int64, types.int64)


@typed_by(_first_of_type)
def first_of(block: int, blocks: int, size: int) -> int:
    """Return the first iteration of one of so many blocks of a loop.

    Parameters
    ----------
    block : int
        Which one; `blocks` for the end of the last.
    blocks : int
        How many there are.
    size : int
        Number of iterations.
    """
    return block * size // blocks


@lowering(first_of)
def _first_of(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    block, blocks, size = arguments
    first = builder.sdiv(builder.mul(block, size), blocks)
    # Tells LLVM that no sum with another such number is negative: indices between two of them need
    # no check for counting from the end, which would keep the loop from becoming packed.
    return builder.and_(first, first.type(2**60 - 1))


def _data(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    return ArrayFields(builder, arguments[0]).data


def _place(builder: Any, team: Any, place: int) -> Any:
    from llvmlite import ir

    return builder.gep(team, [ir.IntType(64)(place)])


def _is_active(builder: Any, team: Any) -> Any:
    active = builder.load(_place(builder, team, ACTIVE))
    return builder.icmp_signed("!=", active, active.type(0))


def _call(builder: Any, team: Any, place: int, arguments: list[Any]) -> Any:
    """Call the function whose address the team holds; it takes and returns words."""
    from llvmlite import ir

    word = ir.IntType(64)
    kind = ir.FunctionType(word, [word] * len(arguments))
    function = builder.inttoptr(builder.load(_place(builder, team, place)), kind.as_pointer())
    words = [
        builder.ptrtoint(a, word) if isinstance(a.type, ir.PointerType) else a for a in arguments
    ]
    return builder.call(function, words)
