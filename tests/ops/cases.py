"""Every operation of the table with every sample of its inputs: what the laws are about.

A law is one test function parametrised over `all_cases` or a part of it::

    @pytest.mark.parametrize("case", all_cases(), ids=str)
    def test_law(case: Case) -> None: ...
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import jitgrad  # noqa: F401 - fills the table
from jitgrad.core.dtypes import is_floating
from jitgrad.core.primitive import TABLE, NoDerivative, Primitive, Template, Vjps
from jitgrad.core.spec import Spec
from jitgrad.ir.interpret import evaluate_primitive, spec_of

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """An operation and one of its samples."""

    primitive: Primitive
    args: tuple[Any, ...]
    params: dict[str, Any]
    label: str

    def __str__(self) -> str:
        return f"{self.primitive.name}-{self.label}"

    def function(self, *args: Any) -> Any:
        """Call the operation on Tensors."""
        return self.primitive(*args, **self.params)

    def evaluate(self, args: Sequence[Any]) -> tuple[Array, ...]:
        """Return the outputs on arrays."""
        return evaluate_primitive(self.primitive, args, self.params)

    def infer(self, args: Sequence[Any]) -> tuple[Spec, ...]:
        """Return the specs of the outputs that the operation predicts."""
        return self.primitive.output_specs([spec_of(arg) for arg in args], self.params)

    def in_dtype(self, dtype: Any) -> list[Any]:
        """Return the arguments, floating ones in another dtype."""
        return [
            a.astype(dtype) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a
            for a in self.args
        ]

    def differentiable_inputs(self) -> list[int]:
        """Return the numbers of the floating inputs that have a derivative rule."""
        return [
            number
            for number, arg in enumerate(self.args)
            if isinstance(arg, np.ndarray)
            and is_floating(arg.dtype)
            and self.primitive.rule_for(number) is not None
        ]


@functools.cache
def all_cases() -> list[Case]:
    """Return every operation with every sample."""
    return list(_cases())


def _cases() -> Iterator[Case]:
    for name, primitive in sorted(TABLE.items()):
        # A generator for each operation: a new one does not change the samples of the others.
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        taken: set[str] = set()
        for number, sample in enumerate(primitive.samples(rng)):
            args = tuple([np.asarray(a) if isinstance(a, np.generic) else a for a in sample.args])
            label = sample.label.replace(" ", "")
            if not label or label in taken:
                label = f"{label}#{number}"
            taken.add(label)
            yield Case(primitive, args, sample.params, label)


def pure_cases() -> list[Case]:
    """Return the cases whose operation gives the same result each time."""
    return [case for case in all_cases() if not case.primitive.impure]


def differentiable_cases() -> list[Case]:
    """Return the cases with an input that has a derivative, outputs included."""
    return [
        case
        for case in pure_cases()
        if not isinstance(case.primitive.derivative, NoDerivative)
        and case.differentiable_inputs()
        and any(is_floating(spec.dtype) for spec in case.infer(case.args))
    ]


def linear_cases() -> list[Case]:
    """Return the cases whose operation is linear in each input that has a rule."""
    return [
        case
        for case in differentiable_cases()
        if isinstance(case.primitive.derivative, Vjps) and case.primitive.derivative.linear
    ]


def promoting_cases() -> list[Case]:
    """Return the cases of elementwise operations with several inputs, which promote dtypes."""
    return [
        case
        for case in pure_cases()
        if isinstance(case.primitive.lowering, Template) and len(case.args) > 1
    ]


def array_cases() -> list[Case]:
    """Return the cases with an array of more than one element among the inputs."""
    return [
        case
        for case in pure_cases()
        if any(isinstance(arg, np.ndarray) and arg.size > 1 for arg in case.args)
    ]
