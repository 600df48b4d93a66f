from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jitgrad.intrinsics.arithmetic import b1, f32, f64, i32, i64
from jitgrad.intrinsics.memory import block
from jitgrad.intrinsics.registration import register


def _arrays_in_arena(arena: Any, rows: int, columns: int) -> float:
    table = block(arena, 64, (rows, columns), f64)
    scale = block(arena, 64 + 8 * rows * columns, (columns,), f32)
    single = block(arena, 0, (), i64)
    small = block(arena, 8, (2,), i32)
    flag = block(arena, 16, (1,), b1)
    for i in range(rows):
        for j in range(columns):
            table[i, j] = 10 * i + j
    for j in range(columns):
        scale[j] = j
    single[()] = 5
    small[0] = 7
    small[1] = 8
    flag[0] = True
    total = 0.0
    for i in range(rows):
        for j in range(columns):
            total += table[i, j] * scale[j]
    return total + single[()] + small[1] + flag[0] + table.shape[1]


@pytest.mark.parametrize("shape", [(3, 4), (1, 1), (0, 4), (3, 0)])
def test_block_is_the_same_compiled_and_as_python(shape: tuple[int, int]) -> None:
    import numba

    register()
    compiled = numba.njit("float64(uint8[::1], int64, int64)")(_arrays_in_arena)
    arena, expected = np.zeros(512, np.uint8), np.zeros(512, np.uint8)
    assert compiled(arena, *shape) == _arrays_in_arena(expected, *shape)
    np.testing.assert_array_equal(arena, expected)


def test_block_allocates_nothing() -> None:
    import numba

    register()
    compiled = numba.njit("float64(uint8[::1], int64, int64)")(_arrays_in_arena)
    (code,) = compiled.inspect_llvm().values()
    assert "NRT_MemInfo_alloc" not in code
