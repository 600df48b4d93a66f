from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest

from jitgrad.intrinsics.blas import dot, gemm, gemv
from jitgrad.intrinsics.registration import register

FLAGS = list(product([False, True], repeat=3))
SIZES = [(3, 4, 5), (1, 1, 1), (0, 4, 5), (3, 0, 5), (3, 4, 0), (0, 0, 0)]
FLOATS = ["float32", "float64"]


@cache
def _compiled(function: Any, *types: str) -> Any:
    import numba

    register()
    names = [f"x{i}" for i in range(len(types))]
    source = f"def kernel({', '.join(names)}):\n    return function({', '.join(names)})\n"
    scope = {"function": function}
    exec(source, scope)
    return numba.njit(f"({', '.join(types)})", nogil=True)(scope["kernel"])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_gemm_is_matmul(size: tuple[int, int, int], dtype: str, rng: np.random.Generator) -> None:
    matrix = f"{dtype}[:, ::1]"
    compiled = _compiled(gemm, matrix, matrix, matrix, "boolean", "boolean", "boolean")
    rows, columns, inner = size
    for transpose_a, transpose_b, accumulate in FLAGS:
        a = rng.normal(size=(inner, rows) if transpose_a else (rows, inner)).astype(dtype)
        b = rng.normal(size=(columns, inner) if transpose_b else (inner, columns)).astype(dtype)
        out = np.full((rows, columns), 3.0, dtype)
        expected = out.copy()
        compiled(a, b, out, transpose_a, transpose_b, accumulate)
        gemm(a, b, expected, transpose_a, transpose_b, accumulate)
        np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", [(3, 4), (1, 1), (0, 4), (3, 0), (0, 0)], ids=str)
def test_gemv_is_matmul(size: tuple[int, int], dtype: str, rng: np.random.Generator) -> None:
    matrix, vector = f"{dtype}[:, ::1]", f"{dtype}[::1]"
    compiled = _compiled(gemv, matrix, vector, vector, "boolean", "boolean")
    rows, inner = size
    for transpose, accumulate in product([False, True], repeat=2):
        a = rng.normal(size=(inner, rows) if transpose else (rows, inner)).astype(dtype)
        x = rng.normal(size=inner).astype(dtype)
        out = np.full(rows, 3.0, dtype)
        expected = out.copy()
        compiled(a, x, out, transpose, accumulate)
        gemv(a, x, expected, transpose, accumulate)
        np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("length", [0, 1, 37])
def test_dot_is_a_sum_of_products(length: int, dtype: str, rng: np.random.Generator) -> None:
    vector = f"{dtype}[::1]"
    x, y = rng.normal(size=(2, length)).astype(dtype)
    got = _compiled(dot, vector, vector)(x, y)
    np.testing.assert_allclose(got, dot(x, y), rtol=1e-5, atol=1e-6)


def test_products_hold_no_address() -> None:
    matrix = "float64[:, ::1]"
    compiled = _compiled(gemm, matrix, matrix, matrix, "boolean", "boolean", "boolean")
    (code,) = compiled.inspect_llvm().values()
    assert "@numba_xxgemm" in code
    assert "inttoptr" not in code
