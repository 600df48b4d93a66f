"""Generators: a key and a count of draws, out of which random numbers are computed.

A draw takes the number that is next; that is all that is not a function of its inputs.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

import numpy as np

from jitgrad.core.bind import active_trace
from jitgrad.core.dtypes import int64
from jitgrad.core.primitive import External, Primitive, Sample, none, register
from jitgrad.core.public import public
from jitgrad.core.spec import Spec

Array = np.ndarray[Any, Any]

_live: weakref.WeakSet[Generator] = weakref.WeakSet()


class Generator:
    """A sequence of random numbers of one's own, which several threads may draw from.

    It begins where nobody can foresee, unless `manual_seed` is called.

    Examples
    --------
    >>> import jitgrad
    >>> generator = jitgrad.Generator().manual_seed(5)
    >>> a = jitgrad.rand(3, generator=generator)
    >>> b = jitgrad.rand(3, generator=jitgrad.Generator().manual_seed(5))
    >>> bool((a == b).all())
    True
    """

    def __init__(self) -> None:
        self._free_lock()
        # Seed, key that follows from it, and number of the next draw; None before the first one.
        self._state: tuple[int, int, int] | None = None
        self._thread = 0
        _live.add(self)

    def __repr__(self) -> str:
        return f"<jitgrad.Generator at {id(self):#x}>"

    def __setstate__(self, state: Any) -> None:
        self.restore(state)

    def __reduce__(self) -> Any:
        # The process's generator stays that: what was pickled or copied draws on from it.
        return "default_generator" if self is default_generator else (Generator, (), self._state)

    def _free_lock(self) -> None:
        """Let threads draw, whoever was at it."""
        self._lock = threading.Lock()

    def manual_seed(self, seed: int) -> Generator:
        """Begin the sequence that belongs to `seed`, and return the generator."""
        self.restart(seed)
        return self

    def seed(self) -> int:
        """Begin a sequence that nobody can foresee, and return its seed."""
        return self.restart(None)

    def initial_seed(self) -> int:
        """Return the seed that the sequence began with."""
        state = self._state
        return self.restart(None) if state is None else state[0]

    def restart(self, seed: int | None) -> int:
        """Begin the sequence that belongs to `seed`, one from the system for None; return it."""
        trace = active_trace()
        if trace is not None:
            trace.refuse("it sets the seed of the random numbers")
        begun = _beginning(seed)
        with self._lock:
            self._state = begun
        return begun[0]

    def reserve(self, count: int) -> tuple[Array, Array]:
        """Return key and number of the next draw, after which so many are taken."""
        with self._lock:
            seed, key, number = _beginning(None) if self._state is None else self._state
            self._state = (seed, key, number + count)
            self._thread = threading.get_ident()
        return np.asarray(key), np.asarray(number)

    def state(self) -> Any:
        """Return the generator's state; None before the first draw."""
        return self._state

    def restore(self, state: Any) -> None:
        """Put the generator back into a state; one before the first draw leaves it as it is."""
        with self._lock:
            self._state = self._state if state is None else state

    def undo(self, state: Any) -> None:
        """Put it back into a state if it was this thread that drew last."""
        if self._thread == threading.get_ident():
            self.restore(state)


def _beginning(seed: int | None) -> tuple[int, int, int]:
    """Return the state that belongs to `seed`, to one from the system for None."""
    sequence = np.random.SeedSequence(seed)
    (key,) = sequence.generate_state(1, np.uint64).view(np.int64).tolist()
    assert isinstance(sequence.entropy, int)
    return sequence.entropy, key, 0


default_generator = Generator()


def _free_locks() -> None:
    """Let go of what threads hold that a forked process does not have."""
    for generator in list(_live):
        generator._free_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_locks)


@public(method=False)
def manual_seed(seed: int) -> None:
    """Begin the sequence of random numbers that belongs to `seed`.

    Parameters
    ----------
    seed : int
        Any integer.
    """
    number = int(seed)
    # Negative seeds are other sequences than positive ones.
    default_generator.restart(number if number >= 0 else (-number << 64) + 1)


def generator_state() -> Any:
    """Return the states of all generators, for `set_generator_state`."""
    return [(generator, generator.state()) for generator in tuple(_live)]


def set_generator_state(states: Any) -> None:
    """Let this thread's draws since `generator_state` be as if they had not been."""
    for generator, state in states or ():
        generator.undo(state)


@public(method=False)
def seed() -> int:
    """Begin a sequence of random numbers that nobody can foresee.

    Returns
    -------
    int
        The seed, with which `manual_seed` begins the same sequence.
    """
    return default_generator.restart(None)


random_ticket = register(
    Primitive(
        "random_ticket",
        ("*counts",),
        eager=lambda *counts, count, source: source.reserve(count + sum(map(int, counts))),
        infer=lambda *counts, count, source: (Spec((), int64), Spec((), int64)),
        derivative=none("it counts draws"),
        lowering=External(),
        samples=lambda rng: [Sample((np.asarray(2),), {"count": 1, "source": default_generator})],
        doc="Key and number of the next draw of a generator, of which so many are taken.",
        grad_name="",
        impure=True,
    )
)


def next_draw(generator: Generator | None) -> Any:
    """Return key and number of the next draw of a generator, of the process's own for None."""
    source = default_generator if generator is None else generator
    # No operation where nobody records any.
    return source.reserve(1) if active_trace() is None else random_ticket(count=1, source=source)
