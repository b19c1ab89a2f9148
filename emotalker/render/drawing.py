"""The compiled loops of a frame: fields are inverted and composed on coarse grids, then every moving pixel is drawn once.

For the centre ``q`` of an output pixel, ``r`` the backward displacement of the head's pose and ``f`` that of the face,

    p = q + r(q)          position in the portrait's pose
    s = p + f(p)          position in the photo
    I(q) = photo(s) ratio(c(s))

with ``photo`` sampled cubically, and ``ratio`` the shading at the canonical face's position ``c(s)``. Where ``p`` is in the
rectangle of an opening (mouth or eye), with the backward displacements ``u`` and ``l`` of its two layers of skin,

    I(q) <- I(q) + w (a U + b L + (1 - a - b) interior(p) - I(q))

where ``U = photo(p + u(p)) ratio``, ``L`` likewise, ``(a, b)`` are the :func:`~emotalker.render.layers.layer_weights` of the
signed distances of the sampled photo positions from the layers' edges, and ``w`` falls to 0 at the rectangle's border. The
turned head's light multiplies ``I(q)``. With a matte ``m`` of the person in the photo,
``m(s) I(q) + (1 - m(s)) background(q)`` is drawn.

``s`` and ``c`` are composed at the nodes of the pose's coarse grid, and interpolated linearly to pixels. Colours are luma and
the differences ``(B - Y) / 1.8556`` and ``(R - Y) / 1.5748`` (ITU-R BT.709) in the units of 8-bit RGB, unrounded: sampling,
shading and mixing are linear, so they are the same as for red, green and blue. Chroma of planar frames is sampled once for
2 x 2 pixels, from the photo's average over 2 x 2 pixels. Loops over rows have unsigned indices: numba tests whether signed
ones are negative, and then the compiler does not use vector instructions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import float32, int32, njit, uint8, uint32, uint64

from emotalker.render.sampling import COMPILED, cell, cubic_row, sample_field, sample_map, sample_row

#: Side of the squares of :attr:`Backdrop.solid`, pixels.
SQUARE = 8

#: Displacement in pixels below which a pixel does not move: about one level at usual edges.
STILL = float32(1 / 64)


class Planes(NamedTuple):
    """A photo of side S: flat planes of float32 with PADDING replicated pixels around it.

    Attributes:
        luma, u, v: brightness and colour differences.
        block_u, block_v: at (y, x) the average of the colour differences at y and y + 1, x and x + 1.
    """

    luma: np.ndarray
    u: np.ndarray
    v: np.ndarray
    block_u: np.ndarray
    block_v: np.ndarray


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
        solid: bool, for squares of SQUARE pixels of the photo whether all is opaque up to SQUARE pixels around them.
        luma, chroma: ``(S, S)`` and ``(S, S, 2)`` float32.
        blocks: ``(S / 2, S / 2, 2)`` float32, the chroma averaged over blocks of 2 x 2 pixels.
        on: whether there is one; otherwise the arrays are not read.
    """

    matte: np.ndarray
    solid: np.ndarray
    luma: np.ndarray
    chroma: np.ndarray
    blocks: np.ndarray
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
    """Shading at a position of the canonical face; outside it that of its border, which is 1."""
    return sample_map(ratio, x, y)


@njit(**COMPILED)
def place_of(places, left, top, spacing, x, y):
    """Position in the canonical face of a position in the photo; see :class:`Shade`."""
    return sample_field(places, (x - left) / spacing, (y - top) / spacing)


@njit(**COMPILED)
def place_row(nodes, y, first, stop, shade, light, line, source):
    """Positions in the photo, shading and light of the pixels ``first`` to ``stop`` of row ``y``.

    Args:
        nodes, shade, light: as in :func:`draw`.
        line: ``(5, columns)`` float32, a buffer.
        source: ``(4, S)`` float32, written: x and y in the photo, the factor of brightness, and the light if there is any.
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
    lit = light.shape[0] > 1
    if lit:
        for i in range(columns):
            line[4, i] = (one - t) * light[j, i] + t * light[j + 1, i]
    # One node interval after the other: looking up the interval of every pixel takes longer than interpolating in it.
    scale, spacing, at_y = float32(columns) / float32(size), float32(size) / float32(columns), float32(y)
    i, _ = cell((float32(first) + half) * scale - half, columns)
    start = first
    while start < stop:
        ahead = i + uint32(1)
        end = stop if ahead == columns - 1 else min(stop, int(np.ceil((float32(ahead) + half) * spacing - half)))
        shaded = shaded_first - 1 <= int32(i) <= shaded_last
        x0, y0, u0, v0 = line[0, i], line[1, i], line[2, i], line[3, i]
        dx, dy, du, dv = line[0, ahead] - x0, line[1, ahead] - y0, line[2, ahead] - u0, line[3, ahead] - v0
        for x in range(start, end):
            t = min(max((float32(x) + half) * scale - half - float32(i), float32(0)), one)
            source[0, x], source[1, x] = float32(x) + (x0 + t * dx), at_y + (y0 + t * dy)
            source[2, x] = ratio_at(ratio, u0 + t * du, v0 + t * dv) if shaded else one
            if lit:
                source[3, x] = line[4, i] + t * (line[4, ahead] - line[4, i])
        start, i = max(start, end), ahead


@njit(**COMPILED)
def place_blocks(upper, lower, first, stop, channels, source):
    """Average positions, shading and light of blocks of 2 x 2 pixels, where the photo averaged over blocks is sampled.

    Args:
        upper, lower: ``(4, S)`` of :func:`place_row` for both rows.
        first, stop: pixels, even.
        channels: 3, or 4 with light.
        source: ``(4, S)``, its first half is written.
    """
    for x in range(uint64(first // 2), uint64(stop // 2)):
        left, right = uint64(2) * x, uint64(2) * x + uint64(1)
        for c in range(channels):
            mean = float32(0.25) * (upper[c, left] + upper[c, right] + lower[c, left] + lower[c, right])
            source[c, x] = mean - float32(0.5 if c < 2 else 0)


@njit(**COMPILED)
def cover_row(front, first, stop, channels, color):
    """Draw one row of the openings ``(S, 4)`` over the first channels of a row of colours ``(3, S)``."""
    for x in range(uint64(first), uint64(stop)):
        for c in range(channels):
            color[c, x] = front[x, c] + front[x, 3] * color[c, x]


@njit(**COMPILED)
def cover_blocks(upper, lower, first, stop, chroma):
    """Draw two rows of the openings ``(S, 4)`` over the chroma ``(2, S / 2)`` of blocks; ``first`` and ``stop`` are even."""
    quarter = float32(0.25)
    for x in range(uint64(first // 2), uint64(stop // 2)):
        left, right = uint64(2) * x, uint64(2) * x + uint64(1)
        rest = quarter * (upper[left, 3] + upper[right, 3] + lower[left, 3] + lower[right, 3])
        for c in range(2):
            own = quarter * (upper[left, c + 1] + upper[right, c + 1] + lower[left, c + 1] + lower[right, c + 1])
            chroma[c, x] = own + rest * chroma[c, x]


@njit(**COMPILED)
def light_row(light, first, stop, channels, color):
    """Multiply the first channels of a row of colours ``(3, columns)`` by the light ``(columns,)`` of the turn."""
    for c in range(channels):
        for x in range(uint64(first), uint64(stop)):
            color[c, x] *= light[x]


@njit(**COMPILED)
def is_solid(solid, x, y):
    """Whether the person is opaque within SQUARE pixels of a position; see :class:`Backdrop`."""
    j, i = min(max(int32(y) // SQUARE, 0), solid.shape[0] - 1), min(max(int32(x) // SQUARE, 0), solid.shape[1] - 1)
    return solid[j, i]


@njit(**COMPILED)
def back_row(backdrop, source, y, first, stop, full, color, opacity):
    """Draw a row of colours ``(3, S)``, with or without chroma, over the backdrop; writes the row's ``opacity (S,)``."""
    matte, solid, luma, chroma = backdrop.matte, backdrop.solid, backdrop.luma, backdrop.chroma
    xs, ys = source[0], source[1]
    for start in range(first, stop, SQUARE):  # most of a person is opaque, which takes three tests instead of eight samples
        end = min(start + SQUARE, stop)
        middle, last = (start + end) // 2, end - 1
        if (
            is_solid(solid, xs[start], ys[start])
            and is_solid(solid, xs[middle], ys[middle])
            and is_solid(solid, xs[last], ys[last])
        ):
            opacity[start:end] = float32(1)
            continue
        for x in range(uint64(start), uint64(end)):
            share = sample_map(matte, xs[x], ys[x])
            opacity[x] = share
            color[0, x] = luma[y, x] + share * (color[0, x] - luma[y, x])
            if full:
                color[1, x] = chroma[y, x, 0] + share * (color[1, x] - chroma[y, x, 0])
                color[2, x] = chroma[y, x, 1] + share * (color[2, x] - chroma[y, x, 1])


@njit(**COMPILED)
def back_blocks(behind, opacity, first, stop, chroma):
    """Draw the chroma ``(2, S / 2)`` of blocks over a row ``(S / 2, 2)`` behind it; ``opacity (2, S)`` of both rows."""
    for x in range(uint64(first // 2), uint64(stop // 2)):
        left, right = uint64(2) * x, uint64(2) * x + uint64(1)
        share = float32(0.25) * (opacity[0, left] + opacity[0, right] + opacity[1, left] + opacity[1, right])
        for c in range(2):
            chroma[c, x] = behind[x, c] + share * (chroma[c, x] - behind[x, c])


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
def draw_alpha(alpha, nodes, spans, matte, shade):
    """Draw the person's opacity where pixels move, in place.

    Args:
        alpha: ``(S, S)`` uint8.
        nodes, spans, shade: as in :func:`draw`.
        matte: ``(S, S)`` float32 of the photo, 0..1.
    """
    size, columns = alpha.shape[0], nodes.shape[1]
    line, source, no_light = np.empty((5, columns), np.float32), np.empty((4, size), np.float32), np.empty((1, 1), np.float32)
    for y in range(size):
        start, stop = moving_pixels(spans, y // 2 * 2, size, columns)
        if start < stop:
            place_row(nodes, y, start, stop, shade, no_light, line, source)
            for x in range(uint64(start), uint64(stop)):
                alpha[y, x] = to_byte(float32(255) * sample_map(matte, source[0, x], source[1, x]))


@njit(**COMPILED)
def draw(rgb, planar, as_rgb, nodes, spans, front, box, planes, shade, light, backdrop):
    """Draw the moving pixels of a frame over its static picture, in place, two rows at a time.

    Args:
        rgb: ``(S, S, 3)`` uint8, drawn if ``as_rgb``.
        planar: ``(3 S S / 2,)`` uint8, drawn otherwise: Y, then U and V at half the resolution, each plane row by row.
        as_rgb: which.
        nodes: ``(rows, columns, 6)`` of :func:`emotalker.render.fields.compose`.
        spans: ``(rows, 2)`` int32 first and last moving node of each row.
        front: ``(S, S, 4)`` of :func:`emotalker.render.layers.draw_opening`.
        box: ``(4,)`` int32 pixels that ``front`` may cover: x0, y0 even, x1, y1 inclusive.
        planes, shade: photo and shading.
        light: ``(rows, columns)`` float32 factor of brightness at the nodes; ``(1, 1)`` for none.
        backdrop: background.
    """
    size, columns = front.shape[0], nodes.shape[1]
    line, source = np.empty((5, columns), np.float32), np.empty((3, 4, size), np.float32)
    places, weights = np.empty(size, np.int32), np.empty((8, size), np.float32)
    color, chroma, blocks = np.empty((2, 3, size), np.float32), np.empty((2, size), np.float32), source[2]
    luma_scale, chroma_scale = float32(219 / 255), float32(224 / 255)
    opacity = np.empty((2, size), np.float32)
    lit = light.shape[0] > 1
    for y0 in range(0, size, 2):
        start, stop = moving_pixels(spans, y0, size, columns)
        if start == stop:
            continue
        left = right = start
        if box[1] <= y0 <= box[3]:
            left, right = max(start, box[0]), max(start, min(stop, box[2] + 1))
        for row in range(min(2, size - y0)):
            y, at, values = y0 + row, source[row], color[row]
            place_row(nodes, y, start, stop, shade, light, line, at)
            cubic_row(at[0], at[1], start, stop, size, places, weights)
            sample_row(planes.luma, size, start, stop, places, weights, at[2], values[0])
            if as_rgb:
                sample_row(planes.u, size, start, stop, places, weights, at[2], values[1])
                sample_row(planes.v, size, start, stop, places, weights, at[2], values[2])
            cover_row(front[y], left, right, 3 if as_rgb else 1, values)
            if lit:
                light_row(at[3], start, stop, 3 if as_rgb else 1, values)
            if backdrop.on:
                back_row(backdrop, at, y, start, stop, as_rgb, values, opacity[row])
            if as_rgb:
                for x in range(uint64(start), uint64(stop)):
                    red, green, blue = to_rgb(values[0, x], values[1, x], values[2, x])
                    rgb[y, x, 0], rgb[y, x, 1], rgb[y, x, 2] = to_byte(red), to_byte(green), to_byte(blue)
            else:
                out = planar[y * size : (y + 1) * size]
                for x in range(uint64(start), uint64(stop)):
                    out[x] = to_byte(float32(16) + luma_scale * values[0, x])
        if not as_rgb:
            place_blocks(source[0], source[1], start, stop, 4 if lit else 3, blocks)
            cubic_row(blocks[0], blocks[1], start // 2, stop // 2, size, places, weights)
            sample_row(planes.block_u, size, start // 2, stop // 2, places, weights, blocks[2], chroma[0])
            sample_row(planes.block_v, size, start // 2, stop // 2, places, weights, blocks[2], chroma[1])
            cover_blocks(front[y0], front[y0 + 1], left, right, chroma)
            if lit:
                light_row(blocks[3], start // 2, stop // 2, 2, chroma)
            if backdrop.on:
                back_blocks(backdrop.blocks[y0 // 2], opacity, start, stop, chroma)
            for c in range(2):
                at_row = size * size + (c * size // 2 + y0 // 2) * (size // 2)
                out = planar[at_row : at_row + size // 2]
                for x in range(uint64(start // 2), uint64(stop // 2)):
                    out[x] = to_byte(float32(128) + chroma_scale * chroma[c, x])
