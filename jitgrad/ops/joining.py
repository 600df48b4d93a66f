"""Putting Tensors together along an axis, and taking them apart again."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from operator import index as as_integer
from typing import TYPE_CHECKING, Any

import numpy as np

from jitgrad.core.affine import Affine
from jitgrad.core.bind import box
from jitgrad.core.dtypes import result_dtype
from jitgrad.core.errors import ArgumentError, DtypeError, IndexingError, ShapeError
from jitgrad.core.primitive import Piece, Pieces, Primitive, Sample, register, vjps
from jitgrad.core.public import public
from jitgrad.core.shapes import normalize_axis
from jitgrad.core.spec import Shape, Spec
from jitgrad.ops.batching import along
from jitgrad.ops.index_forms import split_index
from jitgrad.ops.naming import shown_as
from jitgrad.ops.shape import reshape_to
from jitgrad.ops.slicing import Index, slice_primitive, whole_index

if TYPE_CHECKING:
    from jitgrad.tensor.tensor import ArrayLike, Tensor


def _cat_dtype(specs: Sequence[Any]) -> Any:
    return result_dtype([(s.dtype, len(s.shape), False) for s in specs])


def _cat_infer(*specs: Spec, axis: int) -> Spec:
    if not specs:
        raise ArgumentError("cat: there is nothing to join", why="the list of Tensors is empty")
    first = specs[0].shape
    for number, spec in enumerate(specs):
        fits = len(spec.shape) == len(first) and all(
            n == m for a, (n, m) in enumerate(zip(spec.shape, first, strict=True)) if a != axis
        )
        if not fits:
            raise ShapeError(
                f"cat: shapes {first} and {spec.shape} do not join along axis {axis}",
                why=f"all sizes but that of axis {axis} must be equal; the second is that of"
                f" Tensor number {number}",
            )
    joined = sum(spec.shape[axis] for spec in specs)
    return Spec((*first[:axis], joined, *first[axis + 1 :]), _cat_dtype(specs))


def range_of(shape: Shape, axis: int, start: int, count: int) -> Index:
    """Return the index of `count` elements along one axis, all of the others."""
    index = whole_index(shape)
    return (*index[:axis], ("range", start, 1, count), *index[axis + 1 :])


def _cat_part(ct: Any, index: int, specs: tuple[Spec, ...], axis: int) -> Any:
    """Return the part of a joined array that is input number `index`."""
    start = sum(spec.shape[axis] for spec in specs[:index])
    return slice_primitive(
        ct, index=range_of(tuple(ct.shape), axis, start, specs[index].shape[axis])
    )


def _cat_pieces(*specs: Spec, axis: int) -> list[Piece]:
    pieces = []
    start = 0
    for number, spec in enumerate(specs):
        pieces.append(Piece(spec.shape, functools.partial(_shifted, axis, start), number))
        start += spec.shape[axis]
    return pieces


def _shifted(axis: int, start: int, index: tuple[Affine, ...]) -> tuple[Affine, ...]:
    return (*index[:axis], index[axis] + start, *index[axis + 1 :])


def _cat_samples(rng: np.random.Generator) -> list[Sample]:
    cases: list[tuple[list[Shape], int]] = [
        ([(3,)], 0),
        ([(2,), (3,)], 0),
        ([(0,), (3,)], 0),
        ([(2, 3), (1, 3), (4, 3)], 0),
        ([(2, 3), (2, 1)], 1),
        ([(2, 0, 2), (2, 3, 2)], 1),
    ]
    return [
        Sample(
            tuple(rng.uniform(-3, 3, shape) for shape in shapes),
            {"axis": axis},
            f"{shapes}-axis{axis}".replace(" ", ""),
        )
        for shapes, axis in cases
    ]


cat_primitive: Primitive = register(
    Primitive(
        "cat",
        ("*xs",),
        eager=lambda *xs, axis: np.concatenate(xs, axis=axis, dtype=_cat_dtype(xs)),
        infer=_cat_infer,
        # Linear in all inputs together, but not in one with the others fixed.
        derivative=vjps(_cat_part),
        lowering=Pieces(_cat_pieces),
        samples=_cat_samples,
        doc="The inputs one after the other along an axis.",
        grad_name="CatBackward0",
        batching=along("axis"),
    )
)


def _boxed(operation: str, tensors: Any) -> list[Any]:
    try:
        values = [box(x) for x in tensors]
    except TypeError:
        raise DtypeError(
            f"{operation}: takes a list or tuple of Tensors, not {type(tensors).__name__}"
        ) from None
    if not values:
        raise ArgumentError(f"{operation}: the list of Tensors is empty")
    return values


@public("concat", "concatenate", method=False)
def cat(tensors: Sequence[ArrayLike], dim: int = 0) -> Tensor:
    """Return Tensors joined along an existing axis.

    Parameters
    ----------
    tensors : sequence of array_like
        Equal sizes along all axes but `dim`. A vector of no elements fits everything.
    dim : int
        The axis.

    Returns
    -------
    Tensor
        In the promoted dtype.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or a Tensor is 0-d.
    ArgumentError
        If there are no Tensors.
    """
    values = _boxed("cat", tensors)
    if any(not value.shape for value in values):
        raise ShapeError(
            "cat: a 0-d Tensor can't be joined", why="it has no axis", do="use stack instead"
        )
    some = next((value for value in values if tuple(value.shape) != (0,)), values[0])
    if some.ndim > 1:
        values = [value for value in values if tuple(value.shape) != (0,)]
    axis = normalize_axis("cat", dim, some.ndim)
    result: Tensor = cat_primitive(*values, axis=axis)
    return result


@public(method=False)
def stack(tensors: Sequence[ArrayLike], dim: int = 0) -> Tensor:
    """Return Tensors of one shape joined along a new axis.

    Parameters
    ----------
    tensors : sequence of array_like
        All of the same shape.
    dim : int
        Which axis of the result is the new one.

    Returns
    -------
    Tensor
        In the promoted dtype.

    Raises
    ------
    ShapeError
        If the shapes differ.
    ArgumentError
        If there are no Tensors.
    """
    values = _boxed("stack", tensors)
    shape = tuple(values[0].shape)
    for number, value in enumerate(values):
        if tuple(value.shape) != shape:
            raise ShapeError(
                f"stack: shapes {shape} and {tuple(value.shape)} do not stack",
                why=f"all must be equal; the second is that of Tensor number {number}",
            )
    axis = normalize_axis("stack", dim, len(shape) + 1)
    widened = [reshape_to(value, (*shape[:axis], 1, *shape[axis:])) for value in values]
    return shown_as("StackBackward0", cat_primitive(*widened, axis=axis))


def _at_least(x: Any, ndim: int) -> Any:
    value = box(x)
    shape = tuple(value.shape)
    if len(shape) >= ndim:
        return value
    wanted = {1: (1,), 2: (1, *(shape or (1,))), 3: (1, *(shape or (1,)), 1)}[ndim]
    if ndim == 3 and len(shape) == 2:
        wanted = (*shape, 1)
    return reshape_to(value, wanted)


@public("row_stack", method=False)
def vstack(tensors: Sequence[ArrayLike]) -> Tensor:
    """Return Tensors joined as rows: along the first axis, vectors becoming rows.

    Parameters
    ----------
    tensors : sequence of array_like
        Equal sizes along all axes but the first.

    Returns
    -------
    Tensor
        At least two axes.
    """
    return cat([_at_least(x, 2) for x in _boxed("vstack", tensors)], 0)


@public(method=False)
def hstack(tensors: Sequence[ArrayLike]) -> Tensor:
    """Return Tensors joined side by side: along the second axis, vectors along their only one.

    Parameters
    ----------
    tensors : sequence of array_like
        Equal sizes along all other axes.

    Returns
    -------
    Tensor
        At least one axis.
    """
    values = [_at_least(x, 1) for x in _boxed("hstack", tensors)]
    return cat(values, 0 if values[0].ndim == 1 else 1)


@public(method=False)
def dstack(tensors: Sequence[ArrayLike]) -> Tensor:
    """Return Tensors joined along the third axis, which smaller ones are given.

    Parameters
    ----------
    tensors : sequence of array_like
        Equal sizes along all other axes.

    Returns
    -------
    Tensor
        At least three axes.
    """
    return cat([_at_least(x, 3) for x in _boxed("dstack", tensors)], 2)


@public(method=False)
def column_stack(tensors: Sequence[ArrayLike]) -> Tensor:
    """Return Tensors joined side by side, vectors becoming columns.

    Parameters
    ----------
    tensors : sequence of array_like
        Equally many rows.

    Returns
    -------
    Tensor
        At least two axes.
    """
    values = _boxed("column_stack", tensors)
    return cat([reshape_to(v, (v.numel(), 1)) if v.ndim < 2 else v for v in values], 1)


@public()
def split(x: ArrayLike, split_size_or_sections: int | Sequence[int], dim: int = 0) -> Any:
    """Return `x` cut into pieces along an axis.

    Parameters
    ----------
    x : array_like
        At least one axis.
    split_size_or_sections : int or sequence of int
        Size of each piece, the last of which may be smaller; or the sizes of all pieces.
    dim : int
        The axis.

    Returns
    -------
    tuple of Tensor
        Views of `x`.

    Raises
    ------
    ArgumentError
        If sizes are negative or don't add up to that of the axis.
    """
    value = box(x)
    axis, size = _cut_axis("split", value, dim)
    if isinstance(split_size_or_sections, Sequence):
        sizes = [as_integer(n) for n in split_size_or_sections]
        if sum(sizes) != size or any(n < 0 for n in sizes):
            raise ArgumentError(
                f"split: pieces of {sizes} don't make up axis {axis} of size {size}",
                why=f"their sum is {sum(sizes)}",
            )
        return _pieces(value, axis, sizes)
    step = as_integer(split_size_or_sections)
    if step <= 0 and not (step == 0 and size == 0):
        raise ArgumentError(f"split: the size of a piece must be positive, not {step}")
    starts = range(0, size, step) if size else range(1)
    return _pieces(value, axis, [min(step, size - start) for start in starts])


def _cut_axis(operation: str, value: Any, dim: int) -> tuple[int, int]:
    if not value.shape:
        raise ShapeError(f"{operation}: a 0-d Tensor can't be cut", why="it has no axis")
    axis = normalize_axis(operation, dim, value.ndim)
    return axis, value.shape[axis]


def _pieces(value: Any, axis: int, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    pieces = []
    start = 0
    shape = tuple(value.shape)
    for size in sizes:
        piece = slice_primitive(value, index=range_of(shape, axis, start, size))
        pieces.append(shown_as("SplitBackward0", piece))
        start += size
    return tuple(pieces)


@public()
def chunk(x: ArrayLike, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Return `x` cut along an axis into at most `chunks` pieces, all but the last equally large.

    Parameters
    ----------
    x : array_like
        At least one axis.
    chunks : int
        How many pieces; there may be fewer.
    dim : int
        The axis.

    Returns
    -------
    tuple of Tensor
        Views of `x`.
    """
    value = box(x)
    if chunks <= 0:
        raise ArgumentError(f"chunk: the number of pieces must be positive, not {chunks}")
    axis, size = _cut_axis("chunk", value, dim)
    if size == 0:
        return _pieces(value, axis, [0] * chunks)
    result: tuple[Tensor, ...] = split(value, -(-size // chunks), axis)
    return result


@public()
def tensor_split(
    x: ArrayLike, indices_or_sections: int | Sequence[int], dim: int = 0
) -> tuple[Tensor, ...]:
    """Return `x` cut along an axis: into nearly equal pieces, or at given places.

    Parameters
    ----------
    x : array_like
        At least one axis.
    indices_or_sections : int or sequence of int
        How many pieces, the first of which are larger by one where needed; or where to cut.
    dim : int
        The axis.

    Returns
    -------
    tuple of Tensor
        Views of `x`.
    """
    value = box(x)
    axis, size = _cut_axis("tensor_split", value, dim)
    if isinstance(indices_or_sections, Sequence):
        cuts = [slice(None, i).indices(size)[1] for i in indices_or_sections]
        bounds = [0, *cuts, size]
        shape = tuple(value.shape)
        return tuple(
            [
                slice_primitive(value, index=range_of(shape, axis, a, max(b - a, 0)))
                for a, b in itertools.pairwise(bounds)
            ]
        )
    count = as_integer(indices_or_sections)
    if count <= 0:
        raise ArgumentError(f"tensor_split: the number of pieces must be positive, not {count}")
    small, larger = divmod(size, count)
    return _pieces(value, axis, [small + 1] * larger + [small] * (count - larger))


@public("unstack")
def unbind(x: ArrayLike, dim: int = 0) -> tuple[Tensor, ...]:
    """Return the slices of `x` along an axis, which disappears.

    Parameters
    ----------
    x : array_like
        At least one axis.
    dim : int
        The axis.

    Returns
    -------
    tuple of Tensor
        Views of `x`.
    """
    value = box(x)
    axis, size = _cut_axis("unbind", value, dim)
    index = whole_index(tuple(value.shape))
    return tuple(
        [
            shown_as(
                "UnbindBackward0",
                slice_primitive(value, index=(*index[:axis], ("at", i), *index[axis + 1 :])),
            )
            for i in range(size)
        ]
    )


@public()
def narrow(x: ArrayLike, dim: int, start: int, length: int) -> Tensor:
    """Return `length` neighbouring slices of `x` along an axis, from `start` on.

    Parameters
    ----------
    x : array_like
        At least one axis.
    dim : int
        The axis.
    start : int
        The first one; from the end where negative.
    length : int
        How many.

    Returns
    -------
    Tensor
        A view of `x`.

    Raises
    ------
    IndexingError
        If there are not so many.
    """
    value = box(x)
    axis, size = _cut_axis("narrow", value, dim)
    first, count = as_integer(start), as_integer(length)
    first += size if first < 0 else 0
    if not (0 <= first <= size and 0 <= count <= size - first):
        raise IndexingError(
            f"narrow: {count} slices from {start} on are not in axis {axis} of size {size}"
        )
    index = range_of(tuple(value.shape), axis, first, count)
    return shown_as("NarrowBackward0", slice_primitive(value, index=index))


@public()
def select(x: ArrayLike, dim: int, index: int) -> Tensor:
    """Return one slice of `x` along an axis, which disappears.

    Parameters
    ----------
    x : array_like
        At least one axis.
    dim : int
        The axis.
    index : int
        Which one; from the end where negative.

    Returns
    -------
    Tensor
        A view of `x`.

    Raises
    ------
    IndexingError
        If there is none.
    """
    value = box(x)
    axis, _ = _cut_axis("select", value, dim)
    basic = split_index(value, (*[slice(None)] * axis, as_integer(index))).basic
    return shown_as("SelectBackward0", slice_primitive(value, index=basic))
