"""Head motion: the picture as a depth relief that moves with the head and is static at the body and the background."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from emotalker.coefficients.rotation import rotation_matrix
from emotalker.face.geometry import Camera
from emotalker.render.warp import Inverter, Region, sample, smoothstep


class RigidWarp:
    """Rotates and translates the head in a picture.

    Every sample of the picture has a depth (of the fitted head, extrapolated outwards) and a motion weight. The weight is 1
    on head and hair and falls smoothly to 0 in the background, more slowly along the neck than at the ears. It is 0 at the
    picture's border, so that no pixels from outside are needed.

    Args:
        depth: ``(rows, columns)`` depth of the head in centimetres, NaN outside it.
        region: the whole picture with the field's step.
        camera: the picture's camera.
        origin: ``(3,)`` centre of rotation (the model's origin) in camera space, centimetres.
        chin: ``(2,)`` pixels; the neck is below it.
        face_height: height of the face oval, pixels.
        mobility: ``(S, S)`` factor of the displacement in the picture; None for 1.
    """

    def __init__(
        self,
        depth: np.ndarray,
        region: Region,
        camera: Camera,
        origin: np.ndarray,
        chin: np.ndarray,
        face_height: float,
        mobility: np.ndarray | None = None,
    ):
        rows, columns = region.field_shape
        self._mobility = None
        if mobility is not None:
            self._mobility = cv2.resize(mobility, (columns, rows), interpolation=cv2.INTER_LINEAR)[..., None]
        points = region.field_points().reshape(rows, columns, 2)
        filled, self._weight = self._relief(depth, points, region, chin, face_height)
        x = (points[..., 0] - camera.width / 2) * filled / camera.focal
        y = -(points[..., 1] - camera.height / 2) * filled / camera.focal
        self._points3d = np.stack([x, y, -filled], -1).reshape(-1, 3).astype(np.float32)
        self._pixels = points.reshape(-1, 2).astype(np.float32)
        self._region, self._camera, self._origin = region, camera, origin.astype(np.float32)
        self._inverter = Inverter(region, iterations=6, damping=0.8)
        self._grid = region.pixel_grid()

    @staticmethod
    def _relief(
        depth: np.ndarray, points: np.ndarray, region: Region, chin: np.ndarray, face_height: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Depth ``(rows, columns)`` in cm and motion weight ``(rows * columns, 1)`` of every sample."""
        cell = region.width / depth.shape[1]
        inside = np.isfinite(depth)
        nearest = distance_transform_edt(~inside, return_distances=False, return_indices=True)
        filled = depth[tuple(nearest)]
        # Outside, the depth approaches a plane: extrapolating the silhouette's depth alone would shear the hair.
        far = smoothstep(distance_transform_edt(~inside) * cell / face_height)
        filled = filled + far * (np.median(depth[inside]) - filled)
        filled = gaussian_filter(filled, 0.05 * face_height / cell)

        below = np.clip(points[..., 1] - chin[1], 0, None) / face_height
        head = inside & (below <= 0.1)
        distance = distance_transform_edt(~head) * cell / face_height
        across = 1 - smoothstep((distance - 0.25) / 0.95)
        along_neck = 1 - smoothstep((distance - 0.05) / 1.5)
        weight = across + smoothstep(below / 0.3) * (along_neck - across)
        size = np.array([region.width, region.height])
        to_border = np.minimum(points, size - points).min(-1) / (0.1 * size.min())
        weight = gaussian_filter(weight * smoothstep(to_border), 0.06 * face_height / cell)
        return filled, weight.reshape(-1, 1).astype(np.float32)

    def displacement(self, pose: np.ndarray) -> np.ndarray:
        """Forward displacement ``(rows, columns, 2)`` in pixels for a relative pose ``(6,)`` in radians and cm."""
        rotation = rotation_matrix(pose[:3]).astype(np.float32)
        moved = (self._points3d - self._origin) @ rotation.T + self._origin + pose[3:].astype(np.float32)
        moved = self._points3d + self._weight * (moved - self._points3d)
        return (self._camera.project(moved).astype(np.float32) - self._pixels).reshape(*self._region.field_shape, 2)

    def __call__(self, picture: np.ndarray, pose: np.ndarray) -> np.ndarray:
        """A picture ``(S, S, 3)`` uint8 in the portrait's pose to the same picture in a relative pose ``(6,)``."""
        if not np.any(np.abs(pose) > 1e-6):
            return picture
        backward = self._inverter(self.displacement(pose))
        if self._mobility is not None:
            backward *= self._mobility
        backward = self._region.upsample(backward)
        return sample(picture, self._grid + backward)
