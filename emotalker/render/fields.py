"""Compiled operations on coarse displacement fields: mixture of a basis, inversion, composition."""

from __future__ import annotations

import numpy as np
from numba import float32, njit

from emotalker.render.drawing import STILL, place_of
from emotalker.render.sampling import COMPILED, sample_field, sample_map

#: Nodes of a field that are computed together, so that their sums stay in the processor's cache.
_CHUNK = 4096

#: Change of an inverse displacement in pixels below which its iteration ends.
_CONVERGED = float32(1e-2)


@njit(**COMPILED)
def mix(amounts, basis, out):
    """``out = sum_c amounts[c] basis[c]``, always in the same order of summation.

    Args:
        amounts: ``(C,)`` float32.
        basis: ``(C, N)`` float32.
        out: ``(N,)`` float32.
    """
    for start in range(0, out.shape[0], _CHUNK):
        part = out[start : start + _CHUNK]
        part[:] = float32(0)
        for c in range(amounts.shape[0]):
            amount, row = amounts[c], basis[c, start : start + _CHUNK]
            if amount != 0:
                for n in range(part.shape[0]):
                    part[n] += amount * row[n]


@njit(**COMPILED)
def invert(forward, width, height, iterations, damping, backward):
    """Backward displacement ``e`` with ``e(p) = -d(p + e(p))`` by damped fixed-point iteration at every node.

    Args:
        forward: ``d (rows, columns, 2)`` float32, pixels.
        width, height: of the region that the nodes cover, pixels.
        iterations: at most; a node ends when it changes by less than a hundredth of a pixel.
        damping: factor of each step.
        backward: ``e``, written.
    """
    rows, columns = forward.shape[:2]
    scale_x, scale_y = float32(columns) / float32(width), float32(rows) / float32(height)
    for j in range(rows):
        for i in range(columns):
            x, y = -forward[j, i, 0], -forward[j, i, 1]
            if max(abs(x), abs(y)) >= _CONVERGED:
                for _ in range(iterations):
                    dx, dy = sample_field(forward, float32(i) + x * scale_x, float32(j) + y * scale_y)
                    step_x, step_y = damping * (x + dx), damping * (y + dy)
                    x, y = x - step_x, y - step_y
                    if max(abs(step_x), abs(step_y)) < _CONVERGED:
                        break
            backward[j, i, 0], backward[j, i, 1] = x, y


@njit(**COMPILED)
def compose(pose, face, place, shade, rectangles, person, size, nodes, spans, boxes):
    """Compose the fields of the pose and the face at the nodes of the pose's grid.

    Args:
        pose: ``(rows, columns, 2)`` float32 backward displacement of the pose over the whole picture, pixels.
        face: ``(rows', columns', 2)`` float32 backward displacement of the face over its rectangle.
        place: x, y, width, height of that rectangle, pixels.
        shade: of the frame; see :mod:`emotalker.render.drawing`.
        rectangles: ``(3, 4)`` float32 openings in the portrait's pose: x0, y0, x1, y1, pixels; empty for none.
        person: ``(rows, columns)`` bool, whether there is any of the person near a node in the portrait's pose; elsewhere the
            background stands still.
        size: side of the picture.
        nodes: ``(rows, columns, 6)`` float32, written: displacement to the position in the photo, position in the canonical
            face, displacement to the position in the portrait's pose; each ``(x, y)``.
        spans: ``(rows, 2)`` int32, written: first and last node of each row that moves, is shaded or is in an opening.
        boxes: ``(3, 4)`` int32, written: x0, y0, x1, y1 of the pixels that may show each opening.
    """
    rows, columns = pose.shape[:2]
    x, y, width, height = place
    cell_x, cell_y = float32(size) / float32(columns), float32(size) / float32(rows)
    scale_x, scale_y = float32(face.shape[1]) / float32(width), float32(face.shape[0]) / float32(height)
    half, last, places = float32(0.5), float32(shade.ratio.shape[0]), shade.places
    boxes[:, :2], boxes[:, 2:] = size, -1
    for j in range(rows):
        spans[j, 0], spans[j, 1] = columns, -1
        for i in range(columns):
            qx, qy = (float32(i) + half) * cell_x - half, (float32(j) + half) * cell_y - half
            rx, ry = pose[j, i, 0], pose[j, i, 1]
            px, py = qx + rx, qy + ry
            fx, fy = sample_field(face, (px + half - float32(x)) * scale_x - half, (py + half - float32(y)) * scale_y - half)
            moving = abs(rx + fx) > STILL or abs(ry + fy) > STILL
            if moving and not person[j, i]:  # neither was nor comes the person here
                pj, pi = int((py + half) / cell_y), int((px + half) / cell_x)
                moving = person[min(max(pj, 0), rows - 1), min(max(pi, 0), columns - 1)]
            cx = cy = float32(-1)
            if shade.on:
                cx, cy = place_of(places, shade.x, shade.y, shade.spacing, px + fx, py + fy)
                moving |= cx > -1 and cy > -1 and cx < last and cy < last
            for k in range(3):
                in_x = px > rectangles[k, 0] - cell_x and px < rectangles[k, 2] + cell_x
                if in_x and py > rectangles[k, 1] - cell_y and py < rectangles[k, 3] + cell_y:
                    moving = True
                    boxes[k, 0] = min(boxes[k, 0], int(qx - 2 * cell_x))
                    boxes[k, 1] = min(boxes[k, 1], int(qy - 2 * cell_y))
                    boxes[k, 2] = max(boxes[k, 2], int(qx + 2 * cell_x))
                    boxes[k, 3] = max(boxes[k, 3], int(qy + 2 * cell_y))
            nodes[j, i, 0], nodes[j, i, 1], nodes[j, i, 2], nodes[j, i, 3] = rx + fx, ry + fy, cx, cy
            nodes[j, i, 4], nodes[j, i, 5] = rx, ry
            if moving:
                spans[j, 0], spans[j, 1] = min(spans[j, 0], i), i


@njit(**COMPILED)
def is_open(backward, inside, width, height):
    """Whether the two layers of an opening are apart at any node, so that its interior is visible.

    Args:
        backward: ``(2, rows, columns, 2)`` float32 backward displacements, pixels.
        inside: ``(2, height, width)`` float32 signed distances from the layers' edges.
        width, height: of the rectangle, pixels.
    """
    rows, columns = backward.shape[1:3]
    half = float32(0.5)
    for j in range(rows):
        y = (float32(j) + half) * float32(height) / float32(rows) - half
        for i in range(columns):
            x = (float32(i) + half) * float32(width) / float32(columns) - half
            total = sample_map(inside[0], x + backward[0, j, i, 0], y + backward[0, j, i, 1])
            total += sample_map(inside[1], x + backward[1, j, i, 0], y + backward[1, j, i, 1])
            if total < float32(-0.05):
                return True
    return False


@njit(**COMPILED)
def shading_ratio(amounts, log_ratios, skin, brightening, limit, out):
    """Factor of brightness in the canonical face; see :class:`emotalker.render.shading.PortraitShading`.

    Args:
        amounts: ``(K,)`` float32.
        log_ratios: ``(K, N)`` float32.
        skin: ``(N,)`` float32, 0 where there is no shading.
        brightening, limit: factor of log ratios that brighten, and the largest log ratio.
        out: ``(N,)`` float32, written.
    """
    mix(amounts, log_ratios, out)
    for n in range(out.shape[0]):
        if skin[n] > 0:
            value = out[n] * (brightening if out[n] > 0 else float32(1))
            out[n] = np.exp(skin[n] * limit * np.tanh(value / limit))
        else:
            out[n] = float32(1)
