"""The order of loops around a statement, where that is free: stacks of matrices come first.

What is computed from a matrix of a stack, and what it is computed from, then stands in the loop
that multiplies it, and a matrix is used while it is in the cache.
"""

from __future__ import annotations

from jitgrad.codegen.lowered import Lowered
from jitgrad.codegen.nests import MatrixProduct, Read, Statement
from jitgrad.core.primitive import Template
from jitgrad.ir.graph import Value


def stacks_first(lowered: Lowered) -> Lowered:
    """Let loops over stacks of multiplied matrices be the outermost ones.

    Before: ``for n: for k: for j: c[n, k, j] = ...; for k: gemm(c[:, k], q[k], y[:, k])``.
    After: ``for k: for n: for j: c[n, k, j] = ...; for k: gemm(c[:, k], q[k], y[:, k])``.
    """
    stacked = lowered.stacked = _stacked_axes(lowered)
    for place, step in enumerate(lowered.steps):
        if isinstance(step, Statement):
            lowered.steps[place] = _reordered(step, stacked)
    return lowered


def _stacked_axes(lowered: Lowered) -> dict[Value, tuple[int, ...]]:
    """Return for each array of matrices the axes along which they are stacked, in loop order."""
    found: dict[Value, tuple[int, ...]] = {}
    for step in lowered.steps:
        if not isinstance(step, MatrixProduct):
            continue
        for matrix in (step.result, step.left, step.right):
            axis_of = {e.bare_index: axis for axis, e in enumerate(matrix.index)}
            stack = range(len(step.axes))
            if stack and all(number in axis_of for number in stack):
                found.setdefault(matrix.value, tuple([axis_of[number] for number in stack]))
    return found


def _reordered(statement: Statement, stacked: dict[Value, tuple[int, ...]]) -> Statement:
    """Return a statement with the loops over a stack first; elementwise results are stacks, too."""
    outer = _outer_loops(statement, stacked)
    if outer is None:
        return statement
    if isinstance(statement.form, Template):
        axis_of = {e.bare_index: axis for axis, e in enumerate(statement.out_index)}
        stacked.setdefault(statement.out, tuple([axis_of[n] for n in outer if n in axis_of]))
    rest = [n for n in range(len(statement.axes)) if n not in outer]
    return statement.in_order([*outer, *rest])


def _outer_loops(statement: Statement, stacked: dict[Value, tuple[int, ...]]) -> list[int] | None:
    """Return the numbers of the loops over the stack that a statement writes, or else reads."""
    for read in (Read(statement.out, statement.out_index), *statement.reads()):
        axes = stacked.get(read.value)
        if axes is None:
            continue
        loops = [read.index[axis].bare_index for axis in axes]
        known = [n for n in loops if n is not None and n not in statement.reduced]
        if axes and len(known) == len(axes):
            return known
    return None
