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
    # By their place so far, in which order they still can run.
    waiting: dict[Value, tuple[int, Statement]] = {}
    steps: list[Step] = []

    def release(values: list[Value]) -> None:
        found: list[tuple[int, Statement]] = []
        while values:
            place = waiting.pop(values.pop(), None)
            if place is not None:
                found.append(place)
                values += _values_read(place[1])
        steps.extend(statement for _, statement in sorted(found, key=lambda place: place[0]))

    for number, step in enumerate(lowered.steps):
        read = _values_read(step)
        if (
            isinstance(step, Statement)
            and step.whole
            and isinstance(step.form, Template)
            and at_hand.issuperset(read)
        ):
            waiting[step.out] = number, step
            at_hand.add(step.out)
        else:
            release(read)
            steps.append(step)
    release(list(waiting))
    lowered.steps = steps
    return lowered


def _values_read(step: Step) -> list[Value]:
    if isinstance(step, Rename):
        return [step.source]
    if isinstance(step, (ExternalCall, IntrinsicCall)):
        return [operand for operand in step.operands if isinstance(operand, Value)]
    return [read.value for read in step.reads()]
