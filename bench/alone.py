"""Measurements that need a process of their own: it is started, and prints what it found."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping

from bench.variants import Variant
from bench.workload import Workload


def in_new_process(
    what: str,
    workload: Workload,
    variant: Variant,
    tiny: bool,
    environment: Mapping[str, str] | None = None,
) -> dict[str, float]:
    """Return what a new process finds for one variant.

    Parameters
    ----------
    what : str
        A name in ``bench.__main__.ALONE``.
    workload, variant : Workload, Variant
        What to call.
    tiny : bool
        Whether to use the tests' sizes.
    environment : mapping, optional
        Of the process; as here by default.
    """
    command = [sys.executable, "-m", "bench", "--alone", what, workload.name, variant.name]
    command += ["--tiny"] * tiny
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
