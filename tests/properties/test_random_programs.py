"""Random programs give the same however they are run: eager, as a graph, compiled."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import jitgrad
from jitgrad.trace.capture import CannotCaptureError
from tests.properties.programs import Program, programs
from tests.properties.tiers import Outcome, interpreted, run
from tests.properties.vocabulary import Array

# More of them by hand: JITGRAD_PROGRAMS=2000 pytest tests/properties
COUNT = int(os.environ.get("JITGRAD_PROGRAMS", "60"))

few = settings(
    max_examples=COUNT,
    derandomize=COUNT == 60,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


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
        comparison.check(
            run(compiled, program, program.arguments), f"compiled, {call} call"
        )


@pytest.mark.filterwarnings("error")
@few
@given(programs())
def test_programs_give_the_same_eager_interpreted_and_compiled(program: Program) -> None:
    check_program(program)
