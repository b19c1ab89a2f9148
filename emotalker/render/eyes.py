"""The eyeball behind the lids: the photo's own, completed where lids hide it, with a gaze that moves."""

from __future__ import annotations

import cv2
import numpy as np

from emotalker.face.portrait import Portrait
from emotalker.render.warp import Region, sample, smoothstep


class Eyeball:
    """Draws one eye without its lids.

    Args:
        portrait: the picture and its fit.
        region: the rectangle to draw.
        upper_edge, lower_edge: ``(P, 2)`` lid edges in the photo, pixels.
        iris: landmark indices, centre first, then its rim.
    """

    def __init__(self, portrait: Portrait, region: Region, upper_edge: np.ndarray, lower_edge: np.ndarray, iris: np.ndarray):
        corner = np.array([region.x, region.y])
        picture = portrait.image[region.slices]
        outline = np.concatenate([upper_edge, lower_edge[::-1]]) - corner
        visible = np.zeros(picture.shape[:2], np.uint8)
        cv2.fillPoly(visible, [np.round(outline * 16).astype(np.int32)], 255, shift=4)
        lash = max(1, round(0.012 * np.linalg.norm(upper_edge[-1] - upper_edge[0])))
        visible = cv2.erode(visible, np.ones((2 * lash + 1, 1), np.uint8))  # lashes and lid rims do not belong to the ball
        reach = max(3, round(0.25 * np.linalg.norm(upper_edge[-1] - upper_edge[0])))
        hidden = cv2.dilate(visible, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) & ~visible
        self._ball = cv2.inpaint(picture, hidden, 3, cv2.INPAINT_TELEA) if visible.any() else picture

        centre = portrait.landmarks[iris[0]] - corner
        radius = np.linalg.norm(portrait.landmarks[iris[1:]] - corner - centre, axis=1).mean()
        grid = region.pixel_grid() - corner.astype(np.float32)
        distance = np.linalg.norm(grid + 0.5 - centre, axis=-1)
        # The iris moves as a disc; the white gives way on either side of it.
        self._follow = (1 - smoothstep((distance / radius - 1.1) / 1.6)).astype(np.float32)[..., None]
        self._grid = grid
        self._values = portrait.landmark_displacement()[iris[0]]  # (52, 2)
        self._limit = 0.9 * radius

    def __call__(self, change: np.ndarray) -> np.ndarray:
        """Draw one frame from the change of blendshapes against the photo, ``(52,)`` -> ``(height, width, 3)`` uint8."""
        gaze = change @ self._values
        length = np.linalg.norm(gaze)
        if length < 0.05:
            return self._ball
        gaze = gaze * (self._limit * np.tanh(length / self._limit) / length)
        return sample(self._ball, self._grid - self._follow * gaze.astype(np.float32))
