"""Motion statistics of one clip: blinks, brows, gaze, head, jitter."""

from __future__ import annotations

import numpy as np

from emotalker.coefficients import ARKIT
from emotalker.evaluation.motion_statistics import BROWS, count_blinks, gaze_deviation, head_deviation, head_speed


def clip_statistics(motion: np.ndarray, landmarks: np.ndarray | None = None) -> dict[str, float]:
    """Statistics by key of :data:`~emotalker.evaluation.metrics.measure.MEASURES`.

    Args:
        motion: ``(T, D)`` of the arkit space, T > 1.
        landmarks: ``(T, 68, 2)`` pixels, for the jitter; NaN where no face was found.
    """
    statistics = {
        "blinks": count_blinks(motion) * 60 * ARKIT.fps / len(motion),
        "brows": brow_range(motion),
        "gaze": gaze_deviation(motion),
        "head": head_deviation(motion),
        "head_speed": head_speed(motion),
    }
    if landmarks is not None:
        statistics["jitter"] = jitter(landmarks)
    return statistics


def brow_range(motion: np.ndarray) -> float:
    """5th to 95th percentile over a motion ``(T, D)``, mean of the brow entries."""
    return float(np.ptp(np.percentile(motion[:, BROWS], [5, 95], axis=0), axis=0).mean())


def jitter(landmarks: np.ndarray) -> float:
    """Mean length of the second difference of landmarks ``(T, N, 2)``, pixels per frame squared; NaN frames are left out."""
    lengths = np.linalg.norm(np.diff(landmarks, 2, axis=0), axis=-1)
    known = lengths[np.isfinite(lengths)]
    return float(known.mean()) if len(known) else float("nan")
