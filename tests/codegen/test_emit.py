"""Generated source: recorded, the same in every process, free of sizes, and runnable as it is.

After a change that is meant: ``python -m tests.codegen.test_emit --write``, and look at the diff.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jitgrad.ir.graph import Graph
from jitgrad.ir.interpret import interpret
from jitgrad.transforms.residuals import split
from jitgrad.transforms.simplify import simplify
from tests.codegen.functions import FUNCTIONS, arguments
from tests.codegen.graphs import graph_of, joint_of
from tests.codegen.plain import plain_program, source_of

GOLDEN = Path(__file__).parents[1] / "golden" / "sources"
ROOT = Path(__file__).parents[2]
SIZE = 37


def halves(name: str, size: int = SIZE) -> tuple[Graph, Graph]:
    """Return the graphs of the outputs and of the gradients of a function."""
    graph = graph_of(FUNCTIONS[name], **arguments(name, size))
    both = split(joint_of(simplify(graph)))
    tidy = simplify(both.forward, differentiated=False), simplify(both.backward, False)
    assert len(tidy[1].outputs) == len(graph.inputs)
    return tidy


def sources(size: int = SIZE) -> dict[str, str]:
    """Return the text of each file of recorded source."""
    return {
        f"{name}_{half}.py": source_of(graph)
        for name in FUNCTIONS
        for half, graph in zip(("forward", "adjoint"), halves(name, size), strict=True)
    }


@pytest.mark.parametrize("file", sources())
def test_generated_source_is_the_one_that_was_recorded(file: str) -> None:
    assert sources()[file] == (GOLDEN / file).read_text(encoding="utf-8"), __doc__


def test_every_recording_is_of_a_function_that_exists() -> None:
    assert {path.name for path in GOLDEN.glob("*.py")} == set(sources())


def test_source_contains_no_sizes() -> None:
    assert sources(SIZE) == sources(SIZE + 64)


@pytest.mark.parametrize("seed", ["0", "1", "77"])
def test_source_is_the_same_in_every_process(seed: str) -> None:
    code = "from tests.codegen.test_emit import sources; print(*sources().values(), sep='', end='')"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    text = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert text == "".join(sources().values())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_generated_source_runs_as_plain_python(name: str) -> None:
    given = list(arguments(name, SIZE).values())
    forward, backward = halves(name)
    rng = np.random.default_rng(1)
    for graph in (forward, backward):
        # The adjoint takes what the function keeps; any numbers of the right shape will do.
        arrays = [np.asarray(rng.uniform(0.1, 0.9, v.shape), v.dtype) for v in graph.inputs]
        arrays = given if graph is forward else arrays
        run: Any = plain_program(graph).run
        for ours, expected in zip(run(*arrays), interpret(graph, arrays), strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-12)


def test_names_of_the_user_that_loops_and_sizes_have_too_are_given_way() -> None:
    def f(i: Any, n0: Any, f64: Any, x: Any, x_: Any) -> Any:
        j = i * n0 + f64
        k = j.sum(0)
        return k * x + x_

    vector, number = np.arange(3.0), np.float64(2.0)
    given = {"i": vector, "n0": vector, "f64": vector, "x": number, "x_": number}
    graph = graph_of(f, **given)
    arrays = list(map(np.asarray, given.values()))
    (ours,) = plain_program(graph).run(*arrays)
    (expected,) = interpret(graph, arrays)
    np.testing.assert_allclose(ours, expected)


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    GOLDEN.mkdir(exist_ok=True)
    for file, text in sources().items():
        (GOLDEN / file).write_text(text, encoding="utf-8")


def test_a_value_named_like_a_loop_gets_another_name() -> None:
    def f(x: Any) -> Any:
        i0 = x * 2.0
        n1 = i0 + 1.0
        return i0 * n1, n1

    source = source_of(simplify(graph_of(f, x=np.ones((3, 4)))))
    assert "i0_" in source
    assert "n1_" in source
