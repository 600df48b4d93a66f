"""Sums of products of shifted vectors, a tile of them at a time in registers.

The rows of one factor are the same array, each from an offset of its own. That is what a
convolution is, and the offsets spare it the copy of the image that a product of matrices needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from jitgrad.intrinsics.declare import lowering, typed_by
from jitgrad.intrinsics.vectors import Vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"

# The larger side of a tile. The other one is `vectors_a_row`: four where there are 32 registers,
# which then hold all sums besides the factors.
TILE_ROWS = 6
_TWIN_VECTOR_BYTES = 64
_TWIN_VECTORS = 4


def _constant_type(array: Any) -> Any:
    from numba import types
    from numba.core.typing import signature

    return signature(types.intp, array) if isinstance(array, types.Array) else None


@typed_by(_constant_type)
def vector_length(array: Array) -> int:
    """Return how many elements of an array the processor multiplies at once.

    Parameters
    ----------
    array : array of float
        Its dtype decides.

    Returns
    -------
    int
        A power of two.
    """
    return _TWIN_VECTOR_BYTES // array.itemsize


@lowering(vector_length)
def _vector_length(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    lanes = Vectors(context, builder, signature).lanes
    return context.get_value_type(signature.return_type)(lanes)


@typed_by(_constant_type)
def vectors_a_row(array: Array) -> int:
    """Return how many vectors wide the largest tile is.

    Parameters
    ----------
    array : array of float
        Its dtype decides.

    Returns
    -------
    int
        So many that the sums of a tile fit into the processor's registers.
    """
    return _TWIN_VECTORS


@lowering(vectors_a_row)
def _vectors_a_row(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    most = Vectors(context, builder, signature).most
    return context.get_value_type(signature.return_type)(most)


def _tile_type(*arguments: Any) -> Any:
    from numba import types
    from numba.core.typing import signature

    arrays = [a for a in arguments if isinstance(a, types.Array)]
    floating = [a.dtype for a in arrays if a.dtype in (types.float32, types.float64)]
    if len(set(floating)) != 1 or any(a.ndim != 1 or a.layout != "C" for a in arrays):
        return None
    plain = [a if isinstance(a, types.Array) else types.intp for a in arguments]
    return signature(types.none, *plain)


@typed_by(_tile_type)
def shifted_products(
    factors: Array,
    first_factor: int,
    terms: int,
    rows: int,
    image: Array,
    first: int,
    offsets: NDArray[np.int64],
    out: Array,
    place: int,
    pitch: int,
    vectors: int,
) -> None:
    """Write a tile of sums of shifted rows: ``out[m, q] = sum(f[k, m] * image[offsets[k] + q])``.

    Parameters
    ----------
    factors : float[n]
        Row by row from `first_factor` on: `terms` rows `f` of `rows` numbers.
    first_factor, terms, rows : int
        Where they begin, and how many; at most `TILE_ROWS` rows, at least one term.
    image : float[n]
        What is shifted.
    first : int
        Added to all offsets.
    offsets : int64[terms]
        Where each term's row of the image begins.
    out : float[n]
        Where the tile goes; its rows begin at ``place + m * pitch``.
    place, pitch : int
        See `out`.
    vectors : int
        Width of the tile in vectors of `vector_length`; at most `vectors_a_row`.
    """
    width = vectors * vector_length(image)
    f = factors[first_factor : first_factor + terms * rows].reshape(terms, rows)
    shifted = np.stack([image[first + k : first + k + width] for k in offsets[:terms]])
    for m, row in enumerate(f.T @ shifted):
        out[place + m * pitch : place + m * pitch + width] = row


@lowering(shifted_products)
def _shifted_products(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    tile = Vectors(context, builder, signature)
    factors, first_factor, terms, rows, image, first, offsets, out, place, pitch, vectors = (
        tile.unpacked(arguments)
    )
    source = builder.gep(image, [first])
    target = builder.gep(out, [place])
    factors = builder.gep(factors, [first_factor])

    def write(m_count: int, v_count: int) -> None:
        sums = [tile.accumulator() for _ in range(m_count * v_count)]
        with tile.loop(terms) as k:
            row = builder.gep(source, [builder.load(builder.gep(offsets, [k]))])
            shifted = [tile.load(row, v * tile.lanes) for v in range(v_count)]
            start = builder.gep(factors, [builder.mul(k, tile.integer(m_count))])
            for m in range(m_count):
                factor = tile.spread(builder.load(builder.gep(start, [tile.integer(m)])))
                for v in range(v_count):
                    tile.add_product(sums[m * v_count + v], factor, shifted[v])
        for m in range(m_count):
            line = builder.gep(target, [builder.mul(pitch, tile.integer(m))])
            for v in range(v_count):
                tile.store(builder.load(sums[m * v_count + v]), line, v * tile.lanes)

    tile.for_each_shape((rows, TILE_ROWS), (vectors, tile.most), write)
    return context.get_dummy_value()


@typed_by(_tile_type)
def shifted_dots(
    x: Array,
    first_x: int,
    x_pitch: int,
    x_stack: int,
    rows: int,
    image: Array,
    first: int,
    image_stack: int,
    offsets: NDArray[np.int64],
    first_offset: int,
    columns: int,
    out: Array,
    place: int,
    pitch: int,
    stack: int,
    vectors: int,
) -> None:
    """Add a tile of dot products of rows with shifted rows, over a stack of both.

    ``out[m, k] += sum(x[n, m, q] * image[n, offsets[k] + q] over n and q)``.

    Parameters
    ----------
    x : float[n]
        Rows begin at ``first_x + n * x_stack + m * x_pitch``.
    first_x, x_pitch, x_stack, rows : int
        See `x`; at most `vectors_a_row`.
    image : float[n]
        What is shifted; the images begin at ``first + n * image_stack``.
    first, image_stack : int
        See `image`.
    offsets : int64[n]
        Where each column's row of an image begins, from `first_offset` on.
    first_offset, columns : int
        See `offsets`; at most `TILE_ROWS`.
    out : float[n]
        Its rows begin at ``place + m * pitch``.
    place, pitch : int
        See `out`.
    stack : int
        How many images.
    vectors : int
        Length of the rows in vectors of `vector_length`.
    """
    width = vectors * vector_length(image)
    for n in range(stack):
        left, right = first_x + n * x_stack, first + n * image_stack
        taken = offsets[first_offset : first_offset + columns]
        shifted = np.stack([image[right + k : right + k + width] for k in taken])
        for m in range(rows):
            row = x[left + m * x_pitch : left + m * x_pitch + width]
            out[place + m * pitch : place + m * pitch + columns] += shifted @ row


@lowering(shifted_dots)
def _shifted_dots(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    tile = Vectors(context, builder, signature)
    (
        x, first_x, x_pitch, x_stack, rows, image, first, image_stack,
        offsets, first_offset, columns, out, place, pitch, stack, vectors,
    ) = tile.unpacked(arguments)  # fmt: skip
    x = builder.gep(x, [first_x])
    image = builder.gep(image, [first])
    offsets = builder.gep(offsets, [first_offset])
    out = builder.gep(out, [place])

    def write(m_count: int, k_count: int) -> None:
        sums = [tile.accumulator() for _ in range(m_count * k_count)]
        shifts = [builder.load(builder.gep(offsets, [tile.integer(k)])) for k in range(k_count)]
        with tile.loop(stack) as n:
            left = builder.gep(x, [builder.mul(n, x_stack)])
            right = builder.gep(image, [builder.mul(n, image_stack)])
            lefts = [
                builder.gep(left, [builder.mul(x_pitch, tile.integer(m))]) for m in range(m_count)
            ]
            rights = [builder.gep(right, [shift]) for shift in shifts]
            with tile.loop(vectors) as vector:
                q = builder.mul(vector, tile.integer(tile.lanes))
                row = [tile.load(builder.gep(start, [q]), 0) for start in lefts]
                for k in range(k_count):
                    shifted = tile.load(builder.gep(rights[k], [q]), 0)
                    for m in range(m_count):
                        tile.add_product(sums[m * k_count + k], row[m], shifted)
        for m in range(m_count):
            line = builder.gep(out, [builder.mul(pitch, tile.integer(m))])
            for k in range(k_count):
                element = builder.gep(line, [tile.integer(k)])
                total = tile.total(builder.load(sums[m * k_count + k]))
                builder.store(builder.fadd(builder.load(element), total), element)

    tile.for_each_shape((rows, tile.most), (columns, TILE_ROWS), write)
    return context.get_dummy_value()


@typed_by(_tile_type)
def copy_rows(
    source: Array, start: int, source_pitch: int, out: Array, place: int, pitch: int, rows: int,
    length: int,
) -> None:  # fmt: skip
    """Copy rows from one array to another.

    Parameters
    ----------
    source : float[n]
        Rows begin at ``start + m * source_pitch``.
    start, source_pitch : int
        See `source`.
    out : float[n]
        Where they go; they begin at ``place + m * pitch``.
    place, pitch : int
        See `out`.
    rows, length : int
        How many rows there are, and how long; nothing is copied where one is not positive.
    """
    for m in range(rows if length > 0 else 0):
        row = source[start + m * source_pitch : start + m * source_pitch + length]
        out[place + m * pitch : place + m * pitch + length] = row


@lowering(copy_rows)
def _copy_rows(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    tile = Vectors(context, builder, signature)
    source, start, source_pitch, out, place, pitch, rows, length = tile.unpacked(arguments)
    source = builder.gep(source, [start])
    out = builder.gep(out, [place])
    # rows are short: the last few elements go through a mask, not one by one
    vectors = builder.sdiv(length, tile.integer(tile.lanes))
    tail = builder.mul(vectors, tile.integer(tile.lanes))
    mask = tile.lanes_below(builder.sub(length, tail))
    with tile.loop(rows) as m:
        from_row = builder.gep(source, [builder.mul(m, source_pitch)])
        to_row = builder.gep(out, [builder.mul(m, pitch)])
        with tile.loop(vectors) as vector:
            q = builder.mul(vector, tile.integer(tile.lanes))
            tile.store(tile.load(builder.gep(from_row, [q]), 0), builder.gep(to_row, [q]), 0)
        row = tile.load_masked(builder.gep(from_row, [tail]), mask)
        tile.store_masked(row, builder.gep(to_row, [tail]), mask)
    return context.get_dummy_value()
