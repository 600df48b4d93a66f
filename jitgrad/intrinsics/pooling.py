"""Largest elements of windows of images, and sums over windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from jitgrad.intrinsics.declare import lowering, typed_by
from jitgrad.intrinsics.routine import routine
from jitgrad.intrinsics.tiles import vector_length
from jitgrad.intrinsics.vectors import Vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"


def _largest_type(x: Any, start: Any, seen: Any, taps: Any, pitch: Any, *rest: Any) -> Any:
    from numba import types
    from numba.core.typing import signature

    place = types.intp
    return signature(types.none, x, place, seen, place, place, rest[0], place, place)


@typed_by(_largest_type)
def first_largest(
    x: Array, start: int, seen: Array, taps: int, pitch: int, out: Array, place: int, count: int
) -> None:
    """Write which of the elements that each window sees is the largest.

    Parameters
    ----------
    x : number[n]
        Elements are counted from `start` on.
    start : int
        See `x`.
    seen : int32[taps * pitch]
        For each tap the numbers of the elements that the windows see, at least one tap.
    taps, pitch : int
        See `seen`; a multiple of `vector_length`.
    out : int64[n]
        Where the numbers go: of equal elements the one of the first tap, of nans of the last.
    place, count : int
        Where they begin, and how many windows there are.
    """
    numbers = seen[: taps * pitch].reshape(taps, pitch)[:, :count]
    values = x[start:][numbers]
    nans = values != values
    first, last = values.argmax(0), taps - 1 - nans[::-1].argmax(0)
    chosen = np.where(nans.any(0), last, first)
    out[place : place + count] = np.take_along_axis(numbers, chosen[None], 0)[0]


@lowering(first_largest)
def _first_largest(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    vectors = Vectors(context, builder, signature)
    x, start, seen, taps, pitch, out, place, count = vectors.unpacked(arguments)
    x, out = builder.gep(x, [start]), builder.gep(out, [place])
    lanes = vectors.integer(vectors.lanes)
    with vectors.loop(builder.sdiv(pitch, lanes)) as block:
        q = builder.mul(block, lanes)
        window = builder.gep(seen, [q])
        number = vectors.variable(vectors.load(window))
        largest = vectors.variable(vectors.gather(x, builder.load(number)))
        with vectors.loop(taps) as tap:
            other = vectors.load(builder.gep(window, [builder.mul(tap, pitch)]))
            value = vectors.gather(x, other)
            larger = vectors.exceeds(value, builder.load(largest))
            builder.store(builder.select(larger, value, builder.load(largest)), largest)
            builder.store(builder.select(larger, other, builder.load(number)), number)
        wide = vectors.vector_of(vectors.integer(0).type)
        mask = vectors.lanes_below(builder.sub(count, q))
        vectors.store_masked(builder.sext(builder.load(number), wide), builder.gep(out, [q]), mask)
    return context.get_dummy_value()


@routine
def window_argmax(
    x: Array, out: Array,
    kh: int, kw: int, sh: int, sw: int, ph: int, pw: int, dh: int, dw: int,
) -> None:  # fmt: skip
    """Write where in its image the largest element of each window is.

    Parameters
    ----------
    x : number[n, c, h, w]
        Images.
    out : int64[n, c, oh, ow]
        Number of the first of the largest elements, counted row by row; a nan is larger than
        anything before it.
    kh, kw, sh, sw, ph, pw, dh, dw : int
        Sizes of the windows, strides, paddings at the near edges, dilations. Of a window that
        extends beyond the image the part within it counts.
    """
    height, width = x.shape[2], x.shape[3]
    oh, ow = out.shape[2], out.shape[3]
    count, lanes = oh * ow, vector_length(x)
    pitch = -(-count // lanes) * lanes
    # where each tap of each window looks: outside of the image where its neighbour does
    seen = np.zeros(kh * kw * pitch, np.int32)
    for i in range(oh):
        top = i * sh - ph
        first_row, last_row = top + max(-(top // dh), 0) * dh, top + (height - 1 - top) // dh * dh
        for j in range(ow):
            left = j * sw - pw
            first, last = left + max(-(left // dw), 0) * dw, left + (width - 1 - left) // dw * dw
            for a in range(kh):
                row = min(max(top + a * dh, first_row), last_row)
                for b in range(kw):
                    column = min(max(left + b * dw, first), last)
                    seen[(a * kw + b) * pitch + i * ow + j] = row * width + column
    flat, places = x.reshape(-1), out.reshape(-1)
    for plane in range(x.shape[0] * x.shape[1]):
        first_largest(
            flat, plane * height * width, seen, kh * kw, pitch, places, plane * count, count
        )


@routine
def take_in_planes(x: Array, places: Array, out: Array) -> None:
    """Write the elements of images at places in them.

    Parameters
    ----------
    x : number[n, c, h, w]
        Images.
    places : int64[n, c, oh, ow]
        Numbers of elements within an image, counted row by row.
    out : number[n, c, oh, ow]
        Where they go.
    """
    size, count = x.shape[2] * x.shape[3], out.shape[2] * out.shape[3]
    flat, numbers, taken = x.reshape(-1), places.reshape(-1), out.reshape(-1)
    for plane in range(x.shape[0] * x.shape[1]):
        for k in range(plane * count, (plane + 1) * count):
            taken[k] = flat[plane * size + numbers[k]]


@routine
def put_in_planes(y: Array, places: Array, out: Array) -> None:
    """Write images of zeros to which elements are added at places in them.

    Parameters
    ----------
    y : number[n, c, oh, ow]
        Elements.
    places : int64[n, c, oh, ow]
        Numbers of elements within an image, counted row by row.
    out : number[n, c, h, w]
        Where the images go.
    """
    size, count = out.shape[2] * out.shape[3], y.shape[2] * y.shape[3]
    flat, numbers, summed = y.reshape(-1), places.reshape(-1), out.reshape(-1)
    summed[:] = 0
    for plane in range(out.shape[0] * out.shape[1]):
        for k in range(plane * count, (plane + 1) * count):
            summed[plane * size + numbers[k]] += flat[k]


@routine
def window_sum(
    x: Array, out: Array, kh: int, kw: int, sh: int, sw: int, ph: int, pw: int
) -> None:  # fmt: skip
    """Write the sum of each window.

    Parameters
    ----------
    x : number[n, c, h, w]
        Images.
    out : number[n, c, oh, ow]
        Where the sums go.
    kh, kw, sh, sw, ph, pw : int
        Sizes of the windows, strides, paddings at the near edges. Of a window that extends beyond
        the image the part within it counts.
    """
    height, width = x.shape[2], x.shape[3]
    oh, ow = out.shape[2], out.shape[3]
    flat, sums = x.reshape(-1), out.reshape(-1)
    place = 0
    for plane in range(x.shape[0] * x.shape[1]):
        base = plane * height * width
        for i in range(oh):
            top, bottom = max(i * sh - ph, 0), min(i * sh - ph + kh, height)
            for j in range(ow):
                left, right = max(j * sw - pw, 0), min(j * sw - pw + kw, width)
                sums[place] = 0
                for h in range(top, bottom):
                    for w in range(left, right):
                        sums[place] += flat[base + h * width + w]
                place += 1


@routine
def window_spread(
    y: Array, out: Array, kh: int, kw: int, sh: int, sw: int, ph: int, pw: int
) -> None:  # fmt: skip
    """Write the transpose of `window_sum`: add each element to all of its window.

    Parameters
    ----------
    y : number[n, c, oh, ow]
        Elements.
    out : number[n, c, h, w]
        Where the images go.
    kh, kw, sh, sw, ph, pw : int
        As of `window_sum`.
    """
    height, width = out.shape[2], out.shape[3]
    oh, ow = y.shape[2], y.shape[3]
    flat, images = y.reshape(-1), out.reshape(-1)
    images[:] = 0
    place = 0
    for plane in range(out.shape[0] * out.shape[1]):
        base = plane * height * width
        for i in range(oh):
            top, bottom = max(i * sh - ph, 0), min(i * sh - ph + kh, height)
            for j in range(ow):
                left, right = max(j * sw - pw, 0), min(j * sw - pw + kw, width)
                for h in range(top, bottom):
                    for w in range(left, right):
                        images[base + h * width + w] += flat[place]
                place += 1
