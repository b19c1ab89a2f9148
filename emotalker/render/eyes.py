"""The eyeball behind the lids: the photo's own, continued under the lids, with a movable iris."""

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
        centre = portrait.landmarks[iris[0]] - corner
        radius = np.linalg.norm(portrait.landmarks[iris[1:]] - corner - centre, axis=1).mean()
        grid = region.pixel_grid() - corner.astype(np.float32)
        distance = np.linalg.norm(grid + 0.5 - centre, axis=-1)
        self._ball = uncovered(picture, visible > 0, grid, centre, distance / radius)
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


def uncovered(
    picture: np.ndarray, visible: np.ndarray, grid: np.ndarray, centre: np.ndarray, distance: np.ndarray
) -> np.ndarray:
    """The eyeball where lids cover it: the iris is continued by its mirror image, the white by its typical colour.

    Args:
        picture: ``(H, W, 3)`` uint8 around the eye.
        visible: ``(H, W)`` bool, the eyeball between the lids.
        grid: ``(H, W, 2)`` float32 pixel indices.
        centre: ``(2,)`` of the iris, pixels.
        distance: ``(H, W)`` from it, in radii of the iris.

    Returns:
        ``(H, W, 3)`` uint8; the picture itself where the eye shows no pixel.
    """
    if not visible.any():
        return picture
    white = visible & (distance > 1.15)
    colour = np.percentile(picture[white if white.any() else visible], 60, axis=0)
    ball = np.where(visible[..., None], picture, colour).astype(np.float32)
    mirrored = (2 * centre - 1 - grid).astype(np.float32) * [0, 1] + grid * [1, 0]  # upside down about the centre
    known = cv2.remap(visible.astype(np.float32), mirrored.astype(np.float32), None, cv2.INTER_LINEAR)[..., None]
    turned = cv2.remap(picture, mirrored.astype(np.float32), None, cv2.INTER_LINEAR).astype(np.float32)
    seen_iris = visible & (distance < 0.95)
    typical = np.median(picture[seen_iris], axis=0) if seen_iris.any() else colour
    iris = known * turned + (1 - known) * typical
    inside = (~visible * (1 - smoothstep((distance - 0.95) / 0.15)))[..., None]
    ball += inside * (iris - ball)
    # The seam between what is seen and what is painted is softened.
    soft = cv2.GaussianBlur(ball, (0, 0), max(0.8, len(picture) / 60))
    near = cv2.GaussianBlur(visible.astype(np.float32), (0, 0), max(0.8, len(picture) / 60))[..., None]
    painted = (~visible)[..., None]
    return np.clip(np.where(painted, soft + (ball - soft) * (1 - near), ball) + 0.5, 0, 255).astype(np.uint8)
