"""Formulas hold on processors without fused multiply-add, and loops over them are vectorised."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.intrinsics.kernels import ARITY, compiled

ROOT = Path(__file__).parents[2]

VECTORISED = [
    *("exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sigmoid", "softplus"),
    *("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh"),
    *("asinh", "acosh", "atanh", "erf", "erfc", "erfinv", "lgamma", "digamma", "cbrt", "rsqrt"),
    *("pow", "atan2", "hypot", "logaddexp", "fmod", "remainder", "floor_divide"),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", VECTORISED)
def test_loop_over_a_function_is_vectorised(name: str, dtype: str) -> None:
    (code,) = compiled(name, *[dtype] * ARITY[name]).inspect_llvm().values()
    kernel = code[code.index("define") :]
    llvm_type = {"float32": "float", "float64": "double"}[dtype]
    assert re.search(rf"store <\d+ x {llvm_type}>", kernel)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softplus_and_sigmoid_of_one_number_share_an_exponential(dtype: str) -> None:
    body = "softplus(x0[i]) + sigmoid(x0[i])"
    (both,) = compiled("softplus", dtype, body=body).inspect_llvm().values()
    (one,) = compiled("softplus", dtype).inspect_llvm().values()
    # the power of two in an exponential
    assert both.count("shl <") == one.count("shl <") > 0


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
@pytest.mark.parametrize("operation", ["sum", "prod", "max", "min"])
def test_reduction_is_vectorised_in_several_partial_results(operation: str, dtype: str) -> None:
    import numba

    from jitgrad.intrinsics import accumulate
    from jitgrad.intrinsics.registration import register

    register()
    step = getattr(accumulate, f"accumulate_{operation}")

    def kernel(x, y, accumulator):  # type: ignore[no-untyped-def]
        for i in range(x.shape[0]):
            accumulator = step(accumulator, x[i] * y[i])
        return accumulator

    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    build = numba.njit(f"{dtype}({dtype}[::1], {dtype}[::1], {dtype})", **options)
    fast = build(kernel)
    (code,) = fast.inspect_llvm().values()
    assert re.search(r"phi <\d+ x (double|float|i32|i64)>", code)
    x = np.arange(1, 12).astype(dtype)
    y = np.ones_like(x)
    start = x.dtype.type(1)
    assert fast(x, y, start) == kernel(x, y, start)
    if dtype.startswith("float"):
        x[5] = np.nan
        assert np.isnan(fast(x, y, start))
        x[5] = np.inf
        assert fast(x, y, start) == kernel(x, y, start)


def test_other_sums_are_not_reordered() -> None:
    import numba

    def kernel(x):  # type: ignore[no-untyped-def]
        total = 0.0
        for i in range(x.shape[0]):
            total = total + x[i]
        return total

    options = {"error_model": "numpy", "fastmath": {"contract"}}
    fast = numba.njit("float64(float64[::1])", **options)(kernel)
    x = np.array([1e16, 1.0, -1e16, 1.0] * 9)
    assert fast(x) == kernel(x)


SCRIPT = """
import numpy as np
from jitgrad.intrinsics.registration import register
from tests.intrinsics.kernels import by_twin, lowered, ulps
register()
for dtype in ("float32", "float64"):
    x = np.linspace(0.01, 9, 301).astype(dtype)
    for name in "exp log expm1 log1p sin cos tan tanh erf cbrt atan".split():
        worst = ulps(lowered(name, x), by_twin(name, x)).max()
        assert worst <= 4, (name, dtype, worst)
    assert ulps(lowered("pow", x, x), by_twin("pow", x, x)).max() <= 4
"""


def test_formulas_hold_without_fused_multiply_add() -> None:
    environment = {**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
