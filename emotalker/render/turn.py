"""Compiled kernels of a head's turn: moving the samples of a relief, and finding the nearest one at each target sample."""

from __future__ import annotations

import numpy as np
from numba import njit

#: Target samples along each axis of a cell.
SAMPLES = 2
#: Weights of the four nearest of them along each axis: with a tent filter, the edges of what is hidden move smoothly.
_TENT = np.array([0.125, 0.375, 0.375, 0.125], np.float32)


@njit(cache=True)
def move_samples(
    surface: np.ndarray,
    head: np.ndarray,
    body: np.ndarray,
    outline: np.ndarray,
    outward: np.ndarray,
    motion: np.ndarray,
    roll: np.ndarray,
    trunk: np.ndarray,
    focal: float,
    plane: float,
    moved: np.ndarray,
) -> None:
    """Move the samples of a relief.

    A person's outline is where the line of sight touches the head, which is another line of the head in every pose. It is
    moved by the head's roll and shift alone.

    Args:
        surface: ``(rows, columns, 3)`` camera space, centimetres.
        head, body, outline, outward: as in :class:`emotalker.render.relief.Relief`.
        motion, roll, trunk: ``(3, 4)`` motion of the head, of the head by roll and shift alone, and of the torso: a point
            ``p`` is displaced by ``M[:, :3] @ p + M[:, 3]`` centimetres.
        focal: focal length in pixels.
        plane: depth of the middle of the head, centimetres.
        moved: ``(rows + 2, columns + 2, 3)`` output: displacement x, y in pixels and depth in centimetres. Its rim, outside
            the picture, is not written.
    """
    rows, columns = head.shape
    for row in range(rows):
        for column in range(columns):
            h, b = head[row, column], body[row, column]
            x, y, z = surface[row, column, 0], surface[row, column, 1], surface[row, column, 2]
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


@njit(cache=True)
def nearest_surface(moved: np.ndarray, cell_x: float, cell_y: float, depth: np.ndarray, found: np.ndarray) -> None:
    """Displacement of the nearest moved surface at every target sample (z-buffer).

    The mesh of samples is continuous and its rim does not move, so that every target sample is covered by at least one
    triangle that faces the camera; those that face away are left out.

    Args:
        moved: ``(rows + 2, columns + 2, 3)`` displacement in pixels and depth, from :func:`move_samples`.
        cell_x, cell_y: pixels between samples.
        depth: ``(SAMPLES * rows, SAMPLES * columns)`` working space.
        found: ``(SAMPLES * rows, SAMPLES * columns, 2)`` output: the displacement, in pixels, of what is seen there.
    """
    height, width = depth.shape
    depth[:] = np.inf
    found[:] = 0
    scale_x, scale_y = SAMPLES / cell_x, SAMPLES / cell_y
    for row in range(moved.shape[0] - 1):
        for column in range(moved.shape[1] - 1):
            # Centres of cells in target samples, of which the first has its centre at 0.
            x0, y0 = SAMPLES * (column - 0.5) - 0.5, SAMPLES * (row - 0.5) - 0.5
            x1, y1 = x0 + SAMPLES, y0 + SAMPLES
            for half in range(2):
                if half == 0:
                    r0, c0, r1, c1, r2, c2 = row, column, row, column + 1, row + 1, column
                    ax, ay, bx, by, cx, cy = x0, y0, x1, y0, x0, y1
                else:
                    r0, c0, r1, c1, r2, c2 = row + 1, column + 1, row + 1, column, row, column + 1
                    ax, ay, bx, by, cx, cy = x1, y1, x0, y1, x1, y0
                au, av, aw = moved[r0, c0, 0], moved[r0, c0, 1], moved[r0, c0, 2]
                bu, bv, bw = moved[r1, c1, 0], moved[r1, c1, 1], moved[r1, c1, 2]
                cu, cv, cw = moved[r2, c2, 0], moved[r2, c2, 1], moved[r2, c2, 2]
                if au == 0 and av == 0 and bu == 0 and bv == 0 and cu == 0 and cv == 0:
                    continue  # what does not move is behind all that does
                ax, ay = ax + scale_x * au, ay + scale_y * av
                bx, by = bx + scale_x * bu, by + scale_y * bv
                cx, cy = cx + scale_x * cu, cy + scale_y * cv
                area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
                if area <= 1e-6:
                    continue
                scale = 1 / area
                top, bottom = max(0, int(np.ceil(min(ay, by, cy)))), min(height - 1, int(np.floor(max(ay, by, cy))))
                left, right = max(0, int(np.ceil(min(ax, bx, cx)))), min(width - 1, int(np.floor(max(ax, bx, cx))))
                # Samples on an edge belong to both triangles, in spite of rounding.
                slack = -1e-4
                for y in range(top, bottom + 1):
                    for x in range(left, right + 1):
                        wb = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) * scale
                        wc = ((y - ay) * (bx - ax) - (x - ax) * (by - ay)) * scale
                        wa = 1 - wb - wc
                        if wa < slack or wb < slack or wc < slack:
                            continue
                        w = wa * aw + wb * bw + wc * cw
                        if w < depth[y, x]:
                            depth[y, x] = w
                            found[y, x, 0] = wa * au + wb * bu + wc * cu
                            found[y, x, 1] = wa * av + wb * bv + wc * cv


@njit(cache=True)
def average_backward(found: np.ndarray, cell_x: float, cell_y: float, backward: np.ndarray) -> None:
    """Backward displacement of cells from the displacement at their target samples.

    Source positions are kept half a cell inside the picture, so that no pixel between cells samples outside it.

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
                r = min(max(2 * row + i - 1, 0), height - 1)
                for j in range(4):
                    c = min(max(2 * column + j - 1, 0), width - 1)
                    weight = _TENT[i] * _TENT[j]
                    x += weight * found[r, c, 0]
                    y += weight * found[r, c, 1]
            backward[row, column, 0] = -min(max(x, (column - columns + 1) * cell_x), column * cell_x)
            backward[row, column, 1] = -min(max(y, (row - rows + 1) * cell_y), row * cell_y)
