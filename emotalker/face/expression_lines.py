"""Softens the lines that an expression has drawn in a photo, when the face is shown without it; docs/method.md 11.

A warp moves the mouth of a smiling face to rest but not the folds from nose to mouth, which belong to the smile. Their
contrast is reduced: a band of spatial frequencies of log brightness, finer than the shading of the cheeks and coarser than
the grain of the skin, near where these lines lie.
"""

from __future__ import annotations

import cv2
import numpy as np

from emotalker.face.topology import FACE_OVAL, OUTER_LIPS

#: Courses of the lines, as landmarks: folds from nose to mouth corner and beyond, and crow's feet.
SMILE_LINES = ((129, 203, 206, 216, 212), (358, 423, 426, 436, 432), (33, 226, 31), (263, 446, 261))
#: Lines of the forehead, parallel to the brows.
BROW_LINES = ((63, 105, 66, 9, 296, 334, 293), (54, 103, 67, 10, 297, 332, 284), (68, 104, 69, 151, 299, 333, 298))

#: Band of the lines and distance from their course within which they are softened, in face heights.
_FINE, _COARSE, _REACH = 0.0025, 0.07, 0.09
#: Share of the lines' contrast that goes with the whole expression. All of it would look retouched.
_STRENGTH = 0.75


def soften_lines(image: np.ndarray, landmarks: np.ndarray, smile: float, brows: float) -> np.ndarray:
    """A photo with softer expression lines.

    Args:
        image: ``(S, S, 3)`` uint8.
        landmarks: ``(478, 2)`` pixels.
        smile, brows: how much of a full smile and of fully raised brows is taken off the face, 0..1.

    Returns:
        ``(S, S, 3)`` uint8; ``image`` itself if both are 0.
    """
    if smile <= 0 and brows <= 0:
        return image
    height = float(np.linalg.norm(landmarks[FACE_OVAL[0]] - landmarks[FACE_OVAL[18]]))
    weight = smile * _near(image, landmarks, SMILE_LINES, height) + brows * _near(image, landmarks, BROW_LINES, height)
    lips = np.zeros(image.shape[:2], np.uint8)
    outline = np.concatenate([landmarks[OUTER_LIPS.upper], landmarks[OUTER_LIPS.lower[::-1]]])
    cv2.fillPoly(lips, [np.round(outline * 16).astype(np.int32)], 255, shift=4)
    skin = 1 - cv2.GaussianBlur(cv2.dilate(lips, np.ones((3, 3), np.uint8)), (0, 0), 0.01 * height).astype(np.float32) / 255

    # Each channel for itself: folds are redder than the skin around them.
    logarithm = np.log(image.astype(np.float32) + 8)
    lines = _blur(logarithm, _FINE * height) - _blur(logarithm, _COARSE * height)
    gain = np.exp(-_STRENGTH * (np.clip(weight, 0, 1) * skin)[..., None] * lines)
    return np.clip(image * gain + 0.5, 0, 255).astype(np.uint8)


def _near(image: np.ndarray, landmarks: np.ndarray, courses: tuple[tuple[int, ...], ...], height: float) -> np.ndarray:
    """1 near the courses of lines, falling smoothly to 0; ``(S, S)`` float32."""
    drawn = np.zeros(image.shape[:2], np.uint8)
    for course in courses:
        points = np.round(landmarks[list(course)] * 16).astype(np.int32)
        cv2.polylines(drawn, [points], False, 255, max(1, round(_REACH * height)), cv2.LINE_AA, shift=4)
    return _blur(drawn, 0.35 * _REACH * height).astype(np.float32) / 255


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur; a wide one at a lower resolution, which takes a hundredth of the time."""
    factor = int(sigma / 12)
    if factor < 2:
        return cv2.GaussianBlur(image, (0, 0), sigma)
    height, width = image.shape[:2]
    small = cv2.resize(image, (max(1, width // factor), max(1, height // factor)), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / factor), (width, height), interpolation=cv2.INTER_LINEAR)
