"""Arrays that share no memory: the same elements as NumPy's, and loops that are vectorised."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from jitgrad.core.dtypes import bool_, float32, float64, int64
from jitgrad.runtime.build import ArgumentType, build_kernel
from jitgrad.runtime.through_numba import compile_with_numba

_IMPORTS = """
from jitgrad.intrinsics.arithmetic import b1, f32, f64
from jitgrad.intrinsics.arrays import disjoint
from jitgrad.intrinsics.memory import block

"""


def _build(name: str, body: str, *types: ArgumentType) -> Any:
    return build_kernel(f"# {name}{_IMPORTS}{body}", "kernel", types)


def test_elements_of_all_kinds_are_loaded_and_stored() -> None:
    kernel = _build(
        "elements",
        "def kernel(x, flags, y, out):\n"
        "    x, flags, y, out = disjoint(x, flags, y, out)\n"
        "    for i in range(x.shape[0]):\n"
        "        for j in range(x.shape[1]):\n"
        "            out[j, i] = f32(x[i, j] if flags[i] else y[j])\n"
        "        flags[i] = not flags[i]\n",
        ArgumentType(float64, 2, "A"),
        ArgumentType(bool_, 1),
        ArgumentType(int64, 1),
        ArgumentType(float32, 2),
    )
    x, flags, y = np.arange(12.0).reshape(4, 3).T, np.array([True, False, True]), np.arange(4)
    out, expected = np.zeros((4, 3), np.float32), np.where(flags[:, None], x, y).T
    before = flags.copy()
    kernel(x, flags, y, out)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(flags, ~before)
    again = np.zeros_like(out)
    kernel.python(x, before, y, again)
    np.testing.assert_array_equal(again, out)


def test_parts_of_these_arrays_are_arrays() -> None:
    kernel = _build(
        "parts",
        "def kernel(x, out):\n"
        "    x, out = disjoint(x, out)\n"
        "    row = x[1]\n"
        "    column = x[:, 2]\n"
        "    out[0] = row[2] + column[0] + x.reshape((x.size,))[5] + x[-0, 0]\n",
        ArgumentType(float64, 2),
        ArgumentType(float64, 1),
    )
    x, out = np.arange(12.0).reshape(3, 4), np.zeros(1)
    kernel(x, out)
    assert out[0] == x[1, 2] + x[0, 2] + x.ravel()[5] + x[0, 0]


def test_a_loop_over_many_arrays_is_vectorised() -> None:
    names = ", ".join(f"x{k}" for k in range(8)) + ", " + ", ".join(f"y{k}" for k in range(8))
    lines = "".join(f"        y{k}[i] = x{k}[i] * x{(k + 1) % 8}[i] + 1.5\n" for k in range(8))
    kernel = _build(
        "many_arrays",
        f"def kernel({names}):\n    {names} = disjoint({names})\n"
        f"    for i in range(x0.shape[0]):\n{lines}",
        *[ArgumentType(float64, 1)] * 16,
    )
    if kernel.origin == "compiled":
        types = [argument.numba_type() for argument in kernel.arguments]
        dispatcher: Any = compile_with_numba(kernel.python, types)[0].call
        (code,) = dispatcher.inspect_llvm().values()
        assert re.search(r"fmul contract <\d+ x double>|fmul <\d+ x double>", code)
    arrays = [np.arange(9.0) + k for k in range(8)]
    results = [np.zeros(9) for _ in range(8)]
    kernel(*arrays, *results)
    for k in range(8):
        np.testing.assert_allclose(results[k], arrays[k] * arrays[(k + 1) % 8] + 1.5)


def test_blocks_of_one_slot_may_share_memory() -> None:
    kernel = _build(
        "one_slot",
        "def kernel(x, out, arena):\n"
        "    x, out = disjoint(x, out)\n"
        "    a = block(arena, 0, (x.shape[0],), f64, 0)\n"
        "    b = block(arena, 0, (x.shape[0],), f64, 0)\n"
        "    for i in range(x.shape[0]):\n"
        "        a[i] = x[i] + 1.0\n"
        "        b[i] = a[i] * 2.0\n"
        "        out[i] = a[i]\n",
        ArgumentType(float64, 1),
        ArgumentType(float64, 1),
        ArgumentType(np.dtype(np.uint8), 1),
    )
    x, out = np.arange(20.0), np.zeros(20)
    kernel(x, out, np.zeros(160, np.uint8))
    np.testing.assert_array_equal(out, (x + 1.0) * 2.0)
