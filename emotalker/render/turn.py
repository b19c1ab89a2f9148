"""Compiled kernels of a head's turn: moving the samples of a relief, and finding the nearest one at each target sample."""

from __future__ import annotations

import numpy as np
from numba import njit

#: Target samples along each axis of a cell.
SAMPLES = 2
#: Weights of the four nearest of them along each axis: with a tent filter, the edges of what is hidden move smoothly.
_TENT = np.array([0.125, 0.375, 0.375, 0.125], np.float32)
#: Width of the band along the picture's border that is mirrored outwards, cells.
_BAND = np.float32(2.5)
#: Not "fastmath": it would drop the test for infinite depth, and the exact zero of what does not move.
_OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**_OPTIONS)
def move_samples(
    surface: np.ndarray,
    weights: np.ndarray,
    outline: np.ndarray,
    outward: np.ndarray,
    face: np.ndarray,
    place: np.ndarray,
    motion: np.ndarray,
    roll: np.ndarray,
    trunk: np.ndarray,
    focal: float,
    plane: float,
    moved: np.ndarray,
) -> None:
    """Move the samples of a relief, whose face has moved before in the portrait's pose.

    A person's outline is where the line of sight touches the head, which is another line of the head in every pose. It is
    moved by the head's roll and shift alone.

    Args:
        surface: ``(rows, columns, 3)`` camera space, centimetres.
        weights, outline, outward: as in :class:`emotalker.render.relief.Relief`.
        face: ``(rows', columns', 2)`` backward displacement of the face, samples: a chin that has come down over the neck is
            as near as a chin. All zero for a face at rest.
        place: ``(4,)`` the face's sample at sample ``(i, j)`` is ``place[:2] + place[2:] * (i, j)``, as column and row.
        motion, roll, trunk: ``(3, 4)`` motion of the head, of the head by roll and shift alone, and of the torso: a point
            ``p`` is displaced by ``M[:, :3] @ p + M[:, 3]`` centimetres.
        focal: focal length in pixels.
        plane: depth of the middle of the head, centimetres.
        moved: ``(rows + 2, columns + 2, 3)`` output: displacement x, y in pixels and depth in centimetres. Its rim, outside
            the picture, is not written.
    """
    rows, columns = outline.shape
    zero, last_row, last_column = np.float32(0), np.float32(rows - 1.001), np.float32(columns - 1.001)
    for row in range(rows):
        for column in range(columns):
            h, b = weights[row, column, 0], weights[row, column, 1]
            x, y, z = surface[row, column, 0], surface[row, column, 1], surface[row, column, 2]
            i, j = place[0] + place[2] * column, place[1] + place[3] * row
            if i > 0 and j > 0 and i < face.shape[1] - 1 and j < face.shape[0] - 1:
                r, c = row + _between(face, j, i, 1), column + _between(face, j, i, 0)
                if r != row or c != column:
                    r, c = min(max(r, zero), last_row), min(max(c, zero), last_column)
                    there = _between(surface, r, c, 2)
                    h, b = _between(weights, r, c, 0), _between(weights, r, c, 1)
                    x, y, z = x * there / z, y * there / z, there
            dx = h * (motion[0, 0] * x + motion[0, 1] * y + motion[0, 2] * z + motion[0, 3])
            dy = h * (motion[1, 0] * x + motion[1, 1] * y + motion[1, 2] * z + motion[1, 3])
            dz = h * (motion[2, 0] * x + motion[2, 1] * y + motion[2, 2] * z + motion[2, 3])
            share = outline[row, column]
            if share > 0 and h > 0:
                px, py, pz = -x / z * plane, -y / z * plane, -plane
                ex = motion[0, 0] * px + motion[0, 1] * py + motion[0, 2] * pz + motion[0, 3]
                ey = motion[1, 0] * px + motion[1, 1] * py + motion[1, 2] * pz + motion[1, 3]
                fx = roll[0, 0] * px + roll[0, 1] * py + roll[0, 2] * pz + roll[0, 3] - ex
                fy = roll[1, 0] * px + roll[1, 1] * py + roll[1, 2] * pz + roll[1, 3] - ey
                nx, ny = outward[row, column, 0], outward[row, column, 1]
                rx = nx + roll[0, 0] * nx + roll[0, 1] * ny
                ry = ny + roll[1, 0] * nx + roll[1, 1] * ny
                along = fx * rx + fy * ry
                dx += share * h * along * rx
                dy += share * h * along * ry
            dx += b * (trunk[0, 0] * x + trunk[0, 1] * y + trunk[0, 2] * z + trunk[0, 3])
            dy += b * (trunk[1, 0] * x + trunk[1, 1] * y + trunk[1, 2] * z + trunk[1, 3])
            dz += b * (trunk[2, 0] * x + trunk[2, 1] * y + trunk[2, 2] * z + trunk[2, 3])
            # A head that comes closer than a third of its distance is a fault in the pose, not a motion to show.
            near = min(z + dz, z / 3)
            # x / near - x / z without cancellation: exactly zero where nothing moves.
            change = (z - near) / (z * near)
            moved[row + 1, column + 1, 0] = -focal * (dx / near + x * change)
            moved[row + 1, column + 1, 1] = focal * (dy / near + y * change)
            moved[row + 1, column + 1, 2] = -near


@njit(**_OPTIONS)
def _between(field: np.ndarray, row: float, column: float, channel: int) -> float:
    """Linear interpolation of one channel of ``(rows, columns, C)``; the position is inside."""
    i, j = int(row), int(column)
    fy, fx = np.float32(row - i), np.float32(column - j)
    upper = field[i, j, channel] + fx * (field[i, j + 1, channel] - field[i, j, channel])
    lower = field[i + 1, j, channel] + fx * (field[i + 1, j + 1, channel] - field[i + 1, j, channel])
    return upper + fy * (lower - upper)


@njit(**_OPTIONS)
def nearest_surface(
    moved: np.ndarray, cell_x: float, cell_y: float, rim: float, depth: np.ndarray, found: np.ndarray
) -> None:
    """Displacement of the nearest moved surface at every target sample (z-buffer).

    The mesh of samples is continuous and its rim does not move, so that every target sample is covered by at least one
    triangle that faces the camera; those that face away are left out.

    Args:
        moved: ``(rows + 2, columns + 2, 3)`` displacement in pixels and depth, from :func:`move_samples`.
        cell_x, cell_y: pixels between samples.
        rim: cells between the picture's outer samples and the rim.
        depth: ``(SAMPLES * rows, SAMPLES * columns)`` working space.
        found: ``(SAMPLES * rows, SAMPLES * columns, 2)`` output: the displacement, in pixels, of what is seen there.
    """
    height, width = depth.shape
    depth[:] = np.inf
    found[:] = 0
    scale_x, scale_y = np.float32(SAMPLES / cell_x), np.float32(SAMPLES / cell_y)
    # Samples on an edge belong to both triangles, in spite of rounding.
    slack = np.float32(-1e-4)
    for row in range(moved.shape[0] - 1):
        y0, y1 = _position(row, moved.shape[0], rim), _position(row + 1, moved.shape[0], rim)
        for column in range(moved.shape[1] - 1):
            x0, x1 = _position(column, moved.shape[1], rim), _position(column + 1, moved.shape[1], rim)
            for half in range(2):
                if half == 0:
                    r0, c0, c1, r2 = row, column, column + 1, row + 1
                    ax, ay, bx, cy = x0, y0, x1, y1
                else:
                    r0, c0, c1, r2 = row + 1, column + 1, column, row
                    ax, ay, bx, cy = x1, y1, x0, y0
                au, av, bu, bv = moved[r0, c0, 0], moved[r0, c0, 1], moved[r0, c1, 0], moved[r0, c1, 1]
                cu, cv = moved[r2, c0, 0], moved[r2, c0, 1]
                if au == 0 and av == 0 and bu == 0 and bv == 0 and cu == 0 and cv == 0:
                    continue  # what does not move is behind all that does
                by, cx = ay + scale_y * bv, ax + scale_x * cu
                ax, ay, bx, cy = ax + scale_x * au, ay + scale_y * av, bx + scale_x * bu, cy + scale_y * cv
                area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
                if area <= np.float32(1e-6):
                    continue
                top, bottom = max(0, int(np.ceil(min(ay, by, cy)))), min(height - 1, int(np.floor(max(ay, by, cy))))
                left, right = max(0, int(np.ceil(min(ax, bx, cx)))), min(width - 1, int(np.floor(max(ax, bx, cx))))
                if left > right or top > bottom:
                    continue
                aw, bw, cw = moved[r0, c0, 2], moved[r0, c1, 2], moved[r2, c0, 2]
                inverse = np.float32(1) / area
                b_x, b_y = (cy - ay) * inverse, (ax - cx) * inverse
                c_x, c_y = (ay - by) * inverse, (bx - ax) * inverse
                for y in range(top, bottom + 1):
                    dy = np.float32(y) - ay
                    for x in range(left, right + 1):
                        dx = np.float32(x) - ax
                        wb, wc = dx * b_x + dy * b_y, dx * c_x + dy * c_y
                        if wb < slack or wc < slack or wb + wc > np.float32(1) - slack:
                            continue
                        w = aw + wb * (bw - aw) + wc * (cw - aw)
                        if w < depth[y, x]:
                            depth[y, x] = w
                            found[y, x, 0] = au + wb * (bu - au) + wc * (cu - au)
                            found[y, x, 1] = av + wb * (bv - av) + wc * (cv - av)


@njit(**_OPTIONS)
def _position(index: int, count: int, rim: float) -> float:
    """Position in target samples of a row or column of ``count`` mesh vertices, of which the first and last are the rim."""
    cell = np.float32(index - 1)
    if index == 0:
        cell = -rim
    elif index == count - 1:
        cell = np.float32(count - 3) + rim
    return np.float32(SAMPLES) * cell + np.float32(0.5 * (SAMPLES - 1))


@njit(**_OPTIONS)
def average_backward(found: np.ndarray, cell_x: float, cell_y: float, backward: np.ndarray) -> None:
    """Backward displacement of cells from the displacement at their target samples.

    What comes into view from outside the picture is mirrored at its border. Source positions are kept half a cell inside the
    picture, so that no pixel between cells samples outside it.

    Args:
        found: ``(SAMPLES * rows, SAMPLES * columns, 2)`` forward displacement, pixels.
        cell_x, cell_y: pixels between samples.
        backward: ``(rows, columns, 2)`` output, pixels.
    """
    rows, columns = backward.shape[:2]
    height, width = found.shape[:2]
    for row in range(rows):
        for column in range(columns):
            x, y = np.float32(0), np.float32(0)
            for i in range(4):
                r = min(max(SAMPLES * row + i - 1, 0), height - 1)
                for j in range(4):
                    c = min(max(SAMPLES * column + j - 1, 0), width - 1)
                    weight = _TENT[i] * _TENT[j]
                    x += weight * found[r, c, 0]
                    y += weight * found[r, c, 1]
            backward[row, column, 0] = _inside(-x, column * cell_x, (columns - 1) * cell_x, _BAND * cell_x)
            backward[row, column, 1] = _inside(-y, row * cell_y, (rows - 1) * cell_y, _BAND * cell_y)


@njit(**_OPTIONS)
def turned_light(
    lightness: np.ndarray,
    normals: np.ndarray,
    direction: np.ndarray,
    largest: float,
    backward: np.ndarray,
    cell_x: float,
    cell_y: float,
    factor: np.ndarray,
) -> None:
    """Brightness factor of a turned surface where it is seen.

    Args:
        lightness: ``(rows, columns)`` relative change of the brightness per change of the directed light.
        normals: ``(rows, columns, 3)``.
        direction: ``(3,)``; its product with a normal is the change of the directed light.
        largest: most that the brightness changes.
        backward: ``(rows, columns, 2)`` displacement, pixels.
        cell_x, cell_y: pixels between samples.
        factor: ``(rows, columns)`` output.
    """
    rows, columns = lightness.shape
    one = np.float32(1)
    own = np.ones((rows, columns), np.float32)
    for row in range(rows):
        for column in range(columns):
            if lightness[row, column] != 0:
                n = normals[row, column]
                change = n[0] * direction[0] + n[1] * direction[1] + n[2] * direction[2]
                own[row, column] = one + largest * np.tanh(lightness[row, column] * change / largest)
    last_row, last_column = np.float32(rows - 1), np.float32(columns - 1)
    for row in range(rows):
        for column in range(columns):
            dx, dy = backward[row, column, 0], backward[row, column, 1]
            if dx == 0 and dy == 0:
                factor[row, column] = own[row, column]
                continue
            x = min(max(np.float32(column) + dx / cell_x, np.float32(0)), last_column)
            y = min(max(np.float32(row) + dy / cell_y, np.float32(0)), last_row)
            i, j = min(int(x), columns - 2), min(int(y), rows - 2)
            tx, ty = x - np.float32(i), y - np.float32(j)
            upper = own[j, i] + tx * (own[j, i + 1] - own[j, i])
            lower = own[j + 1, i] + tx * (own[j + 1, i + 1] - own[j + 1, i])
            factor[row, column] = upper + ty * (lower - upper)


@njit(**_OPTIONS)
def _inside(displacement: float, position: float, last: float, band: float) -> float:
    """The displacement with its end mirrored into 0..last, for a position in 0..last.

    It ends at most ``band`` inside the border, so that hair at the border goes on but no second head comes into view.
    """
    if displacement < -position:
        displacement = band * (1 - np.exp((displacement + position) / band)) - position
    elif displacement > last - position:
        displacement = last - position - band * (1 - np.exp((last - position - displacement) / band))
    return displacement
