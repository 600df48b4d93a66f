"""All intrinsics: the files that declare them, and their names in generated source."""

from __future__ import annotations

from jitgrad.intrinsics import (  # noqa: F401 - imported for what they declare
    accumulate,
    arithmetic,
    arrays,
    blas,
    convolution,
    error_function,
    exponential,
    gamma,
    hyperbolic,
    inverse_trigonometric,
    logarithm,
    memory,
    parallel,
    pooling,
    power,
    random,
    tiles,
    trigonometric,
)
from jitgrad.intrinsics.declare import INTRINSICS, Intrinsic


def all_intrinsics() -> tuple[Intrinsic, ...]:
    """Return the record of every intrinsic, in the order of declaration."""
    return tuple(INTRINSICS.values())
