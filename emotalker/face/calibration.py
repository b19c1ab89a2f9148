"""From a tracker's numbers to blendshapes that mean the same on every face: zero at rest, one when complete.

A tracker sees a speaker's resting brows as slightly lowered and a shut eye as two thirds shut. Both are properties of the
speaker and the camera, not of the motion, and would be rendered onto every portrait.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import find_peaks, savgol_filter

from emotalker.coefficients.rotation import rotation_angles
from emotalker.coefficients.space import BLINKS, GAZE_PAIRS, CoefficientSpace

#: Frames of the quadratic smoothing (Savitzky-Golay). Brows and gaze move slower than a tracker jitters, heads slower still.
EXPRESSION_WINDOW, POSE_WINDOW = 5, 11


@dataclass(frozen=True)
class Calibration:
    """A speaker's resting level of each non-lip blendshape, and the level of the shut eyes. Lip blendshapes stay as they are.

    Attributes:
        space: whose expression entries are calibrated; its blendshapes carry ARKit's names.
        rest: ``(E,)`` resting levels, 0 for lip blendshapes.
        shut: the two blink blendshapes' levels at the bottom of a blink.
    """

    space: CoefficientSpace
    rest: np.ndarray
    shut: tuple[float, float]

    @classmethod
    def measure(cls, blendshapes: np.ndarray, space: CoefficientSpace) -> Calibration:
        """Measure all frames ``(N, E)`` of one speaker: rest is the median, shut the middle height of the blinks."""
        rest = np.median(blendshapes, axis=0)
        rest[space.lip] = 0
        shut = [blink_height(blendshapes[:, space.index(name)]) for name in BLINKS]
        return cls(space, rest, (shut[0], shut[1]))

    def __call__(self, blendshapes: np.ndarray) -> np.ndarray:
        """``(T, E)`` tracked blendshapes to calibrated ones in 0..1, same shape."""
        calibrated = blendshapes - self.rest
        for positive, negative in GAZE_PAIRS:
            i, j = self.space.index(positive), self.space.index(negative)
            gaze = calibrated[:, i] - calibrated[:, j]
            calibrated[:, i], calibrated[:, j] = gaze, -gaze
        for name, shut in zip(BLINKS, self.shut, strict=True):
            i = self.space.index(name)
            calibrated[:, i] /= max(shut - self.rest[i], 1e-3)
        return np.clip(calibrated, 0, 1)

    def to_dict(self) -> dict:
        """Named numbers for a manifest."""
        rest = {
            name: round(float(level), 4) for name, level in zip(self.space.expression_names, self.rest, strict=True) if level
        }
        return {"rest": rest, "shut": dict(zip(BLINKS, (round(s, 4) for s in self.shut), strict=True))}


def blink_height(blink: np.ndarray) -> float:
    """Median peak of a blink blendshape ``(N,)``; its largest value if there is no blink in it."""
    highest = float(np.percentile(blink, 99.9))
    peaks, _ = find_peaks(blink, height=highest / 2, distance=5)
    return float(np.median(blink[peaks])) if len(peaks) else highest


def smooth(motion: np.ndarray, space: CoefficientSpace) -> np.ndarray:
    """Take the tracker's jitter out of ``(T, D)``; lips and blinks, which are fast, stay as they are."""
    motion = motion.copy()
    slow = np.setdiff1d(np.arange(space.expression.stop), [*space.lip, *space.indices(BLINKS)])
    for entries, window in ((slow, EXPRESSION_WINDOW), (np.arange(space.dim)[space.pose], POSE_WINDOW)):
        if len(motion) >= window:
            motion[:, entries] = savgol_filter(motion[:, entries], window, polyorder=2, axis=0)
    motion[:, space.expression] = motion[:, space.expression].clip(0, 1)
    return motion


def relative_pose(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Pose relative to a clip's own rest.

    Args:
        rotation: ``(T, 3, 3)`` model to camera.
        translation: ``(T, 3)`` cm.

    Returns:
        ``(T, 6)`` pitch, yaw, roll in radians of ``R_t R_rest^T`` and the shift from the median place in cm.
        ``R_rest`` is the clip's mean rotation (chordal mean: the rotation nearest to the average matrix).
    """
    u, _, vt = np.linalg.svd(rotation.mean(0))
    rest = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt
    angles = rotation_angles(rotation @ rest.T)
    return np.concatenate([angles, translation - np.median(translation, axis=0)], axis=1)
