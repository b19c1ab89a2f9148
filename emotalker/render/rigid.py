"""Head motion: the picture as a relief that turns with the head and stays with the body."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from emotalker.coefficients.rotation import rotation_matrix
from emotalker.face.geometry import Camera
from emotalker.render.warp import Inverter, Region, sample, smoothstep


class RigidWarp:
    """Turns and shifts the head in a picture.

    Every sample of the picture gets a depth (the fitted head's, continued outwards) and a share in the head's motion: one
    on the head and its hair, falling smoothly to zero in the background, later along the neck than across the ears, and
    zero at the picture's border so that nothing is pulled in from outside.

    Args:
        depth: ``(rows, columns)`` depth of the head in centimetres, NaN beside it.
        region: the picture with the field's step.
        camera: the picture's camera.
        origin: ``(3,)`` centre of rotation (the model's origin) in camera space, centimetres.
        chin: ``(2,)`` pixels; below it the neck begins.
        face_height: eye line to chin, pixels.
    """

    def __init__(
        self,
        depth: np.ndarray,
        region: Region,
        camera: Camera,
        origin: np.ndarray,
        chin: np.ndarray,
        face_height: float,
    ):
        rows, columns = region.field_shape
        points = region.field_points().reshape(rows, columns, 2)
        filled, self._share = self._relief(depth, points, region, chin, face_height)
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
        """Depth and share in the motion of every sample, each ``(rows, columns)``."""
        cell = region.width / depth.shape[1]
        inside = np.isfinite(depth)
        nearest = distance_transform_edt(~inside, return_distances=False, return_indices=True)
        filled = depth[tuple(nearest)]
        # Outside, the silhouette's depth runs out into one plane: streaks of single edge samples would shear the hair.
        far = smoothstep(distance_transform_edt(~inside) * cell / face_height)
        filled = filled + far * (np.median(depth[inside]) - filled)
        filled = gaussian_filter(filled, 0.05 * face_height / cell)

        below = np.clip(points[..., 1] - chin[1], 0, None) / face_height
        head = inside & (below <= 0.1)
        distance = distance_transform_edt(~head) * cell / face_height
        across = 1 - smoothstep((distance - 0.25) / 0.95)
        along_neck = 1 - smoothstep((distance - 0.05) / 1.5)
        share = across + smoothstep(below / 0.3) * (along_neck - across)
        size = np.array([region.width, region.height])
        to_border = np.minimum(points, size - points).min(-1) / (0.1 * size.min())
        return filled, gaussian_filter(share * smoothstep(to_border), 0.06 * face_height / cell).reshape(-1, 1).astype(
            np.float32
        )

    def displacement(self, pose: np.ndarray) -> np.ndarray:
        """Forward displacement for one pose ``(6,)`` (radians, cm; zero = the portrait's) -> ``(rows, columns, 2)``."""
        rotation = rotation_matrix(pose[:3]).astype(np.float32)
        moved = (self._points3d - self._origin) @ rotation.T + self._origin + pose[3:].astype(np.float32)
        moved = self._points3d + self._share * (moved - self._points3d)
        return (self._camera.project(moved).astype(np.float32) - self._pixels).reshape(*self._region.field_shape, 2)

    def __call__(self, picture: np.ndarray, pose: np.ndarray) -> np.ndarray:
        """``(S, S, 3)`` uint8 in the portrait's pose -> the same in another, relative pose ``(6,)``."""
        if not np.any(np.abs(pose) > 1e-6):
            return picture
        backward = self._region.upsample(self._inverter(self.displacement(pose)))
        return sample(picture, self._grid + backward)
