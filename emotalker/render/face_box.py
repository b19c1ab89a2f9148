"""The square around a moving face, cut out of a picture and put back."""

from __future__ import annotations

import cv2
import numpy as np

from emotalker.coefficients.rotation import rotation_matrix
from emotalker.face.portrait import Portrait
from emotalker.face.topology import FACE_OVAL

#: Side of the square in heights of the face oval.
SCALE = 1.25


class FaceBox:
    """Where the face of a portrait is in a frame.

    Args:
        portrait: the picture and its fit.
    """

    def __init__(self, portrait: Portrait):
        oval = portrait.landmarks[FACE_OVAL]
        self._middle = (oval.min(0) + oval.max(0)) / 2
        self._side = SCALE * float(np.ptp(oval[:, 1]))
        self._origin, self._camera = portrait.fit.translation[0].astype(np.float64), portrait.fit.camera
        self._centre = portrait.surface_landmarks()[FACE_OVAL].mean(0)

    def __call__(self, pose: np.ndarray) -> np.ndarray:
        """The square ``(3,)`` float32 of a relative pose ``(6,)``: x and y of its centre and its side, pixels."""
        arm = self._centre - self._origin
        moved = rotation_matrix(pose[:3].astype(np.float64)) @ arm + self._origin + pose[3:]
        shift = self._camera.project(moved) - self._camera.project(self._centre)
        return np.array([*(self._middle + shift), self._side * self._centre[2] / moved[2]], np.float32)


def cut(picture: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """The square ``box (3,)`` of a picture ``(H, W, 3)``, scaled to ``(size, size, 3)``; the border is replicated."""
    scale = size / box[2]
    margin = 4  # of filter and interpolation, pixels
    low = np.clip(np.floor(box[:2] - box[2] / 2) - margin, 0, np.array(picture.shape[1::-1]) - 1).astype(int)
    high = np.ceil(box[:2] + box[2] / 2).astype(int) + margin
    picture = picture[low[1] : max(high[1], low[1] + 1), low[0] : max(high[0], low[0] + 1)]
    sigma = 0.35 * np.sqrt(max(1 / scale**2 - 1, 0))
    if sigma > 0.2:  # warpAffine has no low-pass filter for downscaling
        picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    matrix = _matrix(box - np.array([*low, 0], box.dtype), scale)
    return cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def spread(crop: np.ndarray, box: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, tuple[slice, slice]]:
    """The inverse of :func:`cut` for smooth values ``(size, size, C)``.

    Args:
        shape: height and width of the picture.

    Returns:
        ``(h, w, C)`` at the picture's resolution, and the part of the picture that it covers.
    """
    low = np.clip(np.floor(box[:2] - box[2] / 2), 0, np.array(shape[::-1]) - 1).astype(int)
    high = np.clip(np.ceil(box[:2] + box[2] / 2), low + 1, shape[::-1]).astype(int)
    matrix = _matrix(box - np.array([*low, 0], box.dtype), len(crop) / box[2])
    size = tuple(int(v) for v in high - low)
    values = cv2.warpAffine(crop, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return values, (slice(low[1], high[1]), slice(low[0], high[0]))


def _matrix(box: np.ndarray, scale: float) -> np.ndarray:
    """From picture to crop; pixel centres are at +0.5 in boxes and at integers in OpenCV."""
    low = box[:2] - box[2] / 2
    return np.array([[scale, 0, scale * (0.5 - low[0]) - 0.5], [0, scale, scale * (0.5 - low[1]) - 0.5]])
