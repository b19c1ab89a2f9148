"""Head motion: the picture as a relief that turns with the head, hides what turns away and stays behind at the background."""

from __future__ import annotations

import cv2
import numpy as np

from emotalker.coefficients.rotation import rotation_matrix
from emotalker.face.geometry import Camera
from emotalker.render.relief import CENTRE, build_relief, dominant_light, surface_normals
from emotalker.render.turn import SAMPLES, average_backward, move_samples, nearest_surface, turned_light
from emotalker.render.warp import Region

#: Shares of the head's pitch, yaw and roll, and of its shift, that the torso follows.
TRUNK_ANGLES = np.array([0.0, 0.15, 0.1], np.float32)
TRUNK_SHIFT = np.array([0.25, 0.1, 0.1], np.float32)
#: From the middle of the head to the point about which the torso leans, centimetres.
TRUNK_PIVOT = np.array([0.0, -40.0, 0.0], np.float32)
#: Yaw of the head, with that in the picture, that is approached but not passed, and the turn that every picture allows.
LARGEST_YAW, LEAST_TURN = np.radians([45.0, 8.0])
#: Cells between the picture and the rim of the mesh, where nothing moves.
_RIM = np.float32(40)
#: Strength of the light's change with the turn, 1 as on a matt surface, and its largest effect.
LIGHT, LARGEST_CHANGE = 0.6, 0.12


class RigidWarp:
    """Rotates and translates the head in a picture; the neck and, a little, the torso follow.

    Args:
        depth: ``(rows, columns)`` depth of the head in centimetres, NaN outside it.
        region: the whole picture with the field's step.
        camera: the picture's camera.
        origin: ``(3,)`` centre of rotation (the model's origin) in camera space, centimetres.
        chin: ``(2,)`` pixels; the neck is below it.
        face_height: height of the face oval, pixels.
        matte: ``(S, S)`` float32, 1 on the person and 0 on the background, which is then assumed to be composited under the
            warped person. None if it is unknown: then the background near the head follows it in part.
        picture: ``(S, S, 3)`` uint8, from which the light is estimated; None for light that does not change.
        face_region: where the face is displaced before the turn; see :meth:`backward`.
        mobility: ``(S, S)`` factor 0..1 of all motion, 0 where the picture joins one that stands still; None for 1.
        source_yaw: of the head in the picture, radians. From a head that is turned already there is less to show.
    """

    def __init__(
        self,
        depth: np.ndarray,
        region: Region,
        camera: Camera,
        origin: np.ndarray,
        chin: np.ndarray,
        face_height: float,
        matte: np.ndarray | None = None,
        picture: np.ndarray | None = None,
        face_region: Region | None = None,
        mobility: np.ndarray | None = None,
        source_yaw: float = 0.0,
    ):
        rows, columns = region.field_shape
        self._region, self._camera, self._origin = region, camera, np.asarray(origin, np.float32)
        self._centre = self._origin + CENTRE
        self._source_yaw = float(source_yaw)
        self._cell = np.float32(region.width / columns), np.float32(region.height / rows)
        self.relief = build_relief(depth, region, camera, self._centre, chin, face_height, matte, mobility)
        self._moved = np.zeros((rows + 2, columns + 2, 3), np.float32)
        self._moved[..., 2] = np.float32(1e6)  # the rim lies behind everything
        self._depth = np.empty((SAMPLES * rows, SAMPLES * columns), np.float32)
        self._found = np.empty((SAMPLES * rows, SAMPLES * columns, 2), np.float32)
        face_region = face_region or region
        face_rows, face_columns = face_region.field_shape
        self._no_face = np.zeros((2, 2, 2), np.float32)
        scale = np.array([face_columns / face_region.width, face_rows / face_region.height])
        first = (np.array(self._cell) / 2 - [face_region.x, face_region.y]) * scale - 0.5
        self._place = np.concatenate([first, scale * self._cell]).astype(np.float32)
        self._light = None
        if picture is not None:
            smoothing = 0.05 * face_height / self._cell[0]
            self._normals = surface_normals(self.relief.surface, smoothing)
            coarse = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA)
            luminance = (coarse / np.float32(255)) ** 2.2 @ np.array([0.3, 0.6, 0.1], np.float32)
            above_chin = self.relief.points[..., 1] < chin[1]
            self._light = dominant_light(luminance, self._normals, np.isfinite(depth) & above_chin)
            before = np.maximum(self._light[0] + self._normals @ self._light[1:], 0.4)
            share = LIGHT * self.relief.weights[..., 0] * self.relief.person / 2.2  # pictures are coded with a gamma of 2.2
            self._lightness = (share / before).astype(np.float32)  # change of the brightness per change of b . n
            self._normals = np.ascontiguousarray(self._normals, np.float32)

    def _motions(self, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Motions ``(3, 4)`` of the head, of its outline and of the torso; see :func:`emotalker.render.turn.move_samples`."""
        pose = self._shown(np.asarray(pose, np.float32))
        motion = _about(rotation_matrix(pose[:3]), self._origin, pose[3:])
        centre_shift = motion[:, :3] @ self._centre + motion[:, 3]
        roll = _about(rotation_matrix(pose[:3] * [0, 0, 1]), self._centre, centre_shift)
        lean = rotation_matrix(pose[:3] * TRUNK_ANGLES)
        trunk = _about(lean, self._centre + TRUNK_PIVOT, centre_shift * TRUNK_SHIFT)
        return motion, roll, trunk

    def _shown(self, pose: np.ndarray) -> np.ndarray:
        """The pose ``(6,)`` with less yaw and shift where the head would turn towards a profile, whose far side is hidden."""
        yaw = float(pose[1])
        room = max(LARGEST_YAW - abs(self._source_yaw), LEAST_TURN)
        if yaw * self._source_yaw <= 0 or room >= LARGEST_YAW - LEAST_TURN:
            return pose
        shown = pose.copy()
        shown[1] = room * np.tanh(yaw / room)
        shown[3:] *= shown[1] / yaw
        return shown

    def backward(self, pose: np.ndarray, face: np.ndarray | None = None) -> np.ndarray:
        """Backward displacement ``(rows, columns, 2)`` float32 in pixels: at ``q`` there is seen what was at ``q + d(q)``.

        It is zero for a zero pose, and never leads out of the picture.

        Args:
            pose: ``(6,)`` relative to the portrait's, radians and centimetres.
            face: ``(rows', columns', 2)`` float32 backward displacement of the face before the turn, pixels, over
                ``face_region``; None for a face at rest.
        """
        relief, (rows, columns) = self.relief, self._region.field_shape
        move_samples(
            relief.surface,
            relief.weights,
            relief.outline,
            relief.outward,
            self._no_face if face is None else face / np.array(self._cell),
            self._place,
            *self._motions(pose),
            np.float32(self._camera.focal),
            np.float32(-self._centre[2]),
            self._moved,
        )
        nearest_surface(self._moved, *self._cell, _RIM, self._depth, self._found)
        backward = np.empty((rows, columns, 2), np.float32)
        average_backward(self._found, *self._cell, backward)
        return backward

    def light(self, pose: np.ndarray, backward: np.ndarray) -> np.ndarray | None:
        """Brightness factor ``(rows, columns)`` float32 of what a turn shows, 1 for a zero pose; None without a picture.

        A matt surface of normal ``n`` under ambient light ``a`` and directed light ``b`` has the luminance ``a + b . n``; the
        turn changes ``n``.

        Args:
            pose: ``(6,)``.
            backward: of :meth:`backward` for this pose.
        """
        if self._light is None:
            return None
        turned = rotation_matrix(self._shown(np.asarray(pose, np.float32))[:3]) - np.eye(3, dtype=np.float32)
        # b . (R n - n) = ((R - 1)' b) . n
        direction = (turned.T @ self._light[1:]).astype(np.float32)
        factor = np.empty_like(self._lightness)
        turned_light(self._lightness, self._normals, direction, np.float32(LARGEST_CHANGE), backward, *self._cell, factor)
        return factor


def _about(rotation: np.ndarray, pivot: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The motion ``(3, 4)`` of points by a rotation about a pivot and a shift, as displacement."""
    linear = rotation - np.eye(3)
    return np.concatenate([linear, (shift - linear @ pivot)[:, None]], 1).astype(np.float32)
