"""The square of a picture that is rendered: head, hair and shoulders around one face."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from emotalker.face.topology import FACE_OVAL

#: Side of the crop in face heights (top of the face oval to the chin); includes hair and shoulders.
CROP_SCALE = 2.2

#: The same for a window of the whole picture, where neck and shoulders have room to come to rest.
WINDOW_SCALE = 2.8


@dataclass(frozen=True)
class Crop:
    """An upright square of a picture. It may reach beyond the picture, whose border is replicated there.

    Attributes:
        x, y: its top left corner, pixels of the picture.
        side: pixels of the picture.
        size: side of the sampled result, pixels.
    """

    x: float
    y: float
    side: float
    size: int

    @classmethod
    def around_head(cls, points: np.ndarray, width: int, height: int, size: int) -> Crop:
        """The crop, ``size`` pixels a side, around the face with landmarks ``(478, 2)`` in a picture of ``width`` x ``height``."""
        low, side = _head_square(points, width, height, CROP_SCALE)
        return cls(float(low[0]), float(low[1]), float(side), size)

    @classmethod
    def window(cls, points: np.ndarray, width: int, height: int) -> Crop:
        """The square around the head whose pixels are those of the picture: even position and size, no resampling.

        Even numbers keep the pairs of pixels together that share their colour in 4:2:0 video.
        """
        low, side = _head_square(points, width, height, WINDOW_SCALE)
        size = 2 * round(side / 2)
        x, y = (2 * round(float(v) / 2) for v in low)
        if size <= width:
            x = min(max(x, 0), (width - size) // 2 * 2)
        if size <= height:
            y = min(max(y, 0), (height - size) // 2 * 2)
        return cls(x, y, size, size)

    @property
    def exact(self) -> bool:
        """Whether each of its pixels is one pixel of the picture."""
        return self.side == self.size and float(self.x).is_integer() and float(self.y).is_integer()

    def take(self, image: np.ndarray) -> np.ndarray:
        """The crop of ``(H, W)`` or ``(H, W, C)``, uint8 or float32: ``(size, size)`` or ``(size, size, C)``."""
        if self.exact:
            return self._slice(image)
        scale = self.size / self.side
        matrix = np.array([[scale, 0, -self.x * scale], [0, scale, -self.y * scale]])
        # Pixel centres are at +0.5 in these coordinates and at integers in OpenCV's.
        matrix[:, 2] += 0.5 * (scale - 1)
        if scale < 1:
            # warpAffine has no low-pass filter for downscaling.
            image = cv2.GaussianBlur(image, (0, 0), 0.4 / scale)
        size = (self.size, self.size)
        return cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)

    def points_in(self, points: np.ndarray) -> np.ndarray:
        """Points ``(N, 2)`` in pixels of the picture to pixels of the crop."""
        return (points - [self.x, self.y]) * (self.size / self.side)

    def inside(self, width: int, height: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Rows and columns of an exact crop that lie in the picture: index of the picture, and index of the crop."""
        x, y, size = int(self.x), int(self.y), self.size
        left, top, right, bottom = max(x, 0), max(y, 0), min(x + size, width), min(y + size, height)
        return (slice(top, bottom), slice(left, right)), (slice(top - y, bottom - y), slice(left - x, right - x))

    def _slice(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        (rows, columns), (to_rows, to_columns) = self.inside(width, height)
        missing = (to_rows.start, self.size - to_rows.stop, to_columns.start, self.size - to_columns.stop)
        part = image[rows, columns]
        return cv2.copyMakeBorder(part, *missing, cv2.BORDER_REPLICATE) if any(missing) else part.copy()


def _head_square(points: np.ndarray, width: int, height: int, scale: float) -> tuple[np.ndarray, float]:
    """Top left corner ``(2,)`` and side of the square of ``scale`` face heights around landmarks ``(478, 2)``."""
    oval = points[FACE_OVAL]
    face_height = np.ptp(oval[:, 1])
    centre = (oval.min(0) + oval.max(0)) / 2
    # The head with its hair, limited to the picture unless the face itself is larger.
    side = max(min(scale * face_height, min(height, width)), 1.5 * max(face_height, np.ptp(oval[:, 0])))
    low = centre - side / 2
    for axis, extent in enumerate((width, height)):
        if side <= extent:
            low[axis] = np.clip(low[axis], 0, extent - side)
    return low, side
