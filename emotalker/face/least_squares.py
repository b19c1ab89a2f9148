"""The regularised nonlinear least-squares problem of fitting the head model to landmarks.

Gauss-Newton alternates between the identity, shared by all frames, and each frame's blendshapes. The pose is solved jointly
with both and eliminated by the Schur complement. Blendshapes are kept in 0..1 by projected coordinate descent. All frames are
processed in one batch.

Residuals are in centimetres at the head's distance, so the weights do not depend on the picture's resolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from emotalker.coefficients import ARKIT_BLENDSHAPES
from emotalker.coefficients.rotation import rotation_matrix
from emotalker.face.geometry import Camera
from emotalker.face.model import FaceModel
from emotalker.face.topology import FACE_OVAL, INNER_LIPS, LEFT_EYE, RIGHT_EYE

NUM_BLENDSHAPES = len(ARKIT_BLENDSHAPES)
IDENTITY_FRAMES = 64  # frames that an identity is fitted to, evenly spaced


@dataclass(frozen=True)
class FitOptions:
    """Standard deviations of the fit's terms (smaller is stronger), and its size.

    Attributes:
        point_cm: of a landmark from the model's point; mostly the error of the linear head model.
        oval_cm: of the face's outline, whose points slide over the head as it turns.
        gap_cm: of the mouth and eye openings, which are weighted more than the position of lips and lids.
        score: of a blendshape from the landmarker's score.
        blendshape: of a blendshape from 0 if there are no scores.
        identity: of an identity coefficient.
        num_points: number of landmarks with full weight; more landmarks share this total weight, because their errors are
            correlated.
        iterations: number of identity and blendshape steps.
    """

    point_cm: float = 0.15
    oval_cm: float = 0.5
    gap_cm: float = 0.03
    score: float = 0.2
    blendshape: float = 0.5
    identity: float = 1.0
    num_points: int = 150
    iterations: int = 8


@dataclass
class FitState:
    """The current estimate of T frames.

    Attributes:
        landmarks: ``(T, L, 2)`` pixels.
        prior: ``(T, 52)`` mean of the blendshapes' Gaussian prior.
        precision: inverse variance of that prior.
        identity: ``(I,)``.
        blendshapes: ``(T, 52)``.
        rotation: ``(T, 3, 3)`` model to camera.
        translation: ``(T, 3)`` cm.
    """

    landmarks: np.ndarray
    prior: np.ndarray
    precision: float
    identity: np.ndarray
    blendshapes: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray


class FitProblem:
    """Fits a head model to landmarks ``(T, L, 2)`` of one camera.

    Args:
        model: the head.
        camera: the view.
        landmark_index: ``(L,)`` which of the 478 points are given; None for all of them.
        options: weights.
    """

    def __init__(self, model: FaceModel, camera: Camera, landmark_index: ArrayLike | None, options: FitOptions):
        self.index = np.arange(478) if landmark_index is None else np.asarray(landmark_index, np.int64)
        self.camera, self.options = camera, options
        self.mean = model.landmark_mean[self.index].astype(np.float64)
        self.identity_basis = model.landmark_identity[:, self.index].astype(np.float64)
        self.blendshape_basis = model.landmark_blendshapes[:, self.index].astype(np.float64)
        weight = min(1.0, options.num_points / len(self.index))
        deviation = np.where(np.isin(self.index, FACE_OVAL), options.oval_cm, options.point_cm)
        position = {int(i): n for n, i in enumerate(self.index)}
        pairs = [
            (position[int(u)], position[int(low)])
            for contours in (INNER_LIPS, RIGHT_EYE, LEFT_EYE)
            for u, low in zip(contours.upper[1:-1], contours.lower[1:-1], strict=True)
            if int(u) in position and int(low) in position
        ]
        self.upper, self.lower = np.array(pairs, np.int64).reshape(-1, 2).T
        weights = np.concatenate([np.sqrt(weight) / deviation, np.full(len(pairs), 1 / options.gap_cm)])
        self.row_weight = np.repeat(weights, 2)

    def check(self, landmarks_xy: ArrayLike, scores: ArrayLike | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Landmarks ``(T, L, 2)`` and scores ``(T, 52)`` as float64; ValueError if their shapes are wrong."""
        landmarks = np.asarray(landmarks_xy, np.float64)
        if landmarks.ndim != 3 or landmarks.shape[1:] != (len(self.index), 2):
            raise ValueError(f"landmarks must be (T, {len(self.index)}, 2), not {landmarks.shape}")
        if scores is not None:
            scores = np.asarray(scores, np.float64)
            if scores.shape != (len(landmarks), NUM_BLENDSHAPES):
                raise ValueError(f"scores must be ({len(landmarks)}, {NUM_BLENDSHAPES}), not {scores.shape}")
        return landmarks, scores

    def start(self, landmarks: np.ndarray, scores: np.ndarray | None, identity: np.ndarray) -> FitState:
        """Initial state: blendshapes at their prior mean, pose from the least-squares affine projection of the head."""
        count = len(landmarks)
        prior = np.zeros((count, NUM_BLENDSHAPES)) if scores is None else scores
        deviation = self.options.blendshape if scores is None else self.options.score
        shape = self.mean + np.tensordot(identity, self.identity_basis, 1)
        shape = shape + np.tensordot(prior, self.blendshape_basis, 1)
        solver = np.linalg.pinv(np.concatenate([shape, np.ones((*shape.shape[:2], 1))], -1))
        affine = solver @ landmarks  # (T, 4, 2): pixels per centimetre, then the origin in pixels
        right, down = affine[:, :3, 0], affine[:, :3, 1]
        pixels = (np.linalg.norm(right, axis=1) + np.linalg.norm(down, axis=1)) / 2
        axis_x = right / np.linalg.norm(right, axis=1, keepdims=True)
        axis_z = np.cross(axis_x, -down)
        axis_z /= np.linalg.norm(axis_z, axis=1, keepdims=True)
        rotation = np.stack([axis_x, np.cross(axis_z, axis_x), axis_z], 1)
        offset = affine[:, 3] - [self.camera.width / 2, self.camera.height / 2]
        translation = np.concatenate([offset * [1, -1], np.full((count, 1), -self.camera.focal)], 1) / pixels[:, None]
        return FitState(landmarks, prior, deviation**-2, identity, prior.copy(), rotation, translation)

    def solve_identity(self, landmarks: np.ndarray, scores: np.ndarray | None) -> np.ndarray:
        """Identity ``(I,)`` of up to IDENTITY_FRAMES of the frames ``(T, L, 2)``; zero if there are none."""
        identity = np.zeros(len(self.identity_basis))
        if len(landmarks) == 0:
            return identity
        chosen = np.unique(np.linspace(0, len(landmarks) - 1, IDENTITY_FRAMES).round().astype(int))
        state = self.start(landmarks[chosen], None if scores is None else scores[chosen], identity)
        for _ in range(self.options.iterations):
            self.step_identity(state)
            self.step_blendshapes(state)
        return state.identity

    def step_identity(self, state: FitState) -> None:
        """Update the shared identity, with each frame's pose eliminated.

        The normal equations are averaged over frames instead of summed, because the model error is the same in all frames.
        """
        residual, pose, directions = self._linearise(state)
        basis = self._rows(np.einsum("tlcx,klx->tlck", directions, self.identity_basis))
        hessian, gradient = _eliminate_pose(residual, pose, basis)
        precision = self.options.identity**-2
        hessian = hessian.mean(0) + precision * np.eye(len(state.identity))
        change = np.linalg.solve(hessian, gradient.mean(0) - precision * state.identity)
        state.identity = state.identity + change
        self._move(state, residual - basis @ change, pose)

    def step_blendshapes(self, state: FitState) -> None:
        """Update each frame's blendshapes within 0..1, with its pose eliminated."""
        residual, pose, directions = self._linearise(state)
        basis = self._rows(np.einsum("tlcx,klx->tlck", directions, self.blendshape_basis))
        hessian, gradient = _eliminate_pose(residual, pose, basis)
        hessian += state.precision * np.eye(NUM_BLENDSHAPES)
        gradient += np.einsum("tij,tj->ti", hessian, state.blendshapes) + state.precision * (state.prior - state.blendshapes)
        before = state.blendshapes
        state.blendshapes = _box_quadratic(hessian, gradient, before)
        self._move(state, residual - np.einsum("trk,tk->tr", basis, state.blendshapes - before), pose)

    def project(self, state: FitState) -> np.ndarray:
        """Fitted landmarks ``(T, L, 2)`` in pixels."""
        return self.camera.project(self._rotated(state) + state.translation[:, None])

    def _rotated(self, state: FitState) -> np.ndarray:
        """Landmarks ``(T, L, 3)`` in cm after the rotation, without the translation."""
        shape = self.mean + np.tensordot(state.identity, self.identity_basis, 1)
        shape = shape + np.tensordot(state.blendshapes, self.blendshape_basis, 1)
        return shape @ state.rotation.transpose(0, 2, 1)

    def _linearise(self, state: FitState) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weighted residuals ``(T, R)``, their derivatives ``(T, R, 6)`` with respect to the pose, and the derivatives
        ``(T, L, 2, 3)`` of the landmarks with respect to the points in model space."""
        rotated = self._rotated(state)
        placed = rotated + state.translation[:, None]
        depth = -placed[..., 2]
        nominal = -state.translation[:, None, 2]
        to_pixels = np.zeros((*placed.shape[:2], 2, 3))  # d(u, v) / d(x, y, z), times nominal depth / focal
        to_pixels[..., 0, 0] = nominal / depth
        to_pixels[..., 0, 2] = nominal * placed[..., 0] / depth**2
        to_pixels[..., 1, 1] = -nominal / depth
        to_pixels[..., 1, 2] = -nominal * placed[..., 1] / depth**2
        scale = (nominal / self.camera.focal)[..., None]
        residual = self._rows((state.landmarks - self.camera.project(placed))[..., None] * scale[..., None])[..., 0]
        x, y, z = np.moveaxis(rotated, -1, 0)
        zero = np.zeros_like(x)
        by_rotation = np.stack([np.stack(row, -1) for row in ((zero, z, -y), (-z, zero, x), (y, -x, zero))], -2)
        pose = self._rows(np.concatenate([to_pixels @ by_rotation, to_pixels], -1))
        return residual, pose, to_pixels @ state.rotation[:, None]

    def _rows(self, values: np.ndarray) -> np.ndarray:
        """Values ``(T, L, 2, K)`` per landmark to weighted rows ``(T, R, K)``: the landmarks, then the openings' gaps."""
        gaps = values[:, self.upper] - values[:, self.lower]
        rows = np.concatenate([values, gaps], 1)
        return rows.reshape(len(rows), -1, rows.shape[-1]) * self.row_weight[:, None]

    def _move(self, state: FitState, residual: np.ndarray, pose: np.ndarray) -> None:
        """Gauss-Newton step of the pose, from residuals ``(T, R)`` and their pose derivatives ``(T, R, 6)``."""
        normal = pose.transpose(0, 2, 1) @ pose + 1e-6 * np.eye(6)
        step = np.linalg.solve(normal, pose.transpose(0, 2, 1) @ residual[..., None])[..., 0]
        state.rotation = rotation_matrix(np.clip(step[:, :3], -0.5, 0.5)) @ state.rotation
        state.translation = state.translation + step[:, 3:]
        state.translation[:, 2] = np.minimum(state.translation[:, 2], -5.0)  # keep the head in front of the camera


def _eliminate_pose(residual: np.ndarray, pose: np.ndarray, basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations of ``basis (T, R, K)`` after eliminating the pose derivatives ``(T, R, 6)`` by the Schur complement.

    Returns:
        ``hessian (T, K, K)`` and ``gradient (T, K)`` at the current estimate.
    """
    normal = pose.transpose(0, 2, 1) @ pose + 1e-6 * np.eye(6)
    reduced = basis - pose @ np.linalg.solve(normal, pose.transpose(0, 2, 1) @ basis)
    return reduced.transpose(0, 2, 1) @ reduced, (reduced.transpose(0, 2, 1) @ residual[..., None])[..., 0]


def _box_quadratic(hessian: np.ndarray, gradient: np.ndarray, start: np.ndarray, sweeps: int = 12) -> np.ndarray:
    """Minimise ``x H x / 2 - g x`` subject to 0 <= x <= 1 for each frame, by coordinate descent.

    Args:
        hessian: ``(T, K, K)`` positive definite.
        gradient: ``(T, K)``.
        start: ``(T, K)``.
        sweeps: largest number of passes over the coordinates.

    Returns:
        ``(T, K)``.
    """
    x = np.clip(start, 0, 1)
    slope = np.ascontiguousarray((gradient - np.einsum("tij,tj->ti", hessian, x)).T)
    columns = np.ascontiguousarray(hessian.transpose(2, 1, 0))  # frames last, so that each step works on contiguous rows
    x = np.ascontiguousarray(x.T)
    inverse = 1 / np.einsum("tii->it", hessian)
    for _ in range(sweeps):
        largest = 0.0
        for k in range(len(x)):
            moved = np.minimum(np.maximum(x[k] + slope[k] * inverse[k], 0.0), 1.0)
            change = moved - x[k]
            if (size := np.abs(change).max()) > 1e-6:
                x[k] = moved
                slope -= columns[k] * change
                largest = max(largest, size)
        if largest < 1e-3:
            break
    return x.T.copy()
