"""Convolutions of images, without a copy of each window.

An image is laid out with its padding, every ``stride``-th pixel together, in *planes*: through each
tap of the filter the output's pixels, row after row, then see a plane from one offset on. So an
output is a sum of shifted planes. What comes out where a row of a plane is longer than one of the
output is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from jitgrad.intrinsics.routine import routine
from jitgrad.intrinsics.tiles import (
    TILE_ROWS,
    copy_rows,
    shifted_dots,
    shifted_products,
    vector_length,
    vectors_a_row,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"

# Images and outputs that weights' derivatives are summed over at once, in bytes: half of a cache.
_STACK_BYTES = 1 << 16


@routine
def to_planes(
    x: Array, place: int, channels: int, height: int, width: int,
    image: Array, start: int, plane: int, tall: int, wide: int,
    sh: int, sw: int, ph: int, pw: int,
) -> None:  # fmt: skip
    """Lay out an image in planes; what lies outside of it stays as it is.

    Parameters
    ----------
    x : float[n]
        Holds the image from `place` on.
    place, channels, height, width : int
        Where it begins, and its shape.
    image : float[n]
        Where it goes: for each channel and each remainder of row and column by the strides a plane.
    start, plane, tall, wide : int
        Where the first plane begins, how far it is to the next, and the shape of each.
    sh, sw, ph, pw : int
        Strides and paddings along rows and columns.
    """
    for c in range(channels):
        for a in range(sh):
            top = (a - ph) % sh
            row = (top + ph) // sh
            rows = min((height - top + sh - 1) // sh, tall - row)
            for b in range(sw):
                left = (b - pw) % sw
                column = (left + pw) // sw
                count = min((width - left + sw - 1) // sw, wide - column)
                source = place + (c * height + top) * width + left
                target = start + ((c * sh + a) * sw + b) * plane + row * wide + column
                if sw == 1:
                    copy_rows(x, source, sh * width, image, target, wide, rows, count)
                else:
                    for m in range(rows):
                        for k in range(count):
                            image[target + m * wide + k] = x[source + m * sh * width + k * sw]


@routine
def from_planes(
    image: Array, start: int, plane: int, tall: int, wide: int,
    x: Array, place: int, channels: int, height: int, width: int,
    sh: int, sw: int, ph: int, pw: int,
) -> None:  # fmt: skip
    """Collect an image from its planes; what lies beyond them stays as it is: see `to_planes`.

    Parameters
    ----------
    image : float[n]
        Holds the planes.
    start, plane, tall, wide : int
        Where the first plane begins, how far it is to the next, and the shape of each.
    x : float[n]
        Where the image goes.
    place, channels, height, width : int
        Where it begins, and its shape.
    sh, sw, ph, pw : int
        Strides and paddings along rows and columns.
    """
    for c in range(channels):
        for a in range(sh):
            top = (a - ph) % sh
            row = (top + ph) // sh
            rows = min((height - top + sh - 1) // sh, tall - row)
            for b in range(sw):
                left = (b - pw) % sw
                column = (left + pw) // sw
                count = min((width - left + sw - 1) // sw, wide - column)
                source = start + ((c * sh + a) * sw + b) * plane + row * wide + column
                target = place + (c * height + top) * width + left
                if sw == 1:
                    copy_rows(image, source, wide, x, target, sh * width, rows, count)
                else:
                    for m in range(rows):
                        for k in range(count):
                            x[target + m * sh * width + k * sw] = image[source + m * wide + k]


@routine
def pack(
    w: Array, places: Array, terms: int, pitch: int, rows: int, factors: Array, start: int
) -> None:
    """Write a matrix tile by tile, as `multiply` reads it.

    Parameters
    ----------
    w : float[n]
        Holds the matrix: row `m` of term `k` is at ``places[k] + m * pitch``.
    places : int64[n]
        See `w`.
    terms, pitch, rows : int
        How many terms and rows there are; see `w`.
    factors : float[n]
        Where it goes.
    start : int
        Where in `factors` it begins.
    """
    tiles = -(-rows // TILE_ROWS)
    place = start
    for tile in range(tiles):
        first, end = tile * rows // tiles, (tile + 1) * rows // tiles
        for k in range(terms):
            for m in range(first, end):
                factors[place] = w[places[k] + m * pitch]
                place += 1


@routine
def multiply(
    factors: Array, start: int, terms: int, rows: int,
    image: Array, first: int, offsets: Array, length: int,
    out: Array, place: int, pitch: int,
) -> None:  # fmt: skip
    """Write sums of shifted rows, tile by tile: see `shifted_products`.

    Parameters
    ----------
    factors : float[n]
        What `pack` wrote.
    start, terms, rows : int
        Where it begins, and its size; at least one term and one row.
    image : float[n]
        What is shifted.
    first : int
        Added to all offsets.
    offsets : int64[n]
        Where each term's row of the image begins.
    length : int
        Of the rows, a multiple of `vector_length`.
    out : float[n]
        Where the sums go; row `m` begins at ``place + m * pitch``.
    place, pitch : int
        See `out`.
    """
    lanes = vector_length(image)
    vectors = length // lanes
    blocks = -(-vectors // vectors_a_row(image))
    tiles = -(-rows // TILE_ROWS)
    for block in range(blocks):
        q = block * vectors // blocks
        end = (block + 1) * vectors // blocks
        for tile in range(tiles):
            m = tile * rows // tiles
            shifted_products(
                factors, start + m * terms, terms, (tile + 1) * rows // tiles - m,
                image, first + q * lanes, offsets,
                out, place + m * pitch + q * lanes, pitch, end - q,
            )  # fmt: skip


@routine
def convolve(
    x: Array, w: Array, out: Array,
    sh: int, sw: int, ph: int, pw: int, dh: int, dw: int, groups: int,
) -> None:  # fmt: skip
    """Write sums of products of images, shifted, and filters.

    Parameters
    ----------
    x : float[n, groups * c, h, w]
        Images.
    w : float[groups * o, c, kh, kw]
        Filters.
    out : float[n, groups * o, oh, ow]
        Where the sums go. At the far edges images are padded by what this shape asks for.
    sh, sw, ph, pw, dh, dw, groups : int
        Strides, paddings at the near edges, dilations, and how many groups of channels there are.
    """
    images, all_channels, height, width = x.shape
    all_features, channels, kh, kw = w.shape
    oh, ow = out.shape[2], out.shape[3]
    features = all_features // groups
    terms = channels * kh * kw
    images_in, weights, images_out = x.reshape(-1), w.reshape(-1), out.reshape(-1)
    if out.size == 0 or terms == 0:
        images_out[:] = 0.0
        return
    lanes = vector_length(x)
    tall, wide = oh + (kh - 1) * dh // sh, ow + (kw - 1) * dw // sw
    plane = -(-tall * wide // lanes) * lanes
    length = -(-((oh - 1) * wide + ow) // lanes) * lanes
    offsets = np.empty(terms, np.int64)
    places = np.empty(terms, np.int64)
    for c in range(channels):
        for i in range(kh):
            for j in range(kw):
                k = (c * kh + i) * kw + j
                above, before = i * dh, j * dw
                number = (c * sh + above % sh) * sw + before % sw
                offsets[k] = number * plane + above // sh * wide + before // sw
                places[k] = k
    factors = np.empty(all_features * terms, x.dtype)
    for g in range(groups):
        start = g * features * terms
        pack(weights[start:], places, terms, terms, features, factors, start)
    image = np.zeros(channels * sh * sw * plane + lanes, x.dtype)
    rows = np.empty(features * length, x.dtype)
    for n in range(images):
        for g in range(groups):
            to_planes(
                images_in, (n * all_channels + g * channels) * height * width,
                channels, height, width, image, 0, plane, tall, wide, sh, sw, ph, pw,
            )  # fmt: skip
            multiply(
                factors, g * features * terms, terms, features,
                image, 0, offsets, length, rows, 0, length,
            )  # fmt: skip
            from_planes(
                rows, 0, length, oh, wide,
                images_out, (n * all_features + g * features) * oh * ow,
                features, oh, ow, 1, 1, 0, 0,
            )  # fmt: skip


@routine
def convolve_input(
    y: Array, w: Array, out: Array,
    sh: int, sw: int, ph: int, pw: int, dh: int, dw: int, groups: int,
) -> None:  # fmt: skip
    """Write the transpose of `convolve` in the images.

    Parameters
    ----------
    y : float[n, groups * o, oh, ow]
        What a convolution gives.
    w : float[groups * o, c, kh, kw]
        Filters.
    out : float[n, groups * c, h, w]
        Where the images go.
    sh, sw, ph, pw, dh, dw, groups : int
        As of `convolve`.
    """
    images, all_channels, height, width = out.shape
    all_features, channels, kh, kw = w.shape
    oh, ow = y.shape[2], y.shape[3]
    features = all_features // groups
    taps = kh * kw
    images_in, weights, images_out = y.reshape(-1), w.reshape(-1), out.reshape(-1)
    if out.size == 0 or y.size == 0 or taps == 0:
        images_out[:] = 0.0
        return
    lanes = vector_length(y)
    down, right = (kh - 1) * dh // sh, (kw - 1) * dw // sw
    tall, wide = oh + down, ow + right
    plane = -(-tall * wide // lanes) * lanes
    # zeros before the first output, as many as the farthest tap looks back
    margin = down * wide + right
    offsets = np.empty(sh * sw * features * taps, np.int64)
    places = np.empty(sh * sw * features * taps, np.int64)
    terms = np.zeros(sh * sw, np.int64)
    for a in range(sh):
        for b in range(sw):
            number = a * sw + b
            for o in range(features):
                for i in range(kh):
                    for j in range(kw):
                        above, before = i * dh, j * dw
                        if above % sh == a and before % sw == b:
                            k = number * features * taps + terms[number]
                            back = above // sh * wide + before // sw
                            offsets[k] = o * (margin + plane) + margin - back
                            places[k] = o * channels * taps + i * kw + j
                            terms[number] += 1
    factors = np.empty(all_features * channels * taps, y.dtype)
    for g in range(groups):
        start = g * features * channels * taps
        place = start
        for phase in range(sh * sw):
            first = phase * features * taps
            pack(weights[start:], places[first:], terms[phase], taps, channels, factors, place)
            place += terms[phase] * channels
    rows = np.zeros(features * (margin + plane), y.dtype)
    image = np.zeros(channels * sh * sw * plane, y.dtype)
    if (tall * sh < height + ph) or (wide * sw < width + pw):
        # pixels that no window reaches
        images_out[:] = 0.0
    for n in range(images):
        for g in range(groups):
            to_planes(
                images_in, (n * all_features + g * features) * oh * ow,
                features, oh, ow, rows, margin, margin + plane, oh, wide, 1, 1, 0, 0,
            )  # fmt: skip
            place = g * features * channels * taps
            for phase in range(sh * sw):
                if terms[phase] > 0:
                    multiply(
                        factors, place, terms[phase], channels,
                        rows, 0, offsets[phase * features * taps :], plane,
                        image, phase * plane, sh * sw * plane,
                    )  # fmt: skip
                    place += terms[phase] * channels
            from_planes(
                image, 0, plane, tall, wide, images_out,
                (n * all_channels + g * channels) * height * width,
                channels, height, width, sh, sw, ph, pw,
            )  # fmt: skip


@routine
def convolve_weight(
    x: Array, y: Array, out: Array,
    sh: int, sw: int, ph: int, pw: int, dh: int, dw: int, groups: int,
) -> None:  # fmt: skip
    """Write the transpose of `convolve` in the filters.

    Parameters
    ----------
    x : float[n, groups * c, h, w]
        Images.
    y : float[n, groups * o, oh, ow]
        What a convolution gives.
    out : float[groups * o, c, kh, kw]
        Where the filters go.
    sh, sw, ph, pw, dh, dw, groups : int
        As of `convolve`.
    """
    images, all_channels, height, width = x.shape
    all_features, channels, kh, kw = out.shape
    oh, ow = y.shape[2], y.shape[3]
    features = all_features // groups
    terms = channels * kh * kw
    images_in, images_out, weights = x.reshape(-1), y.reshape(-1), out.reshape(-1)
    weights[:] = 0.0
    if out.size == 0 or y.size == 0:
        return
    lanes = vector_length(x)
    tall, wide = oh + (kh - 1) * dh // sh, ow + (kw - 1) * dw // sw
    plane = -(-tall * wide // lanes) * lanes
    length = -(-((oh - 1) * wide + ow) // lanes) * lanes
    offsets = np.empty(terms, np.int64)
    for c in range(channels):
        for i in range(kh):
            for j in range(kw):
                above, before = i * dh, j * dw
                number = (c * sh + above % sh) * sw + before % sw
                offsets[(c * kh + i) * kw + j] = number * plane + above // sh * wide + before // sw
    image_size = channels * sh * sw * plane + lanes
    rows_size = features * length
    stack = min(max(_STACK_BYTES // ((image_size + rows_size) * x.itemsize), 1), images)
    image = np.zeros(stack * image_size, x.dtype)
    rows = np.zeros(stack * rows_size, x.dtype)
    row_tiles = -(-features // vectors_a_row(x))
    column_tiles = -(-terms // TILE_ROWS)
    for g in range(groups):
        for first in range(0, images, stack):
            count = min(stack, images - first)
            for n in range(count):
                to_planes(
                    images_in, ((first + n) * all_channels + g * channels) * height * width,
                    channels, height, width,
                    image, n * image_size, plane, tall, wide, sh, sw, ph, pw,
                )  # fmt: skip
                to_planes(
                    images_out, ((first + n) * all_features + g * features) * oh * ow,
                    features, oh, ow, rows, n * rows_size, length, oh, wide, 1, 1, 0, 0,
                )  # fmt: skip
            for row_tile in range(row_tiles):
                m = row_tile * features // row_tiles
                m_end = (row_tile + 1) * features // row_tiles
                for column_tile in range(column_tiles):
                    k = column_tile * terms // column_tiles
                    k_end = (column_tile + 1) * terms // column_tiles
                    shifted_dots(
                        rows, m * length, length, rows_size, m_end - m,
                        image, 0, image_size, offsets, k, k_end - k,
                        weights, (g * features + m) * terms + k, terms, count, length // lanes,
                    )  # fmt: skip
