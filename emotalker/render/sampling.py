"""Compiled sampling of pictures and fields at arbitrary positions: the inner functions of :mod:`emotalker.render.drawing`.

Positions are index coordinates ``(x, y)``: the centre of the first pixel or sample is 0. All functions are compiled by numba
for float32 arrays, and inlined into the loops that call them.
"""

from __future__ import annotations

from numba import float32, int32, njit, uint32

#: Options of every compiled function. Each result is a sum in fixed order, so equal input gives equal output. The division
#: model of NumPy avoids a test per division.
COMPILED = {"nogil": True, "cache": True, "fastmath": True, "error_model": "numpy"}

#: Replicated pixels around the planes of a photo, so that the 4 x 4 pixels of a cubic sample exist everywhere.
PADDING = 3

#: Parameter of the cubic kernel, as in OpenCV.
_SHARPNESS = float32(-0.75)


@njit(**COMPILED)
def cubic_weights(t):
    """The four weights of cubic interpolation at the fraction ``t`` in 0..1 between the second and the third sample."""
    rest = float32(1) - t
    first = _SHARPNESS * t * rest * rest
    last = _SHARPNESS * t * t * rest
    second = float32(1) + t * t * ((_SHARPNESS + float32(2)) * t - (_SHARPNESS + float32(3)))
    return first, second, float32(1) - first - second - last, last


@njit(**COMPILED)
def padded_position(x, size):
    """Coordinate in a padded plane of the first of four samples around ``x``, and the fraction; ``x`` is clipped."""
    x = min(max(x, float32(-1)), float32(size)) + float32(PADDING)
    index = int32(x)
    return index - int32(1), x - float32(index)


@njit(**COMPILED)
def sample_plane(plane, x, y):
    """Cubic sample of a padded plane ``(S + 2 PADDING, S + 2 PADDING)``."""
    left, tx = padded_position(x, plane.shape[1] - 2 * PADDING)
    top, ty = padded_position(y, plane.shape[0] - 2 * PADDING)
    a, b, c, d = cubic_weights(tx)
    k = cubic_weights(ty)
    total = float32(0)
    for row in range(4):
        r, i = uint32(top + row), uint32(left)
        total += k[row] * (
            a * plane[r, i] + b * plane[r, i + uint32(1)] + c * plane[r, i + uint32(2)] + d * plane[r, i + uint32(3)]
        )
    return total


@njit(**COMPILED)
def sample_pair(pair, x, y):
    """Cubic sample of two padded planes stored alternately, ``(S + 2 PADDING, S + 2 PADDING, 2)``."""
    left, tx = padded_position(x, pair.shape[1] - 2 * PADDING)
    top, ty = padded_position(y, pair.shape[0] - 2 * PADDING)
    a, b, c, d = cubic_weights(tx)
    k = cubic_weights(ty)
    u = v = float32(0)
    i = uint32(left)
    for row in range(4):
        r = uint32(top + row)
        u += k[row] * (
            a * pair[r, i, 0] + b * pair[r, i + uint32(1), 0] + c * pair[r, i + uint32(2), 0] + d * pair[r, i + uint32(3), 0]
        )
        v += k[row] * (
            a * pair[r, i, 1] + b * pair[r, i + uint32(1), 1] + c * pair[r, i + uint32(2), 1] + d * pair[r, i + uint32(3), 1]
        )
    return u, v


@njit(**COMPILED)
def sample_patch(patch, x, y):
    """Cubic sample of ``(H, W, 3)`` uint8 with replicated borders: red, green, blue in 0..255."""
    height, width = patch.shape[:2]
    x, y = min(max(x, float32(0)), float32(width - 1)), min(max(y, float32(0)), float32(height - 1))
    left, top = int32(x), int32(y)
    horizontal, vertical = cubic_weights(x - float32(left)), cubic_weights(y - float32(top))
    red = green = blue = float32(0)
    for row in range(4):
        r = min(max(top + row - 1, 0), height - 1)
        for column in range(4):
            weight = vertical[row] * horizontal[column]
            i = min(max(left + column - 1, 0), width - 1)
            red += weight * float32(patch[r, i, 0])
            green += weight * float32(patch[r, i, 1])
            blue += weight * float32(patch[r, i, 2])
    return red, green, blue


@njit(**COMPILED)
def cell(x, count):
    """First of the two samples around ``x`` and the fraction, for linear interpolation of ``count`` samples; clipped."""
    x = min(max(x, float32(0)), float32(count - 1))
    index = min(int32(x), int32(max(count - 2, 0)))
    return uint32(index), x - float32(index)


@njit(**COMPILED)
def sample_map(image, x, y):
    """Linear sample of ``(H, W)``, both at least 2, with replicated borders."""
    i, tx = cell(x, image.shape[1])
    j, ty = cell(y, image.shape[0])
    upper = image[j, i] + tx * (image[j, i + uint32(1)] - image[j, i])
    j += uint32(1)
    lower = image[j, i] + tx * (image[j, i + uint32(1)] - image[j, i])
    return upper + ty * (lower - upper)


@njit(**COMPILED)
def sample_field(field, x, y):
    """Linear sample of ``(rows, columns, 2)``, both at least 2, with replicated borders."""
    i, tx = cell(x, field.shape[1])
    j, ty = cell(y, field.shape[0])
    ahead, below = i + uint32(1), j + uint32(1)
    a, b = (float32(1) - tx) * (float32(1) - ty), tx * (float32(1) - ty)
    c, d = (float32(1) - tx) * ty, tx * ty
    return (
        a * field[j, i, 0] + b * field[j, ahead, 0] + c * field[below, i, 0] + d * field[below, ahead, 0],
        a * field[j, i, 1] + b * field[j, ahead, 1] + c * field[below, i, 1] + d * field[below, ahead, 1],
    )
