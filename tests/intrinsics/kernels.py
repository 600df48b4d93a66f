"""Compiled loops over one intrinsic, and the numbers that they are tried on."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jitgrad.intrinsics.catalogue import all_intrinsics
from jitgrad.intrinsics.declare import floating_kinds
from jitgrad.intrinsics.registration import register

Array = NDArray[Any]
TWINS: dict[str, Callable[..., Any]] = {record.name: record.twin for record in all_intrinsics()}
ARITY = {record.name: record.twin.__wrapped__.__code__.co_argcount for record in all_intrinsics()}
FLOATING = tuple(record.name for record in all_intrinsics() if record.kind_rule is floating_kinds)
SCALAR = tuple(record.name for record in all_intrinsics() if record.kind_rule is not None)

_EDGES = [
    0.0,
    5e-324,
    1e-310,
    2.3e-308,
    1e-46,
    1e-44,
    1e-38,
    1e-20,
    1e-5,
    0.25,
    0.5,
    0.75,
    1.0,
    1.5,
]
_EDGES += [2.0, 2.5, 3.0, 10.0, 88.0, 89.0, 103.0, 127.5, 149.0, 708.5, 710.0, 745.0, 1024.0, 1e5]
_EDGES += [3e9, 1e30, 3e38, 1e300, 1.7e308, np.inf]
EDGES: Array = np.array([np.nan, *_EDGES, *(-edge for edge in _EDGES)])


def edges(dtype: str, count: int) -> list[Array]:
    """Return all combinations of special numbers for `count` arguments."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        values = np.unique(EDGES.astype(dtype))
    values = np.append(values, np.array([-0.0], dtype))
    return [axis.ravel().copy() for axis in np.meshgrid(*[values] * count, indexing="ij")]


@cache
def compiled(name: str, *types: str, result: str | None = None, body: str | None = None) -> Any:
    """Return a compiled loop that calls an intrinsic on each row of its arguments."""
    import numba

    register()
    names = [f"x{i}" for i in range(len(types))]
    call = body or f"{name}({', '.join(f'{argument}[i]' for argument in names)})"
    source = (
        f"def kernel({', '.join(names)}, out):\n"
        "    for i in range(out.shape[0]):\n"
        f"        out[i] = {call}\n"
    )
    scope: dict[str, Any] = dict(TWINS)
    exec(source, scope)
    arrays = ", ".join(f"{kind}[::1]" for kind in (*types, result or types[-1]))
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    return numba.njit(f"void({arrays})", **options)(scope["kernel"])


def lowered(name: str, *arguments: Array, result: str | None = None) -> Array:
    """Return what the compiled intrinsic gives on each row of the arguments."""
    types = [argument.dtype.name for argument in arguments]
    out = np.empty(arguments[0].shape, result or types[-1])
    compiled(name, *types, result=result)(*arguments, out)
    return out


def by_twin(name: str, *arguments: Array) -> Array:
    """Return what the Python twin gives on each row of the arguments."""
    rows = [TWINS[name](*row) for row in zip(*arguments, strict=True)]
    return np.array(rows)


def ulps(got: Array, want: Array) -> Array:
    """Return how far apart floats are, in units of the last place of the second."""
    dtype = got.dtype.type
    with np.errstate(all="ignore"):
        size = np.maximum(np.abs(want).astype(dtype), np.finfo(dtype).tiny)
        distance = np.abs(got - want) / np.spacing(size)
        same = (got == want) | (np.isnan(got) & np.isnan(want))
        # where the true value is beyond the last float, infinity is right
        same |= np.isinf(got) & (np.abs(want) > np.finfo(dtype).max) & (got * want > 0)
    distance[same] = 0.0
    return np.where(np.isnan(distance), np.inf, distance)
