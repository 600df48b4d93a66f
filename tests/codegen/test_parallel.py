"""Which nests run in blocks on several threads, and that these compute the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.codegen import parallel
from jitgrad.ir.graph import Graph
from jitgrad.ir.interpret import interpret
from jitgrad.runtime.program import USUAL_LAYOUT, Program, make_program
from jitgrad.transforms.simplify import simplify
from tests.codegen.blocks import in_blocks
from tests.codegen.functions import FUNCTIONS
from tests.codegen.graphs import graph_of
from tests.codegen.plain import plain_program, source_of
from tests.codegen.test_emit import halves

LARGE = 200_000


def graph(function: Callable[..., Any], **arrays: Any) -> Graph:
    return simplify(graph_of(function, **arrays))


def program(graph: Graph) -> Program:
    built = make_program(graph, [USUAL_LAYOUT] * len(graph.inputs), "test")
    assert not built.fallback
    return built


def runs_in_blocks(graph: Graph) -> bool:
    return "while part < parts" in source_of(graph)


def random_inputs(graph: Graph) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.uniform(-1, 1, v.shape).astype(v.dtype) for v in graph.inputs]


@pytest.fixture
def threads() -> Any:
    before = jg.get_num_threads()
    yield jg.set_num_threads
    jg.set_num_threads(before)


def results_with(count: int, run: Program, inputs: list[Any]) -> list[bytes]:
    jg.set_num_threads(count)
    return [np.asarray(array).tobytes() for array in run.run(*inputs)]


def test_small_programs_run_on_one_thread() -> None:
    assert not runs_in_blocks(graph(lambda x: jg.exp(x).sum(), x=np.ones(1000)))


def test_large_nests_run_in_blocks() -> None:
    assert runs_in_blocks(graph(lambda x: jg.exp(x).sum(), x=np.ones(LARGE)))


def test_a_cheap_program_needs_more_elements_to_run_in_blocks() -> None:
    few = np.ones(60_000)
    assert not runs_in_blocks(graph(lambda x: x + 1.0, x=few))
    assert runs_in_blocks(graph(lambda x: jg.erfinv(jg.lgamma(x)), x=few))


def test_source_in_blocks_holds_no_sizes() -> None:
    sources = [
        source_of(graph(lambda x: jg.softmax(x, 1).sum(0), x=np.ones(shape)))
        for shape in ((1000, 500), (3000, 333))
    ]
    assert "take(team)" in sources[0]
    assert sources[0] == sources[1]


def test_blocks_do_not_depend_on_the_number_of_threads(threads: Any) -> None:
    large = graph(lambda x: jg.exp(x).sum(), x=np.ones(LARGE))
    threads(1)
    one = program(large).texts[0]
    threads(7)
    many = program(large).texts[0]
    assert (one.source, one.sizes) == (many.source, many.sizes)
    assert 2 <= one.sizes[0] <= parallel.MOST_BLOCKS


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("half", [0, 1], ids=["forward", "adjoint"])
def test_any_number_of_threads_gives_the_same_bits(name: str, half: int, threads: Any) -> None:
    with in_blocks():
        divided = halves(name)[half]
        run = program(divided)
    assert any(text.team for text in run.texts)
    inputs = random_inputs(divided)
    expected = results_with(1, run, inputs)
    for count in (2, 3):
        for _ in range(20):
            assert results_with(count, run, inputs) == expected


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("half", [0, 1], ids=["forward", "adjoint"])
def test_source_in_blocks_runs_as_plain_python(name: str, half: int) -> None:
    divided = halves(name)[half]
    inputs = random_inputs(divided)
    with in_blocks():
        assert "take(team)" in source_of(divided)
        found = plain_program(divided).run(*inputs)
    for array, expected in zip(found, interpret(divided, inputs), strict=True):
        np.testing.assert_allclose(array, expected, rtol=1e-10, atol=1e-12)


REDUCTIONS: dict[str, Callable[..., Any]] = {
    "sum": lambda x: x.sum(),
    "prod": lambda x: (1.0 + 0.01 * x).prod(),
    "max": lambda x: jg.amax(x),
    "min": lambda x: jg.amin(x),
    "any": lambda x: (x > 0.99).any(),
    "all": lambda x: (x > -0.99).all(),
    "sum over the first axis": lambda x: x.sum(0),
    "max over the first axis": lambda x: jg.amax(x, 0),
    "sum over the last axis": lambda x: x.sum(1),
    "sum used again": lambda x: x / jg.exp(x.mean()),
    "column sums used again": lambda x: (x - x.mean(0)) / (x * x).sum(0),
    "scattered": lambda x: jg.zeros(10, x.shape[1]).double().index_add(0, ROWS, x),
}
ROWS = jg.tensor([k * 7 % 10 for k in range(40)])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_blocks_combine_what_they_reduce(name: str, dtype: str, threads: Any) -> None:
    x = np.random.default_rng(1).uniform(-1, 1, (40, 12)).astype(dtype)
    if name == "scattered" and dtype == "float32":
        return
    whole = graph(REDUCTIONS[name], x=x)
    with in_blocks():
        run = program(whole)
    inputs = [x, *[np.asarray(ROWS.numpy())] * (len(whole.inputs) - 1)]
    expected = interpret(whole, inputs)
    tolerance = 1e-10 if dtype == "float64" else 1e-5
    for count in (1, 2):
        threads(count)
        for array, reference in zip(run.run(*inputs), expected, strict=True):
            np.testing.assert_allclose(array, reference, rtol=tolerance, atol=tolerance)


def test_nan_is_found_in_any_block(threads: Any) -> None:
    x = np.zeros(LARGE)
    x[LARGE // 3] = np.nan
    threads(2)
    assert np.isnan(program(graph(lambda x: jg.amax(jg.exp(x)), x=x)).run(x)[0])


def test_elements_that_iterations_share_are_not_written_by_blocks() -> None:
    def scatter(x: Any, index: Any) -> Any:
        return jg.zeros(10).double().index_add(0, index, jg.exp(x))

    index = np.zeros(LARGE, np.int64)
    text = source_of(graph(scatter, x=np.ones(LARGE), index=index))
    loops = [
        line for line in text.splitlines() if "accumulate" in line or "+=" in line or "at0" in line
    ]
    assert loops
    # Whatever is in blocks there, the additions are left to one thread.
    if "team" in text:
        led = text[: text.index("at0")].rsplit("rank == 0", 1)
        assert len(led) == 2
        assert "take(team)" not in led[1]


def test_each_thread_has_scratch_rows_of_its_own() -> None:
    with in_blocks():
        softmax = graph(lambda x: jg.softmax(jg.exp(x), 1), x=np.ones((30, 20)))
        (text,) = program(softmax).texts
    assert text.thread_bytes % 64 == 0
    assert bool(text.thread_bytes) == bool(re.search(r"rank \* sizes", text.source))
    assert text.thread_bytes > 0


def test_stacked_products_run_in_blocks_with_what_is_between_them(threads: Any) -> None:
    def attend(x: Any) -> Any:
        q, k, v = (x[:, :, n].permute(0, 2, 1, 3) for n in range(3))
        return jg.softmax(q @ k.mT, -1) @ v

    x = np.random.default_rng(0).normal(size=(4, 24, 3, 2, 16))
    whole = graph(attend, x=x)
    with in_blocks():
        run = program(whole)
    (text,) = run.texts
    nest = text.source[text.source.index("while part <") :]
    assert nest.count("gemm(") == 2
    assert "exp(" in nest
    (expected,) = interpret(whole, [x])
    for count in (1, 2):
        threads(count)
        for _ in range(5):
            np.testing.assert_allclose(run.run(x)[0], expected, rtol=1e-11)
