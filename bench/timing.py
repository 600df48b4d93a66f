"""Measuring: variants take turns, so that whatever else the machine does hits all of them."""

from __future__ import annotations

import functools
import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.workload import Call

# So short that most batches run without another process being let in between.
_BATCH = 1e-3
_LONGEST_BATCH = 10_000  # calls
# Idle threads of a pool wait busily for some time before they sleep: not in another's turn.
_SETTLING = 0.03


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one variant took.

    Parameters
    ----------
    seconds : list of float
        Seconds a call in the best batch of each round.
    cores : float
        Processor time spent by all threads of the process, in units of the time that passed.
    """

    seconds: list[float]
    cores: float

    @property
    def minimum(self) -> float:
        """Seconds a call in the best round."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        """Seconds a call in a middling round."""
        return median(self.seconds)

    def ratio_to(self, other: Timing) -> float:
        """Return the median over the rounds of how many times longer this took than `other`."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return median(own / reference for own, reference in pairs)


def interleave(calls: Sequence[Call], rounds: int, turn: float) -> list[Timing]:
    """Time `calls` in turns: each once, then each again.

    Parameters
    ----------
    calls : sequence of callable
        What to time; each has been called before, so that nothing is compiled now.
    rounds : int
        How often each has its turn.
    turn : float
        How many seconds a turn lasts: batches of calls are timed until they are over, one at least.

    Returns
    -------
    list of Timing
        In the order of `calls`.
    """
    counts = [_calls_a_batch(call) for call in calls]
    seconds: list[list[float]] = [[] for _ in calls]
    processor, passed = [0.0 for _ in calls], [0.0 for _ in calls]
    # Collections stay on, as in users' programs, but need not look through the libraries' objects.
    gc.collect()
    gc.freeze()
    try:
        for _ in range(rounds):
            for k, (call, count) in enumerate(zip(calls, counts, strict=True)):
                time.sleep(min(_SETTLING, turn))
                call()  # untimed: brings back to the caches what the others displaced
                cpu, began = time.process_time(), time.perf_counter()
                seconds[k].append(_best_batch(call, count, turn) / count)
                passed[k] += time.perf_counter() - began
                processor[k] += time.process_time() - cpu
    finally:
        gc.unfreeze()
    cores = [used / wall for used, wall in zip(processor, passed, strict=True)]
    return [Timing(one, used) for one, used in zip(seconds, cores, strict=True)]


def _best_batch(call: Call, count: int, turn: float) -> float:
    """Return how long the quickest of several batches took."""
    # Kernels in C repeat themselves, so that calling them from Python is not part of their time.
    repeat = getattr(call, "repeat", None) or functools.partial(_repeat, call)
    start, best = time.perf_counter(), float("inf")
    while True:
        began = time.perf_counter()
        repeat(count)
        ended = time.perf_counter()
        best = min(best, ended - began)
        if ended - start >= turn:
            return best


def _repeat(call: Call, count: int) -> None:
    for _ in range(count):
        call()


def _calls_a_batch(call: Call) -> int:
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
    return min(max(int(_BATCH / max(best, 1e-9)), 1), _LONGEST_BATCH)
