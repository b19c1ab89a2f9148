"""Small movements that accompany speech and that the networks predict too rarely: blinks, and accents of brows and head on
stressed syllables (docs/method.md 9)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy

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


class BlinkTimes:
    """Random times of blinks, drawn when they are asked for, so that a recording can be processed in parts.

    Args:
        draw: the time of the first blink, then the time from each blink to the next, in frames; None for no blinks.
    """

    def __init__(self, draw: Callable[[bool], float] | None):
        self._draw, self._next = draw, np.inf if draw is None else None
        self._starts: list[int] = []

    @classmethod
    def poisson(cls, per_minute: float, fps: int, rng: np.random.Generator) -> BlinkTimes:
        """Blinks at random, ``per_minute`` on average."""
        return cls((lambda first: rng.exponential(60 * fps / per_minute)) if per_minute > 0 else None)

    @classmethod
    def irregular(cls, per_minute: float, fps: int, rng: np.random.Generator) -> BlinkTimes:
        """Blinks ``per_minute`` on average; intervals are gamma-distributed with shape 4, so that few are very short."""
        if per_minute <= 0:
            return cls(None)
        mean = 60.0 * fps / per_minute
        return cls(lambda first: rng.uniform(0.2, 1.0) * mean if first else max(len(BLINK) + 2, rng.gamma(4.0, mean / 4.0)))

    def between(self, start: int, end: int) -> list[int]:
        """First frames of the blinks that start in ``start..end``, end excluded. ``start`` does not decrease."""
        if self._next is None:
            self._next = self._draw(True)
        while self._next < end:
            self._starts.append(int(self._next))
            self._next += self._draw(False)
        self._starts = [at for at in self._starts if at >= start]
        return [at for at in self._starts if at < end]


def blink_at(lids: np.ndarray, at: int) -> None:
    """Close eyeBlink tracks ``(T, 2)`` in place with a blink that starts at frame ``at``, which may be negative."""
    first = max(0, at)
    pulse = BLINK[first - at : max(0, len(lids) - at), None]
    lids[first : first + len(pulse)] = np.maximum(lids[first : first + len(pulse)], pulse)


def add_blinks(lids: np.ndarray, blinks: BlinkTimes, fps: int, start: int = 0) -> np.ndarray:
    """Add blinks to eyeBlink tracks ``(T, 2)``, away from those that are there; returns a new array.

    Args:
        lids: tracks from frame ``start`` of the recording on.
        blinks: their times in the recording.
        fps: frames per second.
        start: frame of the recording.
    """
    lids, gap = lids.copy(), round(BLINK_GAP * fps)
    for at in blinks.between(max(0, start - len(BLINK) + 1), start + len(lids) - len(BLINK)):
        place = at - start
        if lids[max(0, place - gap) : place + gap].mean(1).max() < SHUT:
            blink_at(lids, place)
    return lids


def accents(samples: np.ndarray, frames: int, fps: int) -> np.ndarray:
    """How much each video frame is accented, ``(frames,)`` float32 in 0..1, from a recording ``(N,)`` at 16 kHz.

    Maxima of the level stand for stressed syllables; the loudest of the recording counts 1.
    """
    levels = scipy.ndimage.gaussian_filter1d(log_energy(samples, frames), LEVEL_SECONDS * fps)
    if frames < 3:
        return np.zeros(frames, np.float32)
    from scipy.signal import find_peaks  # imported here, because that takes a third of a second

    peaks, _ = find_peaks(levels, prominence=ACCENT_DECIBELS, distance=max(1, round(ACCENT_GAP * fps)))
    curve = np.zeros(frames)
    if len(peaks):
        curve[peaks] = np.clip(1 - (levels[peaks].max() - levels[peaks]) / 12, 0, 1)
    sigma = ACCENT_SECONDS * fps
    return np.clip(scipy.ndimage.gaussian_filter1d(curve, sigma) * sigma * np.sqrt(2 * np.pi), 0, 1).astype(np.float32)
