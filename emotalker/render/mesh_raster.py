"""A z-buffer rasteriser of textured, shaded triangles, compiled with numba: a head at 1024 x 1024 in some milliseconds."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def draw_triangles(points, triangles, one_sided, brightness, uv, textures, texture_of, colors, picture, depth):
    """Draw triangles over a picture, in place; the nearest surface wins.

    Args:
        points: ``(V, 3)`` float32: u, v in pixels (pixel centres at +0.5) and depth > 0; a triangle with a corner at depth
            <= 0 is skipped.
        triangles: ``(F, 3)`` int32.
        one_sided: ``(F,)`` bool, whether a triangle is invisible from behind.
        brightness: ``(V,)`` float32, factor of the colour at each vertex.
        uv: ``(F, 3, 2)`` float32 texture coordinates of the corners, 0..1, v up.
        textures: tuple of ``(H, W, 3)`` uint8.
        texture_of: ``(F,)`` int32, index of each triangle's texture, or -1 for its colour.
        colors: ``(F, 3)`` float32 in 0..255.
        picture: ``(H, W, 3)`` uint8, changed.
        depth: ``(H, W)`` float32, the depth of what the picture shows, changed.
    """
    height, width = depth.shape
    for f in range(len(triangles)):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        ax, ay, az = points[a, 0], points[a, 1], points[a, 2]
        bx, by, bz = points[b, 0], points[b, 1], points[b, 2]
        cx, cy, cz = points[c, 0], points[c, 1], points[c, 2]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        # v points down, so a counter-clockwise triangle has negative area on the screen.
        if min(az, bz, cz) <= 0 or abs(area) < 1e-9 or (one_sided[f] and area > 0):
            continue
        left, right = max(0, int(np.ceil(min(ax, bx, cx) - 0.5))), min(width - 1, int(np.floor(max(ax, bx, cx) - 0.5)))
        top, bottom = max(0, int(np.ceil(min(ay, by, cy) - 0.5))), min(height - 1, int(np.floor(max(ay, by, cy) - 0.5)))
        texture = texture_of[f]
        for y in range(top, bottom + 1):
            dy = y + 0.5 - ay
            for x in range(left, right + 1):
                dx = x + 0.5 - ax
                second = (dx * (cy - ay) - dy * (cx - ax)) / area
                third = (dy * (bx - ax) - dx * (by - ay)) / area
                first = 1 - second - third
                if first < 0 or second < 0 or third < 0:
                    continue
                # Perspective correct: quantities over depth are linear on the screen.
                wa, wb, wc = first / az, second / bz, third / cz
                z = 1 / (wa + wb + wc)
                if z >= depth[y, x]:
                    continue
                depth[y, x] = z
                wa, wb, wc = wa * z, wb * z, wc * z
                light = wa * brightness[a] + wb * brightness[b] + wc * brightness[c]
                if texture < 0:
                    for channel in range(3):
                        picture[y, x, channel] = min(255.0, light * colors[f, channel] + 0.5)
                    continue
                u = wa * uv[f, 0, 0] + wb * uv[f, 1, 0] + wc * uv[f, 2, 0]
                v = wa * uv[f, 0, 1] + wb * uv[f, 1, 1] + wc * uv[f, 2, 1]
                image = textures[texture]
                rows, columns = image.shape[0], image.shape[1]
                tx = min(max(u * columns - 0.5, 0.0), columns - 1.001)
                ty = min(max((1 - v) * rows - 0.5, 0.0), rows - 1.001)
                ix, iy = int(tx), int(ty)
                fx, fy = tx - ix, ty - iy
                for channel in range(3):
                    upper = image[iy, ix, channel] * (1 - fx) + image[iy, ix + 1, channel] * fx
                    lower = image[iy + 1, ix, channel] * (1 - fx) + image[iy + 1, ix + 1, channel] * fx
                    picture[y, x, channel] = min(255.0, light * (upper * (1 - fy) + lower * fy) + 0.5)


@njit(cache=True, nogil=True)
def smooth_normals(vertices, triangles, normals):
    """Area-weighted unit normals ``(V, 3)`` float32 of a mesh ``(V, 3)`` float32, ``(F, 3)`` int32, written in place."""
    normals[:] = 0
    for f in range(len(triangles)):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        ux, uy, uz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
        vx, vy, vz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for corner in (a, b, c):
            normals[corner, 0] += nx
            normals[corner, 1] += ny
            normals[corner, 2] += nz
    for i in range(len(normals)):
        length = np.sqrt(normals[i, 0] ** 2 + normals[i, 1] ** 2 + normals[i, 2] ** 2)
        if length > 0:
            for k in range(3):
                normals[i, k] /= length
