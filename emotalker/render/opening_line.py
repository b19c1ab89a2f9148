"""The line along which an opening of the face (mouth or eye) opens, and the opening's edges in the photo."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from emotalker.face.topology import Contours

#: The two sides of an opening line, as signs of the lifted coordinate.
UPPER, LOWER = 1.0, -1.0

#: Width of the blended rim of an opening in a photo, relative to the opening's width.
_RIM = 0.008


@dataclass(frozen=True)
class OpeningLine:
    """A line from corner to corner across which a displacement field may be discontinuous.

    Attributes:
        points: ``(P, 2)`` polyline in pixels, from the viewer's left to right.
        reach: distance from the line within which the two sides are separated, in half widths of the opening.
        lift: lifted coordinate in the middle of the upper side, in half widths.
    """

    points: np.ndarray
    reach: float = 1.2
    lift: float = 1.6

    @property
    def width(self) -> float:
        """Distance between the corners, pixels."""
        return np.linalg.norm(self.points[-1] - self.points[0])

    @property
    def half_width(self) -> float:
        """Half of :attr:`width`, the unit of :meth:`local`."""
        return self.width / 2

    @property
    def normal(self) -> np.ndarray:
        """Unit vector ``(2,)`` across the line, downwards."""
        axis = self.points[-1] - self.points[0]
        return np.array([-axis[1], axis[0]]) / np.linalg.norm(axis)

    def local(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates of points ``(..., 2)`` in pixels along and across the line, each ``(...)``.

        Along is -1 and 1 at the corners. Across is the signed distance below the line, in half widths.
        """
        first, last = self.points[0], self.points[-1]
        axis, normal = (last - first) / self.width, self.normal
        centre = (first + last) / 2

        def transform(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            offset = (p - centre) / self.half_width
            return offset @ axis, offset @ normal

        along, across = transform(points)
        line_along, line_across = transform(self.points)
        return along, across - np.interp(along, line_along, line_across)

    def height(self, points: np.ndarray, side: float | np.ndarray | None = None) -> np.ndarray:
        """Lifted coordinate ``(...)`` of points ``(..., 2)``, pixels; ``side`` (UPPER or LOWER) overrides their own side."""
        along, across = self.local(points)
        if side is None:
            side = np.where(across < 0, UPPER, LOWER)
        profile = np.sqrt(np.clip(1 - along**2, 0, None)) * np.exp(-0.5 * (across / self.reach * 2) ** 2)
        return side * self.lift * self.half_width * profile


class OpeningEdges(NamedTuple):
    """An opening in a photo.

    Attributes:
        line: the middle line.
        upper, lower: ``(P, 2)`` edges in pixels; equal where the opening is closed.
    """

    line: OpeningLine
    upper: np.ndarray
    lower: np.ndarray


def opening_edges(points: np.ndarray, contours: Contours, closed_gap: float = 0.0, open_rim: float = _RIM) -> OpeningEdges:
    """The line and the edges of an opening in a photo.

    Args:
        points: ``(478, 2)`` landmarks, pixels.
        contours: the opening.
        closed_gap: gaps up to this fraction of the width count as closed: both edges are on the middle line.
        open_rim: width of the blended rim where the gap is at least eight times as wide, relative to the opening's width.
    """
    upper, lower = points[contours.upper], points[contours.lower]
    middle = (upper + lower) / 2
    gap = np.linalg.norm(lower - upper, axis=1)
    line = OpeningLine(middle)
    # The edges of an opening that is taller than wide are separated as well.
    line = replace(line, reach=max(line.reach, 2 * line.reach * gap.max() / line.width))
    least = closed_gap * line.width
    open_fraction = (np.clip(gap - least, 0, None) / np.maximum(gap, 1e-6))[:, None]
    # The rim of an opening blends skin and interior. If it moved with the skin layers, it would be visible as a bright line.
    wide = np.clip(gap / (4 * open_rim * line.width) - 1, 0, 1)
    rim = 1 + (_RIM + wide * (open_rim - _RIM))[:, None] * line.width / np.maximum(gap / 2, 1e-6)[:, None]
    open_fraction = open_fraction * np.minimum(rim, 1.5)
    return OpeningEdges(line, middle + (upper - middle) * open_fraction, middle + (lower - middle) * open_fraction)
