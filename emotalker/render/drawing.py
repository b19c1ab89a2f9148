"""The compiled loops of a frame: fields are inverted and composed on coarse grids, then every moving pixel is drawn once.

For the centre ``q`` of an output pixel, ``r`` the backward displacement of the head's pose and ``f`` that of the face,

    p = q + r(q)          position in the portrait's pose
    s = p + f(p)          position in the photo
    I(q) = photo(s) ratio(c(s))

with ``photo`` sampled cubically, and ``ratio`` the shading at the canonical face's position ``c(s)``. Where ``p`` is in the
rectangle of an opening (mouth or eye), with the backward displacements ``u`` and ``l`` of its two layers of skin,

    I(q) <- I(q) + w (a U + b L + (1 - a - b) interior(p) - I(q))

where ``U = photo(p + u(p)) ratio``, ``L`` likewise, ``(a, b)`` are :func:`emotalker.render.layers.layer_weights` of the signed distances of the
sampled photo positions from the layers' edges, and ``w`` falls to 0 at the rectangle's border. With a matte ``m`` of the
person in the photo, ``m(s) I(q) + (1 - m(s)) background(q)`` is drawn.

``s`` and ``c`` are composed at the nodes of the pose's coarse grid, and interpolated linearly to pixels. Colours are luma and
colour differences ``(B - Y) / 1.8556`` and ``(R - Y) / 1.5748`` (ITU-R BT.709) in the units of 8-bit RGB, unrounded: sampling,
shading and mixing are linear, so they are the same as for red, green and blue, and chroma of planar frames is sampled once for
2 x 2 pixels, from the photo's average over 2 x 2 pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import float32, njit, uint8

from emotalker.render.sampling import COMPILED, cell, sample_field, sample_map, sample_pair, sample_plane

#: Displacement in pixels below which a pixel does not move: less than one level at the sharpest edge.
STILL = float32(1 / 256)


class Planes(NamedTuple):
    """A photo of side S: padded planes of float32, P is the padded side.

    Attributes:
        luma: ``(P, P)``.
        chroma: ``(P, P, 2)``.
        block_chroma: ``(P, P, 2)``; at (y, x) the average of the chroma at y and y + 1, x and x + 1.
    """

    luma: np.ndarray
    chroma: np.ndarray
    block_chroma: np.ndarray


class Shade(NamedTuple):
    """The shading of one frame.

    Attributes:
        ratio: ``(R, R)`` float32 factor of brightness in the canonical face; 1 at the border and outside it.
        places: ``(rows, columns, 2)`` float32 positions in ``ratio`` of a grid of photo positions.
        x, y, spacing: position of the grid's first node in the photo and distance between nodes, pixels.
        on: whether there is any shading.
    """

    ratio: np.ndarray
    places: np.ndarray
    x: np.float32
    y: np.float32
    spacing: np.float32
    on: bool


class Backdrop(NamedTuple):
    """A picture behind the person.

    Attributes:
        matte: ``(S, S)`` float32 opacity of the person in the photo, 0..1.
        luma, chroma: ``(S, S)`` and ``(S, S, 2)`` float32.
        on: whether there is one; otherwise the arrays are not read.
    """

    matte: np.ndarray
    luma: np.ndarray
    chroma: np.ndarray
    on: bool


@njit(**COMPILED)
def to_ycc(red, green, blue):
    """Luma and colour differences of RGB, in the same units."""
    luma = float32(0.2126) * red + float32(0.7152) * green + float32(0.0722) * blue
    return luma, (blue - luma) * float32(1 / 1.8556), (red - luma) * float32(1 / 1.5748)


@njit(**COMPILED)
def to_rgb(luma, u, v):
    """The inverse of :func:`to_ycc`."""
    red, blue = luma + float32(1.5748) * v, luma + float32(1.8556) * u
    return red, (luma - float32(0.2126) * red - float32(0.0722) * blue) * float32(1 / 0.7152), blue


@njit(**COMPILED)
def to_byte(value):
    """Rounded to 0..255."""
    return uint8(min(max(value + float32(0.5), float32(0)), float32(255)))


@njit(**COMPILED)
def ratio_at(ratio, x, y):
    """Shading at a position of the canonical face, 1 outside it."""
    last = float32(ratio.shape[0] - 1)
    if x < 0 or y < 0 or x > last or y > last:
        return float32(1)
    return sample_map(ratio, x, y)


@njit(**COMPILED)
def place_of(places, left, top, spacing, x, y):
    """Position in the canonical face of a position in the photo; see :class:`Shade`."""
    return sample_field(places, (x - left) / spacing, (y - top) / spacing)


@njit(**COMPILED)
def place_row(nodes, y, first, stop, shade, line, source):
    """Positions in the photo, and shading, of the pixels ``first`` to ``stop`` of row ``y``.

    Args:
        nodes, shade: as in :func:`draw`.
        line: ``(4, columns)`` float32, a buffer.
        source: ``(3, S)`` float32, written: x and y in the photo, and the factor of brightness.
    """
    rows, columns = nodes.shape[:2]
    ratio, one, half, size = shade.ratio, float32(1), float32(0.5), source.shape[1]
    j, t = cell((float32(y) + half) * float32(rows) / float32(size) - half, rows)
    shaded_first, shaded_last, end = columns, -1, float32(ratio.shape[0])
    for i in range(columns):
        for c in range(4):
            line[c, i] = (one - t) * nodes[j, i, c] + t * nodes[j + 1, i, c]
        if shade.on and line[2, i] > -one and line[3, i] > -one and line[2, i] < end and line[3, i] < end:
            shaded_first, shaded_last = min(shaded_first, i), i
    scale = float32(columns) / float32(size)
    for x in range(first, stop):
        i, t = cell((float32(x) + half) * scale - half, columns)
        source[0, x] = float32(x) + (one - t) * line[0, i] + t * line[0, i + 1]
        source[1, x] = float32(y) + (one - t) * line[1, i] + t * line[1, i + 1]
        source[2, x] = one
    for x in range(max(first, int((shaded_first - 1) / scale)), min(stop, int((shaded_last + 2) / scale))):
        i, t = cell((float32(x) + half) * scale - half, columns)
        cx, cy = (one - t) * line[2, i] + t * line[2, i + 1], (one - t) * line[3, i] + t * line[3, i + 1]
        source[2, x] = ratio_at(ratio, cx, cy)


@njit(**COMPILED)
def luma_row(plane, source, first, stop, color):
    """Luma of the shaded photo, ``color[0]``, for the positions of :func:`place_row`."""
    for x in range(first, stop):
        color[0, x] = source[2, x] * sample_plane(plane, source[0, x], source[1, x])


@njit(**COMPILED)
def chroma_row(pair, source, first, stop, color):
    """Chroma of the shaded photo, ``color[1:]``, for the positions of :func:`place_row`."""
    for x in range(first, stop):
        u, v = sample_pair(pair, source[0, x], source[1, x])
        color[1, x], color[2, x] = source[2, x] * u, source[2, x] * v


@njit(**COMPILED)
def block_chroma_row(pair, upper, lower, first, stop, color):
    """The same for blocks of 2 x 2 pixels: ``color[1:]`` of every second pixel.

    Args:
        pair: the photo's chroma averaged over blocks.
        upper, lower: ``source`` of both rows.
        first: even.
        stop, color: as in :func:`chroma_row`.
    """
    quarter, half = float32(0.25), float32(0.5)
    for x in range(first, stop - 1, 2):
        sx = quarter * (upper[0, x] + upper[0, x + 1] + lower[0, x] + lower[0, x + 1]) - half
        sy = quarter * (upper[1, x] + upper[1, x + 1] + lower[1, x] + lower[1, x + 1]) - half
        factor = quarter * (upper[2, x] + upper[2, x + 1] + lower[2, x] + lower[2, x + 1])
        u, v = sample_pair(pair, sx, sy)
        color[1, x], color[2, x] = factor * u, factor * v


@njit(**COMPILED)
def cover_row(front, first, stop, color):
    """Draw one row of the openings ``(S, 4)`` over a row of colours."""
    for x in range(first, stop):
        for c in range(3):
            color[c, x] = front[x, c] + front[x, 3] * color[c, x]


@njit(**COMPILED)
def back_row(backdrop, source, y, first, stop, color):
    """Draw a row of colours over the backdrop."""
    matte, luma, chroma = backdrop.matte, backdrop.luma, backdrop.chroma
    for x in range(first, stop):
        opacity = sample_map(matte, source[0, x], source[1, x])
        color[0, x] = luma[y, x] + opacity * (color[0, x] - luma[y, x])
        color[1, x] = chroma[y, x, 0] + opacity * (color[1, x] - chroma[y, x, 0])
        color[2, x] = chroma[y, x, 1] + opacity * (color[2, x] - chroma[y, x, 1])


@njit(**COMPILED)
def moving_pixels(spans, y, size, columns):
    """First pixel, and the one after the last, that may move in the rows y and y + 1, both even; equal for none."""
    rows, first, last = spans.shape[0], columns, -1
    upper, lower = (y + 0.5) * rows / size - 0.5, (y + 1.5) * rows / size - 0.5
    for row in range(max(int(upper), 0), min(int(lower) + 2, rows)):
        first, last = min(first, spans[row, 0]), max(last, spans[row, 1])
    if last < first:
        return 0, 0
    start = 0 if first == 0 else max(int((first - 0.5) * size / columns) - 1, 0)
    stop = size if last == columns - 1 else min(int((last + 1.5) * size / columns) + 2, size)
    return start // 2 * 2, min((stop + 1) // 2 * 2, size)


@njit(**COMPILED)
def draw(rgb, planar, as_rgb, nodes, spans, front, box, planes, shade, backdrop):
    """Draw the moving pixels of a frame over its static picture, in place, two rows at a time.

    Args:
        rgb: ``(S, S, 3)`` uint8, drawn if ``as_rgb``.
        planar: ``(3 S S / 2,)`` uint8, drawn otherwise: Y, then U and V at half the resolution, each plane row by row.
        as_rgb: which.
        nodes: ``(rows, columns, 6)`` of :func:`emotalker.render.fields.compose`.
        spans: ``(rows, 2)`` int32 first and last moving node of each row.
        front: ``(S, S, 4)`` of :func:`emotalker.render.layers.draw_opening`.
        box: ``(4,)`` int32 pixels that ``front`` may cover: x0, y0 even, x1, y1 inclusive.
        planes, shade, backdrop: photo, shading, background.
    """
    size, columns = front.shape[0], nodes.shape[1]
    line, source = np.empty((4, columns), np.float32), np.empty((2, 3, size), np.float32)
    color = np.empty((2, 3, size), np.float32)
    for y0 in range(0, size, 2):
        start, stop = moving_pixels(spans, y0, size, columns)
        near = box[1] <= y0 <= box[3]
        left, right = (max(start, box[0]), min(stop, box[2] + 1)) if near else (start, start)
        if start == stop:
            continue
        for row in range(min(2, size - y0)):
            place_row(nodes, y0 + row, start, stop, shade, line, source[row])
            luma_row(planes.luma, source[row], start, stop, color[row])
        full = as_rgb or backdrop.on
        if not full:
            block_chroma_row(planes.block_chroma, source[0], source[1], start, stop, color[0])
            for x in range(start, stop - 1, 2):
                for c in range(1, 3):
                    color[0, c, x + 1] = color[1, c, x] = color[1, c, x + 1] = color[0, c, x]
        for row in range(min(2, size - y0)):
            if full:
                chroma_row(planes.chroma, source[row], start, stop, color[row])
            elif near:
                chroma_row(planes.chroma, source[row], left, right, color[row])
            if near:
                cover_row(front[y0 + row], left, right, color[row])
            if backdrop.on:
                back_row(backdrop, source[row], y0 + row, start, stop, color[row])
            luma = planar[(y0 + row) * size : (y0 + row + 1) * size]
            for x in range(start, stop):
                if as_rgb:
                    red, green, blue = to_rgb(color[row, 0, x], color[row, 1, x], color[row, 2, x])
                    rgb[y0 + row, x, 0], rgb[y0 + row, x, 1] = to_byte(red), to_byte(green)
                    rgb[y0 + row, x, 2] = to_byte(blue)
                else:
                    luma[x] = to_byte(float32(16) + float32(219 / 255) * color[row, 0, x])
        if not as_rgb:
            for x in range(start, stop, 2):
                for c in range(1, 3):
                    mean = color[0, c, x] + color[0, c, x + 1] + color[1, c, x] + color[1, c, x + 1]
                    at = size * size + (c - 1) * (size * size // 4) + y0 // 2 * (size // 2) + x // 2
                    planar[at] = to_byte(float32(128) + float32(56 / 255) * mean)
