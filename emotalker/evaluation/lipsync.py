"""Are the lips in sync? A generated video is tracked like any other, and its mouth compared with what it should do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from emotalker.coefficients import ARKIT
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.topology import EYE_CORNERS, INNER_LIPS

#: Words of GRID's commands that begin with closed lips.
BILABIAL_WORDS = frozenset({"bin", "blue", "place", "please", "b", "p", "m"})
#: The closure of an initial b, p or m lies around the aligned start of the word, seconds.
CLOSURE_WINDOW = (-0.10, 0.08)


@dataclass
class MouthTrack:
    """What a tracker sees of a mouth.

    Attributes:
        jaw_open: ``(T,)`` the landmarker's own jawOpen score; NaN where no face was found.
        lip_gap: ``(T,)`` mean distance of the inner lips over the eye distance; NaN where no face was found.
    """

    jaw_open: np.ndarray
    lip_gap: np.ndarray


def track_mouth(frames: Iterable[np.ndarray], landmarker: FaceLandmarker) -> MouthTrack:
    """Track frames ``(H, W, 3)`` uint8 RGB."""
    landmarker.reset()
    jaw_open, gap = [], []
    for frame in frames:
        face = landmarker.track(frame)
        jaw_open.append(np.nan if face is None else face.scores[ARKIT.index("jawOpen")])
        gap.append(np.nan if face is None else lip_gap(face.points[:, :2]))
    return MouthTrack(np.array(jaw_open), np.array(gap))


def lip_gap(points: np.ndarray) -> float:
    """Mean distance of the inner lips' middle thirds over the eye distance, from ``(478, 2)`` landmarks."""
    middle = slice(3, 8)
    gap = np.linalg.norm(points[INNER_LIPS.lower[middle]] - points[INNER_LIPS.upper[middle]], axis=1).mean()
    right, left = points[EYE_CORNERS[:2]].mean(0), points[EYE_CORNERS[2:]].mean(0)
    return float(gap / np.linalg.norm(left - right))


def stored_lip_gap(landmarks: np.ndarray, landmark_index: np.ndarray) -> np.ndarray:
    """:func:`lip_gap` of stored tracks that keep some of the landmarks.

    Args:
        landmarks: ``(T, L, 2)`` pixels; NaN where no face was found.
        landmark_index: ``(L,)`` which of the 478 they are; lips and eye corners must be among them.
    """
    points = np.full((len(landmarks), 478, 2), np.nan)
    points[:, landmark_index] = landmarks
    return np.array([lip_gap(p) for p in points])


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation over the frames where both are finite, the longer cut to the shorter; NaN if one is constant."""
    n = min(len(a), len(b))
    a, b = a[:n], b[:n]
    valid = np.isfinite(a) & np.isfinite(b)
    if valid.sum() < 2 or np.ptp(a[valid]) == 0 or np.ptp(b[valid]) == 0:
        return float("nan")
    return float(np.corrcoef(a[valid], b[valid])[0, 1])


def closure_ratio(gap: np.ndarray, start_seconds: float, fps: int = 25) -> float:
    """How closed the lips get around the start of a word with b, p or m: the least gap there, as a share of the clip's range.

    Args:
        gap: ``(T,)`` lip gap of the clip.
        start_seconds: aligned start of the word.

    Returns:
        0 for the clip's most closed frame, 1 for its widest; NaN if the window has no tracked frame.
    """
    first = max(0, int(np.floor((start_seconds + CLOSURE_WINDOW[0]) * fps)))
    last = int(np.ceil((start_seconds + CLOSURE_WINDOW[1]) * fps)) + 1
    around = gap[first:last]
    if not np.isfinite(around).any():
        return float("nan")
    low, high = np.nanmin(gap), np.nanmax(gap)
    return float((np.nanmin(around) - low) / (high - low)) if high > low else float("nan")


def log_energy(samples: np.ndarray, frames: int, samples_per_frame: int = 640) -> np.ndarray:
    """Log of the root mean square of each video frame's audio, ``(N,)`` to ``(frames,)``, in dB above -60 dB."""
    padded = np.pad(samples, (0, max(0, frames * samples_per_frame - len(samples))))[: frames * samples_per_frame]
    power = np.square(padded.reshape(frames, samples_per_frame)).mean(1)
    return np.maximum(10 * np.log10(power + 1e-12), -60.0)
