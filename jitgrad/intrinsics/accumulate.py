"""Steps of a reduction that the compiler may take in any order, and so several at once.

``acc = accumulate_sum(acc, x[i])`` in a loop becomes packed additions on several partial sums. Only
this one operation may be re-associated; everything else is computed as it is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jitgrad.intrinsics.declare import Scalar, formula, numeric

if TYPE_CHECKING:
    from jitgrad.intrinsics.emitter import Emitter
    from jitgrad.intrinsics.value import Value


@numeric
def accumulate_sum(accumulator: Scalar, x: Scalar) -> Scalar:
    """Return the partial sum with `x` added."""
    return np.add(accumulator, x)


@formula(accumulate_sum, in_place=True)
def _accumulate_sum(e: Emitter, accumulator: Value, x: Value) -> Value:
    return e.reassociable("add", accumulator, x)


@numeric
def accumulate_prod(accumulator: Scalar, x: Scalar) -> Scalar:
    """Return the partial product times `x`."""
    return np.multiply(accumulator, x)


@formula(accumulate_prod, in_place=True)
def _accumulate_prod(e: Emitter, accumulator: Value, x: Value) -> Value:
    return e.reassociable("mul", accumulator, x)


@numeric
def accumulate_max(accumulator: Scalar, x: Scalar) -> Scalar:
    """Return the larger of the partial maximum and `x`; nan if either is nan."""
    return np.maximum(accumulator, x)


@formula(accumulate_max, in_place=True)
def _accumulate_max(e: Emitter, accumulator: Value, x: Value) -> Value:
    return e.extremum("max", accumulator, x)


@numeric
def accumulate_min(accumulator: Scalar, x: Scalar) -> Scalar:
    """Return the smaller of the partial minimum and `x`; nan if either is nan."""
    return np.minimum(accumulator, x)


@formula(accumulate_min, in_place=True)
def _accumulate_min(e: Emitter, accumulator: Value, x: Value) -> Value:
    return e.extremum("min", accumulator, x)
