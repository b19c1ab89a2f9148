"""Blendshapes from the 68 landmarks of the iBUG scheme, without blendshape scores.

From 68 points alone, low brows and lowered brows are ambiguous. Each person's resting shape is therefore measured first,
point by point, and blendshapes are fitted to the deviation from it. Blendshapes that displace the points similarly are
separated by a prior estimated from fully tracked faces (:mod:`emotalker.face.sparse_prior`). Blendshapes that cannot be
observed at the points (gaze, tongue, cheeks, jawForward) are zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.signal import savgol_filter

from emotalker.coefficients import ARKIT, ARKIT_BLENDSHAPES
from emotalker.coefficients.rotation import rotation_matrix
from emotalker.face.calibration import Calibration, blink_height
from emotalker.face.fit import FaceFit, FitOptions, fit_identity, fit_sequence
from emotalker.face.geometry import Camera
from emotalker.face.model import FaceModel
from emotalker.face.sparse_prior import SparsePrior
from emotalker.face.topology import IBUG_68

#: Excluded from the fit: they hardly move the 68 points, or move them as another blendshape does.
UNOBSERVED = tuple(n for n in ARKIT_BLENDSHAPES if n.startswith(("eyeLook", "cheek", "tongue")) or n == "jawForward")
#: Groups of points that are smoothed together.
GROUPS = {
    "outline": slice(0, 17), "brows": slice(17, 27), "nose": slice(27, 36), "right_eye": slice(36, 42),
    "left_eye": slice(42, 48), "mouth": slice(48, 68),
}  # fmt: skip
#: Fit of the resting shape: blendshapes are close to zero and the identity explains the points.
REST_OPTIONS = FitOptions(blendshape=0.02, identity=2.0)
#: Fit with the resting shape known: residuals are the detector's jitter and the error of linear blendshapes.
OPTIONS = FitOptions(point_cm=0.1, oval_cm=0.3, gap_cm=0.03, blendshape=0.4, iterations=4)
#: Fit towards the prior's expected blendshapes.
PRIOR_OPTIONS = replace(OPTIONS, score=0.12)
SMOOTHING_WINDOW = 7  # frames, quadratic
NOISE_WINDOW = 5  # frames
MAX_REST_FRAMES = 256
PROJECTION_DISTANCE = 110.0  # cm, between camera and head in project_and_fit
BLINK_CLIPS = 15  # clips in which the height of a blink is measured


@dataclass(frozen=True)
class PersonalHead:
    """The landmarks of one person's head as a linear model for :func:`emotalker.face.fit.fit_sequence`.

    Attributes:
        landmark_mean: ``(478, 3)`` the person at rest, cm.
        landmark_identity: ``(0, 478, 3)``: the identity is fixed.
        landmark_blendshapes: ``(52, 478, 3)``.
    """

    landmark_mean: np.ndarray
    landmark_identity: np.ndarray
    landmark_blendshapes: np.ndarray

    def landmarks(self, identity: np.ndarray | None = None, blendshapes: np.ndarray | None = None) -> np.ndarray:
        """Points ``(..., 478, 3)`` of the person; ``identity`` is ignored."""
        if blendshapes is None:
            return self.landmark_mean
        return self.landmark_mean + np.tensordot(np.asarray(blendshapes, np.float32), self.landmark_blendshapes, 1)


@dataclass(frozen=True)
class Speaker:
    """Measurements of one speaker.

    Attributes:
        head: the resting head.
        identity: ``(I,)`` of the face model, fitted to that head.
        camera: assumed view.
        calibration: resting level of the blendshapes and height of a blink.
        rotation, translation: ``(3, 3)`` and ``(3,)`` cm, the resting pose; motion is relative to it.
        noise: variance of the points of each of GROUPS in a still face, squared pixels.
    """

    head: PersonalHead
    identity: np.ndarray
    camera: Camera
    calibration: Calibration
    rotation: np.ndarray
    translation: np.ndarray
    noise: dict[str, float]


def measure_speaker(clips: list[np.ndarray], neutral: list[bool], camera: Camera) -> Speaker:
    """Measure a speaker from all their clips.

    Args:
        clips: per clip landmarks ``(T, 68, 2)`` in pixels.
        neutral: which clips are spoken without emotion; the resting shape is measured in these.
        camera: the view.

    Raises:
        ValueError: no clip is neutral.
    """
    neutral_clips = [points for points, flag in zip(clips, neutral, strict=True) if flag]
    if not neutral_clips:
        raise ValueError("a speaker's resting shape is measured in neutral clips, but there is none")
    noise = _measure_noise(clips)
    rest = _resting_frames(np.concatenate([smooth_landmarks(points, noise) for points in neutral_clips]))
    model = FaceModel.load()
    identity = fit_identity(model, rest, camera, None, IBUG_68, REST_OPTIONS)
    fit = fit_sequence(model, rest, camera, None, IBUG_68, identity, REST_OPTIONS)
    head = _rest_shape(model, identity, fit)

    sample = np.concatenate(clips[:: max(1, len(clips) // BLINK_CLIPS)])
    blendshapes = _fit(head, sample, camera).blendshapes
    resting = _fit(head, rest, camera)
    level = np.median(resting.blendshapes, axis=0)
    level[ARKIT.lip] = 0
    shut = tuple(blink_height(blendshapes[:, ARKIT.index(name)]) for name in ("eyeBlinkLeft", "eyeBlinkRight"))
    u, _, vt = np.linalg.svd(rotation_matrix(resting.angles).mean(0))
    return Speaker(
        head, identity, camera, Calibration(ARKIT, level, shut), u @ vt, np.median(resting.translation, axis=0), noise
    )


def fit_landmarks(speaker: Speaker, landmarks: np.ndarray) -> FaceFit:
    """Fit a clip ``(T, 68, 2)`` in pixels of a measured speaker; the result's ``identity`` is empty."""
    return _fit(speaker.head, smooth_landmarks(landmarks, speaker.noise), speaker.camera)


def project_and_fit(motion: np.ndarray) -> np.ndarray:
    """Blendshapes ``(T, 52)`` of a fit without a prior to the projected 68 points of known arkit motion ``(T, D)``."""
    model, camera = FaceModel.load(), Camera.default(1280, 720)
    points = model.landmarks(None, motion[:, ARKIT.expression])[:, IBUG_68] @ rotation_matrix(
        motion[:, ARKIT.pose][:, :3].astype(np.float64)
    ).transpose(0, 2, 1)
    head = _head(model, model.landmarks())
    landmarks = camera.project(points + [0.0, 0.0, -PROJECTION_DISTANCE])
    return fit_sequence(head, landmarks, camera, None, IBUG_68, np.zeros(0), OPTIONS).blendshapes


_prior = cache(SparsePrior.load)  # loaded once per process


def _fit(head: PersonalHead, landmarks: np.ndarray, camera: Camera) -> FaceFit:
    """Fit points ``(T, 68, 2)`` in pixels twice: without a prior, then towards the blendshapes that the prior expects."""
    initial = fit_sequence(head, landmarks, camera, None, IBUG_68, np.zeros(0), OPTIONS)
    expected = _prior()(initial.blendshapes)
    expected[:, ARKIT.indices(UNOBSERVED)] = 0
    return fit_sequence(head, landmarks, camera, expected, IBUG_68, np.zeros(0), PRIOR_OPTIONS)


def smooth_landmarks(landmarks: np.ndarray, noise: dict[str, float]) -> np.ndarray:
    """Remove the detector's jitter from ``(T, 68, 2)`` in pixels without lag, preserving fast motion.

    Each of GROUPS is smoothed quadratically (Savitzky-Golay), and the part of the residual that exceeds the noise is added
    back (a local Wiener filter). A resting mouth becomes still, and a closure of two frames is preserved.

    Args:
        landmarks: ``(T, 68, 2)``; clips shorter than SMOOTHING_WINDOW are returned unchanged.
        noise: variance of each of GROUPS, squared pixels.
    """
    if len(landmarks) < SMOOTHING_WINDOW:
        return landmarks.astype(np.float64)
    base, variance = _local_variance(landmarks)
    out = np.empty_like(base)
    for name, part in GROUPS.items():
        gain = np.maximum(0, 1 - noise[name] / np.maximum(variance[name], 1e-9))
        out[:, part] = base[:, part] + gain[:, None, None] * (landmarks[:, part] - base[:, part])
    return out


def _local_variance(landmarks: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The smoothed points, and per group the mean square residual ``(T,)`` over NOISE_WINDOW frames."""
    base = savgol_filter(landmarks.astype(np.float64), SMOOTHING_WINDOW, 2, axis=0)
    square = np.square(landmarks - base).mean(2)
    return base, {name: uniform_filter1d(square[:, part].mean(1), NOISE_WINDOW) for name, part in GROUPS.items()}


def _measure_noise(clips: list[np.ndarray]) -> dict[str, float]:
    """Noise variance of each of GROUPS: the 40th percentile over all frames, squared pixels; 0 if all clips are too short."""
    variances = [_local_variance(points)[1] for points in clips if len(points) >= SMOOTHING_WINDOW]
    if not variances:
        return dict.fromkeys(GROUPS, 0.0)
    return {name: float(np.percentile(np.concatenate([v[name] for v in variances]), 40)) for name in GROUPS}


def lip_gap_68(landmarks: np.ndarray) -> np.ndarray:
    """Mean distance between the inner lips relative to the eye distance, ``(..., 68, 2)`` to ``(...)``."""
    gap = np.linalg.norm(landmarks[..., 65:68, :] - landmarks[..., [63, 62, 61], :], axis=-1).mean(-1)
    return gap / _eye_distance(landmarks)


def eye_opening_68(landmarks: np.ndarray) -> np.ndarray:
    """Mean distance between the lids of both eyes relative to the eye distance, ``(..., 68, 2)`` to ``(...)``."""
    lids = np.linalg.norm(landmarks[..., [37, 38, 43, 44], :] - landmarks[..., [41, 40, 47, 46], :], axis=-1)
    return lids.mean(-1) / _eye_distance(landmarks)


def _eye_distance(landmarks: np.ndarray) -> np.ndarray:
    right, left = landmarks[..., 36:42, :].mean(-2), landmarks[..., 42:48, :].mean(-2)
    return np.linalg.norm(left - right, axis=-1)


def _resting_frames(landmarks: np.ndarray) -> np.ndarray:
    """Up to MAX_REST_FRAMES of the frames ``(N, 68, 2)``, evenly spaced, with closed lips and open eyes."""
    gap, eyes = lip_gap_68(landmarks), eye_opening_68(landmarks)
    rest = landmarks[(gap <= np.percentile(gap, 30)) & (eyes >= np.percentile(eyes, 30))]
    rest = rest if len(rest) else landmarks
    return rest[np.unique(np.linspace(0, len(rest) - 1, MAX_REST_FRAMES).round().astype(int))]


def _rest_shape(model: FaceModel, identity: np.ndarray, fit: FaceFit) -> PersonalHead:
    """The fitted head with its 68 points moved to their observed resting positions, parallel to the image plane."""
    shape = model.landmarks(identity).astype(np.float64)
    rotation = rotation_matrix(fit.angles.astype(np.float64))
    placed = shape[IBUG_68] @ rotation.transpose(0, 2, 1) + fit.translation[:, None]
    centimetres = -placed[..., 2:] / fit.camera.focal * [1, -1]
    residual = (fit.landmarks_2d - fit.camera.project(placed)) * centimetres
    residual = np.concatenate([residual, np.zeros((*residual.shape[:2], 1))], -1) @ rotation
    shape[IBUG_68] += np.median(residual, axis=0)
    return _head(model, shape)


def _head(model: FaceModel, shape: np.ndarray) -> PersonalHead:
    """A head with landmarks ``(478, 3)`` cm at rest and the model's displacements, without UNOBSERVED."""
    blendshapes = model.landmark_blendshapes.copy()
    blendshapes[ARKIT.indices(UNOBSERVED)] = 0
    return PersonalHead(shape.astype(np.float32), np.zeros((0, len(shape), 3), np.float32), blendshapes)
