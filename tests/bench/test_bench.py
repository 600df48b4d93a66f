"""Every workload runs, its variants agree, and the figures can be kept and shown.

Without the libraries that only `make bench` installs.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench import memory, report
from bench.__main__ import main
from bench.hand.kernel import compiler
from bench.run import DisagreementError, measure
from bench.timing import Timing, interleave
from bench.variants import Variant, as_arrays, largest_difference, missing, variants_of
from bench.workload import Workload, all_workloads

PEERS = ["jitgrad", "numpy"]
each_workload = pytest.mark.parametrize(
    "workload", all_workloads().values(), ids=lambda workload: workload.name
)


@each_workload
def test_variants_of_each_workload_agree_and_are_timed(workload: Workload) -> None:
    result = measure(workload, PEERS, rounds=2, turn=0.0, alone=False, tiny=True)
    names = [variant.name for variant in variants_of(workload, PEERS)]
    assert [*result["variants"]] == names
    assert ("numpy" in names) == ("numpy" in workload.by_hand)
    assert all(figures["minimum"] > 0 for figures in result["variants"].values())


@each_workload
@pytest.mark.skipif(compiler() is None, reason="the handwritten kernels need GCC")
def test_kernel_in_c_agrees_with_numpy_or_jitgrad(workload: Workload) -> None:
    assert "c" in workload.by_hand
    peers = ["numpy" if "numpy" in workload.by_hand else "jitgrad", "hand"]
    result = measure(workload, peers, rounds=1, turn=0.0, alone=False, tiny=True)
    assert [*result["variants"]] == peers


def test_gradients_by_numba_stand_in_where_there_is_no_compiler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bench.variants.compiler", lambda: None)
    chain, attention = all_workloads()["chain"], all_workloads()["attention"]
    result = measure(chain, ["numpy", "hand"], rounds=1, turn=0.0, alone=False, tiny=True)
    assert result["variants"]["hand"]["title"] == "by hand, Numba"
    assert variants_of(attention, ["hand"]) == []


@pytest.mark.parametrize(
    "workload",
    [one for one in all_workloads().values() if one.task == "gradient" and one.wrt],
    ids=lambda workload: workload.name,
)
def test_slope_along_a_line_is_that_of_the_gradient(workload: Workload) -> None:
    arrays = [
        array.astype(np.float64) if array.dtype.kind == "f" else array
        for array in workload.make_inputs(tiny=True)
    ]
    language = "numpy" if "numpy" in workload.by_hand else "c"
    if language == "c" and compiler() is None:
        pytest.skip("the handwritten kernels need GCC")
    rng = np.random.default_rng(1)
    ways = {k: rng.normal(size=arrays[k].shape) for k in workload.wrt}

    def at(step: float) -> list[np.ndarray]:
        moved = [np.asarray(a + step * ways[k]) if k in ways else a for k, a in enumerate(arrays)]
        return as_arrays(workload.by_hand[language](*moved)())

    slope = sum(np.sum(g * way) for g, way in zip(at(0.0)[1:], ways.values(), strict=True))
    numeric = (at(1e-6)[0] - at(-1e-6)[0]) / 2e-6
    np.testing.assert_allclose(slope, numeric, rtol=1e-5, atol=1e-8)


def test_product_is_the_change_of_the_gradient() -> None:
    workloads = all_workloads()
    x, v = workloads["rosenbrock_hvp"].make_inputs(tiny=True)
    gradient = workloads["rosenbrock"].by_hand["numpy"]
    ahead, behind = (gradient(x + step * v)()[1][0] for step in (1e-6, -1e-6))
    product = workloads["rosenbrock_hvp"].by_hand["numpy"](x, v)()
    np.testing.assert_allclose(product, (ahead - behind) / 2e-6, rtol=1e-6)


def test_gradients_of_examples_are_those_of_each_alone() -> None:
    workloads = all_workloads()
    x, y, *parameters = workloads["mlp_examples"].make_inputs(tiny=True)
    found = workloads["mlp_examples"].by_hand["numpy"](x, y, *parameters)()
    for k in range(len(x)):
        one = workloads["mlp_small"].by_hand["numpy"](x[k : k + 1], y[k : k + 1], *parameters)
        for ours, expected in zip(found, one()[1], strict=True):
            np.testing.assert_allclose(ours[k], expected, rtol=1e-5, atol=1e-6)


def test_library_that_lacks_an_operation_is_left_out() -> None:
    base = all_workloads()["rosenbrock_small"]
    assert variants_of(dataclasses.replace(base, needs=("no_such_operation",)), ["jitgrad"]) == []


def test_variant_that_computes_something_else_is_refused() -> None:
    wrong = Workload(
        name="wrong",
        title="wrong",
        sizes=(3,),
        tiny=(3,),
        inputs=lambda rng, size: (rng.normal(size=size),),
        define=lambda ops: lambda x: ops.sum(x),
        by_hand={"numpy": lambda x: lambda: np.sum(x) + 1e-3},
    )
    with pytest.raises(DisagreementError, match="wrong: NumPy by hand differs from jitgrad by"):
        measure(wrong, PEERS, rounds=1, turn=0.0, alone=False, tiny=True)


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
    common += ["--quick", "--json", str(kept), "--page", str(page)]
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
    page.write_text("<!-- measured: begin -->\n<!-- measured: end -->\n")
    assert main(["--report", str(kept), "--page", str(page)]) == 0
    assert page.read_text() in text


def test_ratios_are_to_the_quickest_library_and_to_what_is_by_hand() -> None:
    times = {"jitgrad": 2.0, "jax": 8.0, "torch": 6.0, "torch:backward": 5.0, "hand": 1.0}
    variants = {
        name: {"title": name, "minimum": seconds, "ratio": seconds / 2.0}
        for name, seconds in times.items()
    }
    assert report.compare({"variants": variants}) == {
        "best": "torch:backward",
        "ahead": (2.5, 2.5),
        "jax": (4.0, 4.0),
        "hand": (2.0, 2.0),
    }


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_memory_at_the_peak_of_a_call_is_what_it_holds() -> None:
    large = Workload(
        name="large",
        title="large",
        # Beyond what the C library ever takes from memory that was freed before.
        sizes=(5_000_000,),
        tiny=(1,),
        inputs=lambda rng, size: (np.ones(size),),
        define=lambda ops: lambda x: x,
        by_hand={"numpy": lambda x: lambda: [x + k for k in range(4)]},
    )
    found = memory.measure_here(large, Variant("numpy"), tiny=False)["memory"]
    assert 159e6 < found < 170e6


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
    [(2.5, "2.50 s"), (0.0123, "12.3 ms"), (4.2e-6, "4.20 us"), (3e-8, "30.0 ns"), (None, "")],
)
def test_durations_have_a_fitting_unit(seconds: float | None, shown: str) -> None:
    assert report.duration(seconds) == shown
