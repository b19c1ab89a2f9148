"""Loudness of video frames, and the pauses of a voice."""

from __future__ import annotations

import numpy as np
import scipy

SAMPLES_PER_FRAME = 640  # of video, at 16 kHz and 25 fps
#: A pause is at least this long, frames at 25 fps (0.32 s). Closures of plosives last about 0.1 s.
PAUSE_FRAMES = 8
#: A frame is silent below this fraction of the way from the noise floor to the level of speech, in dB, ...
_FRACTION = 0.2
#: ... or further below the level of speech than this, dB.
_RANGE = 40.0
#: Without a range of this many dB nothing tells speech from noise. The recording is then silent throughout if it is below the
#: second level, dB re full scale, and has no pauses if it is above.
_LEAST_RANGE, _INAUDIBLE = 10.0, -50.0
#: Lowest level of a frame, dB re full scale.
QUIETEST = -90.0


def log_energy(
    samples: np.ndarray, frames: int, samples_per_frame: int = SAMPLES_PER_FRAME, floor: float = -60.0
) -> np.ndarray:
    """Log of the root mean square of each video frame's audio, ``(N,)`` to ``(frames,)``, in dB, at least ``floor``."""
    padded = np.pad(samples, (0, max(0, frames * samples_per_frame - len(samples))))[: frames * samples_per_frame]
    power = np.square(padded.reshape(frames, samples_per_frame)).mean(1)
    return np.maximum(10 * np.log10(power + 1e-12), floor)


def silence_level(level: np.ndarray) -> float:
    """Level below which a frame is silent, from the levels ``(F,)`` of a voice's frames, dB.

    It lies between the noise floor (5th percentile) and the level of speech (the largest running median of 0.2 s). It is
    infinite where nothing tells speech from noise: positive if the recording is silent, negative if it has no pauses.
    """
    floor, speech = np.percentile(level, 5), scipy.ndimage.median_filter(level, 5, mode="nearest").max()
    if speech - floor < _LEAST_RANGE:
        return np.inf if speech < _INAUDIBLE else -np.inf
    return max(floor + _FRACTION * (speech - floor), speech - _RANGE)


def pauses(samples: np.ndarray, frames: int, threshold: float | None = None) -> np.ndarray:
    """Which frames lie in a pause of PAUSE_FRAMES or more, ``(N,)`` to ``(frames,)`` bool.

    ``threshold`` is the :func:`silence_level`, by default that of the samples. Given it, a frame depends on at most
    PAUSE_FRAMES following ones.
    """
    level = log_energy(samples, frames, floor=QUIETEST)
    silent = level < (silence_level(level) if threshold is None else threshold)
    if silent.all():
        return silent
    edges = np.flatnonzero(np.diff(silent, prepend=False, append=False))
    for start, end in edges.reshape(-1, 2):
        if end - start < PAUSE_FRAMES:
            silent[start:end] = False
    return silent
