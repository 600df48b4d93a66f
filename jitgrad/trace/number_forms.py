"""What whole numbers of a trace are: sums of others, by which equal ones are found."""

from __future__ import annotations

from typing import Any

from jitgrad.ir.graph import Literal, Node, Value
from jitgrad.ops.arithmetic import add, neg, sub
from jitgrad.ops.cast import cast, number_primitive
from jitgrad.ops.creation import clone_primitive

# Values with coefficients, and a constant.
Form = tuple[frozenset[tuple[Any, int]], int]


def form_of(operand: Any, makers: dict[Value, Node]) -> Form:
    """Return an integer value or number as a sum of values that are no sums themselves.

    Examples
    --------
    ``a = add i 1; b = sub a j`` gives for `b` the form of ``i - j + 1``.
    """
    if isinstance(operand, Literal):
        return frozenset(), int(operand.number)
    node = makers.get(operand)
    primitive = None if node is None else node.primitive
    if node is not None and all(o.spec.dtype.kind == "i" for o in node.inputs):
        if primitive in (cast, clone_primitive, number_primitive):
            return form_of(node.inputs[0], makers)
        if primitive is neg:
            return combined((frozenset(), 0), form_of(node.inputs[0], makers), -1)
        if primitive in (add, sub):
            left, right = (form_of(o, makers) for o in node.inputs)
            return combined(left, right, 1 if primitive is add else -1)
    return frozenset({(operand, 1)}), 0


def combined(left: Form, right: Form, factor: int) -> Form:
    """Return ``left + factor * right``."""
    terms = dict(left[0])
    for value, coefficient in right[0]:
        terms[value] = terms.get(value, 0) + factor * coefficient
    kept = frozenset((v, c) for v, c in terms.items() if c)
    return kept, left[1] + factor * right[1]
