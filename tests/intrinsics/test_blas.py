from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest

from jitgrad.intrinsics.blas import gemm
from jitgrad.intrinsics.registration import register

FLAGS = list(product([False, True], repeat=3))
SIZES = [(3, 4, 5), (1, 1, 1), (0, 4, 5), (3, 0, 5), (3, 4, 0), (0, 0, 0)]
FLOATS = ["float32", "float64"]


@cache
def _compiled(function: Any, *types: Any) -> Any:
    import numba

    register()
    names = [f"x{i}" for i in range(len(types))]
    source = f"def kernel({', '.join(names)}):\n    return function({', '.join(names)})\n"
    scope = {"function": function}
    exec(source, scope)
    signature = tuple([getattr(numba, t) if isinstance(t, str) else t for t in types])
    return numba.njit(signature, nogil=True)(scope["kernel"])


def _matrix(dtype: str, layout: str) -> Any:
    from numba import types

    return types.Array(getattr(types, dtype), 2, layout)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_gemm_is_matmul(size: tuple[int, int, int], dtype: str, rng: np.random.Generator) -> None:
    compiled = _compiled(gemm, *[_matrix(dtype, "C")] * 3, *["boolean"] * 3)
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
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_gemm_reads_and_writes_parts_of_arrays(
    size: tuple[int, int, int], dtype: str, rng: np.random.Generator
) -> None:
    compiled = _compiled(gemm, *[_matrix(dtype, "A")] * 3, *["boolean"] * 3)
    rows, columns, inner = size
    a = rng.normal(size=(rows, 3, inner + 2)).astype(dtype)[:, 1, 1 : inner + 1]
    b = rng.normal(size=(inner + 2, columns + 3)).astype(dtype)[2:, 3:]
    whole = np.full((rows, 2, columns), 3.0, dtype)
    compiled(a, b, whole[:, 1], False, False, False)
    np.testing.assert_allclose(whole[:, 1], a @ b, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(whole[:, 0], 3.0)


def test_products_hold_no_address() -> None:
    compiled = _compiled(gemm, *[_matrix("float64", "C")] * 3, *["boolean"] * 3)
    (code,) = compiled.inspect_llvm().values()
    assert "@numba_xxgemm" in code
    assert "inttoptr" not in code
