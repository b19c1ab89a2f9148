"""Small movements that accompany speech and that the networks predict too rarely: blinks, and accents of brows and head on
stressed syllables (docs/method.md 9)."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from emotalker.audio.activity import log_energy

#: eyeBlink during a blink, one value per frame at 25 fps: the eyes close in two frames and open in four.
BLINK = np.array([0.45, 1.0, 1.0, 0.7, 0.35, 0.1], np.float32)
#: A mean eyeBlink above this is part of a blink.
SHUT = 0.5
#: Seconds between an added blink and another.
BLINK_GAP = 0.8
#: An accent is a maximum of the smoothed level that exceeds its surroundings by this, in decibels, and is followed by another
#: after this many seconds at the earliest.
ACCENT_DECIBELS, ACCENT_GAP = 6.0, 0.45
#: Standard deviations of the level's smoothing and of an accent's movement, seconds.
LEVEL_SECONDS, ACCENT_SECONDS = 0.06, 0.12


def add_blinks(lids: np.ndarray, per_minute: float, fps: int, rng: np.random.Generator) -> np.ndarray:
    """Add blinks to eyeBlink tracks ``(T, 2)`` at random times, away from those that are there; returns a new array."""
    lids, gap = lids.copy(), round(BLINK_GAP * fps)
    at = rng.exponential(60 * fps / per_minute) if per_minute > 0 else np.inf
    while at < len(lids) - len(BLINK):
        start = int(at)
        if lids[max(0, start - gap) : start + gap].mean(1).max() < SHUT:
            lids[start : start + len(BLINK)] = np.maximum(lids[start : start + len(BLINK)], BLINK[:, None])
        at += rng.exponential(60 * fps / per_minute)
    return lids


def accents(samples: np.ndarray, frames: int, fps: int) -> np.ndarray:
    """How much each video frame is accented, ``(frames,)`` float32 in 0..1, from a recording ``(N,)`` at 16 kHz.

    Maxima of the level stand for stressed syllables; the loudest of the recording counts 1.
    """
    levels = gaussian_filter1d(log_energy(samples, frames), LEVEL_SECONDS * fps)
    if frames < 3:
        return np.zeros(frames, np.float32)
    peaks, _ = find_peaks(levels, prominence=ACCENT_DECIBELS, distance=max(1, round(ACCENT_GAP * fps)))
    curve = np.zeros(frames)
    if len(peaks):
        curve[peaks] = np.clip(1 - (levels[peaks].max() - levels[peaks]) / 12, 0, 1)
    sigma = ACCENT_SECONDS * fps
    return np.clip(gaussian_filter1d(curve, sigma) * sigma * np.sqrt(2 * np.pi), 0, 1).astype(np.float32)
