"""Slices whose bounds are known only when the graph runs: ``x[:i]`` in the body of a loop.

How many elements such a part has is an `Extent`; where it begins is an operand, which has been
brought between the ends of the axis already. What begins with `start` and goes on in steps of
`step` for that many elements lies inside the axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.core.bind import bind, box
from jitgrad.core.dtypes import int64
from jitgrad.core.errors import ShapeError
from jitgrad.core.extents import Extent, may_be_equal, next_extent
from jitgrad.core.primitive import (
    Examples,
    External,
    Primitive,
    Sample,
    Template,
    register,
    transposes,
    vjps,
)
from jitgrad.core.primitive import none as no_derivative
from jitgrad.core.spec import Shape, Spec
from jitgrad.ops.arithmetic import add, sub
from jitgrad.ops.batching import batched
from jitgrad.ops.creation import full_primitive
from jitgrad.ops.rounding import floor_divide
from jitgrad.ops.selection import maximum, minimum, select


def _part(start: Any, axis: int, step: int, size: int) -> tuple[slice, ...]:
    """Return the index of so many elements along an axis."""
    first = int(start)
    stop = first + step * size
    along = slice(first, stop if stop >= 0 else None, step) if size else slice(0, 0)
    return (*[slice(None)] * axis, along)


def _with_size(shape: Shape, axis: int, size: int) -> Shape:
    return (*shape[:axis], size, *shape[axis + 1 :])


def _span_eager(x: Any, start: Any, axis: int, step: int, size: int) -> Any:
    return x[_part(start, axis, step, size)]


def _transpose_eager(ct: Any, start: Any, axis: int, step: int, size: int) -> Any:
    result = np.zeros(_with_size(ct.shape, axis, size), ct.dtype)
    result[_part(start, axis, step, ct.shape[axis])] = ct
    return result


def _put_eager(x: Any, start: Any, value: Any, axis: int, step: int) -> Any:
    result = x.copy()
    result[_part(start, axis, step, value.shape[axis])] = value
    return result


def _put_infer(x: Spec, start: Spec, value: Spec, axis: int, step: int) -> Spec:
    fits = x.ndim == value.ndim and all(
        a == axis or may_be_equal(n, m)
        for a, (n, m) in enumerate(zip(x.shape, value.shape, strict=True))
    )
    if not fits:
        raise ShapeError(
            f"x[...] = v: a value of shape {value.shape} does not fit",
            why=f"it is written to a part of {x.shape} along axis {axis}",
        )
    return Spec(x.shape, x.dtype)


_CASES: list[tuple[Shape, int, int, int, int]] = [
    ((5,), 1, 0, 1, 3),
    ((5,), 4, 0, -1, 5),
    ((5,), 0, 0, 2, 3),
    ((4,), -1, 0, -1, 0),
    ((3, 4), 2, 1, 1, 2),
    ((3, 4), 2, 0, -2, 2),
]


def _samples(kind: str) -> Any:
    def make(rng: np.random.Generator) -> list[Sample]:
        samples = []
        for shape, first, axis, step, size in _CASES:
            start = np.asarray(first, np.int64)
            x, part = rng.uniform(-3, 3, shape), rng.uniform(-3, 3, _with_size(shape, axis, size))
            params = {"axis": axis, "step": step}
            label = f"{shape}-{first}-{params}-{size}".replace(" ", "")
            if kind == "put":
                samples.append(Sample((x, start, part), params, label))
            elif kind == "span":
                samples.append(Sample((x, start), {**params, "size": size}, label))
            else:
                samples.append(Sample((part, start), {**params, "size": shape[axis]}, label))
        return samples

    return make


def _batched_span(examples: Examples, *inputs: Any, axis: int, **params: Any) -> Any:
    if examples.batched[1]:
        return None
    given = [x if k == 1 else batched(examples, k, x) for k, x in enumerate(inputs)]
    return bind(examples.primitive, tuple(given), {"axis": axis + 1, **params})


span: Primitive = register(
    Primitive(
        "span",
        ("x", "start"),
        eager=_span_eager,
        infer=lambda x, start, axis, step, size: Spec(_with_size(x.shape, axis, size), x.dtype),
        derivative=transposes(
            lambda ct, start, x_spec, axis, step: span_transpose(
                ct, start, axis=axis, step=step, size=x_spec.shape[axis]
            ),
            None,
        ),
        lowering=External(),
        samples=_samples("span"),
        doc="Elements along an axis, from one that is known at run time on.",
        grad_name="SliceBackward0",
        batching=_batched_span,
        view=True,
        write_view=lambda base, part, start, axis, step, size: put_span(
            base, start, part, axis=axis, step=step
        ),
    )
)

span_transpose: Primitive = register(
    Primitive(
        "span_transpose",
        ("ct", "start"),
        eager=_transpose_eager,
        infer=lambda ct, start, axis, step, size: Spec(_with_size(ct.shape, axis, size), ct.dtype),
        derivative=transposes(
            lambda ct, ct_spec, start, axis, step: span(
                ct, start, axis=axis, step=step, size=ct_spec.shape[axis]
            ),
            None,
        ),
        lowering=External(),
        samples=_samples("transpose"),
        doc="Zeros with the input along an axis, from a place that is known at run time on.",
        grad_name="SliceBackward0",
        batching=_batched_span,
    )
)

put_span: Primitive = register(
    Primitive(
        "put_span",
        ("x", "start", "value"),
        eager=_put_eager,
        infer=_put_infer,
        # Linear in x and the value together, but not in one with the other fixed.
        derivative=vjps(
            lambda ct, start, value_spec, axis, step: put_span(
                ct,
                start,
                full_primitive(shape=value_spec.shape, value=0, dtype=ct.dtype),
                axis=axis,
                step=step,
            ),
            None,
            lambda ct, start, value_spec, axis, step: span(
                ct, start, axis=axis, step=step, size=value_spec.shape[axis]
            ),
        ),
        lowering=External(),
        samples=_samples("put"),
        doc="The input with elements along an axis replaced, from one known at run time on.",
        grad_name="CopySlices",
        batching=_batched_span,
    )
)

# The only operation that makes a Python number of an array; it is none of the table.
extent_primitive = Primitive(
    "extent",
    ("n",),
    eager=lambda n, number: np.asarray(n, int64),
    infer=lambda n, number: Spec((), int64, weak=True),
    derivative=no_derivative("integers do not vary continuously"),
    lowering=Template("{n}"),
    samples=lambda rng: [],
    doc="The size of an axis, which is known when the graph runs.",
    grad_name="",
)


def new_extent(length: Any) -> Extent:
    """Return the size that a traced number, not negative, is."""
    number = next_extent()
    return Extent(extent_primitive(length, number=number), number)


def known_size(size: int) -> Any:
    """Return a size as a number to compute with."""
    return size.length if isinstance(size, Extent) else size


def clipped(bounds: tuple[Any, Any], step: int, size: int) -> tuple[Any, Any]:
    """Return where a slice with these bounds begins, and how many elements it has: two Tensors.

    Parameters
    ----------
    bounds : tuple
        Start and stop: 0-d integer Tensor, int or None.
    step : int
        Not 0.
    size : int
        Of the axis.
    """
    start, stop = bounds
    n = known_size(size)
    # For steps to the left, what lies before the first element and after the last.
    low, high = (0, n) if step > 0 else (-1, _minus_one(n))
    first = (low if step > 0 else high) if start is None else _clip(start, n, low, high)
    last = (high if step > 0 else low) if stop is None else _clip(stop, n, low, high)
    distance = _difference(last, first) if step > 0 else _difference(first, last)
    if abs(step) > 1:
        distance = floor_divide(add(distance, abs(step) - 1), abs(step))
    return box(first), maximum(distance, 0)


def _minus_one(n: Any) -> Any:
    return n - 1 if isinstance(n, int) else sub(n, 1)


def _difference(a: Any, b: Any) -> Any:
    return a if isinstance(b, int) and b == 0 else sub(a, b)


def _clip(bound: Any, n: Any, low: int, high: Any) -> Any:
    """Return a bound between the ends of an axis; a negative one counts from its end."""
    if isinstance(bound, int) and isinstance(n, int):
        return min(max(bound + n, low) if bound < 0 else bound, high)
    if isinstance(bound, int):
        return maximum(add(n, bound), low) if bound < 0 else minimum(high, bound)
    return select(bound < 0, maximum(add(bound, n), low), minimum(bound, high))
