"""Operations on the bits of integers; on booleans they are those of logic."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.core.dtypes import bool_
from jitgrad.core.primitive import External, Primitive, Sample, Template, none
from jitgrad.ops.families import elementwise

_NO_DERIVATIVE = none("its inputs are whole numbers")


def _bitwise(name: str, eager: Any, form: Template | External, count: int, doc: str) -> Primitive:
    def samples(rng: np.random.Generator) -> list[Sample]:
        shapes = [((), ()), ((0,), (0,)), ((7,), (7,)), ((2, 1), (3,))]
        low, high = (0, 60) if isinstance(form, External) else (-9, 9)
        found = [
            Sample(tuple([rng.integers(low, high, shape) for shape in both[:count]]))
            for both in shapes
        ]
        if isinstance(form, External):
            return found
        truths = [rng.integers(0, 2, 8).astype(bool_) for _ in range(count)]
        return [*found, Sample(tuple(truths), label="booleans")]

    return elementwise(
        name,
        eager=eager,
        derivative=_NO_DERIVATIVE,
        template=form,
        samples=samples,
        doc=doc,
        inputs=("x", "y")[:count],
        whole=True,
    )


bitwise_and = _bitwise(
    "bitwise_and",
    np.bitwise_and,
    Template("bit_and({x}, {y})", boolean="{x} and {y}"),
    2,
    "The bits that are set in both elements.",
)
bitwise_or = _bitwise(
    "bitwise_or",
    np.bitwise_or,
    Template("bit_or({x}, {y})", boolean="{x} or {y}"),
    2,
    "The bits that are set in one of both elements, or in both.",
)
bitwise_xor = _bitwise(
    "bitwise_xor",
    np.bitwise_xor,
    Template("bit_xor({x}, {y})", boolean="{x} != {y}"),
    2,
    "The bits that are set in exactly one of both elements.",
)
bitwise_not = _bitwise(
    "bitwise_not",
    np.bitwise_not,
    Template("-1 - {x}", boolean="not {x}"),
    1,
    "The bits that are not set in each element.",
)
bitwise_left_shift = _bitwise(
    "bitwise_left_shift",
    np.left_shift,
    External(),
    2,
    "The bits of each element moved up by so many places.",
)
bitwise_right_shift = _bitwise(
    "bitwise_right_shift",
    np.right_shift,
    External(),
    2,
    "The bits of each element moved down by so many places; the sign stays.",
)
