"""Reading and writing the elements that index arrays name: one form for all advanced indexing.

``indices`` has shape ``(k, ...)``: one integer array for each of the `k` indexed ``axes``, stacked.
The output has the shape of one of these arrays in the place of the indexed axes where these are
neighbours, else in front, as in NumPy. Negative indices count from the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jitgrad.core.affine import Affine
from jitgrad.core.bind import bind
from jitgrad.core.errors import IndexingError, ShapeError
from jitgrad.core.extents import may_be_same
from jitgrad.core.primitive import (
    Examples,
    Indexed,
    Primitive,
    Sample,
    Summed,
    register,
    transposes,
    vjps,
)
from jitgrad.core.spec import Shape, Spec
from jitgrad.ops.batching import along, batched
from jitgrad.ops.creation import arange_primitive, full_primitive
from jitgrad.ops.shape import broadcast_to, permute_axes, reshape_to
from jitgrad.ops.slicing import slice_update, whole_index

Axes = tuple[int, ...]


def _place(axes: Axes) -> int:
    """Return the output axis at which the axes of the index arrays begin."""
    neighbours = axes == tuple(range(axes[0], axes[0] + len(axes)))
    return axes[0] if neighbours else 0


def taken_shape(shape: Shape, indices: Shape, axes: Axes) -> Shape:
    """Return the shape of what index arrays of shape `indices` take out of `shape`."""
    place = _place(axes)
    rest = tuple([size for axis, size in enumerate(shape) if axis not in axes])
    return (*rest[:place], *indices[1:], *rest[place:])


def _full_index(ndim: int, indices: Any, axes: Axes) -> tuple[Any, ...]:
    index: list[Any] = [slice(None)] * ndim
    for number, axis in enumerate(axes):
        index[axis] = indices[number]
    return tuple(index)


def check_range(operation: str, indices: Any, shape: Shape, axes: Axes) -> None:
    """Check that index array number `k` stays within the size of axis ``axes[k]``.

    Raises
    ------
    IndexingError
        Naming the first index that does not, with its axis and size.
    """
    for number, axis in enumerate(axes):
        size = shape[axis]
        wrong = indices[number][(indices[number] >= size) | (indices[number] < -size)]
        if wrong.size:
            raise IndexingError(
                f"{operation}: {wrong.flat[0]} is out of range for axis {axis} of size {size}",
                why=f"indices of that axis go from {-size} to {size - 1}"
                if size
                else "the axis is empty",
            )


def _take_eager(x: Any, indices: Any, axes: Axes) -> Any:
    try:
        return x[_full_index(x.ndim, indices, axes)]
    except IndexError:
        check_range("index", indices, x.shape, axes)
        raise


def _take_transpose_eager(ct: Any, indices: Any, shape: Shape, axes: Axes) -> Any:
    result = np.zeros(shape, ct.dtype)
    try:
        np.add.at(result, _full_index(len(shape), indices, axes), ct)
    except IndexError:
        check_range("index", indices, shape, axes)
        raise
    return result


def _last_writes(indices: Any, shape: Shape, axes: Axes) -> Any:
    """Return for each place of the index arrays whether no later place names the same element."""
    sizes = [shape[axis] for axis in axes]
    count = indices[0].size
    flat = np.zeros(count, np.int64)
    for number, size in enumerate(sizes):
        part = indices[number].reshape(-1)
        flat = flat * size + np.where(part < 0, part + size, part)
    last = np.zeros(count, np.bool_)
    # np.unique finds the first of equal numbers, so the last from the other end.
    last[count - 1 - np.unique(flat[::-1], return_index=True)[1]] = True
    return last.reshape(indices.shape[1:])


def _put_eager(x: Any, indices: Any, value: Any, axes: Axes) -> Any:
    result = x.copy()
    write_elements(result, indices, value, axes)
    return result


def write_elements(into: Any, indices: Any, value: Any, axes: Axes) -> None:
    """Write `value` where index arrays say; the last write to an element stays.

    NumPy itself leaves open which write does.

    Raises
    ------
    IndexingError
        If an index is out of range.
    """
    check_range("x[...] = v", indices, into.shape, axes)
    last = _last_writes(indices, into.shape, axes)
    if not last.all():
        indices = np.stack([array[last] for array in indices])
        value = value[(*[slice(None)] * _place(axes), last)]
    into[_full_index(into.ndim, indices, axes)] = value


def _take_last_eager(x: Any, indices: Any, axes: Axes) -> Any:
    taken = np.array(_take_eager(x, indices, axes))
    last = _last_writes(indices, x.shape, axes)
    taken[(*[slice(None)] * _place(axes), ~last)] = 0
    return taken


def _taken_loops(x: Spec, indices: Spec, axes: Axes) -> Shape:
    return taken_shape(x.shape, indices.shape, axes)


def _taken_index(
    loops: tuple[Affine, ...], ndim: int, indices: Spec, axes: Axes
) -> tuple[Affine | tuple[Affine, ...], ...]:
    """Return the index of the element that goes to a place of what is taken."""
    place, width = _place(axes), indices.ndim - 1
    rest = iter((*loops[:place], *loops[place + width :]))
    where = loops[place : place + width]
    return tuple(
        [
            (Affine((), axes.index(axis)), *where) if axis in axes else next(rest)
            for axis in range(ndim)
        ]
    )


def _only_index(
    loops: tuple[Affine, ...], ndim: int, indices: Spec, axes: Axes
) -> tuple[Affine | tuple[Affine, ...], ...] | None:
    """Return the same where one place is named; of several the last one would count."""
    if indices.size != len(axes):
        return None
    return _taken_index(loops, ndim, indices, axes)


def _take_infer(x: Spec, indices: Spec, axes: Axes) -> Spec:
    return Spec(taken_shape(x.shape, indices.shape, axes), x.dtype)


def _take_transpose_infer(ct: Spec, indices: Spec, shape: Shape, axes: Axes) -> Spec:
    return Spec(shape, ct.dtype)


def _put_infer(x: Spec, indices: Spec, value: Spec, axes: Axes) -> Spec:
    expected = taken_shape(x.shape, indices.shape, axes)
    if not may_be_same(value.shape, expected):
        raise ShapeError(
            f"x[...] = v: a value of shape {value.shape} does not fit",
            why=f"the indexed part has shape {expected}",
        )
    return Spec(x.shape, x.dtype)


_CASES: list[tuple[Shape, list[Any], Axes]] = [
    ((4,), [[2, 0, 2]], (0,)),
    ((4,), [[-1, 3]], (0,)),
    ((4,), [[]], (0,)),
    ((4, 3), [[[1, 1], [0, 3]]], (0,)),
    ((4, 3), [[2, 0]], (1,)),
    ((4, 3), [[1, 3, 1], [0, 2, 0]], (0, 1)),
    ((2, 3, 4), [[1, 0, 1], [3, 3, 3]], (0, 2)),
    ((2, 3, 4), [[0, 2, 1], [1, 1, 1]], (1, 2)),
]


def _case_samples(kind: str) -> Any:
    def make(rng: np.random.Generator) -> list[Sample]:
        samples = []
        for shape, arrays, axes in _CASES:
            indices = np.asarray(arrays, np.int64)
            taken = taken_shape(shape, indices.shape, axes)
            x, value = rng.uniform(-3, 3, shape), rng.uniform(-3, 3, taken)
            label = f"{shape}-{arrays}-axes{axes}".replace(" ", "")
            params: dict[str, Any] = {"axes": axes}
            if kind == "take":
                args: tuple[Any, ...] = (x, indices)
            elif kind == "put":
                args = (x, indices, value)
            else:
                args, params = (value, indices), {"shape": shape, "axes": axes}
            samples.append(Sample(args, params, label))
        return samples

    return make


# -- many examples at once ---------------------------------------------------------------------


def _with_examples(examples: Examples, indices: Any, axes: Axes) -> tuple[Any, Axes]:
    """Return index arrays and axes that name elements of arrays with an axis of examples."""
    behind = tuple([axis + 1 for axis in axes])
    if not examples.batched[1]:
        return indices, behind
    # One more array says to which example the others belong.
    rest = examples.specs[1].shape[1:]
    numbers = arange_primitive(start=0, step=1, count=examples.count, dtype=indices.dtype)
    numbers = reshape_to(numbers, (1, examples.count, *(1 for _ in rest)))
    shape = (1 + len(axes), examples.count, *rest)
    turned = permute_axes(indices, (1, 0, *range(2, 2 + len(rest))))
    others = (("range", 1, 1, len(axes)), *whole_index(shape[1:]))
    # What is named in the first row is each array's own example.
    return slice_update(broadcast_to(numbers, shape), turned, index=others), (0, *behind)


def _order(examples: Examples, axes: Axes, given: Axes, ndim: int) -> tuple[int, ...]:
    """Return where the axes of what is taken for all examples are in what `given` axes take.

    Parameters
    ----------
    axes, given : tuple of int
        The indexed axes of one example, and of all.
    ndim : int
        Of one example.
    """
    width = examples.specs[1].ndim - 1
    place = _place(axes)
    rest = list(range(1, ndim + 1 - len(axes)))
    if examples.batched[1]:
        # In front: the examples, then the index arrays.
        assert _place(given) == 0
        index, others, first = [1 + k for k in range(width)], [width + k for k in rest], 0
    else:
        start = _place(given)
        index = [start + k for k in range(width)]
        left = [a for a in range(ndim + 1 - len(axes) + width) if a not in index]
        first, others = left[0], left[1:]
    return (first, *others[:place], *index, *others[place:])


def _batched_take(examples: Examples, x: Any, indices: Any, axes: Axes) -> Any:
    found, given = _with_examples(examples, indices, axes)
    taken = bind(examples.primitive, (batched(examples, 0, x), found), {"axes": given})
    return permute_axes(taken, _order(examples, axes, given, examples.specs[0].ndim))


def _as_taken(examples: Examples, value: Any, axes: Axes, given: Axes, ndim: int) -> Any:
    order = _order(examples, axes, given, ndim)
    return permute_axes(value, tuple([order.index(a) for a in range(len(order))]))


def _batched_take_transpose(
    examples: Examples, ct: Any, indices: Any, shape: Shape, axes: Axes
) -> Any:
    found, given = _with_examples(examples, indices, axes)
    value = _as_taken(examples, batched(examples, 0, ct), axes, given, len(shape))
    return take_transpose(value, found, shape=(examples.count, *shape), axes=given)


def _batched_put(examples: Examples, x: Any, indices: Any, value: Any, axes: Axes) -> Any:
    found, given = _with_examples(examples, indices, axes)
    part = batched(examples, 2, value)
    part = _as_taken(examples, part, axes, given, examples.specs[0].ndim)
    return put(batched(examples, 0, x), found, part, axes=given)


take: Primitive = register(
    Primitive(
        "take",
        ("x", "indices"),
        eager=_take_eager,
        infer=_take_infer,
        derivative=transposes(
            lambda ct, indices, x_spec, axes: take_transpose(
                ct, indices, shape=x_spec.shape, axes=axes
            ),
            None,
        ),
        lowering=Indexed(
            lambda loops, x, indices, axes: _taken_index(loops, x.ndim, indices, axes),
            _taken_loops,
        ),
        samples=_case_samples("take"),
        doc="The elements of the input that index arrays name.",
        grad_name="IndexBackward0",
        batching=_batched_take,
        # As integers would be; of arrays of indices NumPy copies.
        view=lambda x, indices: indices.ndim == 1,
        write_view=lambda base, part, indices, axes: put(base, indices, part, axes=axes),
    )
)

take_transpose: Primitive = register(
    Primitive(
        "take_transpose",
        ("ct", "indices"),
        eager=_take_transpose_eager,
        infer=_take_transpose_infer,
        derivative=transposes(lambda ct, indices, axes: take(ct, indices, axes=axes), None),
        lowering=Indexed(
            lambda loops, ct, indices, shape, axes: _taken_index(loops, len(shape), indices, axes),
            lambda ct, indices, shape, axes: ct.shape,
            adds=True,
        ),
        samples=_case_samples("take_transpose"),
        doc="Zeros of a shape, with each element of the input added where index arrays say.",
        grad_name="IndexPutBackward0",
        batching=_batched_take_transpose,
        summed=Summed(
            lambda ct, indices, shape, axes: _take_transpose_eager(
                ct, np.moveaxis(indices, 1, 0), shape, axes
            ),
            lambda ct, indices, shape, axes: axes == tuple(range(len(axes))),
        ),
    )
)

put: Primitive = register(
    Primitive(
        "put",
        ("x", "indices", "value"),
        eager=_put_eager,
        infer=_put_infer,
        derivative=vjps(
            lambda ct, indices, value_spec, axes: put(
                ct,
                indices,
                full_primitive(shape=value_spec.shape, value=0, dtype=ct.dtype),
                axes=axes,
            ),
            None,
            lambda ct, indices, axes: take_last(ct, indices, axes=axes),
        ),
        lowering=Indexed(
            lambda loops, x, indices, value, axes: _only_index(loops, x.ndim, indices, axes),
            lambda x, indices, value, axes: value.shape,
            writes=True,
        ),
        samples=_case_samples("put"),
        doc="The input with the elements that index arrays name replaced; the last write stays.",
        grad_name="IndexPutBackward0",
        batching=_batched_put,
    )
)

take_last: Primitive = register(
    Primitive(
        "take_last",
        ("x", "indices"),
        eager=_take_last_eager,
        infer=_take_infer,
        derivative=transposes(
            lambda ct, indices, x_spec, axes: put(
                full_primitive(shape=x_spec.shape, value=0, dtype=ct.dtype), indices, ct, axes=axes
            ),
            None,
        ),
        lowering=Indexed(
            lambda loops, x, indices, axes: _only_index(loops, x.ndim, indices, axes),
            _taken_loops,
        ),
        samples=_case_samples("take"),
        doc="As `take`, with zero for all but the last of the places that name the same element.",
        grad_name="IndexBackward0",
        batching=_batched_take,
    )
)


# -- one index for each element, along one axis ------------------------------------------------


def mesh(index: Any, axis: int) -> tuple[Any, ...]:
    """Return the full index that names, for each place of `index`, an element along `axis`."""
    grid = list(np.ogrid[tuple(slice(0, n) for n in index.shape)])
    grid[axis] = index
    return tuple(grid)


def _gather_eager(x: Any, index: Any, axis: int) -> Any:
    try:
        return x[mesh(index, axis)]
    except IndexError:
        check_range("gather", index[None], x.shape, (axis,))
        raise


def _gather_transpose_eager(ct: Any, index: Any, shape: Shape, axis: int) -> Any:
    result = np.zeros(shape, ct.dtype)
    try:
        np.add.at(result, mesh(index, axis), ct)
    except IndexError:
        check_range("scatter_add", index[None], shape, (axis,))
        raise
    return result


def check_gather(operation: str, shape: Shape, index: Shape, axis: int) -> None:
    """Check that an index array of shape `index` can gather from, or scatter to, `shape`.

    Raises
    ------
    ShapeError
        If it has another number of axes, or is longer along an axis other than `axis`.
    """
    if len(shape) != len(index):
        raise ShapeError(
            f"{operation}: the index has {len(index)} axes and the input {len(shape)}",
            why="they must have the same number of axes",
        )
    for a, (n, limit) in enumerate(zip(index, shape, strict=True)):
        if a != axis and n > limit:
            raise ShapeError(
                f"{operation}: an index of shape {index} does not fit an input of shape {shape}",
                why=f"along axis {a}, which is not indexed, the index has {n} places and the"
                f" input {limit}",
            )


def _gather_index(loops: tuple[Affine, ...], axis: int) -> tuple[Affine | tuple[Affine, ...], ...]:
    """Return the index of the element that a place of the index array names."""
    return (*loops[:axis], loops, *loops[axis + 1 :])


def _gather_infer(x: Spec, index: Spec, axis: int) -> Spec:
    check_gather("gather", x.shape, index.shape, axis)
    return Spec(index.shape, x.dtype)


def _gather_transpose_infer(ct: Spec, index: Spec, shape: Shape, axis: int) -> Spec:
    check_gather("scatter_add", shape, index.shape, axis)
    return Spec(shape, ct.dtype)


_GATHERS: list[tuple[Shape, Any, int]] = [
    ((4,), [2, 0, 2, 1, 1], 0),
    ((2, 3), [[0, 0], [2, 1]], 1),
    ((2, 3), [[1, 0, 1]], 0),
    ((2, 3), [[0], [2]], 1),
    ((2, 0), [[], []], 1),
]


def _gather_samples(rng: np.random.Generator) -> list[Sample]:
    return [
        Sample(
            (rng.uniform(-3, 3, shape), np.asarray(index, np.int64)),
            {"axis": axis},
            f"{shape}-{index}-axis{axis}".replace(" ", ""),
        )
        for shape, index, axis in _GATHERS
    ]


def _gather_transpose_samples(rng: np.random.Generator) -> list[Sample]:
    return [
        Sample(
            (rng.uniform(-3, 3, np.shape(index)), np.asarray(index, np.int64)),
            {"shape": shape, "axis": axis},
            f"{shape}-{index}-axis{axis}".replace(" ", ""),
        )
        for shape, index, axis in _GATHERS
    ]


gather_primitive: Primitive = register(
    Primitive(
        "gather",
        ("x", "index"),
        eager=_gather_eager,
        infer=_gather_infer,
        derivative=transposes(
            lambda ct, index, x_spec, axis: gather_transpose(
                ct, index, shape=x_spec.shape, axis=axis
            ),
            None,
        ),
        lowering=Indexed(
            lambda loops, x, index, axis: _gather_index(loops, axis),
            lambda x, index, axis: index.shape,
        ),
        samples=_gather_samples,
        doc="For each place of an index array the element of the input at that index of an axis.",
        grad_name="GatherBackward0",
        batching=along("axis"),
    )
)

gather_transpose: Primitive = register(
    Primitive(
        "gather_transpose",
        ("ct", "index"),
        eager=_gather_transpose_eager,
        infer=_gather_transpose_infer,
        derivative=transposes(lambda ct, index, axis: gather_primitive(ct, index, axis=axis), None),
        lowering=Indexed(
            lambda loops, ct, index, shape, axis: _gather_index(loops, axis),
            lambda ct, index, shape, axis: index.shape,
            adds=True,
        ),
        samples=_gather_transpose_samples,
        doc="Zeros of a shape, with each element of the input added at an index of an axis.",
        grad_name="ScatterAddBackward0",
        batching=along("axis", shape="shape"),
    )
)
