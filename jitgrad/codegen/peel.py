"""Sums over an array that is read shifted share a loop with what else reads it.

The adjoint of slices that overlap, ``x[1:]`` and ``x[:-1]``, is written in boxes, the largest of
which is a little smaller than the slices. A sum over the slices would be another loop over the same
data; without its first elements it runs over the same indices as the box.
"""

from __future__ import annotations

from jitgrad.codegen.lowered import COPY, Lowered
from jitgrad.codegen.nests import Element, Extent, Read, Statement, Step
from jitgrad.codegen.recompute import Recomputation
from jitgrad.core.affine import Affine
from jitgrad.core.primitive import Accumulation, Template
from jitgrad.core.spec import Spec
from jitgrad.ir.graph import Node, Value
from jitgrad.ops.arithmetic import add

# How many elements at most are summed up apart from the others.
_MOST_PEELED = 2


def peel_sums(lowered: Lowered) -> Lowered:
    """Sum up the first elements apart where the others then run over the indices of a box.

    Before: ``g[i + 1] = x[i + 2] - x[i]; s += y[k]``, with `y` made of `x` and one `k` more.
    After: ``g[i + 1] = x[i + 2] - x[i]; a += y[i + 1]; s = a + y[0]``.
    """
    found = Recomputation(lowered)
    for step in lowered.steps:
        found.note(step)
    boxes = [
        (step.axes[0], found.arrays_under(step.elements))
        for step in lowered.steps
        if isinstance(step, Statement) and not step.whole and len(step.axes) == 1
    ]
    steps: list[Step] = []
    for step in lowered.steps:
        if isinstance(step, Statement) and boxes and _is_plain_sum(step):
            steps += _peeled(step, found, boxes)
        else:
            steps.append(step)
    lowered.steps = steps
    return lowered


def _is_plain_sum(step: Statement) -> bool:
    if not isinstance(step.form, Accumulation) or not step.form.combine.startswith(
        "accumulate_sum"
    ):
        return False
    one = len(step.axes) == 1 and len(step.elements) == 1 and step.whole
    return one and not step.out_index and isinstance(step.elements[0], Read)


def _peeled(
    step: Statement, found: Recomputation, boxes: list[tuple[Extent, set[Value]]]
) -> list[Step]:
    """Return the statements that compute a sum: itself, or the first elements and the others."""
    (element,) = step.elements
    assert isinstance(element, Read)
    for extent, arrays in boxes:
        count = step.axes[0].size - extent.size
        if not 0 < count <= _MOST_PEELED or not found.arrays_under((element,)) <= arrays:
            continue
        rest = Value(Spec((), step.out.dtype), "")
        others = _shifted(element, Affine.index(0) + count)
        summed = Statement(step.node, rest, [extent], (), (others,), step.form)
        if not found.is_out_of_step(others, summed) or not found.is_cheap(others, summed):
            continue
        return [
            summed,
            *_added(step, rest, [_shifted(element, Affine((), k)) for k in range(count)]),
        ]
    return [step]


def _added(step: Statement, total: Value, elements: list[Read]) -> list[Step]:
    """Return the statements that add elements to a total, which make the sum of `step`."""
    steps: list[Step] = []
    assert isinstance(add.lowering, Template)
    for number, element in enumerate(elements):
        one = Value(Spec((), step.out.dtype), "")
        out = step.out if number == len(elements) - 1 else Value(one.spec, "")
        node = Node(
            add, (total, one), {}, (out,), step.node.location if step.node is not None else None,
            step.node is not None and step.node.adjoint,
        )  # fmt: skip
        reads: tuple[Element, ...] = (Read(total, ()), Read(one, ()))
        steps.append(Statement(step.node, one, [], (), (element,), COPY))
        steps.append(Statement(node, out, [], (), reads, add.lowering))
        total = out
    return steps


def _shifted(read: Read, index: Affine) -> Read:
    return Read(read.value, tuple([entry.substitute((index,)) for entry in read.index]))  # type: ignore[union-attr]
