"""Image warping with dense displacement fields: regions, inversion, sampling."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit

from emotalker.render.fields import invert


@dataclass(frozen=True)
class Region:
    """A rectangle of the picture and the resolution of fields over it.

    Attributes:
        x, y, width, height: pixels.
        step: pixels between field samples.
    """

    x: int
    y: int
    width: int
    height: int
    step: int = 1

    @classmethod
    def around(cls, points: np.ndarray, margin: tuple[float, float], size: int, step: int) -> Region:
        """The rectangle around points ``(N, 2)`` with a margin (x, y) in pixels, clipped to a square of ``size`` pixels."""
        low = np.floor(np.clip(points.min(0) - margin, 0, size - 2)).astype(int)
        high = np.ceil(np.clip(points.max(0) + margin, low + 2, size)).astype(int)
        return cls(int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]), step)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the rectangle in an image array."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    @property
    def field_shape(self) -> tuple[int, int]:
        """Rows and columns of a field over this region."""
        return -(-self.height // self.step), -(-self.width // self.step)

    def field_points(self) -> np.ndarray:
        """Positions of the field's samples, ``(rows * columns, 2)`` pixels of the picture."""
        rows, columns = self.field_shape
        ys = self.y + (np.arange(rows) + 0.5) * self.height / rows
        xs = self.x + (np.arange(columns) + 0.5) * self.width / columns
        return np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2)

    def pixel_grid(self) -> np.ndarray:
        """Picture indices of the region's pixels, ``(height, width, 2)`` float32, for :func:`cv2.remap`."""
        xs, ys = np.meshgrid(np.arange(self.width, dtype=np.float32), np.arange(self.height, dtype=np.float32))
        return np.stack([xs + self.x, ys + self.y], -1)


class Inverter:
    """Inverts displacement fields over one region.

    The model gives the displacement of each source pixel, but sampling a picture takes the source position of each target
    pixel. For a forward displacement ``d``, ``e`` with ``e(p) = -d(p + e(p))`` is computed by damped fixed-point iteration,
    which converges where the field neither folds nor stretches by more than ``2 / damping``.
    """

    def __init__(self, region: Region, iterations: int = 6, damping: float = 0.7):
        self._region, self._iterations, self._damping = region, iterations, np.float32(damping)

    def __call__(self, displacement: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Forward displacement ``(rows, columns, 2)`` float32 in pixels to backward displacement of the same shape.

        Args:
            displacement: contiguous.
            out: written and returned; a new array by default.
        """
        backward = np.empty_like(displacement) if out is None else out
        invert(displacement, self._region.width, self._region.height, self._iterations, self._damping, backward)
        return backward


def sample(image: np.ndarray, positions: np.ndarray, interpolation: int = cv2.INTER_CUBIC) -> np.ndarray:
    """Sample ``image`` at index coordinates ``positions (H, W, 2)``, with replicated borders."""
    return cv2.remap(image, positions, None, interpolation, borderMode=cv2.BORDER_REPLICATE)


def smoothstep(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, and ``3 x^2 - 2 x^3`` in between."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def outside_polygon(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Distance ``(N,)`` in pixels of points ``(N, 2)`` from a polygon ``(P, 2)``, zero inside."""
    distances = np.empty(len(points))
    _outside_polygon(np.ascontiguousarray(points, np.float64), np.ascontiguousarray(polygon, np.float64), distances)
    return distances


@njit(nogil=True, cache=True)
def _outside_polygon(points, polygon, distances):
    """:func:`outside_polygon`: distances to all edges, and the even-odd rule."""
    for i in range(len(points)):
        x, y = points[i, 0], points[i, 1]
        nearest, inside = np.inf, False
        ax, ay = polygon[-1, 0], polygon[-1, 1]
        for j in range(len(polygon)):
            bx, by = polygon[j, 0], polygon[j, 1]
            ex, ey = bx - ax, by - ay
            length = ex * ex + ey * ey
            along = min(max(((x - ax) * ex + (y - ay) * ey) / length, 0.0), 1.0) if length > 0 else 0.0
            dx, dy = x - ax - along * ex, y - ay - along * ey
            nearest = min(nearest, dx * dx + dy * dy)
            if (ay > y) != (by > y) and x < ax + (y - ay) / ey * ex:
                inside = not inside
            ax, ay = bx, by
        distances[i] = 0.0 if inside else np.sqrt(nearest)
