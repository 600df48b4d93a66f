"""Kernels become machine code without Numba's front end, and do what their Python text does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import pytest

import jitgrad
from jitgrad.runtime import build
from jitgrad.runtime.build import ArgumentType, build_kernel
from jitgrad.testing import assert_close

VECTOR = ArgumentType(np.dtype("float64"), 1)
WHOLE = ArgumentType(np.dtype("int64"), 1)
NUMBER = ArgumentType(np.dtype("float64"), is_scalar=True)


@pytest.fixture
def without_front_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> NoReturn:
        raise AssertionError("Numba's front end was asked")

    monkeypatch.setattr(build, "compile_with_numba", refuse)


def assert_same_as_python(source: str, types: list[ArgumentType], *arguments: Any) -> None:
    kernel = build_kernel(source, "kernel", tuple(types))
    plain = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
    compiled = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
    kernel.python(*plain)
    kernel.call(*compiled)
    for one, other in zip(compiled, plain, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "body",
    [
        "for i in range(1, x.shape[0], 2):\n        x[i] = x[i - 1] * f32(2.5) + y",
        "for i in range(x.shape[0]):\n        if x[i] > y or n[i] == 2:\n"
        "            x[i] = -y\n        else:\n            x[i] += n[i] / 2",
        "k = 0\n    while k < x.shape[0]:\n        x[k] = k // 2 - (0 - k) // 3 + k % 2\n"
        "        k = k + 1",
        "total = 0.0\n    for i in range(x.shape[0]):\n        total += x[i] * x[i]\n"
        "    x[0] = total\n    n[0] = i64(total)",
        "if x[1] < y:\n        a = x[2] * 2\n        x[0] = a\n"
        "    for i in range(2, x.shape[0]):\n        x[i] = x[i] + x[0]\n"
        "    if x[1] < y:\n        x[3] = a",
        "for i in range(min(x.shape[0], 3)):\n        n[i] = i32(n[i]) * (i + 1) - n[i + 1]",
        "for i in range(x.shape[0]):\n"
        "        x[i] = select(not isnan(x[i]) and x[i] <= 1, x[i], inf)",
    ],
)
def test_statement_does_what_python_does(body: str, without_front_end: None) -> None:
    source = (
        "from math import inf\n"
        "from jitgrad.intrinsics.arithmetic import f32, i32, i64, isnan, select\n\n\n"
        f"def kernel(x, n, y):\n    {body}\n"
    )
    assert_same_as_python(source, [VECTOR, WHOLE, NUMBER], np.linspace(-1, 3, 7), np.arange(7), 0.5)


def test_loops_among_many_statements_do_what_python_does(without_front_end: None) -> None:
    lines = []
    for k in range(40):
        lines += [
            f"    s{k} = y + {k}.0",
            "    total = 0.0",
            "    for i in range(x.shape[0]):",
            f"        v = x[i] * s{k}",
            "        total = total + v",
            f"        x[i] = v / {k + 2}.0",
            f"    x[{k % 7}] = total",
        ]
    source = "def kernel(x, y):\n" + "\n".join(lines) + "\n"
    kernel = build_kernel(source, "kernel", (VECTOR, NUMBER))
    plain, compiled = np.linspace(-1, 3, 7), np.linspace(-1, 3, 7)
    kernel.python(plain, 0.5)
    kernel.call(compiled, 0.5)
    assert_close(compiled, plain)


def test_statements_that_differ_in_names_alone_share_machine_code(without_front_end: None) -> None:
    lines = ["    x, y = disjoint(x, y)", "    n0 = x.shape[0]"]
    for k in range(30):
        a, b = ("x", "y") if k % 3 else ("y", "x")
        lines += [
            f"    t{k} = block(arena, {64 * k}, (n0,), f64, {k})",
            f"    s{k} = {b}[{k % 5}] * 0.5",
            f"    for i in range({'n0' if k % 2 else 'n0 - 1'}):",
            f"        v{k} = {a}[i] * s{k} * 0.25",
            f"        t{k}[i] = v{k} + {b}[i] * 0.5",
            "    for i in range(n0 - 1):",
            f"        {b}[i] = t{k}[i] - {a}[i + 1] / 3.0",
        ]
    source = (
        "from jitgrad.intrinsics.arithmetic import f64\n"
        "from jitgrad.intrinsics.arrays import disjoint\n"
        "from jitgrad.intrinsics.memory import block\n\n\n"
        "def kernel(x, y, arena):\n" + "\n".join(lines) + "\n"
    )
    arena = ArgumentType(np.dtype("uint8"), 1)
    assert_same_as_python(
        source, [VECTOR, VECTOR, arena], np.linspace(-1, 3, 7), np.linspace(2, 1, 7), arena_of(2048)
    )


def arena_of(nbytes: int) -> Any:
    return np.zeros(nbytes, np.uint8)


@pytest.mark.parametrize("count", [300, 80])
def test_formulas_called_in_many_places_give_what_inlined_ones_do(count: int) -> None:
    def chain(x: Any) -> Any:
        for k in range(count):
            x = jitgrad.sin(x) if k % 3 else jitgrad.tanh(x * 1e5) + jitgrad.exp(-x)
        return x.sum()

    x = np.linspace(-2, 3, 37)
    expected = jitgrad.value_and_grad(chain)(x)
    for found, plain in zip(
        jitgrad.compile(jitgrad.value_and_grad(chain))(x), expected, strict=True
    ):
        assert_close(found, plain, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_arguments_among_many_formulas_take_the_rare_way(dtype: str) -> None:
    def waves(x: Any) -> Any:
        return [jitgrad.sin(x + k) * jitgrad.cos(x * k) for k in range(20)]

    x = np.array([1.0, 1e18, 3.0, -1e25, 0.0, 7e30, 2.0, 5.0, 1e19], dtype)
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    assert_close(jitgrad.compile(waves)(x), waves(x), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("most", "size", "is_one"), [(1000, 5, 1), (40, 5, 0), (1000, 3000, 1)])
def test_programs_of_very_many_arrays_compile(
    most: int,
    size: int,
    is_one: bool,
    monkeypatch: pytest.MonkeyPatch,
    without_front_end: None,
) -> None:
    monkeypatch.setattr("jitgrad.codegen.storage._MOST_ARRAYS", most)
    weights = [np.linspace(0.5, 1.5, size) for _ in range(70)]

    def layers(x: Any, rate: float, weights: list[Any]) -> Any:
        return sum([jitgrad.tanh(x * weight) for weight in weights], x * rate).sum()

    x = np.linspace(-1, 1, size)
    compiled = jitgrad.compile(jitgrad.value_and_grad(layers, 2))
    expected = jitgrad.value_and_grad(layers, 2)(x, 0.5, weights)
    for found, wanted in zip(compiled(x, 0.5, weights), expected, strict=True):
        assert_close(found, wanted)
    report = compiled.explain()
    assert (len(report.kernels) == 1) is bool(is_one)
    assert not report.fallbacks


def test_kernels_of_all_kinds_need_no_front_end(without_front_end: None) -> None:
    def loss(w: Any, x: Any, images: Any, filters: Any) -> Any:
        h = jitgrad.softmax(jitgrad.tanh(x @ w), -1)
        features = jitgrad.nn.functional.conv2d(images, filters)
        pooled = jitgrad.nn.functional.max_pool2d(features, 2)
        return (h * h).mean() + pooled.sum()

    jitgrad.manual_seed(0)
    shapes = ((3, 4), (5, 3), (2, 2, 6, 6), (3, 2, 3, 3))
    inputs = [jitgrad.randn(*shape, dtype=jitgrad.float64) for shape in shapes]
    gradient = jitgrad.value_and_grad(loss, argnums=(0, 3))
    compiled = jitgrad.compile(gradient)
    value, gradients = compiled(*inputs)
    expected, expected_gradients = gradient(*inputs)
    assert_close(value, expected)
    for one, other in zip(gradients, expected_gradients, strict=True):
        assert_close(one, other)


def test_machine_code_from_disk_runs_without_numba(run_python: Callable[..., str]) -> None:
    script = """
import sys
import jitgrad, numpy
f = jitgrad.compile(jitgrad.value_and_grad(lambda x: jitgrad.tanh(x).sum()))
for _ in range(3):
    f(numpy.ones(5))
print("numba" in sys.modules)
"""
    assert run_python(script) == "True\n"
    assert run_python(script) == "False\n"
