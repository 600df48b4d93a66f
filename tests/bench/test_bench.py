"""Every workload runs, its variants agree, and the figures can be kept and shown.

Without the libraries that only `make bench` installs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench import report
from bench.__main__ import main
from bench.run import DisagreementError, measure
from bench.timing import Timing, interleave
from bench.variants import as_arrays, largest_difference, missing, variants_of
from bench.workload import Workload, all_workloads

PEERS = ["jitgrad", "numpy"]


@pytest.mark.parametrize("workload", all_workloads().values(), ids=lambda w: w.name)
def test_variants_of_each_workload_agree_and_are_timed(workload: Workload) -> None:
    result = measure(workload, PEERS, rounds=2, turn=0.0, first_calls=False, tiny=True)
    assert {*PEERS} <= result["variants"].keys()
    assert all(figures["minimum"] > 0 for figures in result["variants"].values())


def test_gradients_by_numba_agree_with_those_by_numpy() -> None:
    chain = all_workloads()["chain"]
    result = measure(chain, ["numpy", "hand"], rounds=1, turn=0.0, first_calls=False, tiny=True)
    assert result["variants"].keys() == {"numpy", "hand"}


def test_variant_that_computes_something_else_is_refused() -> None:
    wrong = Workload(
        name="wrong",
        title="wrong",
        sizes=(3,),
        tiny=(3,),
        inputs=lambda rng, size: (rng.normal(size=size),),
        define=lambda ops: lambda x: ops.sum(x),
        by_hand={"numpy": lambda: lambda x: np.sum(x) + 1e-3},
    )
    with pytest.raises(DisagreementError, match="wrong: NumPy by hand differs from jitgrad by"):
        measure(wrong, PEERS, rounds=1, turn=0.0, first_calls=False, tiny=True)


def test_results_of_other_shapes_are_no_results() -> None:
    with pytest.raises(ValueError, match="shapes"):
        largest_difference(as_arrays((1.0, [np.ones(3)])), as_arrays((1.0, np.ones(2))))


def test_variants_take_turns() -> None:
    order: list[str] = []

    def variant(name: str) -> Callable[[], None]:
        def call() -> None:
            order.append(name)
            time.sleep(0.001)  # as long as a batch, so that each batch is one call

        return call

    interleave([variant("a"), variant("b")], rounds=3, turn=0.0)
    timed = "".join(order[6:])  # the first six settle how often to call
    assert timed == "aabb" * 3  # each turn begins with a call that is not timed


def test_ratio_compares_within_rounds() -> None:
    quick, slow = Timing([1.0, 10.0, 1.0], 1.0), Timing([2.0, 20.0, 3.0], 1.0)
    assert slow.ratio_to(quick) == 2.0


def test_libraries_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert missing(["jax", "torch_compile"]) == {"jax": "jax", "torch_compile": "torch"}


def test_styles_of_a_workload_are_variants() -> None:
    names = [variant.name for variant in variants_of(all_workloads()["bce"], PEERS)]
    assert names == ["jitgrad", "jitgrad:tensors", "jitgrad:backward", "numpy"]


def test_figures_are_kept_shown_and_written_into_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JITGRAD_BENCH_THREADS", "1")  # as if started anew already
    page, kept = tmp_path / "page.md", tmp_path / "kept.json"
    page.write_text("before\n<!-- measured: begin -->\nold\n<!-- measured: end -->\nafter\n")
    common = ["--peers", "jitgrad,numpy", "--tiny", "--rounds", "1", "--turn", "0"]
    common += ["--no-first-calls", "--json", str(kept), "--markdown", str(page)]
    assert main(["--only", "rosenbrock_small", *common]) == 0
    assert main(["--only", "bce", *common]) == 0
    assert "NumPy by hand" in capsys.readouterr().out
    assert {*report.load(kept)["results"]} == {"rosenbrock_small@1", "bce@1"}
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "Rosenbrock" in text
    assert "jitgrad, backward" in text


def test_first_calls_that_are_not_measured_again_are_kept() -> None:
    store = {"results": {"w@1": {"variants": {"jax": {"minimum": 2.0, "cold": 3.0, "warm": 1.0}}}}}
    report.add(store, "w@1", {"variants": {"jax": {"minimum": 1.0}, "torch": {"minimum": 4.0}}})
    assert store["results"]["w@1"]["variants"] == {
        "jax": {"minimum": 1.0, "cold": 3.0, "warm": 1.0},
        "torch": {"minimum": 4.0},
    }


def test_unknown_workload_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "nothing"]) == 2
    assert "unknown: nothing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(2.5, "2.50 s"), (0.0123, "12.3 ms"), (4.2e-6, "4.20 us"), (3e-7, "0.30 us"), (None, "")],
)
def test_durations_have_a_fitting_unit(seconds: float | None, shown: str) -> None:
    assert report.duration(seconds) == shown
