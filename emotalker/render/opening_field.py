"""Scattered displacements to a dense field that may tear along the lips and the eyelids, and nowhere else.

An interpolator in the plane cannot let two lips move apart: points a pixel from each other must move alike. Here every
point gets a third coordinate, which lifts what lies above an opening and lowers what lies below it, most in its middle and
not at all at its corners. In that lifted space the two lips are far apart, so one smooth radial-basis interpolant gives a
field that is discontinuous across the opening and smooth around its corners. Evaluated with the height of one side kept
everywhere, it continues that lip's motion past the opening: the upper and the lower *sheet*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

UPPER, LOWER = 1.0, -1.0

#: Roundness of the kernel's tip, in units of the field's scale: below the distance of neighbouring points.
_TIP = 0.015


@dataclass(frozen=True)
class OpeningLine:
    """A line from corner to corner along which the field may tear.

    Attributes:
        line: ``(P, 2)`` polyline, pixels, ordered from the viewer's left to right.
        reach: how far across the line the two sides are told apart, in half widths of the opening_line.
        lift: height of the middle of either side, in half widths.
    """

    line: np.ndarray
    reach: float = 1.2
    lift: float = 1.6

    def local(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates along and across the opening_line: points ``(..., 2)`` -> along (-1 and 1 at the corners) and signed distance
        below the line, in half widths, each ``(...)``."""
        first, last = self.line[0], self.line[-1]
        half = np.linalg.norm(last - first) / 2
        axis = (last - first) / (2 * half)
        normal = np.array([-axis[1], axis[0]])
        centre = (first + last) / 2

        def transform(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            offset = (p - centre) / half
            return offset @ axis, offset @ normal

        along, across = transform(points)
        line_along, line_across = transform(self.line)
        return along, across - np.interp(along, line_along, line_across)

    def height(self, points: np.ndarray, side: float | np.ndarray | None = None) -> np.ndarray:
        """Lifted coordinate of points ``(..., 2)`` in pixels, ``(...)``; ``side`` overrides the side they lie on."""
        half = np.linalg.norm(self.line[-1] - self.line[0]) / 2
        along, across = self.local(points)
        if side is None:
            side = np.where(across < 0, UPPER, LOWER)
        profile = np.sqrt(np.clip(1 - along**2, 0, None)) * np.exp(-0.5 * (across / self.reach * 2) ** 2)
        return side * self.lift * half * profile


class OpeningField:
    """A vector-valued interpolant over the plane with opening_lines.

    The kernel is the multiquadric with an affine part: smoother than linear interpolation, without the overshoot of thin
    plates where points are sparse.

    Args:
        points: ``(N, 2)`` pixels.
        values: ``(N, C)`` what to interpolate.
        opening_lines: where the field may tear.
        sides: per opening_line, point positions known to lie on a side: ``[(upper indices, lower indices), ...]``. Detected points
            of closed lips may cross the line by a pixel; their side is known all the same.
        scale: unit of length, pixels (a face height), which makes smoothing independent of resolution.
        smoothing: weight of smoothness against exactness; takes the jitter out of single points.
    """

    def __init__(
        self,
        points: np.ndarray,
        values: np.ndarray,
        opening_lines: Sequence[OpeningLine],
        sides: Sequence[tuple[np.ndarray, np.ndarray]],
        scale: float,
        smoothing: float = 5e-3,
    ):
        self.opening_lines, self.scale = tuple(opening_lines), scale
        height = np.zeros(len(points))
        for opening_line, (upper, lower) in zip(self.opening_lines, sides, strict=True):
            side = np.where(opening_line.local(points)[1] < 0, UPPER, LOWER)
            side[upper], side[lower] = UPPER, LOWER
            height += opening_line.height(points, side)
        self._centres = np.column_stack([points, height]) / scale
        n = len(points)
        affine = self._affine(self._centres)
        system = np.zeros((n + 4, n + 4))
        system[:n, :n] = self._kernel(self._centres) + smoothing * np.eye(n)
        system[:n, n:], system[n:, :n] = affine, affine.T
        system[n:, n:] = 1e-9 * np.eye(4)
        right = np.zeros((n + 4, values.shape[1]))
        right[:n] = values
        self._weights = np.linalg.solve(system, right).astype(np.float32)

    @staticmethod
    def _affine(lifted: np.ndarray) -> np.ndarray:
        return np.column_stack([np.ones(len(lifted)), lifted])

    def _kernel(self, lifted: np.ndarray) -> np.ndarray:
        return -np.sqrt(cdist(lifted, self._centres, "sqeuclidean") + _TIP**2)

    def __call__(self, points: np.ndarray, side: float | None = None, opening_line: int | None = None) -> np.ndarray:
        """Evaluate at ``(M, 2)`` pixels -> ``(M, C)`` float32. ``side`` (UPPER or LOWER) continues that side of opening_line number
        ``opening_line`` across its line."""
        height = np.zeros(len(points))
        for number, s in enumerate(self.opening_lines):
            height += s.height(points, side if number == opening_line else None)
        lifted = np.column_stack([points, height]) / self.scale
        n = len(self._centres)
        kernel = self._kernel(lifted).astype(np.float32)
        return kernel @ self._weights[:n] + self._affine(lifted).astype(np.float32) @ self._weights[n:]
