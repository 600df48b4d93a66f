"""NumPy's Philox 4x64 with 10 rounds, at any place of any of its sequences.

References
----------
.. [1] J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, Parallel random numbers: as easy as
   1, 2, 3, Proc. SC11 (2011).
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

_WORD = 2**64 - 1


class _Sequence(threading.local):
    def __init__(self) -> None:
        self.bits = np.random.Philox(key=0)
        self.generator = np.random.Generator(self.bits)
        # As after a block is used up, so that the next number begins another one.
        self.start: Any = self.bits.state


_sequence = _Sequence()


def philox(key: Any, number: Any, stream: int) -> np.random.Generator:
    """Return a generator of random numbers that are a function of the arguments.

    Parameters
    ----------
    key, number : int, or 0-d array of int64
        Key, and the last word of the counter; the first one counts blocks of four numbers.
    stream : int
        The word before the last.

    Returns
    -------
    numpy.random.Generator
        This thread's; to be used before the next call.
    """
    words = _sequence.start["state"]
    words["key"][0] = int(key) & _WORD
    words["counter"][:] = (0, 0, stream, int(number) & _WORD)
    _sequence.bits.state = _sequence.start
    return _sequence.generator
