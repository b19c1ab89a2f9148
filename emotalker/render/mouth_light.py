"""The light that a photo's teeth would have, from its skin, its sclera and, where they show, its teeth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from emotalker.face.portrait import Portrait
from emotalker.face.topology import INNER_LIPS, LEFT_EYE, LEFT_IRIS, OUTER_LIPS, RIGHT_EYE, RIGHT_IRIS, Contours

#: Teeth against skin and sclera, from ``tools/fit_tooth_color.py`` on 19 videos and photos of 15 people.
#: With the mean m and the deviations d of the logarithms of R, G and B: m = .76 m_skin + 1.52 (residual .09), and
#: d = .8 (d_skin + d_sclera) / 2 + _TINT (residual .04).
_LEVEL, _TINT = (0.76, 1.52), np.array([-0.063, 0.011, 0.051])
_CAST = 0.8

#: Sclera whose colour differs more from the skin's than this, in deviations of logarithms, is taken for something else.
_MAX_DIFFERENCE = 0.35

#: Visible teeth count where they are at least this bright against the expected ones, and this alike in colour.
_LEAST_LEVEL, _MOST_LEVEL, _MAX_TOOTH_DIFFERENCE = 0.75, 1.4, 0.25

#: Limit of the change of log brightness from the middle of the mouth to its corners that the light from one side causes.
_MAX_SIDE = 0.3


@dataclass(frozen=True)
class MouthLight:
    """Attributes:
    enamel: ``(3,)`` 0..255, colour of well-lit front teeth.
    side: change of log brightness per half width of the mouth towards the viewer's right.
    """

    enamel: np.ndarray
    side: float


def skin_color(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Colour ``(3,)`` 0..255 of well-lit skin around the mouth of a picture ``(H, W, 3)`` with landmarks ``(478, 2)``."""
    lips = _filled(image, points, OUTER_LIPS)
    skin = _hull(image, points[[205, 425, 200, 192, 416]]) & ~lips
    return np.percentile(image[skin if skin.any() else ~lips], 65, axis=0)


def mouth_light(portrait: Portrait) -> MouthLight:
    """Estimate the light on the teeth of a portrait."""
    image, points = portrait.image, portrait.landmarks
    lips = _filled(image, points, OUTER_LIPS)
    bright = np.log(skin_color(image, points) + 1)
    level, cast = bright.mean(), bright - bright.mean()
    sclera = sclera_color(image, points)
    if sclera is not None:
        difference = np.log(sclera + 1) - np.log(sclera + 1).mean() - cast
        cast = cast + difference / 2 * min(1.0, _MAX_DIFFERENCE / max(np.abs(difference).max(), 1e-6))
    expected = np.exp(_LEVEL[0] * level + _LEVEL[1] + _CAST * cast + _TINT)
    left, right = (
        _hull(image, points[corners]) & ~lips
        for corners in ([205, 207, 212, 57, 165], [425, 427, 432, 287, 391])  # beside the corners of the mouth
    )
    side = 0.0
    if left.any() and right.any():
        # The patches are about two half widths from the middle.
        side = float(np.log((image[right].mean() + 8) / (image[left].mean() + 8)) / 4)
    enamel = _own_teeth(image, points, expected)
    enamel = enamel * min(1.0, 250 / enamel.max())
    return MouthLight(enamel.astype(np.float32), float(np.clip(side, -_MAX_SIDE, _MAX_SIDE)))


def _own_teeth(image: np.ndarray, points: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Colour ``(3,)`` of the photo's own teeth if what it shows between the lips looks like teeth, else ``expected``."""
    teeth = teeth_color(image, points)
    if teeth is None:
        return expected
    ratio = np.log((teeth + 1) / expected)
    level = ratio.mean()
    alike = np.log(_LEAST_LEVEL) < level < np.log(_MOST_LEVEL) and np.abs(ratio - level).max() < _MAX_TOOTH_DIFFERENCE
    return teeth if alike else expected


def teeth_color(image: np.ndarray, points: np.ndarray) -> np.ndarray | None:
    """Median colour ``(3,)`` of the brightest fifth of what is visible between the lips; None if they are closed."""
    inside = cv2.erode(_filled(image, points, INNER_LIPS).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    if inside.sum() < 0.0003 * inside.size:
        return None
    pixels = image[inside].astype(np.float64)
    brightness = pixels.mean(1)
    return np.median(pixels[brightness >= np.percentile(brightness, 80)], axis=0)


def sclera_color(image: np.ndarray, points: np.ndarray) -> np.ndarray | None:
    """Median colour ``(3,)`` of the brighter part of the sclera of both eyes; None if hardly any is visible."""
    pixels = []
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    for eye, iris in ((RIGHT_EYE, RIGHT_IRIS), (LEFT_EYE, LEFT_IRIS)):
        inside = cv2.erode(_filled(image, points, eye).astype(np.uint8), np.ones((3, 1), np.uint8)) > 0
        centre = points[iris[0]]
        radius = np.linalg.norm(points[iris[1:]] - centre, axis=1).mean()
        inside &= np.hypot(columns - centre[0], rows - centre[1]) > 1.15 * radius
        if inside.sum() > 6:
            white = image[inside].astype(np.float64)
            pixels.append(white[white.mean(1) >= np.percentile(white.mean(1), 60)])
    return np.median(np.concatenate(pixels), axis=0) if pixels else None


def _filled(image: np.ndarray, points: np.ndarray, contours: Contours) -> np.ndarray:
    """``(H, W)`` bool inside of contours."""
    return _polygon(image, points[np.concatenate([contours.upper, contours.lower[::-1]])])


def _hull(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    return _polygon(image, cv2.convexHull(points.astype(np.float32))[:, 0])


def _polygon(image: np.ndarray, outline: np.ndarray) -> np.ndarray:
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 1, shift=4)
    return mask > 0
