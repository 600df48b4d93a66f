"""The process that measures: how many threads it may use, and which BLAS kernels."""

from __future__ import annotations

import datetime
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

_MARK = "JITGRAD_BENCH_THREADS"

# Where these are set they choose old, slow kernels: for jitgrad, NumPy and autograd, but not for
# PyTorch and JAX, which bring their own matrix products.
_SLOWS_BLAS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")

_COUNTS = (
    "JITGRAD_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NPROC",  # the size of XLA's pool
)


def restart_with(threads: int, arguments: Sequence[str]) -> None:
    """Start this process anew unless its environment is what measuring needs.

    Libraries read it when they are loaded, and then no more.

    Parameters
    ----------
    threads : int
        How many threads each library may use.
    arguments : sequence of str
        Of the command line.
    """
    if os.environ.get(_MARK) == str(threads):
        return
    unset = [name for name in _SLOWS_BLAS if name in os.environ]
    changed = {**os.environ, _MARK: str(threads), **dict.fromkeys(_COUNTS, str(threads))}
    if threads == 1:
        changed["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    for name in unset:
        del changed[name]
    if unset:
        print(f"Started anew without {' and '.join(unset)}.", flush=True)
    os.execve(sys.executable, [sys.executable, "-m", "bench", *arguments], changed)


def with_caches_in(directory: str) -> dict[str, str]:
    """Return the environment with every library's disk cache in `directory`."""
    return {
        **os.environ,
        "JITGRAD_CACHE_DIR": f"{directory}/jitgrad",
        "NUMBA_CACHE_DIR": f"{directory}/numba",
        "JAX_COMPILATION_CACHE_DIR": f"{directory}/jax",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "TORCHINDUCTOR_CACHE_DIR": f"{directory}/torch",
    }


def describe_machine() -> dict[str, str]:
    """Return what a reader of figures wants to know about where they come from."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": platform.system(),
        "python": platform.python_version(),
        "date": datetime.date.today().isoformat(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    about = dict((part.strip() for part in line.split(":", 1)) for line in lines if ":" in line)
    name = about.get("model name", platform.machine())
    widest = next((f for f in ("avx512f", "avx2") if f in about.get("flags", "").split()), "")
    return f"{name}, {widest}" if widest else name
