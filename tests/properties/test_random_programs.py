"""Random programs give the same however they are run: eager, as a graph, compiled."""

from __future__ import annotations

import contextlib
import os
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import jitgrad
from jitgrad.trace.capture import CannotCaptureError
from tests.codegen.blocks import in_blocks
from tests.codegen.plain import plain_kernels
from tests.properties.programs import Program, programs, random_program
from tests.properties.tiers import Outcome, cotangent, interpreted, run
from tests.properties.vocabulary import Array

# More of them by hand: JITGRAD_PROGRAMS=2000 pytest tests/properties
COUNT = int(os.environ.get("JITGRAD_PROGRAMS", "60"))


class Comparison:
    """Compares outcomes, allowing for the rounding errors that a program's own condition gives."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.reference = run(program.function(), program, program.arguments)
        # How much what it computes differs when its arguments differ by some rounding errors.
        rng = np.random.default_rng(0)
        self.wobbled = []
        for _ in range(2):
            nearby = [_nearby(a, rng, program.eps) for a in program.arguments]
            self.wobbled.append(run(program.function(), program, nearby))

    def check(self, outcome: Outcome, tier: str) -> None:
        for part in ("outputs", "arguments"):
            self.check_arrays(part, getattr(outcome, part), tier)
        if self.reference.gradients is not None and outcome.gradients is not None:
            self.check_arrays("gradients", outcome.gradients, tier)

    def check_arrays(self, part: str, found: list[Any], tier: str) -> None:
        expected = getattr(self.reference, part)
        assert len(found) == len(expected)
        for number, (array, reference) in enumerate(zip(found, expected, strict=True)):
            what = f"{part} number {number}, {tier}"
            if array is None or reference is None:
                # Compiled code may say of an argument that is not used that its gradient is zero.
                assert not np.any(reference if array is None else array), what
                continue
            assert array.dtype == reference.dtype, what
            assert array.shape == reference.shape, what
            allowed = self.allowed(part, number, reference)
            np.testing.assert_array_less(_distance(array, reference), allowed, err_msg=what)

    def allowed(self, part: str, number: int, reference: Array) -> float:
        if reference.dtype.kind != "f":
            return 0.5
        largest = float(np.abs(reference).max(initial=0.0))
        condition = max(
            float(_distance(getattr(w, part)[number], reference).max(initial=0.0))
            for w in self.wobbled
        )
        return 500 * self.program.eps * max(self.program.scale, largest) + 20 * condition


def _nearby(argument: Any, rng: np.random.Generator, eps: float) -> Any:
    if isinstance(argument, float):
        return argument
    if argument.dtype.kind != "f":
        return argument
    return np.asarray(argument * (1 + 4 * eps * rng.choice([-1, 1], argument.shape))).astype(
        argument.dtype
    )


def _distance(a: Array, b: Array) -> Array:
    with np.errstate(all="ignore"):
        distance = np.abs(np.subtract(a, b, dtype=np.float64))
    return np.asarray(np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, distance))


def check_program(program: Program) -> None:
    comparison = Comparison(program)
    compiled = jitgrad.compile(program.function())
    try:
        comparison.check(interpreted(program), "interpreted graph")
    except CannotCaptureError:
        with pytest.warns(jitgrad.FallbackWarning):
            comparison.check(run(compiled, program, program.arguments), "left to plain Python")
        return
    # The third call is the first that takes the short way.
    for call in ("first", "second", "third"):
        comparison.check(run(compiled, program, program.arguments), f"compiled, {call} call")


def check_finite_differences(program: Program) -> bool:
    """Compare compiled gradients with differences along random directions, where there are any."""
    arguments, wrt = program.arguments, program.differentiated
    exact = all(isinstance(a, float) or a.dtype != np.float32 for a in arguments)
    # What is detached has no gradient, and its differences say otherwise.
    if not wrt or not exact or program.eps > 1e-10 or "detach" in program.source():
        return False
    compiled = jitgrad.compile(program.function())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jitgrad.FallbackWarning)
        gradients = run(compiled, program, arguments).gradients
    if gradients is None:
        return False
    plain = replace(program, differentiated=())

    def loss(step: float) -> float:
        moved = list(arguments)
        for k, direction in directions.items():
            moved[k] = np.asarray(arguments[k] + step * direction)
        outputs = run(program.function(), plain, moved).outputs
        return sum(
            float((cotangent(n, out.shape, out.dtype) * out).sum())
            for n, out in enumerate(outputs)
            if out.dtype.kind == "f"
        )

    rng = np.random.default_rng(2)
    directions = {k: np.asarray(rng.uniform(-1, 1, arguments[k].shape)) for k in wrt}  # type: ignore[union-attr]
    step = 1e-5
    difference = (loss(step) - loss(-step)) / (2 * step)
    slope = sum(
        float((g * directions[k]).sum())
        for k, g in zip(wrt, gradients, strict=True)
        if g is not None
    )
    size = max(1.0, program.scale, abs(slope))
    assert abs(slope - difference) < 1e-5 * size, (slope, difference)
    return True


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("first", range(0, COUNT, 10))
def test_programs_give_the_same_eager_interpreted_and_compiled(first: int) -> None:
    for seed in range(first, first + 10):
        program = random_program(seed)
        try:
            check_program(program)
        except Exception as error:
            error.add_note(f"random_program({seed}){program}")
            raise


@pytest.mark.filterwarnings("error")
def test_generated_source_of_programs_runs_as_plain_python() -> None:
    with plain_kernels():
        for seed in range(1000, 1000 + 5 * COUNT):
            program = random_program(seed, most_statements=14)
            # Plain Python is slow.
            if program.size() < 200:
                try:
                    check_program(program)
                except Exception as error:
                    error.add_note(f"random_program({seed}, most_statements=14){program}")
                    raise


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("compiled", [False, True], ids=["plain Python", "compiled"])
def test_programs_in_blocks_on_several_threads_give_the_same(compiled: bool) -> None:
    before = jitgrad.get_num_threads()
    jitgrad.set_num_threads(2)
    try:
        with in_blocks(), contextlib.nullcontext() if compiled else plain_kernels():
            for seed in range(3000, 3000 + (COUNT // 5 if compiled else 2 * COUNT)):
                program = random_program(seed)
                try:
                    check_program(program)
                except Exception as error:
                    error.add_note(f"random_program({seed}){program}")
                    raise
    finally:
        jitgrad.set_num_threads(before)


@pytest.mark.filterwarnings("error")
def test_gradients_of_programs_are_finite_differences() -> None:
    checked = 0
    with plain_kernels():
        for seed in range(2000, 2000 + 3 * COUNT):
            program = random_program(seed)
            if program.size() < 200:
                try:
                    checked += check_finite_differences(program)
                except Exception as error:
                    error.add_note(f"random_program({seed}){program}")
                    raise
    assert checked > COUNT // 2


# Few, as hypothesis tries near copies of what it tried; but what fails here is made small.
@pytest.mark.filterwarnings("error")
@settings(
    max_examples=COUNT,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(programs())
def test_programs_that_hypothesis_draws_agree(program: Program) -> None:
    with plain_kernels():
        check_program(program)
