"""How much memory a call takes beyond its inputs, in processes of their own; on Linux only."""

from __future__ import annotations

from pathlib import Path

from bench.alone import in_new_process
from bench.variants import Variant
from bench.workload import Workload

_STATUS, _FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
# Where inputs are smaller, results would be too uncertain: compilers take some megabytes, too.
_LARGE = 4 * 2**20


def worth_measuring(workload: Workload) -> bool:
    """Tell whether the system says what memory was used, and the inputs are large enough."""
    return _FORGET.exists() and sum(array.nbytes for array in workload.make_inputs()) >= _LARGE


def measure_here(workload: Workload, variant: Variant, tiny: bool) -> dict[str, float]:
    """Return the bytes by which memory in use grows from before the first call until its peak.

    Parameters
    ----------
    workload, variant : Workload, Variant
        What to call.
    tiny : bool
        Whether to use the tests' sizes.
    """
    call = variant.make(workload, workload.make_inputs(tiny))
    before = _status("VmRSS")
    call()
    _FORGET.write_text("5")  # the peak so far, which may be the compiler's
    for _ in range(3):
        call()
    return {"memory": float(_status("VmHWM") - before)}


def peak(workload: Workload, variant: Variant) -> dict[str, float]:
    """Return the bytes that a call takes at its peak: results, what is kept, temporaries.

    That is by how much the growth exceeds that with tiny inputs, where it is the compiled code's.
    """
    large, small = (
        in_new_process("memory", workload, variant, tiny)["memory"] for tiny in (False, True)
    )
    return {"memory": max(large - small, 0.0)}


def _status(name: str) -> int:
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    (found,) = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return int(found) * 1024
