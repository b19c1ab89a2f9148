"""Fits the head model's identity, blendshapes and pose to landmarks; see :mod:`emotalker.face.least_squares`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from emotalker.coefficients.rotation import rotation_angles, rotation_matrix
from emotalker.face.geometry import Camera
from emotalker.face.least_squares import NUM_BLENDSHAPES, FitOptions, FitProblem
from emotalker.face.model import FaceModel
from emotalker.face.topology import EYE_CORNERS

__all__ = ["FaceFit", "FitOptions", "fit_face", "fit_identity", "fit_sequence"]

CHUNK = 256  # frames solved at a time; bounds memory

DEFAULT = FitOptions()


@dataclass
class FaceFit:
    """A head fitted to T frames.

    Attributes:
        identity: ``(I,)`` shared by the frames, standard deviations.
        blendshapes: ``(T, 52)`` in ARKIT_BLENDSHAPES order, 0..1.
        angles: ``(T, 3)`` pitch, yaw, roll in radians.
        translation: ``(T, 3)`` cm in camera space.
        camera: assumed view.
        landmarks_2d: ``(T, L, 2)`` the given landmarks, pixels.
        landmark_index: ``(L,)`` their indices among the 478 points.
        reprojection_error_px: ``(T,)`` mean distance between fitted and given landmarks.
        relative_error: ``(T,)`` that distance relative to the distance between the eyes.

    All per-frame values are NaN in frames whose landmarks are not finite.
    """

    identity: np.ndarray
    blendshapes: np.ndarray
    angles: np.ndarray
    translation: np.ndarray
    camera: Camera
    landmarks_2d: np.ndarray
    landmark_index: np.ndarray
    reprojection_error_px: np.ndarray
    relative_error: np.ndarray

    def place(self, points: np.ndarray, frame: int = 0) -> np.ndarray:
        """Model-space points ``(N, 3)`` in the camera space of one frame."""
        return points @ rotation_matrix(self.angles[frame]).T + self.translation[frame]


def fit_face(
    model: FaceModel,
    landmarks_xy: ArrayLike,
    camera: Camera,
    scores: ArrayLike | None = None,
    landmark_index: ArrayLike | None = None,
    identity: ArrayLike | None = None,
    options: FitOptions = DEFAULT,
) -> FaceFit:
    """Fit one picture; arguments as for :func:`fit_sequence` without the frame axis, result with T = 1."""
    scores = None if scores is None else np.asarray(scores)[None]
    return fit_sequence(model, np.asarray(landmarks_xy)[None], camera, scores, landmark_index, identity, options)


def fit_sequence(
    model: FaceModel,
    landmarks_xy: ArrayLike,
    camera: Camera,
    scores: ArrayLike | None = None,
    landmark_index: ArrayLike | None = None,
    identity: ArrayLike | None = None,
    options: FitOptions = DEFAULT,
) -> FaceFit:
    """Fit a clip of one person. Frames share the identity and are otherwise independent; nothing is smoothed over time.

    Args:
        model: the head.
        landmarks_xy: ``(T, L, 2)`` pixels; frames that contain NaN are skipped.
        camera: the view.
        scores: ``(T, 52)`` the landmarker's blendshape scores, the mean of the blendshapes' prior; None for zero.
        landmark_index: ``(L,)`` which of the 478 points are given; None for all of them.
        identity: ``(I,)`` from :func:`fit_identity`, or None to fit it to this clip.
        options: weights.

    Raises:
        ValueError: the shapes do not match.
    """
    problem = FitProblem(model, camera, landmark_index, options)
    landmarks, scores = problem.check(landmarks_xy, scores)
    valid = np.isfinite(landmarks).all((1, 2)) & np.isfinite(scores if scores is not None else 0.0).all(-1)
    if identity is None:
        chosen = np.flatnonzero(valid)
        identity = problem.solve_identity(landmarks[chosen], None if scores is None else scores[chosen])
    identity = np.asarray(identity, np.float64)

    total = len(landmarks)
    blendshapes, angles, translation, error = (np.full((total, *s), np.nan) for s in ((NUM_BLENDSHAPES,), (3,), (3,), ()))
    for start in range(0, total, CHUNK):
        frames = np.flatnonzero(valid[start : start + CHUNK]) + start
        if len(frames):
            state = problem.start(landmarks[frames], None if scores is None else scores[frames], identity)
            for _ in range(options.iterations):
                problem.step_blendshapes(state)
            blendshapes[frames], translation[frames] = state.blendshapes, state.translation
            angles[frames] = rotation_angles(state.rotation)
            error[frames] = np.linalg.norm(problem.project(state) - state.landmarks, axis=-1).mean(1)
    scale = camera.focal / -translation[:, 2] * _eye_distance(model, identity)
    return FaceFit(
        identity.astype(np.float32),
        blendshapes.astype(np.float32),
        angles.astype(np.float32),
        translation.astype(np.float32),
        camera,
        landmarks.astype(np.float32),
        problem.index,
        error.astype(np.float32),
        (error / scale).astype(np.float32),
    )


def fit_identity(
    model: FaceModel,
    landmarks_xy: ArrayLike,
    camera: Camera,
    scores: ArrayLike | None = None,
    landmark_index: ArrayLike | None = None,
    options: FitOptions = DEFAULT,
) -> np.ndarray:
    """Identity ``(I,)`` of one person from frames of one or more clips; arguments and errors as for :func:`fit_sequence`."""
    problem = FitProblem(model, camera, landmark_index, options)
    landmarks, scores = problem.check(landmarks_xy, scores)
    valid = np.isfinite(landmarks).all((1, 2)) & np.isfinite(scores if scores is not None else 0.0).all(-1)
    return problem.solve_identity(landmarks[valid], None if scores is None else scores[valid]).astype(np.float32)


def _eye_distance(model: FaceModel, identity: np.ndarray) -> float:
    """Distance between the midpoints of the two eyes' corners, cm."""
    right_outer, right_inner, left_inner, left_outer = model.landmarks(identity)[EYE_CORNERS]
    return np.linalg.norm((left_inner + left_outer - right_inner - right_outer) / 2)
