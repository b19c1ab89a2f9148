"""Lips without the teeth that blur into their rims in a photo of an open mouth; docs/method.md 11.

The edges of lips in a photo are known to about a pixel, and teeth are blended into them. When the lips close, the rims would
meet in a white line.
"""

from __future__ import annotations

import cv2
import numpy as np

from emotalker.face.topology import INNER_LIPS, OUTER_LIPS

#: Shares of the way from the inner to the outer edge of a lip: the rim, and where its typical colour is measured.
_RIM, _LIP = (0.3, 0.5), (0.35, 0.75)

#: Gap over the mouth's width from which a photo shows teeth.
_PARTED = 0.06

#: Excess of the ratio of the least to the red channel over the lip's from which a pixel begins to be, and is, tooth.
_WHITER = (0.05, 0.15)


def clean_lip_rims(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """A photo with the colour of the lips at their inner rims where these are as white as teeth.

    Args:
        image: ``(S, S, 3)`` uint8.
        landmarks: ``(478, 2)`` pixels.

    Returns:
        ``(S, S, 3)`` uint8; ``image`` itself if the mouth is closed.
    """
    width = np.linalg.norm(landmarks[INNER_LIPS.upper[-1]] - landmarks[INNER_LIPS.upper[0]])
    gap = np.linalg.norm(landmarks[INNER_LIPS.lower] - landmarks[INNER_LIPS.upper], axis=1).max()
    if gap < _PARTED * width:
        return image
    outline = landmarks[np.concatenate([OUTER_LIPS.upper, OUTER_LIPS.lower])]
    low = np.clip(np.floor(outline.min(0)) - 2, 0, None).astype(int)
    high = np.ceil(outline.max(0)).astype(int) + 3
    patch = image[low[1] : high[1], low[0] : high[0]].astype(np.float32)
    columns = np.arange(patch.shape[1]) + low[0] + 0.5
    rows = np.arange(patch.shape[0])[:, None] + low[1] + 0.5
    left, right = landmarks[INNER_LIPS.upper[[0, -1]], 0]
    away = np.clip((1 - np.abs(columns - (left + right) / 2) / ((right - left) / 2)) / 0.15, 0, 1)  # from the corners
    result = patch
    for inner, outer in ((INNER_LIPS.upper, OUTER_LIPS.upper), (INNER_LIPS.lower, OUTER_LIPS.lower)):
        edge, border = (np.interp(columns, *landmarks[line].T) for line in (inner, outer))
        thickness = np.where(np.abs(border - edge) < 1, np.inf, border - edge)
        place = (rows - edge) / thickness  # 0 at the inner and 1 at the outer edge
        lip = ((place > _LIP[0]) & (place < _LIP[1])).astype(np.float32)[..., None]
        sigma = 0.06 * width
        weight = cv2.GaussianBlur(lip, (0, 0), sigma)[..., None]
        typical = cv2.GaussianBlur(patch * lip, (0, 0), sigma) / np.maximum(weight, 1e-4)
        whiteness, lips = (picture.min(-1) / np.maximum(picture[..., 0], 1) for picture in (patch, typical))
        tooth = np.clip((whiteness - lips - _WHITER[0]) / (_WHITER[1] - _WHITER[0]), 0, 1)
        rim = away * (place > 0) * np.clip((_RIM[1] - place) / (_RIM[1] - _RIM[0]), 0, 1) * (weight[..., 0] > 1e-3)
        share = cv2.GaussianBlur((tooth * rim).astype(np.float32), (0, 0), 0.6) * (place > 0)
        result = result + share[..., None] * (typical - result)
    cleaned = image.copy()
    cleaned[low[1] : high[1], low[0] : high[0]] = np.clip(result + 0.5, 0, 255).astype(np.uint8)
    return cleaned
