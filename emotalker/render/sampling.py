"""Compiled sampling of pictures and fields at arbitrary positions: the inner functions of :mod:`emotalker.render.drawing`.

Positions are index coordinates ``(x, y)``: the centre of the first pixel or sample is 0. All functions are compiled by numba
for float32 arrays, and inlined into the loops that call them.
"""

from __future__ import annotations

from numba import float32, int32, njit, uint32, uint64

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
def cubic_row(xs, ys, first, stop, size, places, weights):
    """Prepare cubic samples of padded planes at a row of positions, for :func:`sample_row`.

    This loop and that of :func:`sample_row` are apart because the compiler turns this one into vector instructions.

    Args:
        xs, ys: ``(N,)`` float32; clipped to a pixel around the photo.
        first, stop: which of them.
        size: side of the photo.
        places: ``(N,)`` int32, written: index of the first of 4 x 4 pixels in a flat padded plane.
        weights: ``(8, N)`` float32, written: weights of the four columns, then of the four rows.
    """
    low, high, padding, stride = float32(-1), float32(size), float32(PADDING), int32(size + 2 * PADDING)
    for x in range(uint64(first), uint64(stop)):
        px, py = min(max(xs[x], low), high) + padding, min(max(ys[x], low), high) + padding
        column, row = int32(px), int32(py)
        places[x] = (row - int32(1)) * stride + column - int32(1)
        weights[0, x], weights[1, x], weights[2, x], weights[3, x] = cubic_weights(px - float32(column))
        weights[4, x], weights[5, x], weights[6, x], weights[7, x] = cubic_weights(py - float32(row))


@njit(**COMPILED)
def sample_row(plane, size, first, stop, places, weights, factor, out):
    """``out[x] = factor[x] * plane(position x)`` for the positions of :func:`cubic_row`; ``plane`` is flat and padded."""
    stride = uint32(size + 2 * PADDING)
    for x in range(uint64(first), uint64(stop)):
        a, b, c, d = weights[0, x], weights[1, x], weights[2, x], weights[3, x]
        i, total = uint32(places[x]), float32(0)
        for row in range(4):
            left = a * plane[i] + b * plane[i + uint32(1)]
            right = c * plane[i + uint32(2)] + d * plane[i + uint32(3)]
            total += weights[4 + row, x] * (left + right)
            i += stride
        out[x] = factor[x] * total


@njit(**COMPILED)
def sample_color(luma, u, v, size, x, y):
    """Cubic sample of three flat padded planes at one position."""
    x = min(max(x, float32(-1)), float32(size)) + float32(PADDING)
    y = min(max(y, float32(-1)), float32(size)) + float32(PADDING)
    column, row = int32(x), int32(y)
    a, b, c, d = cubic_weights(x - float32(column))
    e, f, g, h = cubic_weights(y - float32(row))
    stride = uint32(size + 2 * PADDING)
    i = uint32(row - int32(1)) * stride + uint32(column - int32(1))
    y0 = y1 = y2 = float32(0)
    for k in (e, f, g, h):
        for weight in (k * a, k * b, k * c, k * d):
            y0, y1, y2 = y0 + weight * luma[i], y1 + weight * u[i], y2 + weight * v[i]
            i += uint32(1)
        i += stride - uint32(4)
    return y0, y1, y2


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
