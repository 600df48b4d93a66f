"""Buffers that are alive together never share memory, judged by the generated text alone."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import jitgrad as jg
from jitgrad.codegen.text import KernelText
from jitgrad.ir.graph import Graph
from jitgrad.trace.capture import CannotCaptureError
from jitgrad.transforms.adjoint import adjoint
from jitgrad.transforms.residuals import split
from jitgrad.transforms.simplify import simplify
from tests.codegen.graphs import graph_of
from tests.codegen.plain import text_of
from tests.properties.programs import random_program
from tests.properties.tiers import captured_graph, differentiated_outputs

_BLOCK = re.compile(r"    (\w+) = block\(arena, (sizes\[\d+\]), (\(.*\)), (\w+), (\d+)\)")
_RENAMED = re.compile(r"    (\w+) = (\w+)\.reshape\(")
_EXTENT = re.compile(r"    (n\d+) = (.*)")
_BYTES = {"f64": 8, "i64": 8, "f32": 4, "i32": 4, "b1": 1}


@dataclass
class Life:
    """A buffer: its bytes, and the lines between which it is used."""

    name: str
    begin: int
    end: int
    first: int
    last: int
    slot: int


def lives(kernel: KernelText) -> list[Life]:
    """Return the buffers of a kernel's arena, as its text has them."""
    lines = kernel.source.splitlines()
    parameters = re.findall(r"\w+", lines[0])[2:]
    known: dict[str, Any] = {
        name: SimpleNamespace(shape=value.shape)
        for name, value in zip(parameters, kernel.arguments, strict=False)
    }
    known["sizes"] = kernel.sizes
    places: dict[str, tuple[int, int]] = {}
    slots: dict[str, int] = {}
    owner: dict[str, str] = {}
    body = 1
    for number, line in enumerate(lines):
        if found := _EXTENT.fullmatch(line):
            known[found[1]] = eval(found[2], known)
        elif found := _BLOCK.fullmatch(line):
            begin, shape = eval(found[2], known), eval(found[3], known)
            places[found[1]] = begin, begin + math.prod(shape) * _BYTES[found[4]]
            owner[found[1]] = found[1]
            slots[found[1]] = int(found[5])
        elif found := _RENAMED.match(line):
            owner[found[1]] = owner.get(found[2], found[2])
        else:
            continue
        body = number + 1
    spans = list(_outermost_spans(lines))
    used: dict[str, list[int]] = {name: [] for name in places}
    for number in range(body, len(lines)):
        for word in re.findall(r"\w+", lines[number].split("#")[0]):
            if (name := owner.get(word, "")) in used:
                used[name] += spans[number]
    return [
        Life(name, *place, min(used[name]), max(used[name]), slots[name])
        for name, place in places.items()
        if used[name]
    ]


def _outermost_spans(lines: list[str]) -> Iterator[tuple[int, int]]:
    """Return for each line the first and last line of the outermost loop that it is in."""
    first = 0
    for number, line in enumerate(lines):
        if re.match(r" {4}\S", line):
            first = number
        last = number
        while last + 1 < len(lines) and lines[last + 1].startswith("     "):
            last += 1
        yield first, last


def count_buffers(graph: Graph) -> int:
    """Return how many arena buffers the kernels of `graph` have, none of them overlapping."""
    count = 0
    for part in text_of(simplify(graph, differentiated=False)).parts:
        if not isinstance(part, KernelText):
            continue
        buffers = lives(part)
        count += len(buffers)
        for a, b in itertools.combinations(buffers, 2):
            together = a.first <= b.last and b.first <= a.last
            apart = a.end <= b.begin or b.end <= a.begin
            assert apart or not together, f"{a} and {b} in\n{part.source}"
            # the machine code relies on it
            assert apart or a.slot == b.slot, f"{a} and {b} in\n{part.source}"
        assert all(0 <= life.begin <= life.end <= part.arena_bytes for life in buffers)
    return count


@pytest.mark.parametrize("first", range(0, 400, 50))
def test_buffers_that_are_alive_together_never_overlap(first: int) -> None:
    count = 0
    for seed in range(first, first + 50):
        program = random_program(seed, most_statements=14)
        try:
            graph, _, outputs = captured_graph(program)
        except CannotCaptureError:
            continue
        count += count_buffers(graph)
        joint = joint_of_floats(graph, program.differentiated, outputs)
        if joint is not None:
            both = split(joint)
            count += count_buffers(both.forward) + count_buffers(both.backward)
    assert count > 0


def joint_of_floats(graph: Graph, wrt: tuple[int, ...], count: int) -> Any:
    inputs = [graph.inputs[k] for k in wrt]
    outputs = differentiated_outputs(graph, inputs, count)
    return adjoint(graph, inputs, [v for _, v in outputs]) if outputs else None


def test_an_arena_is_no_larger_than_what_is_alive_at_once() -> None:
    def f(x: Any) -> Any:
        for _ in range(12):
            # Each reversal needs all of the row before it.
            x = jg.tanh(x)[::-1] * 0.5
        return x

    row = np.linspace(0.0, 1.0, 1000)
    (kernel,) = text_of(simplify(graph_of(f, x=row))).parts
    assert isinstance(kernel, KernelText)
    assert len(lives(kernel)) == 12
    assert kernel.arena_bytes <= 2 * (row.nbytes + 64)


def test_under_a_shared_outer_loop_one_row_is_enough() -> None:
    def f(x: Any) -> Any:
        return jg.softmax(jg.tanh(x) * 2.0, 1)

    x = np.ones((100, 7))
    (kernel,) = text_of(simplify(graph_of(f, x=x))).parts
    assert isinstance(kernel, KernelText)
    assert kernel.arena_bytes <= 4 * 64
