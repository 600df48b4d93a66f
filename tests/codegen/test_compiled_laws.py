"""Laws of compiled code: every operation's kernel computes what the interpreter computes.

All samples of an operation go into one graph, so that an operation costs one or two compiles.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jitgrad.core.dtypes import is_floating
from jitgrad.core.primitive import TABLE, External, Primitive
from jitgrad.core.spec import Spec
from jitgrad.ir.graph import Graph, GraphBuilder, Literal, Value
from jitgrad.ir.interpret import interpret
from jitgrad.ir.verify import verify
from jitgrad.runtime.program import layout_of, make_program
from jitgrad.transforms.adjoint import adjoint
from jitgrad.transforms.residuals import split
from jitgrad.transforms.simplify import simplify
from tests.ops.cases import Case, all_cases

Array = np.ndarray[Any, Any]


def cases_of(primitive: Primitive) -> list[Case]:
    return [case for case in all_cases() if case.primitive is primitive]


def graph_of(cases: list[Case], arguments: list[list[Any]]) -> tuple[Graph, list[Array]]:
    """Return one graph that computes all `cases`, and its inputs."""
    builder = GraphBuilder()
    inputs: list[Value] = []
    arrays: list[Array] = []
    outputs: list[Value] = []
    for case, args in zip(cases, arguments, strict=True):
        operands: list[Value | Literal] = []
        for arg in args:
            if isinstance(arg, np.ndarray):
                value = Value(Spec(arg.shape, arg.dtype))
                inputs.append(value)
                arrays.append(arg)
                operands.append(value)
            else:
                operands.append(Literal.of(arg))
        outputs.extend(builder.emit(case.primitive, tuple(operands), case.params))
    return verify(Graph(tuple(inputs), tuple(builder.nodes), tuple(outputs))), arrays


def strided(array: Array) -> Array:
    """Return an equal array with other strides: transposed memory, every second, reversed."""
    if array.ndim == 0:
        return array
    spread = np.zeros([2 * n for n in array.shape], array.dtype).T.copy().T
    view = spread[tuple(slice(None, None, -2) for _ in array.shape)]
    view[...] = array
    return view


def assert_same(graph: Graph, arrays: list[Array], rtol: float) -> None:
    program = make_program(graph, [layout_of(a) for a in arrays], "law")
    assert not program.fallback
    for ours, reference in zip(program.run(*arrays), interpret(graph, arrays), strict=True):
        assert ours.dtype == reference.dtype
        assert ours.shape == reference.shape
        np.testing.assert_allclose(ours, reference, rtol=rtol, atol=rtol)


PURE = [p for p in TABLE.values() if not p.impure]
GENERATED = [p for p in PURE if not isinstance(p.lowering, External)]


@pytest.mark.parametrize("primitive", GENERATED, ids=str)
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["f64", "f32"])
def test_kernel_equals_interpreter(primitive: Primitive, dtype: Any) -> None:
    cases = cases_of(primitive)
    arguments = [case.in_dtype(dtype) for case in cases]
    graph, arrays = graph_of(cases, arguments)
    assert_same(graph, arrays, 1e-12 if dtype is np.float64 else 2e-5)


@pytest.mark.parametrize("primitive", GENERATED, ids=str)
def test_kernel_reads_strided_inputs(primitive: Primitive) -> None:
    cases = cases_of(primitive)
    arguments = [
        [strided(a) if isinstance(a, np.ndarray) else a for a in case.args] for case in cases
    ]
    graph, arrays = graph_of(cases, arguments)
    assert_same(graph, arrays, 1e-12)


@pytest.mark.parametrize("primitive", PURE, ids=str)
def test_adjoint_kernel_equals_interpreter(primitive: Primitive) -> None:
    cases = [case for case in cases_of(primitive) if case.differentiable_inputs()]
    if not cases:
        assert not any(primitive.rule_for(k) for k in range(len(primitive.inputs)))
        return
    graph, arrays = graph_of(cases, [list(case.args) for case in cases])
    outputs = [v for v in graph.outputs if isinstance(v, Value) and is_floating(v.dtype)]
    joint = adjoint(graph, [v for v in graph.inputs if is_floating(v.dtype)], outputs)
    rng = np.random.default_rng(1)
    cotangents = [np.asarray(rng.normal(size=v.shape), v.dtype) for v in outputs]
    both = split(joint)
    verify(both.forward)
    backward = simplify(verify(both.backward), differentiated=False)
    kept = interpret(both.forward, arrays)[len(graph.outputs) :]
    known = dict(zip(graph.inputs, arrays, strict=True))
    known.update(zip(both.kept, kept, strict=True))
    saved = [known[v] for v in both.saved]
    assert_same(verify(backward), [*saved, *cotangents], 1e-11)
