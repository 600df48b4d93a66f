"""How long the first call takes, in processes of their own: with empty disk caches, then full."""

from __future__ import annotations

import importlib
import tempfile
import time

from bench.alone import in_new_process
from bench.environment import with_caches_in
from bench.variants import Variant
from bench.workload import Workload

# Those that compile; with the others the first call is like any other.
COMPILING = ("jitgrad", "jax", "torch_compile")
_COMPILERS = {"jitgrad": "numba", "torch_compile": "torch._inductor.compile_fx"}

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
    # Some import their compiler when they first need it; that is an import all the same.
    importlib.import_module(_COMPILERS.get(variant.peer, "bench"))
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
            environment = with_caches_in(caches)
            cold, warm = (
                in_new_process("first_call", workload, variant, tiny, environment) for _ in range(2)
            )
        pairs.append({"import": warm["import"], "cold": cold["first"], "warm": warm["first"]})
    return {what: min(pair[what] for pair in pairs) for what in pairs[0]}
