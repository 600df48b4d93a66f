"""What follows from arguments alone is computed where it is first read.

``a = 0.9 * m; g = x @ w; y = a + g``: nothing shares the loop over `a` before the product, so `a`
would be stored, and read again after it. What is read lies in memory all the time anyway.
"""

from __future__ import annotations

from jitgrad.codegen.lowered import Lowered
from jitgrad.codegen.nests import ExternalCall, IntrinsicCall, Rename, Statement, Step
from jitgrad.core.primitive import Template
from jitgrad.ir.graph import Value


def defer(lowered: Lowered) -> Lowered:
    """Move elementwise statements on inputs alone to just before what reads them first.

    Before: ``a[i] = m[i] * 0.9; g = gemm(x, w); y[i] = a[i] + g[i]``.
    After: ``g = gemm(x, w); a[i] = m[i] * 0.9; y[i] = a[i] + g[i]``.
    """
    at_hand = set(lowered.graph.inputs)
    waiting: dict[Value, Statement] = {}
    steps: list[Step] = []

    def add(step: Step) -> None:
        for value in _values_read(step):
            if value in waiting:
                add(waiting.pop(value))
        steps.append(step)

    for step in lowered.steps:
        if (
            isinstance(step, Statement)
            and step.whole
            and isinstance(step.form, Template)
            and at_hand.issuperset(_values_read(step))
        ):
            waiting[step.out] = step
            at_hand.add(step.out)
        else:
            add(step)
    while waiting:
        add(waiting.pop(next(iter(waiting))))
    lowered.steps = steps
    return lowered


def _values_read(step: Step) -> list[Value]:
    if isinstance(step, Rename):
        return [step.source]
    if isinstance(step, (ExternalCall, IntrinsicCall)):
        return [operand for operand in step.operands if isinstance(operand, Value)]
    return [read.value for read in step.reads()]
