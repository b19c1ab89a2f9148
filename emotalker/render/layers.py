"""The compiled loop of an opening: two layers of skin over an interior; equations in :mod:`emotalker.render.drawing`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import float32, njit

from emotalker.render.drawing import place_of, ratio_at, to_rgb, to_ycc
from emotalker.render.sampling import COMPILED, cell, sample_color, sample_field, sample_map, sample_patch

#: Darkness of the line of contact of closed lips in red, green and blue.
_CONTACT_SHADE = (float32(0.4), float32(0.44), float32(0.44))

#: Width in pixels of the border of an opening's rectangle that is blended with the face.
_FEATHER = float32(10)
#: Difference of displacements in pixels that is not seen.
_SAME = float32(0.1)


class Opening(NamedTuple):
    """One opening in one frame; arrays over its rectangle unless stated.

    Attributes:
        x, y, width, height: the rectangle, pixels of the portrait's pose.
        backward: ``(2, rows, columns, 2)`` float32 backward displacement of the upper and the lower layer, pixels.
        drawn: ``(rows - 1, columns - 1)`` bool, cells of ``backward`` in which a layer differs from the face around it; see
            :func:`differing`.
        inside: ``(2, height, width)`` float32 signed distance in the photo from each layer's edge, pixels, positive on skin.
        contact: ``(height, width)`` float32 how much the photo is open, where the line of contact of closed edges is drawn.
        interior: ``(height, width, 3)`` uint8 RGB.
        softness, contact_width: pixels; see :func:`layer_weights`, :func:`contact_line`.
        presence: 0..1, 0 leaves the face as it is.
    """

    x: int
    y: int
    width: int
    height: int
    backward: np.ndarray
    drawn: np.ndarray
    inside: np.ndarray
    contact: np.ndarray
    interior: np.ndarray
    softness: np.float32
    contact_width: np.float32
    presence: np.float32


@njit(**COMPILED)
def clipped(value):
    """Clipped to 0..1."""
    return min(max(value, float32(0)), float32(1))


@njit(**COMPILED)
def layer_weights(upper, lower, softness):
    """Weights of the upper and the lower layer at one pixel, which add up to at most one.

    Separate layers end in soft edges. The soft edges of touching layers add up to one, so that closed lips have no seam.
    Between overlapping layers the border is where both distances are equal.

    Args:
        upper, lower: signed distances to the layers' edges in pixels, positive on the layer.
        softness: width of the edges, pixels.
    """
    half = float32(0.5)
    cover_upper, cover_lower = clipped(half + upper / softness), clipped(half + lower / softness)
    upper_fraction = clipped(half + (upper - lower) / (float32(2) * softness))
    return (
        min(cover_upper, max(upper_fraction, float32(1) - cover_lower)),
        min(cover_lower, max(float32(1) - upper_fraction, float32(1) - cover_upper)),
    )


@njit(**COMPILED)
def contact_line(upper, lower, softness, width):
    """1 where the edges of both layers touch, falling to 0 within ``width`` pixels, and 0 between separate layers.

    Args:
        upper, lower: signed distances to the layers' edges in pixels, positive on the layer.
        softness: gap in pixels at which the line has vanished.
        width: standard deviation across the line, pixels.
    """
    touching = clipped(float32(1) + (upper + lower) / softness)
    across = (upper - lower) / (float32(2) * width)
    return touching * np.exp(-float32(0.5) * across * across)


@njit(**COMPILED)
def differing(backward, inside, left, top, width, height, face, place, softness, contact_width, differs, drawn):
    """Cells of an opening in which its layers are not just the face, which is drawn without them.

    That is tested for fewer positions than :func:`draw_opening` does, and with a margin.

    Args:
        backward, inside, left, top, width, height, softness, contact_width: of :class:`Opening`.
        face: ``(rows', columns', 2)`` float32 backward displacement of the face in the portrait's pose, pixels.
        place: x, y, width and height of the rectangle of ``face``.
        differs: ``(rows, columns)`` bool, a buffer.
        drawn: ``(rows - 1, columns - 1)`` bool, written.
    """
    rows, columns = differs.shape
    half, one = float32(0.5), float32(1)
    step_x, step_y = float32(width) / float32(columns), float32(height) / float32(rows)
    scale_x, scale_y = float32(face.shape[1]) / float32(place[2]), float32(face.shape[0]) / float32(place[3])
    far = float32(4) * max(softness, contact_width) + float32(3) * max(step_x, step_y)
    for j in range(rows):
        for i in range(columns):
            x, y = (float32(i) + half) * step_x - half, (float32(j) + half) * step_y - half
            ux, uy, lx, ly = backward[0, j, i, 0], backward[0, j, i, 1], backward[1, j, i, 0], backward[1, j, i, 1]
            above, below = sample_map(inside[0], x + ux, y + uy), sample_map(inside[1], x + lx, y + ly)
            differs[j, i] = True
            if max(above, below) > far:
                a, b = layer_weights(above, below, softness)
                px, py = x + float32(left - place[0]) + half, y + float32(top - place[1]) + half
                fx, fy = sample_field(face, px * scale_x - half, py * scale_y - half)
                dx, dy = (ux, uy) if a == one else (lx, ly)
                differs[j, i] = max(a, b) < one or max(abs(dx - fx), abs(dy - fy)) > half * _SAME
    for j in range(rows - 1):
        for i in range(columns - 1):
            drawn[j, i] = differs[j, i] or differs[j, i + 1] or differs[j + 1, i] or differs[j + 1, i + 1]


@njit(**COMPILED)
def photo_color(luma, u, v, size, shade, ratio, places, x, y):
    """Luma and chroma of the shaded photo at a position; ``shade`` holds x, y, spacing and whether there is shading."""
    factor = float32(1)
    if shade[3] > 0:
        cx, cy = place_of(places, shade[0], shade[1], shade[2], x, y)
        factor = ratio_at(ratio, cx, cy)
    a, b, c = sample_color(luma, u, v, size, x, y)
    return factor * a, factor * b, factor * c


@njit(**COMPILED)
def draw_opening(front, box, nodes, planes, shade, opening):
    """Draw an opening behind what ``front`` already holds.

    Args:
        front: ``(S, S, 4)`` float32, changed: luma, colour differences, each times its opacity, and the transparency.
        box: ``(4,)`` int32 pixels that may show the opening: x0, y0, x1, y1 inclusive.
        nodes: ``(rows, columns, 6)`` of :func:`emotalker.render.fields.compose`.
        planes, shade, opening: the photo, the shading and the opening.
    """
    luma, u_plane, v_plane = planes.luma, planes.u, planes.v
    ratio, places, grid = shade.ratio, shade.places, (shade.x, shade.y, shade.spacing, float32(shade.on))
    upper, lower = opening.backward[0], opening.backward[1]
    inside_upper, inside_lower = opening.inside[0], opening.inside[1]
    contact, interior = opening.contact, opening.interior
    presence, softness, contact_width = opening.presence, opening.softness, opening.contact_width
    size, (rows, columns) = front.shape[0], nodes.shape[:2]
    one, half = float32(1), float32(0.5)
    scale_x, scale_y = float32(columns) / float32(size), float32(rows) / float32(size)
    left, top = float32(opening.x), float32(opening.y)
    right, bottom = float32(opening.width - 1), float32(opening.height - 1)
    far = float32(4) * max(softness, contact_width)  # beyond the line of contact
    cell_x = float32(upper.shape[1]) / float32(opening.width)
    cell_y = float32(upper.shape[0]) / float32(opening.height)
    drawn = opening.drawn
    for row in range(max(box[1], 0), min(box[3], size - 1) + 1):
        j, ty = cell((float32(row) + half) * scale_y - half, rows)
        for column in range(max(box[0], 0), min(box[2], size - 1) + 1):
            i, tx = cell((float32(column) + half) * scale_x - half, columns)
            a, b = (one - tx) * (one - ty), tx * (one - ty)
            c, d = (one - tx) * ty, tx * ty
            px = float32(column) + a * nodes[j, i, 4] + b * nodes[j, i + 1, 4]
            px += c * nodes[j + 1, i, 4] + d * nodes[j + 1, i + 1, 4]
            py = float32(row) + a * nodes[j, i, 5] + b * nodes[j, i + 1, 5]
            py += c * nodes[j + 1, i, 5] + d * nodes[j + 1, i + 1, 5]
            x, y = px - left, py - top
            border = min(min(x, right - x), min(y, bottom - y)) / _FEATHER
            if border <= 0:
                continue
            u_column, u_row = (x + half) * cell_x - half, (y + half) * cell_y - half
            if not drawn[cell(u_row, upper.shape[0])[0], cell(u_column, upper.shape[1])[0]]:
                continue
            border = min(border, one)
            weight = front[row, column, 3] * presence * border * border * (float32(3) - float32(2) * border)
            ux, uy = sample_field(upper, u_column, u_row)
            lx, ly = sample_field(lower, u_column, u_row)
            above = sample_map(inside_upper, x + ux, y + uy)
            below = sample_map(inside_lower, x + lx, y + ly)
            # The face's own displacement, which is drawn already where a layer does not differ from it.
            sx = a * nodes[j, i, 0] + b * nodes[j, i + 1, 0] + c * nodes[j + 1, i, 0] + d * nodes[j + 1, i + 1, 0]
            sy = a * nodes[j, i, 1] + b * nodes[j, i + 1, 1] + c * nodes[j + 1, i, 1] + d * nodes[j + 1, i + 1, 1]
            a, b = layer_weights(above, below, softness)
            fx, fy = sx + float32(column) - px, sy + float32(row) - py
            if max(above, below) > far:
                dx, dy = (ux, uy) if a == one else (lx, ly)
                if max(a, b) == one and abs(dx - fx) < _SAME and abs(dy - fy) < _SAME:
                    continue
            color = cu = cv = float32(0)
            if a > 0:
                y1, u1, v1 = photo_color(luma, u_plane, v_plane, size, grid, ratio, places, px + ux, py + uy)
                color, cu, cv = a * y1, a * u1, a * v1
            if b > 0:
                y1, u1, v1 = photo_color(luma, u_plane, v_plane, size, grid, ratio, places, px + lx, py + ly)
                color, cu, cv = color + b * y1, cu + b * u1, cv + b * v1
            rest = one - a - b
            if rest > float32(1e-4):
                red, green, blue = sample_patch(interior, x, y)
                y1, u1, v1 = to_ycc(red, green, blue)
                color, cu, cv = color + rest * y1, cu + rest * u1, cv + rest * v1
            line = sample_map(contact, x + ux, y + uy)
            if line > 0:
                line *= contact_line(above, below, softness, contact_width)
                red, green, blue = to_rgb(color, cu, cv)
                red *= one - line * _CONTACT_SHADE[0]
                green *= one - line * _CONTACT_SHADE[1]
                blue *= one - line * _CONTACT_SHADE[2]
                color, cu, cv = to_ycc(red, green, blue)
            front[row, column, 0] += weight * color
            front[row, column, 1] += weight * cu
            front[row, column, 2] += weight * cv
            front[row, column, 3] -= weight
