"""Measure one workload: all variants are made and compared with each other, then timed in turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench import first_call, memory
from bench.first_call import COMPILING
from bench.timing import interleave
from bench.variants import Variant, as_arrays, largest_difference, variants_of
from bench.workload import Workload

# Relative to an array's largest element; sums are taken in different orders.
_TOLERANCES = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-9}


class DisagreementError(Exception):
    """Two variants of a workload do not compute the same."""


def measure(
    workload: Workload,
    peers: Sequence[str],
    rounds: int,
    turn: float,
    alone: bool = True,
    tiny: bool = False,
) -> dict[str, Any]:
    """Return the figures of one workload.

    Parameters
    ----------
    workload : Workload
        What to compute.
    peers : sequence of str
        By whom.
    rounds, turn : int, float
        As of `interleave`.
    alone : bool
        Whether to measure what takes processes of their own, too: first calls and memory.
    tiny : bool
        Whether to use the tests' sizes.

    Returns
    -------
    dict
        ``title``, ``difference`` and for each variant under ``variants`` its times in seconds.

    Raises
    ------
    DisagreementError
        If values or gradients differ by more than rounding.
    """
    arrays = workload.make_inputs(tiny)
    variants = variants_of(workload, peers)
    calls = [variant.make(workload, arrays) for variant in variants]
    results = [as_arrays(call()) for call in calls]
    difference = _compare(workload, variants, results)
    timings = interleave(calls, rounds, turn)
    figures: dict[str, Any] = {}
    for variant, timing in zip(variants, timings, strict=True):
        figures[variant.name] = {
            "title": variant.title_for(workload),
            "minimum": timing.minimum,
            "median": timing.median,
            "ratio": timing.ratio_to(timings[0]),
            "cores": timing.cores,
        }
        if alone and variant.peer in COMPILING and not variant.style:
            figures[variant.name] |= first_call.cold_and_warm(workload, variant, tiny)
        if alone and not tiny and not variant.style and memory.worth_measuring(workload):
            figures[variant.name] |= memory.peak(workload, variant)
    return {
        "title": workload.title,
        "rounds": rounds,
        "difference": difference,
        "variants": figures,
    }


def _compare(workload: Workload, variants: list[Variant], results: list[Any]) -> float:
    """Return the largest difference of any result from the first one."""
    allowed = _TOLERANCES[results[0][-1].dtype]
    worst = 0.0
    for variant, result in zip(variants, results, strict=True):
        try:
            difference = largest_difference(result, results[0])
        except ValueError as error:
            raise DisagreementError(f"{workload.name}: {variant.title}: {error}") from error
        if not difference <= allowed:  # also true of nan
            raise DisagreementError(
                f"{workload.name}: {variant.title} differs from {variants[0].title} by"
                f" {difference:.1e}, and {allowed:.0e} is allowed"
            )
        worst = max(worst, difference)
    return worst
