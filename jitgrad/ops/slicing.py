"""Basic indexing: integers, slices and new axes, which pick a regular part of an array.

The static parameter ``index`` of the operations here describes the part. It has one entry for
each axis of the input, and one for each new axis, in order:

- ``("at", i)``: the element `i` of the axis, which disappears;
- ``("range", start, step, count)``: elements ``start, start + step, ...`` of the axis;
- ``("new",)``: an axis of size 1 of the output.

Starts are not negative, steps may be. No element is picked twice.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from jitgrad.core.affine import Affine
from jitgrad.core.bind import bind
from jitgrad.core.errors import ShapeError
from jitgrad.core.extents import may_be_same
from jitgrad.core.primitive import (
    Examples,
    IndexMap,
    Piece,
    Pieces,
    Primitive,
    Sample,
    register,
    transposes,
    vjps,
)
from jitgrad.core.spec import Shape, Spec
from jitgrad.ops.batching import all_batched
from jitgrad.ops.creation import full_primitive

Entry = tuple[Any, ...]
Index = tuple[Entry, ...]

NEW: Entry = ("new",)


@functools.cache
def whole_axis(size: int) -> Entry:
    """Return the entry that takes all elements of an axis of this size."""
    return ("range", 0, 1, size)


def whole_index(shape: Shape) -> Index:
    """Return the index that takes all of an array of this shape."""
    return tuple([whole_axis(size) for size in shape])


def picked_shape(index: Index) -> Shape:
    """Return the shape of the part that `index` picks."""
    return tuple([1 if entry[0] == "new" else entry[3] for entry in index if entry[0] != "at"])


@functools.lru_cache(maxsize=4096)
def _numpy_index(index: Index) -> tuple[Any, ...]:
    """Return `index` as NumPy takes it; the Ellipsis makes 0-d parts views too."""
    return (*map(_numpy_entry, index), ...)


def _numpy_entry(entry: Entry) -> Any:
    kind = entry[0]
    if kind == "at":
        return entry[1]
    if kind == "new":
        return None
    _, start, step, count = entry
    if count == 0:
        return slice(0, 0)
    stop = start + step * count
    return slice(start, stop if stop >= 0 else None, step)


def _slice_index(index_: tuple[Affine, ...], x_spec: Spec, index: Index) -> tuple[Affine, ...]:
    place = 0
    read = []
    for entry in index:
        if entry[0] == "at":
            read.append(Affine((), entry[1]))
            continue
        if entry[0] == "range":
            read.append(index_[place] * entry[2] + entry[1])
        place += 1
    return tuple(read)


def _whole(shape: Shape, source: int | None) -> Piece:
    """Return the piece that is all of an output: zeros, or an input."""
    return Piece(shape, lambda index: index, source)


def _part(shape: Shape, source: int, index: Index) -> Piece:
    """Return the piece that writes an input to the part that `index` picks."""
    spec = Spec(shape, np.dtype(np.float64))
    return Piece(picked_shape(index), lambda loops: _slice_index(loops, spec, index), source, True)


def _transpose_pieces(ct: Spec, shape: Shape, index: Index) -> list[Piece]:
    return [_whole(shape, None), _part(shape, 0, index)]


def _update_pieces(base: Spec, part: Spec, index: Index) -> list[Piece]:
    return [_whole(base.shape, 0), _part(base.shape, 1, index)]


def _slice_transpose_eager(ct: Any, shape: Shape, index: Index) -> Any:
    result = np.zeros(shape, ct.dtype)
    result[_numpy_index(index)] = ct
    return result


def _slice_update_eager(base: Any, part: Any, index: Index) -> Any:
    result = base.copy()
    result[_numpy_index(index)] = part
    return result


def _check_part(operation: str, part: Spec, index: Index) -> None:
    expected = picked_shape(index)
    if not may_be_same(part.shape, expected):
        raise ShapeError(
            f"{operation}: a part of shape {part.shape} does not fit",
            why=f"the index picks a part of shape {expected}",
        )


def _transpose_infer(ct: Spec, shape: Shape, index: Index) -> Spec:
    _check_part("slice_transpose", ct, index)
    return Spec(shape, ct.dtype)


def _update_infer(base: Spec, part: Spec, index: Index) -> Spec:
    _check_part("slice_update", part, index)
    return Spec(base.shape, base.dtype)


def _batched_slicing(examples: Examples, *inputs: Any, index: Index, **params: Any) -> Any:
    if "shape" in params:
        params["shape"] = (examples.count, *params["shape"])
    given = all_batched(examples, inputs)
    return bind(
        examples.primitive, tuple(given), {**params, "index": (whole_axis(examples.count), *index)}
    )


_PICKS: list[tuple[Shape, Index]] = [
    ((4,), (("at", 2),)),
    ((4,), (("range", 1, 1, 2),)),
    ((5,), (("range", 4, -2, 3),)),
    ((5,), (("range", 0, 1, 0),)),
    ((3, 4), (("at", 1), ("range", 0, 1, 4))),
    ((3, 4), (("range", 0, 2, 2), NEW, ("range", 3, -1, 4))),
    ((2, 3, 4), (NEW, ("range", 0, 1, 2), ("at", 0), ("range", 1, 2, 2))),
    ((), (NEW,)),
    ((0, 2), (("range", 0, 1, 0), ("at", 1))),
]


def _label(shape: Shape, index: Index) -> str:
    return f"{shape}-{index}".replace(" ", "").replace("'", "")


def _slice_samples(rng: np.random.Generator) -> list[Sample]:
    return [
        Sample((rng.uniform(-3, 3, shape),), {"index": index}, _label(shape, index))
        for shape, index in _PICKS
    ]


def _transpose_samples(rng: np.random.Generator) -> list[Sample]:
    return [
        Sample(
            (rng.uniform(-3, 3, picked_shape(index)),),
            {"shape": shape, "index": index},
            _label(shape, index),
        )
        for shape, index in _PICKS
    ]


def _update_samples(rng: np.random.Generator) -> list[Sample]:
    return [
        Sample(
            (rng.uniform(-3, 3, shape), rng.uniform(-3, 3, picked_shape(index))),
            {"index": index},
            _label(shape, index),
        )
        for shape, index in _PICKS
    ]


slice_primitive: Primitive = register(
    Primitive(
        "slice",
        ("x",),
        eager=lambda x, index: x[_numpy_index(index)],
        infer=lambda x, index: Spec(picked_shape(index), x.dtype),
        derivative=transposes(
            lambda ct, x_spec, index: slice_transpose(ct, shape=x_spec.shape, index=index)
        ),
        lowering=IndexMap(_slice_index),
        samples=_slice_samples,
        doc="A part of the input: elements at regular distances along each axis.",
        grad_name="SliceBackward0",
        view=True,
        write_view=lambda base, part, index: slice_update(base, part, index=index),
        batching=_batched_slicing,
    )
)

slice_transpose: Primitive = register(
    Primitive(
        "slice_transpose",
        ("ct",),
        eager=_slice_transpose_eager,
        infer=_transpose_infer,
        derivative=transposes(lambda ct, index: slice_primitive(ct, index=index)),
        lowering=Pieces(_transpose_pieces),
        samples=_transpose_samples,
        doc="Zeros of a shape, with the input in the part that an index picks.",
        grad_name="SliceBackward0",
        batching=_batched_slicing,
    )
)

slice_update: Primitive = register(
    Primitive(
        "slice_update",
        ("base", "part"),
        eager=_slice_update_eager,
        infer=_update_infer,
        # Linear in both inputs together, but not in one with the other fixed.
        derivative=vjps(
            lambda ct, part_spec, index: slice_update(
                ct, full_primitive(shape=part_spec.shape, value=0, dtype=ct.dtype), index=index
            ),
            lambda ct, index: slice_primitive(ct, index=index),
        ),
        lowering=Pieces(_update_pieces),
        samples=_update_samples,
        doc="The first input with the part that an index picks replaced by the second.",
        grad_name="CopySlices",
        batching=_batched_slicing,
    )
)


def pick(x: Any, index: Index) -> Any:
    """Return the part of `x` that `index` picks; `x` itself where that is all of it."""
    return x if index == whole_index(tuple(x.shape)) else slice_primitive(x, index=index)
