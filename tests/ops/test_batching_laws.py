"""What holds for every operation of the table when it is carried out for many examples at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from jitgrad.control.batch import run_batched
from jitgrad.core.spec import Spec
from jitgrad.ir.graph import Graph, Node, Value
from jitgrad.ir.interpret import spec_of
from jitgrad.tensor.tensor import make_tensor
from tests.ops.cases import Array, Case, pure_cases

EXAMPLES = 3


def one_graph(case: Case) -> Graph:
    inputs = tuple([Value(Spec(s.shape, s.dtype)) for s in map(spec_of, case.args)])
    outputs = tuple([Value(spec) for spec in case.infer(case.args)])
    return Graph(inputs, (Node(case.primitive, inputs, case.params, outputs),), outputs)


def examples_of(arg: Any, number: int) -> Array:
    """Return different arguments, as valid as the one that is given."""
    array = np.asarray(arg)
    if array.dtype.kind == "f":
        return np.stack([array * (1 - 0.01 * (k + number)) for k in range(EXAMPLES)])
    turned = [np.flip(array, -1) if k % 2 and array.ndim else array for k in range(EXAMPLES)]
    return np.stack(turned)


def example(number: int, given: list[Array], batched: tuple[bool, ...]) -> list[Array]:
    pairs = zip(given, batched, strict=True)
    return [np.asarray(x[number]) if flag else x for x, flag in pairs]


def choices(case: Case) -> Iterator[tuple[bool, ...]]:
    count = len(case.args)
    yield (True,) * count
    if count > 1:
        for chosen in range(count):
            yield tuple([k == chosen for k in range(count)])


@pytest.mark.parametrize("case", [c for c in pure_cases() if c.args], ids=str)
def test_many_examples_at_once_are_one_after_the_other(case: Case) -> None:
    graph = one_graph(case)
    for batched in choices(case):
        pairs = list(enumerate(zip(case.args, batched, strict=True)))
        given = [examples_of(arg, k) if flag else np.asarray(arg) for k, (arg, flag) in pairs]
        found = run_batched(graph, [make_tensor(x) for x in given], batched, EXAMPLES)
        expected = [case.evaluate(example(k, given, batched)) for k in range(EXAMPLES)]
        for number, (output, has_examples) in enumerate(found):
            each = np.stack([outputs[number] for outputs in expected])
            assert has_examples
            assert output.dtype == each.dtype
            np.testing.assert_allclose(output.numpy(), each, rtol=1e-6, atol=1e-9)
