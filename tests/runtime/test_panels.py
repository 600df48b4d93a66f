"""The product of matrices that kernels call, by panels where the processor suits, else by BLAS."""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from jitgrad.runtime import blas_library
from jitgrad.runtime.machine_code import machine

FLAGS = list(product([False, True], repeat=3))
# Rows, terms and columns: whole tiles, tiles of which little is there, sums in several parts,
# columns in several blocks, and what is left to BLAS.
SIZES = [(24, 32, 64), (37, 19, 61), (23, 8, 520), (35, 513, 31), (300, 10, 128), (3, 5, 7)]


@functools.cache
def _function() -> Callable[..., int]:
    import llvmlite.binding as llvm

    if not llvm.address_of_symbol(blas_library.PRODUCT):
        assert blas_library.provide_blas(blas_library.PRODUCT, machine())
    word, pointer, letter = ctypes.c_long, ctypes.c_void_p, ctypes.c_byte
    kinds = [letter] * 3 + [word] * 3 + [pointer, pointer, word, pointer, word, pointer, pointer]
    form = ctypes.CFUNCTYPE(ctypes.c_int, *kinds, word)
    return form(llvm.address_of_symbol(blas_library.PRODUCT))


def _multiply(a: Any, b: Any, out: Any, turned_a: bool, turned_b: bool, add: bool) -> None:
    one, zero = np.ones(1, a.dtype), np.zeros(1, a.dtype)
    pitches = [array.strides[0] // array.itemsize for array in (a, b, out)]
    inner = a.shape[0] if turned_a else a.shape[1]
    kind = ord("s" if a.dtype == np.float32 else "d")
    flags = [ord("t" if turned else "n") for turned in (turned_b, turned_a)]
    _function()(
        kind, *flags, out.shape[1], out.shape[0], inner, one.ctypes.data, b.ctypes.data,
        pitches[1], a.ctypes.data, pitches[0], (one if add else zero).ctypes.data,
        out.ctypes.data, pitches[2],
    )  # fmt: skip


def _factors(size: tuple[int, int, int], dtype: str, rng: np.random.Generator) -> Any:
    rows, inner, columns = size
    for turned_a, turned_b, add in FLAGS:
        a = rng.normal(size=(inner, rows + 3) if turned_a else (rows, inner + 2)).astype(dtype)
        b = rng.normal(size=(columns, inner + 1) if turned_b else (inner, columns + 5))
        width_a, width_b = (rows if turned_a else inner), (inner if turned_b else columns)
        yield a[:, :width_a], b.astype(dtype)[:, :width_b], turned_a, turned_b, add


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_product_of_parts_of_arrays_is_that_of_numpy_and_writes_nothing_else(
    size: tuple[int, int, int], dtype: str, rng: np.random.Generator
) -> None:
    rows, inner, columns = size
    for a, b, turned_a, turned_b, add in _factors(size, dtype, rng):
        whole = rng.normal(size=(rows + 1, columns + 4)).astype(dtype)
        expected = whole.astype(np.float64)
        value = (a.T if turned_a else a).astype(np.float64) @ (b.T if turned_b else b)
        expected[:rows, :columns] = value + (expected[:rows, :columns] if add else 0.0)
        untouched = whole.copy()
        untouched[:rows, :columns] = 0.0
        _multiply(a, b, whole[:rows, :columns], turned_a, turned_b, add)
        error = 2 * np.finfo(dtype).eps * inner
        np.testing.assert_allclose(whole, expected, rtol=error, atol=error)
        whole[:rows, :columns] = 0.0
        np.testing.assert_array_equal(whole, untouched)


def test_nans_and_infinities_stay_in_their_rows_and_columns(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(36, 40)), rng.normal(size=(40, 48))
    a[5, 7], b[3, 17] = np.nan, np.inf
    out = np.empty((36, 48))
    _multiply(a, b, out, False, False, False)
    expected = a @ b
    np.testing.assert_array_equal(np.isfinite(out), np.isfinite(expected))


def test_threads_multiply_at_the_same_time(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(96, 300)), rng.normal(size=(300, 96))
    alone = np.empty((96, 96))
    _multiply(a, b, alone, False, False, False)
    outs = [np.zeros((96, 96)) for _ in range(12)]

    def work(out: Any) -> None:
        for _ in range(20):
            _multiply(a, b, out, False, False, False)

    threads = [threading.Thread(target=work, args=(out,)) for out in outs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for out in outs:
        np.testing.assert_array_equal(out, alone)
