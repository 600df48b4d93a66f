"""How long the first call takes, in processes of their own: with empty disk caches, then full."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time

from bench.environment import with_caches_in
from bench.variants import Variant
from bench.workload import Workload

# Those that compile; with the others the first call is like any other.
COMPILING = ("jitgrad", "jax", "torch_compile", "hand")

_PAIRS = 3
_LONG_ENOUGH = 10.0  # seconds


def measure_here(workload: Workload, variant: Variant, tiny: bool) -> dict[str, float]:
    """Return the seconds of import and first call; only once a process.

    Parameters
    ----------
    workload, variant : Workload, Variant
        What to call.
    tiny : bool
        Whether to use the tests' sizes.
    """
    arrays = workload.make_inputs(tiny)
    began = time.perf_counter()
    call = variant.make(workload, arrays)
    imported = time.perf_counter()
    call()
    return {"import": imported - began, "first": time.perf_counter() - imported}


def cold_and_warm(workload: Workload, variant: Variant, tiny: bool = False) -> dict[str, float]:
    """Return what pairs of new processes measured, the second finding the first one's disk caches.

    The best of three pairs, or of as many as begin within ten seconds.
    """
    pairs: list[dict[str, float]] = []
    began = time.perf_counter()
    while not pairs or (len(pairs) < _PAIRS and time.perf_counter() - began < _LONG_ENOUGH):
        with tempfile.TemporaryDirectory(prefix="jitgrad-bench-") as caches:
            cold, warm = (_in_new_process(workload, variant, tiny, caches) for _ in range(2))
        pairs.append({"import": warm["import"], "cold": cold["first"], "warm": warm["first"]})
    return {what: min(pair[what] for pair in pairs) for what in pairs[0]}


def _in_new_process(
    workload: Workload, variant: Variant, tiny: bool, caches: str
) -> dict[str, float]:
    command = [sys.executable, "-m", "bench", "--first-call", workload.name, variant.name]
    command += ["--tiny"] * tiny
    done = subprocess.run(
        command, env=with_caches_in(caches), stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
