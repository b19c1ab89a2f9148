"""Square crops of a picture: the views that the face detector and the landmark network take as input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np

#: Outer corners of the subject's right and left eye among the 478 points.
RIGHT_EYE_CORNER, LEFT_EYE_CORNER = 33, 263

#: Side of the landmark network's crop over the size of the face.
CROP_SCALE = 1.5

#: Side of the smallest tile that is searched for faces, pixels.
MIN_TILE = 128


@dataclass(frozen=True)
class Window:
    """A square of the picture. It may be rotated and may reach beyond the picture.

    Attributes:
        x, y: centre, pixels.
        side: pixels.
        angle: radians, clockwise in the picture (y points down).
    """

    x: float
    y: float
    side: float
    angle: float = 0.0

    @classmethod
    def whole(cls, width: int, height: int) -> Window:
        """The smallest upright square around a picture of ``width`` x ``height`` pixels."""
        return cls(width / 2, height / 2, max(width, height))

    @classmethod
    def around_landmarks(cls, points: np.ndarray) -> Window:
        """The landmark network's crop for known landmarks ``(478, 2 or 3)``: parallel to the eye line, 1.5 times the face."""
        angle = eye_angle(points[RIGHT_EYE_CORNER, :2], points[LEFT_EYE_CORNER, :2])
        rotation = cls(0, 0, 1, angle).axes
        level = points[:, :2] @ rotation
        low, high = level.min(0), level.max(0)
        x, y = rotation @ ((low + high) / 2)
        return cls(float(x), float(y), CROP_SCALE * float((high - low).max()), angle)

    @property
    def center(self) -> np.ndarray:
        """x and y as an array ``(2,)``."""
        return np.array([self.x, self.y])

    @property
    def axes(self) -> np.ndarray:
        """``(2, 2)``: the columns are the window's right and down sides as vectors in the picture, pixels."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        return self.side * np.array([[c, -s], [s, c]])

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """Points ``(..., 2)`` relative to the window (0..1) to pixels of the picture."""
        return (points - 0.5) @ self.axes.T + self.center

    def near(self, other: Window) -> bool:
        """Whether two windows differ too little to change a network's output."""
        turn = abs(np.angle(np.exp(1j * (self.angle - other.angle))))
        shift = max(abs(self.x - other.x), abs(self.y - other.y), abs(self.side - other.side))
        return turn < 0.05 and shift < 0.03 * self.side

    def crop(self, image: np.ndarray, size: int, border: int) -> np.ndarray:
        """The window as ``(size, size, 3)`` uint8; ``border`` is OpenCV's mode for pixels outside the picture."""
        origin, scale = np.zeros(2), np.ones(2)
        shrink = int(self.side / size)
        if shrink > 1:  # average first: bilinear sampling alone would skip pixels
            reach = np.abs(self.axes).sum(1) / 2
            limit = np.array(image.shape[1::-1])
            low = np.clip(np.floor(self.center - reach).astype(int), 0, limit - 1)
            high = np.clip(np.ceil(self.center + reach).astype(int), low + 1, limit)
            image = image[low[1] : high[1], low[0] : high[0]]
            small = np.maximum((high - low) // shrink, 1)
            image = cv2.resize(image, tuple(small.tolist()), interpolation=cv2.INTER_AREA)
            origin, scale = low, small / (high - low)
        # Maps pixel indices of the crop to pixel indices of the picture; pixel centres are at index + 0.5 in both.
        linear = scale[:, None] * self.axes / size
        offset = scale * (self.center - origin) - linear.sum(1) * (size - 1) / 2 - 0.5
        matrix = np.column_stack([linear, offset])
        return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=border)


def eye_angle(right_eye: np.ndarray, left_eye: np.ndarray) -> float:
    """Angle in radians of the line from the subject's right eye ``(2,)`` (left in the picture) to the left eye ``(2,)``."""
    x, y = left_eye - right_eye
    return float(np.arctan2(y, x))


def search_views(width: int, height: int) -> Iterator[list[Window]]:
    """Groups of detector views of a picture, from cheap and likely to expensive and unlikely.

    The groups are the whole picture, a padded view (faces at the border), rotated views, and overlapping tiles of decreasing
    size (small faces).
    """
    whole = Window.whole(width, height)
    yield [whole]
    yield [Window(whole.x, whole.y, 1.5 * whole.side)]
    yield [Window(whole.x, whole.y, whole.side, angle) for angle in (np.pi / 2, -np.pi / 2, np.pi)]
    for side in (whole.side / part for part in (2, 4, 8) if whole.side / part >= MIN_TILE):
        yield [Window(x, y, side) for y, x in product(_tile_centers(height, side), _tile_centers(width, side))]


def _tile_centers(length: float, side: float) -> np.ndarray:
    """Centres of tiles that cover ``0..length`` and overlap by at least half."""
    if length <= side:
        return np.array([length / 2])
    return np.linspace(side / 2, length - side / 2, int(np.ceil(2 * (length / side - 1))) + 1)
