"""Calibration of tracked blendshapes to a common range for all speakers: 0 at rest, 1 at full extent.

Tracked blendshapes have an offset and a scale that depend on speaker and camera: resting brows are tracked as slightly
lowered, and a closed eye as two thirds closed. Without calibration these would be rendered onto every portrait.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import find_peaks, savgol_filter

from emotalker.coefficients.rotation import rotation_angles
from emotalker.coefficients.space import BLINKS, GAZE_PAIRS, CoefficientSpace

#: Window of the quadratic smoothing (Savitzky-Golay), frames. The pose changes more slowly than brows and gaze.
EXPRESSION_WINDOW, POSE_WINDOW = 5, 11


@dataclass(frozen=True)
class Calibration:
    """A speaker's resting level of each non-lip blendshape, and the level of closed eyes. Lip blendshapes are not changed.

    Attributes:
        space: the layout whose E expression entries are calibrated; it has ARKit's blendshape names.
        rest: ``(E,)`` resting levels, 0 for lip blendshapes.
        shut: levels of the two blink blendshapes when the eyes are closed.
    """

    space: CoefficientSpace
    rest: np.ndarray
    shut: tuple[float, float]

    @classmethod
    def measure(cls, blendshapes: np.ndarray, space: CoefficientSpace) -> Calibration:
        """Measure all frames ``(N, E)`` of one speaker: rest is the median, shut the median peak of the blinks."""
        rest = np.median(blendshapes, axis=0)
        rest[space.lip] = 0
        shut = [blink_height(blendshapes[:, space.index(name)]) for name in BLINKS]
        return cls(space, rest, (shut[0], shut[1]))

    def __call__(self, blendshapes: np.ndarray) -> np.ndarray:
        """Tracked blendshapes ``(T, E)`` to calibrated ones in 0..1, the same shape."""
        calibrated = blendshapes - self.rest
        for positive, negative in GAZE_PAIRS:
            i, j = self.space.index(positive), self.space.index(negative)
            gaze = calibrated[:, i] - calibrated[:, j]
            calibrated[:, i], calibrated[:, j] = gaze, -gaze
        for name, shut in zip(BLINKS, self.shut, strict=True):
            i = self.space.index(name)
            calibrated[:, i] /= max(shut - self.rest[i], 1e-3)
        return np.clip(calibrated, 0, 1)


def blink_height(blink: np.ndarray) -> float:
    """Median peak of a blink blendshape ``(N,)``; its 99.9th percentile if it has no peak."""
    highest = float(np.percentile(blink, 99.9))
    peaks, _ = find_peaks(blink, height=highest / 2, distance=5)
    return float(np.median(blink[peaks])) if len(peaks) else highest


def smooth(motion: np.ndarray, space: CoefficientSpace) -> np.ndarray:
    """Remove the tracker's jitter from ``(T, D)``. Lips and blinks are fast and are not changed."""
    motion = motion.copy()
    slow = np.setdiff1d(np.arange(space.expression.stop), [*space.lip, *space.indices(BLINKS)])
    for entries, window in ((slow, EXPRESSION_WINDOW), (np.arange(space.dim)[space.pose], POSE_WINDOW)):
        if len(motion) >= window:
            motion[:, entries] = savgol_filter(motion[:, entries], window, polyorder=2, axis=0)
    motion[:, space.expression] = motion[:, space.expression].clip(0, 1)
    return motion


def relative_pose(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Pose relative to a clip's resting pose.

    Args:
        rotation: ``(T, 3, 3)`` model to camera.
        translation: ``(T, 3)`` cm.

    Returns:
        ``(T, 6)`` pitch, yaw, roll in radians of ``R_t R_rest^T`` and the offset from the median translation in cm.
        ``R_rest`` is the clip's mean rotation (chordal mean: the rotation nearest to the average matrix).
    """
    u, _, vt = np.linalg.svd(rotation.mean(0))
    rest = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    angles = rotation_angles(rotation @ rest.T)
    return np.concatenate([angles, translation - np.median(translation, axis=0)], axis=1)
