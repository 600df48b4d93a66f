"""Threads that wait for kernels to run, without the interpreter: they start in a microsecond.

They sleep in machine code that is made from the text below, on a lock and a condition of the
operating system. Kernels get the addresses as data; see `jitgrad/intrinsics/parallel.py`.
"""

from __future__ import annotations

import ctypes
import platform
import sys
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jitgrad.intrinsics import parallel

# How often a thread looks for what it waits for, inside a kernel and between kernels, before it
# sleeps: the first 700 times, some 30 us, without a pause. Then it lets other threads of its core
# run after each look, for one of them may be what it waits for. Waking up takes longer than 30 us,
# and who has slept comes too late for a kernel's first blocks. Who comes too late for a kernel
# stays awake for the next one.
_LOOKS = {"close": 700, "within": 3000, "between": 1500, "late": 20000}
# How long a look takes, and for which share of a kernel's work its first thread waits for others.
_NANOSECONDS_PER_LOOK = 60.0
_WAITING_SHARE = 0.02

_PAUSE = {
    "x86_64": "@llvm.x86.sse2.pause()",
    "aarch64": "@llvm.aarch64.hint(i32 1)",
    "arm64": "@llvm.aarch64.hint(i32 1)",
}

# Words of the pool's state, those that several threads write on lines of the cache of their own.
_STATE_WORDS = 80
_STATE = {
    "generation": 0,  # counts kernels; a change wakes up
    "members": 8,  # who takes part in the running one; from 2**32 on nobody can join
    "done": 16,  # how many others than the first have left it
    "busy": 24,
    "kernel": 32,
    "frame": 33,
    "limit": 34,
    "stopped": 35,
    "sleepers": 40,
    "lock": 48,
    "condition": 64,
}
_TEAM = {
    "pool": parallel.POOL,
    "limit": parallel.LIMIT,
    "size": parallel.SIZE,
    "patience": parallel.PATIENCE,
    "next_block": parallel.NEXT_BLOCK,
    "arrived": parallel.ARRIVED,
    "meetings": parallel.MEETINGS,
}

_CODE = """
declare void <pause.type>
declare i32 @sched_yield()
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_broadcast(ptr)

define void @prepare(ptr %pool) {
  %lock = <pool.lock>
  %condition = <pool.condition>
  call i32 @pthread_mutex_init(ptr %lock, ptr null)
  call i32 @pthread_cond_init(ptr %condition, ptr null)
  ret void
}

define void @stop(ptr %pool) {
  %stopped = <pool.stopped>
  %generation = <pool.generation>
  store atomic i64 1, ptr %stopped seq_cst, align 8
  call void @advance(ptr %pool, ptr %generation)
  ret void
}

; Returns when a word holds something else.
define internal void @wait_while(ptr %pool, ptr %word, i64 %value, i64 %most) {
entry:
  br label %look
look:
  %looks = phi i64 [0, %entry], [%more, %again], [%more, %yield]
  %seen = load atomic i64, ptr %word acquire, align 8
  %same = icmp eq i64 %seen, %value
  br i1 %same, label %again, label %changed
again:
  call void <pause>
  %more = add i64 %looks, 1
  %close = icmp ult i64 %more, <looks.close>
  br i1 %close, label %look, label %linger
linger:
  %patient = icmp ult i64 %more, %most
  br i1 %patient, label %yield, label %sleep
yield:
  call i32 @sched_yield()
  br label %look
sleep:
  %lock = <pool.lock>
  %condition = <pool.condition>
  %sleepers = <pool.sleepers>
  call i32 @pthread_mutex_lock(ptr %lock)
  ; before looking again: who changes the word looks for sleepers after that
  atomicrmw add ptr %sleepers, i64 1 seq_cst
  br label %check
check:
  %now = load atomic i64, ptr %word seq_cst, align 8
  %still = icmp eq i64 %now, %value
  br i1 %still, label %doze, label %awake
doze:
  call i32 @pthread_cond_wait(ptr %condition, ptr %lock)
  br label %check
awake:
  atomicrmw sub ptr %sleepers, i64 1 seq_cst
  call i32 @pthread_mutex_unlock(ptr %lock)
  br label %changed
changed:
  ret void
}

; Adds 1 to a word and wakes whoever waits for that.
define internal void @advance(ptr %pool, ptr %word) {
  %lock = <pool.lock>
  %condition = <pool.condition>
  %sleepers = <pool.sleepers>
  atomicrmw add ptr %word, i64 1 seq_cst
  %count = load atomic i64, ptr %sleepers seq_cst, align 8
  %none = icmp eq i64 %count, 0
  br i1 %none, label %end, label %wake
wake:
  call i32 @pthread_mutex_lock(ptr %lock)
  call i32 @pthread_cond_broadcast(ptr %condition)
  call i32 @pthread_mutex_unlock(ptr %lock)
  br label %end
end:
  ret void
}

define internal void @wait_until(ptr %pool, ptr %word, i64 %value) {
entry:
  br label %look
look:
  %seen = load atomic i64, ptr %word acquire, align 8
  %equal = icmp eq i64 %seen, %value
  br i1 %equal, label %end, label %wait
wait:
  call void @wait_while(ptr %pool, ptr %word, i64 %seen, i64 <looks.within>)
  br label %look
end:
  ret void
}

; Lets the threads call a kernel; returns 0 if they are busy with another one.
define i64 @start(ptr %pool, i64 %kernel, i64 %frame, i64 %limit) {
  %busy = <pool.busy>
  %tried = cmpxchg ptr %busy, i64 0, i64 1 seq_cst seq_cst
  %free = extractvalue {i64, i1} %tried, 1
  br i1 %free, label %go, label %alone
alone:
  ret i64 0
go:
  %kernel.at = <pool.kernel>
  %frame.at = <pool.frame>
  %limit.at = <pool.limit>
  %done = <pool.done>
  %members = <pool.members>
  %generation = <pool.generation>
  store i64 %kernel, ptr %kernel.at
  store i64 %frame, ptr %frame.at
  store i64 %limit, ptr %limit.at
  store atomic i64 0, ptr %done seq_cst, align 8
  store atomic i64 1, ptr %members seq_cst, align 8
  call void @advance(ptr %pool, ptr %generation)
  ret i64 1
}

; What each thread but the first runs, until the pool is stopped.
define void @work(ptr %pool) {
entry:
  %generation.at = <pool.generation>
  %stopped.at = <pool.stopped>
  %members = <pool.members>
  %done = <pool.done>
  %kernel.at = <pool.kernel>
  %frame.at = <pool.frame>
  %limit.at = <pool.limit>
  br label %next
next:
  %known = phi i64 [0, %entry], [%generation, %joining], [%generation, %run]
  %most = phi i64 [<looks.between>, %entry], [<looks.late>, %joining], [<looks.between>, %run]
  call void @wait_while(ptr %pool, ptr %generation.at, i64 %known, i64 %most)
  %generation = load atomic i64, ptr %generation.at acquire, align 8
  %stopped = load atomic i64, ptr %stopped.at acquire, align 8
  %stop = icmp ne i64 %stopped, 0
  br i1 %stop, label %end, label %joining
joining:
  %rank = atomicrmw add ptr %members, i64 1 seq_cst
  %limit = load i64, ptr %limit.at
  %last = call i64 @llvm.umin.i64(i64 %limit, i64 4294967296)
  %member = icmp ult i64 %rank, %last
  br i1 %member, label %run, label %next
run:
  %kernel = load i64, ptr %kernel.at
  %frame = load i64, ptr %frame.at
  %function = inttoptr i64 %kernel to ptr
  call void %function(i64 %frame, i64 %rank)
  call void @advance(ptr %pool, ptr %done)
  br label %next
end:
  ret void
}
declare i64 @llvm.umin.i64(i64, i64)

; Waits a little for others, then lets nobody join any more; returns how many take part.
define internal i64 @close(ptr %pool, ptr %team) {
  %size.at = <team.size>
  %known = load i64, ptr %size.at
  %open = icmp eq i64 %known, 0
  br i1 %open, label %shut, label %end
end:
  ret i64 %known
shut:
  %members = <pool.members>
  %limit.at = <team.limit>
  %patience.at = <team.patience>
  %limit = load i64, ptr %limit.at
  %patience = load i64, ptr %patience.at
  br label %look
look:
  %looks = phi i64 [0, %shut], [%more, %again]
  %here = load atomic i64, ptr %members acquire, align 8
  %all = icmp uge i64 %here, %limit
  %over = icmp uge i64 %looks, %patience
  %enough = or i1 %all, %over
  br i1 %enough, label %go, label %again
again:
  call void <pause>
  %more = add i64 %looks, 1
  br label %look
go:
  %joined = atomicrmw or ptr %members, i64 4294967296 seq_cst
  %size = call i64 @llvm.umin.i64(i64 %joined, i64 %limit)
  store i64 %size, ptr %size.at
  ret i64 %size
}

define i64 @meet(ptr %team, i64 %rank) {
  %pool.at = <team.pool>
  %arrived = <team.arrived>
  %meetings = <team.meetings>
  %next_block = <team.next_block>
  %pool = load ptr, ptr %pool.at
  %first = icmp eq i64 %rank, 0
  br i1 %first, label %lead, label %follow
lead:
  %size = call i64 @close(ptr %pool, ptr %team)
  %others = sub i64 %size, 1
  call void @wait_until(ptr %pool, ptr %arrived, i64 %others)
  store atomic i64 0, ptr %arrived seq_cst, align 8
  store atomic i64 0, ptr %next_block seq_cst, align 8
  call void @advance(ptr %pool, ptr %meetings)
  ret i64 0
follow:
  %meeting = load atomic i64, ptr %meetings seq_cst, align 8
  call void @advance(ptr %pool, ptr %arrived)
  call void @wait_while(ptr %pool, ptr %meetings, i64 %meeting, i64 <looks.within>)
  ret i64 0
}

define i64 @leave(ptr %team) {
  %pool.at = <team.pool>
  %pool = load ptr, ptr %pool.at
  %done = <pool.done>
  %busy = <pool.busy>
  %size = call i64 @close(ptr %pool, ptr %team)
  %others = sub i64 %size, 1
  call void @wait_until(ptr %pool, ptr %done, i64 %others)
  store atomic i64 0, ptr %busy seq_cst, align 8
  ret i64 0
}
"""


def patience(nanoseconds: float) -> int:
    """Return how often the first thread of a kernel looks for others, given its work."""
    return int(_WAITING_SHARE * nanoseconds / _NANOSECONDS_PER_LOOK)


def available() -> bool:
    """Return whether this platform has what the threads sleep on."""
    return sys.platform in ("linux", "darwin") and platform.machine() in _PAUSE


@dataclass(frozen=True, slots=True)
class _Functions:
    """Addresses of the functions above."""

    prepare: int
    stop: int
    work: int
    start: int
    meet: int
    leave: int
    engine: Any  # owns their machine code


_functions: _Functions | None = None


def _compiled() -> _Functions:
    global _functions
    if _functions is None:
        _functions = _compile()
    return _functions


def _compile() -> _Functions:
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    pause = _PAUSE[platform.machine()]
    text = _CODE.replace("<pause>", pause)
    text = text.replace("<pause.type>", pause.replace("i32 1", "i32"))
    for name, looks in _LOOKS.items():
        text = text.replace(f"<looks.{name}>", str(looks))
    for owner, places in (("pool", _STATE), ("team", _TEAM)):
        for name, place in places.items():
            address = f"getelementptr i64, ptr %{owner}, i64 {place}"
            text = text.replace(f"<{owner}.{name}>", address)
    module = binding.parse_assembly(text)
    machine = binding.Target.from_default_triple().create_target_machine(opt=2)
    engine = binding.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    address = engine.get_function_address
    return _Functions(
        prepare=address("prepare"),
        stop=address("stop"),
        work=address("work"),
        start=address("start"),
        meet=address("meet"),
        leave=address("leave"),
        engine=engine,
    )


@dataclass(eq=False, slots=True)
class ThreadPool:
    """Threads that take part in kernels, besides those that call them.

    Parameters
    ----------
    threads : int
        How many.
    """

    threads: int
    state: np.ndarray[Any, Any] = field(init=False)
    workers: list[threading.Thread] = field(init=False)

    def __post_init__(self) -> None:
        functions = _compiled()
        self.state = np.zeros(_STATE_WORDS, np.int64)
        ctypes.CFUNCTYPE(None, ctypes.c_int64)(functions.prepare)(self.address)
        work = ctypes.CFUNCTYPE(None, ctypes.c_int64)(functions.work)
        self.workers = [
            threading.Thread(
                target=work, args=(self.address,), name=f"jitgrad-{number}", daemon=True
            )
            for number in range(1, self.threads + 1)
        ]
        for worker in self.workers:
            worker.start()

    @property
    def address(self) -> int:
        """Address of the state."""
        return int(self.state.ctypes.data)

    @property
    def functions(self) -> tuple[int, int, int]:
        """Addresses of what kernels call to start, to meet and to leave."""
        functions = _compiled()
        return functions.start, functions.meet, functions.leave

    def stop(self) -> None:
        """End the threads, after the kernel that they run; one that starts later runs alone."""
        ctypes.CFUNCTYPE(None, ctypes.c_int64)(_compiled().stop)(self.address)
        for worker in self.workers:
            worker.join()
