"""Report on the table of operations: ``python -m jitgrad.ops``.

Prints for every operation up to which order the tests check its derivative, its form in compiled
code and the dtypes it takes; then how many of PyTorch's names there are.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import jitgrad.ops.all  # noqa: F401 - fills the table
from jitgrad.core.dtypes import SUPPORTED
from jitgrad.core.errors import JitgradError
from jitgrad.core.primitive import TABLE, NoDerivative, Primitive, Sample
from jitgrad.ir.interpret import evaluate_primitive, spec_of

TIERS = Path(__file__).with_name("tiers.txt")

_FORMS = {
    "Template": "expression",
    "Accumulation": "loop",
    "IndexMap": "index",
    "Alias": "index",
    "Contraction": "BLAS, loop",
    "Fill": "expression",
    "Pieces": "loops",
    "Indexed": "loop",
    "Call": "intrinsic",
    "External": "call of NumPy",
}
_SHORT = {"float32": "f32", "float64": "f64", "int32": "i32", "int64": "i64", "bool": "bool"}


def operations() -> Iterator[tuple[str, str, str, str]]:
    """Yield for each operation its name, order of derivative, compiled form and dtypes."""
    for name, primitive in sorted(TABLE.items()):
        kind = type(primitive.lowering).__name__
        yield name, order_tested(primitive), _FORMS.get(kind, kind), " ".join(dtypes_of(primitive))


def order_tested(primitive: Primitive) -> str:
    """Return up to which order the laws compare the derivative with finite differences."""
    return "none" if isinstance(primitive.derivative, NoDerivative) else "2"


def dtypes_of(primitive: Primitive) -> list[str]:
    """Return the dtypes that the floating inputs of an operation may have instead."""
    samples = primitive.samples(np.random.default_rng(0))
    return [_SHORT[d.name] for d in SUPPORTED if any(_takes(primitive, s, d) for s in samples[-1:])]


def _takes(primitive: Primitive, sample: Sample, dtype: Any) -> bool:
    try:
        with np.errstate(all="ignore"):
            args = [
                a.astype(dtype) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a
                for a in sample.args
            ]
            specs = primitive.output_specs([spec_of(a) for a in args], sample.params)
            outputs = evaluate_primitive(primitive, args, sample.params)
    except (JitgradError, TypeError, ValueError, np.linalg.LinAlgError):
        return False
    return [s.dtype for s in specs] == [y.dtype for y in outputs]


def names_by_tier() -> dict[int, list[str]]:
    """Return PyTorch's names, such as ``linalg.solve`` and ``Tensor.view``, by tier."""
    tiers: dict[int, list[str]] = {}
    for line in TIERS.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            tier, name = line.split("\t")
            tiers.setdefault(int(tier), []).append(name)
    return tiers


def is_there(name: str) -> bool:
    """Return whether users find this name in the library."""
    # The report is about what users see, which no room knows as a whole.
    found: Any = importlib.import_module("jitgrad")
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is not None


def report() -> str:
    """Return the report as text."""
    rows = [("operation", "order", "compiled", "dtypes"), *operations()]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join([*map(str.ljust, row, widths), row[3]]).rstrip() for row in rows]
    lines += ["", f"{len(rows) - 1} operations", ""]
    for tier, names in sorted(names_by_tier().items()):
        missing = [name for name in names if not is_there(name)]
        lines.append(f"tier {tier}: {len(names) - len(missing)} of {len(names)} names")
        if missing:
            lines.append(f"  missing: {' '.join(missing)}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(report() + "\n")
