"""Lip sync of videos: the tracked mouth against the real one, against bilabial closures, and against the sound's energy."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emotalker.audio.activity import log_energy
from emotalker.coefficients import ARKIT
from emotalker.core.errors import DataError
from emotalker.core.splits import Split, split_of_name
from emotalker.data.readers.grid import Tracks
from emotalker.evaluation.tables import markdown_table
from emotalker.face.landmarks import FaceLandmarker
from emotalker.face.resting import lip_gap

#: Words of GRID's commands that contain a bilabial, by the end of the word at which it lies; the letter m is spoken "em".
BILABIAL_WORDS = {
    **dict.fromkeys(("bin", "blue", "place", "please", "b", "p"), "start_s"), "m": "end_s",
}  # fmt: skip
#: The closure of a b, p or m lies in this interval around the aligned time, in seconds.
CLOSURE_WINDOW = (-0.10, 0.08)
#: Lips count as closed below this fraction of the clip's range.
CLOSED = 0.25
#: Random instants are this far from every closure, in seconds, so that their intervals do not overlap.
AWAY = 0.2
INSTANTS_PER_CLOSURE = 4


@dataclass
class MouthTrack:
    """A tracked mouth.

    Attributes:
        jaw_open: ``(T,)`` the landmarker's jawOpen score; NaN where no face was found.
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


def stored_lip_gap(landmarks: np.ndarray, landmark_index: np.ndarray) -> np.ndarray:
    """:func:`lip_gap` of stored tracks that keep some of the landmarks.

    Args:
        landmarks: ``(T, L, 2)`` pixels; NaN where no face was found.
        landmark_index: ``(L,)`` their indices among the 478; lips and eye corners must be included.
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


def closure_ratio(gap: np.ndarray, seconds: float, fps: int = 25) -> float:
    """The smallest gap in CLOSURE_WINDOW around an instant, as a fraction of the clip's range.

    Args:
        gap: ``(T,)`` lip gap of the clip.
        seconds: aligned time of a b, p or m, or any other instant.

    Returns:
        0 for the clip's most closed frame, 1 for its widest; NaN if the window has no tracked frame.
    """
    first = max(0, int(np.floor((seconds + CLOSURE_WINDOW[0]) * fps)))
    last = int(np.ceil((seconds + CLOSURE_WINDOW[1]) * fps)) + 1
    around = gap[first:last]
    if not np.isfinite(around).any():
        return float("nan")
    low, high = np.nanmin(gap), np.nanmax(gap)
    return float((np.nanmin(around) - low) / (high - low)) if high > low else float("nan")


@dataclass(frozen=True)
class GridClip:
    """One GRID clip: its sound, its real mouth and its word times.

    Attributes:
        name: of the clip.
        audio: its sound.
        real: the mouth in the real video.
        closures: ``(C,)`` aligned times of b, p and m in seconds.
        speech: start of the first word and end of the last one, in seconds.
    """

    name: str
    audio: Path
    real: MouthTrack
    closures: np.ndarray
    speech: tuple[float, float]


def grid_clips(folder: Path, split: Split, limit: int) -> list[GridClip]:
    """The first clips of a raw GRID split: ``motion.npz``, ``words.tsv``, ``audio/``; DataError if incomplete."""
    tracks = Tracks.load(folder / "motion.npz")
    try:
        with open(folder / "words.tsv", newline="") as file:
            words = [row for row in csv.DictReader(file, delimiter="\t") if row["word"] not in ("sil", "sp")]
    except OSError as error:
        raise DataError(f"no word alignments at {folder / 'words.tsv'} ({error.strerror}); correct --grid") from error
    clips = []
    for name in [name for name in tracks.names if split_of_name(name) == split][:limit]:
        index, spoken = tracks.names.index(name), [row for row in words if row["clip"] == name]
        gap = stored_lip_gap(tracks.landmarks[index], tracks.landmark_index)
        real = MouthTrack(tracks.scores[index, :, ARKIT.index("jawOpen")], gap)
        closures = [float(row[BILABIAL_WORDS[row["word"]]]) for row in spoken if row["word"] in BILABIAL_WORDS]
        speech = (float(spoken[0]["start_s"]), float(spoken[-1]["end_s"])) if spoken else (0.0, 0.0)
        clips.append(GridClip(name, folder / "audio" / f"{name}.opus", real, np.array(closures), speech))
    return clips


def random_instants(
    closures: np.ndarray, speech: tuple[float, float], count: int, rng: np.random.Generator, away: float = AWAY
) -> np.ndarray:
    """Up to ``count`` random times in seconds, ``(N,)``, while the clip is spoken and at least ``away`` from every closure.

    Pauses before and after speech are left out: lips are closed there without a bilabial.
    """
    times = rng.uniform(*speech, 50 * count)
    distance = np.abs(times[:, None] - closures).min(1) if len(closures) else np.full(len(times), np.inf)
    return times[distance >= away][:count]


@dataclass(frozen=True)
class LipSyncReport:
    """Scores of generated videos of GRID clips.

    Attributes:
        names: of the clips.
        jaw, gap: ``(N,)`` correlation with the real video at zero lag.
        closures: rows of the closure table: name to closure ratios.
    """

    names: Sequence[str]
    jaw: np.ndarray
    gap: np.ndarray
    closures: dict[str, np.ndarray]

    def __str__(self) -> str:
        rows = [[*row] for row in zip(self.names, map(float, self.jaw), map(float, self.gap), strict=True)]
        rows.append([f"mean of {len(self.names)}", float(np.nanmean(self.jaw)), float(np.nanmean(self.gap))])
        return "\n\n".join(
            [
                markdown_table(["", "jawOpen r", "lip gap r"], rows),
                closure_table(self.closures),
                f"r: generated against real video at zero lag. Closed: smallest lip gap {-CLOSURE_WINDOW[0]:g} s before to "
                f"{CLOSURE_WINDOW[1]:g} s after the instant below {CLOSED:g} of the clip's range. Random instants: of the "
                f"same clips, while they are spoken, at least {AWAY:g} s from every b, p and m.",
            ]
        )


def closure_table(groups: dict[str, np.ndarray]) -> str:
    """Number of instants, mean closure ratio and fraction of closed lips by group of ratios ``(N,)``."""
    rows = []
    for name, ratios in groups.items():
        finite = ratios[np.isfinite(ratios)]
        closed = f"{np.mean(finite < CLOSED):.0%}" if len(finite) else "-"
        rows.append([name, str(len(finite)), float(finite.mean()) if len(finite) else float("nan"), closed])
    return markdown_table(["lips", "instants", "gap / range", "closed"], rows)


def compare(clips: Sequence[GridClip], talk: Callable[[Path], MouthTrack], seed: int = 0) -> LipSyncReport:
    """Generate and track every clip.

    Args:
        clips: of :func:`grid_clips`.
        talk: generates a video from a recording and tracks its mouth.
        seed: of the random instants.
    """
    rng, jaw, gap = np.random.default_rng(seed), [], []
    ratios: dict[str, list[float]] = {}
    for clip in clips:
        mouths = {"generated": talk(clip.audio), "real": clip.real}
        jaw.append(correlation(mouths["generated"].jaw_open, clip.real.jaw_open))
        gap.append(correlation(mouths["generated"].lip_gap, clip.real.lip_gap))
        others = random_instants(clip.closures, clip.speech, INSTANTS_PER_CLOSURE * max(1, len(clip.closures)), rng)
        for name, mouth in mouths.items():
            for kind, times in (("at b, p, m", clip.closures), ("at random instants", others)):
                ratios.setdefault(f"{name}, {kind}", []).extend(closure_ratio(mouth.lip_gap, t) for t in times)
    return LipSyncReport(
        [clip.name for clip in clips], np.array(jaw), np.array(gap), {name: np.array(r) for name, r in ratios.items()}
    )


def energy_table(mouths: dict[str, tuple[MouthTrack, np.ndarray]]) -> str:
    """Correlation of mouths with the log energy of their sound ``(N,)`` at 16 kHz, by recording."""
    rows = []
    for name, (mouth, samples) in mouths.items():
        energy = log_energy(samples, len(mouth.jaw_open))
        rows.append([name, correlation(mouth.jaw_open, energy), correlation(mouth.lip_gap, energy)])
    return markdown_table(["correlation with log energy", "jawOpen", "lip gap"], rows)
