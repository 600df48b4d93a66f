"""How long the first call takes, in processes of their own: with empty disk caches, then full."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from typing import Any

from bench.environment import with_caches_in
from bench.variants import Variant
from bench.workload import Workload

# Those that compile; with the others the first call is like any other.
COMPILING = ("jitgrad", "jax", "torch_compile", "hand")


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


def cold_and_warm(workload: Workload, variant: Variant, tiny: bool = False) -> dict[str, Any]:
    """Return what two new processes measured, the second finding the first one's disk caches."""
    command = [sys.executable, "-m", "bench", "--first-call", workload.name, variant.name]
    command += ["--tiny"] * tiny
    with tempfile.TemporaryDirectory(prefix="jitgrad-bench-") as caches:
        found = [
            json.loads(
                subprocess.run(
                    command,
                    env=with_caches_in(caches),
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                ).stdout.splitlines()[-1]
            )
            for _ in range(2)
        ]
    return {"import": found[1]["import"], "cold": found[0]["first"], "warm": found[1]["first"]}
