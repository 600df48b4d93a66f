"""Batching rules that operations share: what they do for many examples at once.

The examples are the first axis of every input that differs between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitgrad.core.bind import bind, box
from jitgrad.core.primitive import Batching, Examples
from jitgrad.ops.shape import broadcast_to, reshape_to


def batched(examples: Examples, number: int, x: Any) -> Any:
    """Return input `number` with the axis of examples, repeated where it is the same for all."""
    if examples.batched[number]:
        return x
    return broadcast_to(box(x), (examples.count, *examples.specs[number].shape))


def all_batched(examples: Examples, inputs: Sequence[Any]) -> list[Any]:
    """Return all inputs with the axis of examples."""
    return [batched(examples, k, x) for k, x in enumerate(inputs)]


def broadcasting(examples: Examples, *inputs: Any, **params: Any) -> Any:
    """Batch an operation whose inputs' leading axes broadcast, aligned from the right."""
    rank = max([spec.ndim for spec in examples.specs])
    aligned = []
    for x, spec, is_batched in zip(inputs, examples.specs, examples.batched, strict=True):
        added = (1,) * (rank - spec.ndim) if is_batched else ()
        aligned.append(reshape_to(x, (examples.count, *added, *spec.shape)) if added else x)
    return bind(examples.primitive, tuple(aligned), params)


def along(*axes: str, shape: str = "") -> Batching:
    """Return the rule of an operation that works along axes.

    Parameters
    ----------
    *axes : str
        Static parameters that are numbers of axes: ints or tuples of them.
    shape : str
        A static parameter that is the shape of the output.
    """

    def rule(examples: Examples, *inputs: Any, **params: Any) -> Any:
        moved = {**params, **{name: shifted(params[name]) for name in axes}}
        if shape:
            moved[shape] = (examples.count, *params[shape])
        return bind(examples.primitive, tuple(all_batched(examples, inputs)), moved)

    return rule


def shifted(axes: Any) -> Any:
    """Return the numbers that axes have behind the axis of examples."""
    return tuple([a + 1 for a in axes]) if isinstance(axes, tuple) else axes + 1


def merged(examples: Examples, *inputs: Any, **params: Any) -> Any:
    """Batch an operation on a stack of images: the examples are more of them."""
    whole = all_batched(examples, inputs)
    flat = [
        reshape_to(x, (examples.count * spec.shape[0], *spec.shape[1:]))
        for x, spec in zip(whole, examples.specs, strict=True)
    ]
    (output,) = examples.outputs
    return reshape_to(
        bind(examples.primitive, tuple(flat), params), (examples.count, *output.shape)
    )
