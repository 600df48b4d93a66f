"""How many threads kernels use, and what each run of a kernel with several threads is given."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from jitgrad.core.errors import ArgumentError
from jitgrad.intrinsics import parallel
from jitgrad.runtime import thread_pool
from jitgrad.runtime.blas_library import blas_module, loaded_blas
from jitgrad.runtime.thread_pool import ThreadPool

Array = np.ndarray[Any, Any]

_VARIABLE = "JITGRAD_NUM_THREADS"
_CACHE_LINE = 64
# What OpenBLAS reads when it is loaded.
_BLAS_VARIABLES = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")

_BLAS_OF_NUMPY = "numpy._core._multiarray_umath"

_chosen: int | None = None
_pool: ThreadPool | None = None
# How many runs have BLAS use one thread now, and how many it used before the first of them.
_multiplying = 0
_blas_threads = 1
_counting = threading.Lock()
# reentrant: what starts threads may fork, and forking takes the lock
_lock = threading.RLock()


def get_num_threads() -> int:
    """Return how many threads a compiled function may use.

    Returns
    -------
    int
        What `set_num_threads` was given last; before that the environment variable
        ``JITGRAD_NUM_THREADS``, or where that is not set the number of processors that this
        process may run on.
    """
    return _chosen if _chosen is not None else _default_threads()


def set_num_threads(threads: int) -> None:
    """Set how many threads a compiled function may use.

    Results do not depend on it, matrix products apart: these are computed by SciPy's BLAS library,
    which gets no more threads either.

    Parameters
    ----------
    threads : int
        At least 1. Small arrays are computed by one thread in any case.

    Raises
    ------
    ArgumentError
        If it is less than 1, or not an integer.
    """
    global _chosen
    if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
        raise ArgumentError(
            f"set_num_threads: {threads!r} is not a positive number of threads",
            do="pass an int of at least 1",
        )
    _chosen = threads
    limit_blas()


@functools.cache
def _default_threads() -> int:
    given = os.environ.get(_VARIABLE, "")
    if given:
        if not given.isdecimal() or int(given) < 1:
            raise ArgumentError(f"{_VARIABLE}: {given!r} is not a positive number of threads")
        return int(given)
    return _processors()


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# -- BLAS -------------------------------------------------------------------------------------


def limit_blas() -> None:
    """Give the BLAS library that kernels call no more threads than kernels may use.

    A user who has chosen no number keeps that of the library.
    """
    module = loaded_blas()
    change = _blas_function(module, "set_num_threads") if module is not None else None
    if change is not None and (_chosen is not None or os.environ.get(_VARIABLE)):
        change(min(get_num_threads(), _threads_of_blas()))


def prepare_blas() -> None:
    """Load the BLAS library that kernels call, with the threads that it may use."""
    if blas_module() is not None:
        limit_blas()


@functools.cache
def _threads_of_blas() -> int:
    """Return how many threads OpenBLAS takes that nobody has told since it was loaded."""
    for name in _BLAS_VARIABLES:
        given = os.environ.get(name, "")
        if given.isdecimal() and int(given) > 0:
            return min(int(given), _processors())
    return _processors()


@functools.cache
def _blas_function(module: ModuleType, name: str) -> Callable[..., int] | None:
    """Return a function of the OpenBLAS that an extension module is linked to, or None."""
    if not module.__file__:
        return None
    library = ctypes.CDLL(module.__file__)
    for prefix in ("", "scipy_"):
        for suffix in ("", "64_"):
            function = getattr(library, f"{prefix}openblas_{name}{suffix}", None)
            if function is not None:
                found: Callable[..., int] = function
                return found
    return None


def _usable_threads() -> int:
    """Return how many threads a kernel may use now: fewer where threadpoolctl limits NumPy's."""
    module = sys.modules.get(_BLAS_OF_NUMPY)
    count = _blas_function(module, "get_num_threads") if module is not None else None
    if count is None:
        return get_num_threads()
    now = count()
    return get_num_threads() if now >= _threads_of_blas() else min(get_num_threads(), now)


# -- what a run is given ----------------------------------------------------------------------


@dataclass(eq=False, slots=True)
class Workspace:
    """Memory of one run of a kernel.

    Parameters
    ----------
    arena : uint8 array
        For temporaries.
    team : int64 array
        What the threads of the run share.
    threads : int
        How many the arena has room for.
    pool : ThreadPool, optional
        Keeps alive what the team has the address of.
    """

    arena: Array
    team: Array
    threads: int
    pool: ThreadPool | None = None


@dataclass(eq=False, slots=True)
class Workspaces:
    """The workspaces of a kernel; several threads may run it at once.

    Parameters
    ----------
    shared_bytes : int
        Size of the part of the arena that all threads of a run use.
    thread_bytes : int
        Size of the part that each of them has of its own.
    multiplies : bool
        Whether the kernel's threads call BLAS.
    nanoseconds : float
        Estimated time of what the threads divide.
    """

    shared_bytes: int
    thread_bytes: int
    multiplies: bool = False
    nanoseconds: float = 0.0
    free: list[Workspace] = field(default_factory=list)

    def take(self) -> Workspace:
        """Return a workspace for the threads that a kernel may use now."""
        threads = _usable_threads()
        try:
            space = self.free.pop()
        except IndexError:
            space = self.new(threads)
        if space.threads < threads:
            space = self.new(threads)
        _enlist(space, threads)
        if self.multiplies:
            space.team[[parallel.BLAS, parallel.BLAS_THREADS]] = _begin_multiplying()
        return space

    def give_back(self, space: Workspace) -> None:
        """Take back the workspace of a run that has ended."""
        if self.multiplies:
            _end_multiplying()
        self.free.append(space)

    def new(self, threads: int) -> Workspace:
        """Return a workspace with room for so many threads."""
        arena = aligned(self.shared_bytes + threads * self.thread_bytes, np.uint8)
        team = aligned(parallel.WORDS, np.int64)
        team[:] = 0
        team[parallel.PATIENCE] = thread_pool.patience(self.nanoseconds)
        return Workspace(arena, team, threads)


def aligned(count: int, dtype: Any) -> Array:
    """Return memory that begins on a line of the cache."""
    nbytes = count * np.dtype(dtype).itemsize
    memory = np.empty(nbytes + _CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % _CACHE_LINE
    return memory[start : start + nbytes].view(dtype)


def _enlist(space: Workspace, threads: int) -> None:
    """Write into the team of `space` how to call upon the other threads."""
    team = space.team
    pool = _current_pool(threads)
    if pool is not space.pool:
        space.pool = pool
        team[parallel.POOL] = 0 if pool is None else pool.address
        if pool is not None:
            team[[parallel.START, parallel.MEET, parallel.LEAVE]] = pool.functions
    team[parallel.LIMIT] = threads


def _current_pool(threads: int) -> ThreadPool | None:
    """Return the threads that help, started at the first need; None if there are none."""
    global _pool
    if threads == 1 or not thread_pool.available():
        return None
    pool = _pool
    if pool is None or pool.threads < threads - 1:
        with _lock:
            if _pool is not None and _pool.threads < threads - 1:
                stop_threads()
            if _pool is None:
                _pool = ThreadPool(threads - 1)
            pool = _pool
    return pool


def _begin_multiplying() -> tuple[int, int]:
    """Return the address of what sets the threads of the kernels' BLAS, and how many it has.

    While another run has set them to one, these are as many as it had before the first such run.
    """
    global _multiplying, _blas_threads
    module = loaded_blas()
    count = _blas_function(module, "get_num_threads") if module is not None else None
    change = _blas_function(module, "set_num_threads") if module is not None else None
    with _counting:
        if _multiplying == 0 and count is not None:
            _blas_threads = count()
        _multiplying += 1
    if change is None:
        return 0, 1
    return ctypes.cast(change, ctypes.c_void_p).value or 0, _blas_threads  # type: ignore[arg-type]


def _end_multiplying() -> None:
    global _multiplying
    with _counting:
        _multiplying -= 1


def stop_threads() -> None:
    """End the threads that help; the next large kernel starts them anew."""
    global _pool
    with _lock:
        if _pool is not None:
            _pool.stop()
            _pool = None


def _before_fork() -> None:
    # the child would have the pool without its threads, and the system warns of forking with any
    _lock.acquire()
    stop_threads()


def _after_fork() -> None:
    _lock.release()


def _after_fork_in_child() -> None:
    global _multiplying
    _lock.release()
    if _multiplying:
        # in the child, the runs that would give BLAS its threads back do not go on
        _multiplying = 0
        module = loaded_blas()
        change = _blas_function(module, "set_num_threads") if module is not None else None
        if change is not None:
            change(_blas_threads)
    # it may be about to restrict itself to some of the processors
    _default_threads.cache_clear()
    _threads_of_blas.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child
    )
