"""Removal of tracking jitter without lag and without reducing extremes."""

from __future__ import annotations

import numpy as np

from emotalker.coefficients import CoefficientSpace
from emotalker.coefficients.resample import fast_entries
from emotalker.face.calibration import smooth

REACH = 3  # frames to either side
SPREAD = 1.5  # frames, standard deviation of the weights in time
MAX_NOISE = 0.03  # blendshape units; larger variation is motion


def smooth_fast(values: np.ndarray) -> np.ndarray:
    """Bilateral filter over time (Tomasi & Manduchi 1998) of ``(T, C)`` successive frames without gaps.

    A frame is averaged with neighbours that differ from it by no more than the noise, so a closure of two frames keeps its
    depth. The weights are symmetric, so there is no lag. Each column's noise is a robust estimate from its second
    differences.
    """
    if len(values) < 3:
        return values
    second = np.abs(values[2:] - 2 * values[1:-1] + values[:-2])
    noise = np.minimum(1.4826 * np.median(second, 0) / np.sqrt(6), MAX_NOISE)
    if not noise.any():
        return values
    reach = 2.5 * np.maximum(noise, 1e-9)
    total, weights = values.copy(), np.ones_like(values)
    for shift in range(1, min(REACH, len(values) - 1) + 1):
        closeness = np.exp(-0.5 * (shift / SPREAD) ** 2)
        weight = closeness * np.exp(-0.5 * ((values[shift:] - values[:-shift]) / reach) ** 2)
        total[shift:] += weight * values[:-shift]
        total[:-shift] += weight * values[shift:]
        weights[shift:] += weight
        weights[:-shift] += weight
    return total / weights


def smooth_native(values: np.ndarray, space: CoefficientSpace) -> np.ndarray:
    """Smooth lips and blinks at the video's frame rate, ``(N, D)`` with NaN rows where there is no face."""
    values, fast = values.copy(), fast_entries(space)
    for run in _runs(values):
        values[np.ix_(run, fast)] = smooth_fast(values[np.ix_(run, fast)])
    return values


def smooth_resampled(values: np.ndarray, space: CoefficientSpace) -> np.ndarray:
    """Smooth brows, gaze and pose at the space's frame rate, ``(T, D)`` with NaN rows where there is no face."""
    values = values.copy()
    for run in _runs(values):
        values[run] = smooth(values[run], space)
    return values


def _runs(values: np.ndarray) -> list[np.ndarray]:
    """Frame indices of each segment without NaN."""
    frames = np.flatnonzero(np.isfinite(values).all(1))
    return [run for run in np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1) if len(run)]
