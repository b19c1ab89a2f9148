"""F-LMD and M-LMD: distances of facial landmarks, of the whole face and of the mouth, in the conventions that are in use."""

from __future__ import annotations

import numpy as np

MOUTH = slice(48, 68)  # of the 68 iBUG points
#: Rows and columns of :func:`landmark_distances`.
VARIANTS = ("absolute", "centred")
MEASURES = ("F-LMD", "M-LMD")


def landmark_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """F-LMD and M-LMD of two sequences ``(T, 68, 2)`` in pixels, in both variants.

    Returns:
        ``(2, 2)``: VARIANTS by MEASURES. Absolute: mean absolute difference over x and y, as EmoTalker's published code has
        it. Centred: each set of points less its own mean, then the mean Euclidean distance (docs/method.md 8). NaN frames of
        either sequence are left out.
    """
    a, b = _finite(a, b)
    rows = [[np.abs(a[:, p] - b[:, p]).mean() if len(a) else np.nan for p in (slice(None), MOUTH)]]
    centred = [[x[:, p] - x[:, p].mean(1, keepdims=True) for x in (a, b)] for p in (slice(None), MOUTH)]
    rows.append([_distance(x, y) for x, y in centred])
    return np.array(rows)


def first_frame_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """F-LMD and M-LMD of two sequences ``(T, 68, 2)`` whose first frames are aligned: ``(2,)``.

    Every point of ``a`` is shifted such that its first frame coincides with that of ``b``, so only motion counts: neither
    another crop, nor another identity, nor another landmark detector. Euclidean, in pixels of ``b``; NaN frames are left out,
    the first frame is the first one that is found in both.
    """
    a, b = _finite(a, b)
    if not len(a):
        return np.full(2, np.nan)
    moved = a - a[0] + b[0]
    return np.array([_distance(moved[:, p], b[:, p]) for p in (slice(None), MOUTH)])


def scale_to(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """A sequence ``(T, 68, 2)`` scaled such that the distance of the eyes in its first frame is that of ``target``."""
    a, b = _finite(points, target)
    return points * (_eye_distance(b[0]) / _eye_distance(a[0])) if len(a) else points


def _eye_distance(points: np.ndarray) -> float:
    return float(np.linalg.norm(points[36:42].mean(0) - points[42:48].mean(0)))


def _finite(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both cut to the shorter, without frames in which one of them is NaN."""
    n = min(len(a), len(b))
    kept = np.isfinite(a[:n]).all((1, 2)) & np.isfinite(b[:n]).all((1, 2))
    return a[:n][kept], b[:n][kept]


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b, axis=-1).mean()) if len(a) else float("nan")
