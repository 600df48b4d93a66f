"""Loops of which the compiler is told what it can't find out.

``for j in independent(start, stop)`` is the loop over ``range(start, stop)`` of whose iterations
none reads or writes memory that another one writes: they may be computed at once.
"""

from __future__ import annotations

# The very class, so that Numba compiles it as well.
independent = range
