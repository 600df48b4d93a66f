"""What is built, when, and what can be seen of it; threads and other processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import ArgumentError, FallbackWarning
from jitgrad.runtime.build import build_statistics
from jitgrad.testing import assert_close

X = jitgrad.tensor([1.0, 2.0, 3.0])


def loss(w: Any, x: Any) -> Any:
    """Say how large it is."""
    h = jitgrad.tanh(x @ w)
    return (h * h).mean()


def arguments(rows: int = 4) -> Any:
    w = jitgrad.tensor([[0.1], [0.2], [-0.3]], requires_grad=True)
    return w, jitgrad.arange(3.0 * rows).reshape(rows, 3) / 10.0


# -- looking inside ----------------------------------------------------------------------------


def test_the_graph_is_shown_with_the_users_lines() -> None:
    f = jitgrad.compile(loss)
    text = f.graph(*arguments())
    assert "tanh" in text
    assert "test_compile_runtime.py:" in text
    assert "loss" in text


def run_text(text: str, **arrays: Any) -> None:
    """Run the generated source as plain Python on arrays."""
    namespace: dict[str, Any] = {}
    exec(compile(text, "generated", "exec"), namespace)
    namespace["kernel"](**arrays)


def test_the_source_runs_as_plain_python_with_the_same_result() -> None:
    f = jitgrad.compile(lambda x, y: jitgrad.sin(x) * y + 1.0)
    x, y = jitgrad.rand(3, 2), jitgrad.rand(2)
    text = f.source(x, y)
    assert "def kernel(" in text
    out = np.zeros((3, 2), np.float32)
    (name,) = text.partition("def kernel(x, y, ")[2].partition(")")[0].split(", ")
    run_text(text, x=x.numpy(), y=y.numpy(), **{name: out})
    assert_close(f(x, y), out)


def test_the_adjoint_is_shown_as_well() -> None:
    f = jitgrad.compile(loss)
    w, x = arguments()
    text = f.adjoint_source(w, x)
    assert "adjoint of test_compile_runtime.py:" in text
    assert "def kernel(" in text
    assert f.adjoint_source(w.detach(), x) == ""


def test_looking_inside_runs_nothing() -> None:
    f = jitgrad.compile(lambda x: x.add_(1.0))
    x = X.clone()
    f.graph(x)
    f.source(x)
    f.explain(x)
    assert_close(x, X)


def test_explain_reports_kernels_guards_and_what_is_kept() -> None:
    scale = 2.0
    f = jitgrad.compile(lambda w, x: loss(w, x) * scale)
    w, x = arguments()
    f(w, x).backward()
    report = f.explain()
    assert (report.variants, report.paths, report.segments) == (1, 1, 1)
    assert len(report.kernels) == report.compiles + report.disk_hits
    assert report.kept_bytes > 0
    assert any("closure variable `scale`" in guard for guard in report.guards)
    assert report.eager_reason == ""
    assert report.fallbacks == report.external == report.retraces == ()
    for kernel in report.kernels:
        assert Path(kernel.path).is_file()
        assert kernel.statements > 0
        assert kernel.name in str(report)


def test_explain_says_why_a_function_is_not_compiled() -> None:
    import time

    f = jitgrad.compile(lambda x: x * time.time())
    with pytest.warns(FallbackWarning):
        f(X)
    report = f.explain(X)
    assert "module time" in report.eager_reason
    assert "runs without being compiled" in str(report)
    with pytest.raises(ArgumentError, match="is not compiled"):
        f.source(X)


# -- what is built -----------------------------------------------------------------------------


def test_a_new_batch_size_costs_a_trace_and_no_kernel() -> None:
    f = jitgrad.compile(loss)
    f(*arguments(4)).backward()
    before = build_statistics().compiled
    for rows in (5, 7, 64):
        w, x = arguments(rows)
        found = f(w, x)
        found.backward()
        plain, _ = arguments(rows)
        expected = loss(plain, x)
        expected.backward()
        assert_close(found, expected)
        assert_close(w.grad, plain.grad)
    assert build_statistics().compiled == before
    assert f.explain().variants == 4


def test_functions_of_the_same_operations_share_kernels() -> None:
    def make(shift: float) -> Any:
        return jitgrad.compile(lambda a: jitgrad.cos(a * 3.0).sum() + 0.125)

    make(1.0)(X)
    before = build_statistics().compiled
    make(2.0)(X)
    assert build_statistics().compiled == before


def test_a_cleared_cache_is_filled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    f = jitgrad.compile(lambda x: jitgrad.sinh(x) * 0.25 - 2.0)
    expected = f(X)
    jitgrad.clear_cache(disk=False)
    assert f.explain().variants == 0
    assert_close(f(X), expected)
    assert f.explain().variants == 1


_PROGRAM = """
import jitgrad
from jitgrad.runtime.build import build_statistics

@jitgrad.compile
def f(w, x):
    y = jitgrad.exp(w * x)
    return y.sum() if y.sum() > 0 else y.mean()

w = jitgrad.tensor([1.0, 2.0], requires_grad=True)
for n in (3, 4):
    f(w, jitgrad.ones(n, 2)).backward()
s = build_statistics()
print(s.compiled, s.loaded_from_disk, [round(v, 3) for v in w.grad.tolist()])
"""


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(_PROGRAM)
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    root = str(Path(jitgrad.__file__).parents[1])
    environment = {**os.environ, "JITGRAD_CACHE_DIR": str(cache), "PYTHONPATH": root}

    def run(**more: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-W", "error", str(script)],
            env={**environment, **more}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.split(maxsplit=2)

    compiled, loaded, gradient = run()
    assert int(compiled) > 0
    assert int(loaded) == 0
    again, from_disk, same = run()
    assert int(again) == 0
    assert int(from_disk) == int(compiled)
    assert same == gradient
    # The kernels are Python, and run as such with the same result.
    none, nothing, same = run(NUMBA_DISABLE_JIT="1")
    assert int(none) == int(nothing) == 0
    assert same == gradient


# -- threads -----------------------------------------------------------------------------------


def test_threads_may_make_the_first_call_at_once() -> None:
    @jitgrad.compile
    def f(w: Any, x: Any, rate: float) -> Any:
        y = jitgrad.tanh(x * w) * rate
        if y.sum() > 0.5:
            return y * 2.0
        return y - 1.0

    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        rng = np.random.default_rng(number)
        barrier.wait()
        for _ in range(20):
            x = jitgrad.tensor(rng.uniform(-1, 1, (int(rng.integers(1, 4)), 2)))
            compiled, plain = (jitgrad.tensor([0.5, 2.0], requires_grad=True) for _ in range(2))
            rate = float(rng.uniform())
            found, expected = f(compiled, x, rate), f.__wrapped__(plain, x, rate)
            assert_close(found, expected)
            found.sum().backward()
            expected.sum().backward()
            assert_close(compiled.grad, plain.grad)

    with ThreadPoolExecutor(8) as pool:
        for result in [pool.submit(work, number) for number in range(8)]:
            result.result()
    assert not f.explain().eager_reason
    assert f.explain().variants == 3


def test_the_grad_mode_of_one_thread_is_not_that_of_another() -> None:
    f = jitgrad.compile(lambda w: w * 2.0)
    w = X.clone().requires_grad_()
    with jitgrad.no_grad(), ThreadPoolExecutor(1) as pool:
        assert not f(w).requires_grad
        assert pool.submit(f, w).result().requires_grad
