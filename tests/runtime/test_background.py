"""Programs whose kernels are built in the background run on the interpreter until then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import jitgrad
from jitgrad import ArgumentError, FallbackWarning
from jitgrad.runtime import background
from jitgrad.testing import assert_close


def waves(x: Any) -> Any:
    return (jitgrad.sin(x) * x).sum()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let no program be built before it is set."""
    opened = threading.Event()
    build = background.build_program

    def build_behind_gate(*arguments: Any) -> Any:
        assert opened.wait(60)
        return build(*arguments)

    monkeypatch.setattr(background, "build_program", build_behind_gate)
    yield opened
    opened.set()


def test_calls_are_interpreted_until_kernels_are_there(gate: threading.Event) -> None:
    compiled = jitgrad.compile(waves, mode="background")
    x = np.linspace(0.0, 1.0, 5)
    for _ in range(3):
        assert_close(compiled(x), waves(x))
    assert not compiled.wait(timeout=0.01)
    report = compiled.explain()
    assert len(report.pending) == 1
    assert not report.kernels
    assert "interpreted while kernels are built: waves" in str(report)
    gate.set()
    assert compiled.wait()
    for _ in range(3):
        assert_close(compiled(x), waves(x))
    report = compiled.explain()
    assert not report.pending
    assert len(report.kernels) == 1


def test_gradients_go_through_both_tiers(gate: threading.Event) -> None:
    compiled = jitgrad.compile(waves, mode="background")
    expected = jitgrad.value_and_grad(waves)(jitgrad.tensor([0.5, -2.0]))[1]

    def gradient() -> Any:
        x = jitgrad.tensor([0.5, -2.0], requires_grad=True)
        compiled(x).backward()
        return x.grad

    assert_close(gradient(), expected)
    gate.set()
    for _ in range(4):
        assert_close(gradient(), expected)
        assert compiled.wait()
    assert len(compiled.explain().kernels) == 2


def test_loops_and_branches_are_interpreted_as_well(gate: threading.Event) -> None:
    def powers(x: Any) -> Any:
        y = jitgrad.fori_loop(0, 3, lambda k, y: y * x, x)
        return y if y.sum() > 0 else -y

    compiled = jitgrad.compile(powers, mode="background")
    for sign in (1.0, -1.0, 1.0):
        assert_close(compiled(sign * jitgrad.ones(2)), jitgrad.ones(2))
    gate.set()
    assert compiled.wait()
    assert_close(compiled(jitgrad.ones(2)), jitgrad.ones(2))


def test_threads_that_call_at_once_get_the_same(gate: threading.Event) -> None:
    compiled = jitgrad.compile(jitgrad.value_and_grad(waves), mode="background")
    x = np.linspace(-1.0, 1.0, 7)
    expected = jitgrad.value_and_grad(waves)(x)
    wrong: list[Any] = []

    def call() -> None:
        for _ in range(50):
            found = compiled(x)
            if not all(np.allclose(a, b) for a, b in zip(found, expected, strict=True)):
                wrong.append(found)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert compiled.wait()
    assert not wrong


def test_what_cannot_be_built_is_told_once_by_a_later_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*arguments: Any) -> Any:
        raise RuntimeError("out of ideas")

    monkeypatch.setattr("jitgrad.runtime.program.generate", fail)
    compiled = jitgrad.compile(waves, mode="background")
    x = np.ones(3)
    compiled(x)
    assert compiled.wait()
    with pytest.warns(FallbackWarning, match="runs on the interpreter: RuntimeError: out of ideas"):
        compiled(x)
    assert_close(compiled(x), waves(x))
    assert "out of ideas" in compiled.explain().fallbacks[0]


def test_a_forked_process_builds_what_was_not_built(run_python: Callable[..., str]) -> None:
    script = """
import os, threading
import numpy as np
import jitgrad
from jitgrad.runtime import background

build, gate = background.build_program, threading.Event()

def wait_in_parent(*arguments):
    if os.getpid() == parent:
        gate.wait(60)
    return build(*arguments)

parent = os.getpid()
background.build_program = wait_in_parent
double = jitgrad.compile(lambda x: x * 2.0, mode="background")
triple = jitgrad.compile(lambda x: x * 3.0, mode="background")
double(np.ones(3)), triple(np.ones(3))
child = os.fork()
if not child:
    assert double.wait(60) and triple.wait(60)
    assert double(np.ones(3))[0] == 2.0 and len(triple.explain().kernels) == 1
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
gate.set()
assert double.wait(60)
print("done")
"""
    assert run_python(script) == "done\n"


def test_a_process_ends_while_kernels_are_built(run_python: Callable[..., str]) -> None:
    script = """
import threading
import numpy as np
import jitgrad
from jitgrad.runtime import background

background.build_program = lambda *arguments: threading.Event().wait()
double = jitgrad.compile(lambda x: x * 2.0, mode="background")
print(double(np.ones(2)))
"""
    assert run_python(script) == "[2. 2.]\n"


def test_another_mode_is_an_error() -> None:
    with pytest.raises(ArgumentError, match="mode 'later' is none of immediate, background"):
        jitgrad.compile(waves, mode="later")
