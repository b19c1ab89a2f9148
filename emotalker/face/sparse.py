"""Blendshapes from the 68 landmarks of the iBUG scheme, without a tracker's scores to lean on.

Sixty-eight points cannot tell low brows from lowered ones. So each person is first seen at rest: the head takes their
resting shape, point by point, and blendshapes are what moves it from there. Where several blendshapes move the points alike, the
motion of fully tracked faces decides (:mod:`emotalker.face.sparse_prior`). Blendshapes the points do not show at all (gaze,
tongue, puffed or raised cheeks, the jaw's thrust) stay at zero.
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

#: Left out of the fit: the 68 points hardly move with them, or move as with something else.
UNSEEN = tuple(n for n in ARKIT_BLENDSHAPES if n.startswith(("eyeLook", "cheek", "tongue")) or n == "jawForward")
#: Parts of the scheme that move together.
GROUPS = {
    "outline": slice(0, 17), "brows": slice(17, 27), "nose": slice(27, 36), "right_eye": slice(36, 42),
    "left_eye": slice(42, 48), "mouth": slice(48, 68),
}  # fmt: skip
#: At rest nothing but the shape explains where points are.
REST_OPTIONS = FitOptions(blendshape=0.02, identity=2.0)
#: Once the resting shape is known, what is left is a detector's jitter and the linearity of the blendshapes.
OPTIONS = FitOptions(point_cm=0.1, oval_cm=0.3, gap_cm=0.03, blendshape=0.4, iterations=4)
#: With an expectation of the blendshapes, which is then as sure as tracked faces are about it.
INFORMED_OPTIONS = replace(OPTIONS, score=0.12)
SMOOTHING_WINDOW = 7  # frames, quadratic
NOISE_WINDOW = 5
MAX_REST_FRAMES = 256
SEEN_FROM = 110.0  # cm, by the camera that is made up for known motion
BLINK_CLIPS = 15  # in which the height of a blink is looked for


@dataclass(frozen=True)
class PersonalHead:
    """The landmarks of one person's head as a linear model, as :func:`emotalker.face.fit.fit_sequence` reads it.

    Attributes:
        landmark_mean: ``(478, 3)`` this person at rest, cm.
        landmark_identity: ``(0, 478, 3)``: there is nothing left to fit.
        landmark_blendshapes: ``(52, 478, 3)``.
    """

    landmark_mean: np.ndarray
    landmark_identity: np.ndarray
    landmark_blendshapes: np.ndarray

    def landmarks(self, identity: np.ndarray | None = None, blendshapes: np.ndarray | None = None) -> np.ndarray:
        """``(..., 478, 3)`` points of this person; ``identity`` is empty."""
        if blendshapes is None:
            return self.landmark_mean
        return self.landmark_mean + np.tensordot(np.asarray(blendshapes, np.float32), self.landmark_blendshapes, 1)


@dataclass(frozen=True)
class Speaker:
    """What is measured once per speaker.

    Attributes:
        head: at rest.
        identity: ``(I,)`` of the face model, nearest to that head.
        camera: assumed view.
        calibration: resting level of the blendshapes and height of a blink.
        rotation, translation: ``(3, 3)`` and ``(3,)`` cm, the resting pose, to which motion is relative.
        noise: variance of the points of each of GROUPS when nothing moves, squared pixels.
    """

    head: PersonalHead
    identity: np.ndarray
    camera: Camera
    calibration: Calibration
    rotation: np.ndarray
    translation: np.ndarray
    noise: dict[str, float]


def measure_speaker(clips: list[np.ndarray], neutral: list[bool], camera: Camera) -> Speaker:
    """Measure a speaker over all their clips.

    Args:
        clips: per clip landmarks ``(T, 68, 2)`` in pixels.
        neutral: which of them are spoken without emotion; rest is looked for there.
        camera: the view.

    Raises:
        ValueError: no clip is neutral.
    """
    calm = [points for points, flag in zip(clips, neutral, strict=True) if flag]
    if not calm:
        raise ValueError("a speaker's rest is measured in neutral clips, and there is none")
    noise = _measure_noise(clips)
    rest = _resting_frames(np.concatenate([smooth_landmarks(points, noise) for points in calm]))
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
    """Fit a clip ``(T, 68, 2)`` px of a measured speaker; its ``identity`` is empty."""
    return _fit(speaker.head, smooth_landmarks(landmarks, speaker.noise), speaker.camera)


def as_seen_sparsely(motion: np.ndarray) -> np.ndarray:
    """What a fit without a prior makes of the 68 points of known motion ``(T, D)`` of the arkit space: ``(T, 52)``."""
    model, camera = FaceModel.load(), Camera.default(1280, 720)
    points = model.landmarks(None, motion[:, ARKIT.expression])[:, IBUG_68] @ rotation_matrix(
        motion[:, ARKIT.pose][:, :3].astype(np.float64)
    ).transpose(0, 2, 1)
    head = _head(model, model.landmarks())
    landmarks = camera.project(points + [0.0, 0.0, -SEEN_FROM])
    return fit_sequence(head, landmarks, camera, None, IBUG_68, np.zeros(0), OPTIONS).blendshapes


_prior = cache(SparsePrior.load)  # read once a process, not once a clip


def _fit(head: PersonalHead, landmarks: np.ndarray, camera: Camera) -> FaceFit:
    """Fit ``(T, 68, 2)`` px twice: as they are, and towards what tracked faces do that look so."""
    alone = fit_sequence(head, landmarks, camera, None, IBUG_68, np.zeros(0), OPTIONS)
    expected = _prior()(alone.blendshapes)
    expected[:, ARKIT.indices(UNSEEN)] = 0
    return fit_sequence(head, landmarks, camera, expected, IBUG_68, np.zeros(0), INFORMED_OPTIONS)


def smooth_landmarks(landmarks: np.ndarray, noise: dict[str, float]) -> np.ndarray:
    """Take the detector's jitter out of ``(T, 68, 2)`` px without lag and without blunting what is fast.

    Each part of the face is replaced by its quadratic smoothing (Savitzky-Golay), and as much of the difference is given back
    as is not explained by noise (a local Wiener filter): a resting mouth is stilled, a closure of two frames stays whole.
    """
    if len(landmarks) < SMOOTHING_WINDOW:
        return landmarks.astype(np.float64)
    base, variance = _local_variance(landmarks)
    out = np.empty_like(base)
    for name, part in GROUPS.items():
        kept = np.maximum(0, 1 - noise[name] / np.maximum(variance[name], 1e-9))
        out[:, part] = base[:, part] + kept[:, None, None] * (landmarks[:, part] - base[:, part])
    return out


def _local_variance(landmarks: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The smoothed points, and per part the mean square ``(T,)`` of what smoothing took away, over NOISE_WINDOW frames."""
    base = savgol_filter(landmarks.astype(np.float64), SMOOTHING_WINDOW, 2, axis=0)
    square = np.square(landmarks - base).mean(2)
    return base, {name: uniform_filter1d(square[:, part].mean(1), NOISE_WINDOW) for name, part in GROUPS.items()}


def _measure_noise(clips: list[np.ndarray]) -> dict[str, float]:
    variances = [_local_variance(points)[1] for points in clips if len(points) >= SMOOTHING_WINDOW]
    if not variances:
        return dict.fromkeys(GROUPS, 0.0)
    return {name: float(np.percentile(np.concatenate([v[name] for v in variances]), 40)) for name in GROUPS}


def lip_gap_68(landmarks: np.ndarray) -> np.ndarray:
    """Mean distance of the inner lips over the eye distance, ``(..., 68, 2)`` to ``(...)``."""
    gap = np.linalg.norm(landmarks[..., 65:68, :] - landmarks[..., [63, 62, 61], :], axis=-1).mean(-1)
    return gap / _eye_distance(landmarks)


def eye_opening_68(landmarks: np.ndarray) -> np.ndarray:
    """Mean distance of the lids of both eyes over the eye distance, ``(..., 68, 2)`` to ``(...)``."""
    lids = np.linalg.norm(landmarks[..., [37, 38, 43, 44], :] - landmarks[..., [41, 40, 47, 46], :], axis=-1)
    return lids.mean(-1) / _eye_distance(landmarks)


def _eye_distance(landmarks: np.ndarray) -> np.ndarray:
    right, left = landmarks[..., 36:42, :].mean(-2), landmarks[..., 42:48, :].mean(-2)
    return np.linalg.norm(left - right, axis=-1)


def _resting_frames(landmarks: np.ndarray) -> np.ndarray:
    """Frames with closed lips and open eyes, ``(N, 68, 2)`` to at most MAX_REST_FRAMES of them."""
    gap, eyes = lip_gap_68(landmarks), eye_opening_68(landmarks)
    rest = landmarks[(gap <= np.percentile(gap, 30)) & (eyes >= np.percentile(eyes, 30))]
    rest = rest if len(rest) else landmarks
    return rest[np.unique(np.linspace(0, len(rest) - 1, MAX_REST_FRAMES).round().astype(int))]


def _rest_shape(model: FaceModel, identity: np.ndarray, fit: FaceFit) -> PersonalHead:
    """The fitted head, its 68 points moved sideways (depth is not seen) to where they lie at rest."""
    shape = model.landmarks(identity).astype(np.float64)
    rotation = rotation_matrix(fit.angles.astype(np.float64))
    placed = shape[IBUG_68] @ rotation.transpose(0, 2, 1) + fit.translation[:, None]
    centimetres = -placed[..., 2:] / fit.camera.focal * [1, -1]
    missed = (fit.landmarks_2d - fit.camera.project(placed)) * centimetres
    missed = np.concatenate([missed, np.zeros((*missed.shape[:2], 1))], -1) @ rotation
    shape[IBUG_68] += np.median(missed, axis=0)
    return _head(model, shape)


def _head(model: FaceModel, shape: np.ndarray) -> PersonalHead:
    """A head whose landmarks rest at ``(478, 3)`` cm and answer to the seen blendshapes as the model's do."""
    blendshapes = model.landmark_blendshapes.copy()
    blendshapes[ARKIT.indices(UNSEEN)] = 0
    return PersonalHead(shape.astype(np.float32), np.zeros((0, len(shape), 3), np.float32), blendshapes)
