"""Vector code of convolutions and pools, for every shape of a tile."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import numpy as np
import pytest

from jitgrad.intrinsics.pooling import first_largest
from jitgrad.intrinsics.registration import register
from jitgrad.intrinsics.tiles import (
    TILE_ROWS,
    copy_rows,
    shifted_dots,
    shifted_products,
    vector_length,
    vectors_a_row,
)

FLOATS = ["float32", "float64"]


@cache
def compiled(function: Any) -> Any:
    """Return a function that calls an intrinsic, compiled for whatever it is given."""
    import numba

    register()
    names = ", ".join(inspect.signature(function).parameters)
    scope = {"function": function}
    exec(f"def kernel({names}):\n    return function({names})\n", scope)
    return numba.njit(nogil=True)(scope["kernel"])


def widths(dtype: str) -> tuple[int, int]:
    """Return elements of a vector and vectors of a tile on this processor."""
    array = np.empty(0, dtype)
    return compiled(vector_length)(array), compiled(vectors_a_row)(array)


@pytest.mark.parametrize("dtype", FLOATS)
def test_shifted_products_are_a_matrix_product(dtype: str, rng: np.random.Generator) -> None:
    lanes, most = widths(dtype)
    terms, pitch = 5, most * lanes + 3
    image = rng.normal(size=200 + pitch).astype(dtype)
    offsets = rng.integers(0, 100, terms)
    for rows in range(1, TILE_ROWS + 1):
        factors = rng.normal(size=(terms, rows)).astype(dtype)
        for vectors in range(1, most + 1):
            out = np.zeros(7 + rows * pitch, dtype)
            given = (np.append(9.0, factors).astype(dtype), 1, terms, rows, image, 2, offsets)
            compiled(shifted_products)(*given, out, 7, pitch, vectors)
            seen = np.stack([image[2 + k : 2 + k + vectors * lanes] for k in offsets])
            expected = np.zeros((rows, pitch))
            expected[:, : vectors * lanes] = factors.T @ seen
            np.testing.assert_allclose(out[7:].reshape(rows, pitch), expected, atol=1e-4)
            assert not out[:7].any()


@pytest.mark.parametrize("dtype", FLOATS)
def test_shifted_dots_are_a_matrix_product(dtype: str, rng: np.random.Generator) -> None:
    lanes, most = widths(dtype)
    stack, vectors = 2, 3
    width = vectors * lanes
    image = rng.normal(size=(stack, 100 + width)).astype(dtype)
    offsets = rng.integers(0, 100, 1 + TILE_ROWS)
    for rows in range(1, most + 1):
        x = rng.normal(size=(stack, rows, width)).astype(dtype)
        for columns in range(1, TILE_ROWS + 1):
            out = np.ones((rows, TILE_ROWS), dtype)
            compiled(shifted_dots)(
                x.ravel(), 0, width, rows * width, rows, image.ravel(), 0, image.shape[1],
                offsets, 1, columns, out.ravel(), 0, TILE_ROWS, stack, vectors,
            )  # fmt: skip
            seen = np.stack([image[:, k : k + width] for k in offsets[1 : 1 + columns]], 1)
            expected = np.ones((rows, TILE_ROWS))
            expected[:, :columns] += np.einsum("nmq,nkq->mk", x, seen)
            np.testing.assert_allclose(out, expected, atol=1e-4)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("length", [-2, 0, 1, 7, 8, 16, 19, 40])
def test_rows_are_copied_and_nothing_beside_them(dtype: str, length: int) -> None:
    rows, pitch = 3, 43
    source = np.arange(200, dtype=dtype)
    out = np.full(rows * pitch + 2, -1, dtype)
    compiled(copy_rows)(source, 5, 50, out, 2, pitch, rows, length)
    expected = np.full((rows, pitch), -1.0)
    for m in range(rows):
        expected[m, : max(length, 0)] = source[5 + 50 * m : 5 + 50 * m + max(length, 0)]
    np.testing.assert_array_equal(out[2:].reshape(rows, pitch), expected)


@pytest.mark.parametrize("dtype", [*FLOATS, "int32", "int64"])
def test_the_first_of_equal_elements_is_the_largest(dtype: str, rng: np.random.Generator) -> None:
    lanes, count, taps = widths(dtype)[0], 21, 4
    pitch = -(-count // lanes) * lanes
    x = rng.integers(0, 3, 50).astype(dtype)
    if dtype in FLOATS:
        x[rng.integers(0, 50, 5)] = np.nan
    seen = rng.integers(0, 40, (taps, pitch)).astype(np.int32)
    out, expected = np.full(count + 3, -1), np.full(count + 3, -1)
    for function, result in ((compiled(first_largest), out), (first_largest, expected)):
        function(x, 10, seen.ravel(), taps, pitch, result, 1, count)
    np.testing.assert_array_equal(out, expected)
    columns = seen[:, :count]
    values = np.where(np.isnan(x[10:][columns]), 9, x[10:][columns])
    chosen = x[10:][expected[1 : 1 + count]]
    np.testing.assert_array_equal(np.where(np.isnan(chosen), 9, chosen), values.max(0))
