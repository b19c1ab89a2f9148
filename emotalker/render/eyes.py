"""The eyeball behind the lids: the photo's own, inpainted under the lids, with a movable iris."""

from __future__ import annotations

import cv2
import numpy as np

from emotalker.face.portrait import Portrait
from emotalker.render.opening_line import OpeningEdges
from emotalker.render.warp import Region, sample, smoothstep


class Eyeball:
    """Renders one eye without its lids.

    Args:
        portrait: the picture and its fit.
        region: the rectangle to render.
        edges: lid edges in the photo.
        iris: landmark indices of the iris: centre, then rim.
    """

    def __init__(self, portrait: Portrait, region: Region, edges: OpeningEdges, iris: np.ndarray):
        corner = np.array([region.x, region.y])
        picture = portrait.image[region.slices]
        outline = np.concatenate([edges.upper, edges.lower[::-1]]) - corner
        visible = np.zeros(picture.shape[:2], np.uint8)
        cv2.fillPoly(visible, [np.round(outline * 16).astype(np.int32)], 255, shift=4)
        width = np.linalg.norm(edges.upper[-1] - edges.upper[0])
        lash = max(1, round(0.012 * width))
        visible = cv2.erode(visible, np.ones((2 * lash + 1, 1), np.uint8))  # remove lashes and lid rims
        reach = max(3, round(0.25 * width))
        hidden = cv2.dilate(visible, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) & ~visible
        self._ball = cv2.inpaint(picture, hidden, 3, cv2.INPAINT_TELEA) if visible.any() else picture

        centre = portrait.landmarks[iris[0]] - corner
        radius = np.linalg.norm(portrait.landmarks[iris[1:]] - corner - centre, axis=1).mean()
        grid = region.pixel_grid() - corner.astype(np.float32)
        distance = np.linalg.norm(grid + 0.5 - centre, axis=-1)
        # The iris moves as a disc; the sclera is stretched and compressed around it.
        self._follow = (1 - smoothstep((distance / radius - 1.1) / 1.6)).astype(np.float32)[..., None]
        self._grid = grid
        self._values = portrait.landmark_displacement()[iris[0]]  # (52, 2)
        self._limit = 0.9 * radius

    def __call__(self, change: np.ndarray) -> np.ndarray:
        """Render one frame ``(height, width, 3)`` uint8 from blendshapes ``(52,)`` relative to the photo's."""
        gaze = change @ self._values
        length = np.linalg.norm(gaze)
        if length < 0.05:
            return self._ball
        gaze = gaze * (self._limit * np.tanh(length / self._limit) / length)
        return sample(self._ball, self._grid - self._follow * gaze.astype(np.float32))
