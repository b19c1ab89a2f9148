"""What every corpus reader yields: clips with their labels, and for each clip its motion and sound."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from emotalker.audio.io import SAMPLE_RATE, load_audio
from emotalker.coefficients import ARKIT, CoefficientSpace
from emotalker.core.errors import DataError

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".flv", ".m4v"})
AUDIO_SUFFIXES = (".wav", ".flac", ".opus", ".ogg", ".m4a", ".mp3")


@dataclass(frozen=True)
class ClipSource:
    """One clip of a corpus as its publisher delivers it.

    Attributes:
        id: unique in its corpus and made of letters, digits, ``_`` and ``-``; names the prepared files.
        speaker: who speaks.
        emotion: one of :data:`EMOTIONS`, or None.
        original_emotion: the corpus' own word.
        level: intensity, 1 the weakest, or None.
        fps: frames per second of video or coefficients, or None where only the file knows.
        audio: the recording, or None if it is in the video or there is none.
        video: the video, or None.
        coefficients: file with tracks or coefficients, or None.
        licence: terms of the data.
    """

    id: str
    speaker: str
    emotion: str | None = None
    original_emotion: str | None = None
    level: int | None = None
    fps: float | None = None
    audio: Path | None = None
    video: Path | None = None
    coefficients: Path | None = None
    licence: str = ""


@dataclass
class ClipData:
    """Motion and sound of one clip.

    Attributes:
        motion: ``(T, D)`` float32 in the reader's space, at its frame rate; finite.
        audio: ``(640 T,)`` float32 in -1..1 at 16 kHz, or None.
        valid: ``(T,)`` bool, False where the face was not found and the motion is interpolated.
        confidence: ``(T,)`` 0..1, how well each frame was tracked.
        first_frame: where the clip starts in its recording, in frames of the space's rate.
    """

    motion: np.ndarray
    audio: np.ndarray | None
    valid: np.ndarray = field(default=None)
    confidence: np.ndarray = field(default=None)
    first_frame: int = 0

    def __post_init__(self) -> None:
        frames = len(self.motion)
        self.motion = np.ascontiguousarray(self.motion, np.float32)
        self.valid = np.ones(frames, bool) if self.valid is None else np.asarray(self.valid, bool)
        self.confidence = (
            self.valid.astype(np.float32) if self.confidence is None else np.asarray(self.confidence, np.float32)
        )
        if not np.isfinite(self.motion).all():
            raise ValueError("motion must be finite; cut and fill it with CorpusReader.cut()")


class CorpusReader(ABC):
    """Reads one published corpus.

    Args:
        root: its folder.
        min_frames: clips of fewer usable frames are refused.
        max_gap: frames without a face that are interpolated; longer gaps cut the clip.

    Attributes:
        name, source, licence: kept with what is prepared.
        space: of the motion that :meth:`load` gives.
        validation_speakers, test_speakers: see :mod:`emotalker.core.splits`; both empty where clips are split by name.
    """

    name: str
    source: str
    licence: str
    space: CoefficientSpace = ARKIT
    validation_speakers: tuple[str, ...] = ()
    test_speakers: tuple[str, ...] = ()

    def __init__(self, root: str | os.PathLike, min_frames: int = 8, max_gap: int = 5):
        self.root = Path(root)
        self.min_frames, self.max_gap = min_frames, max_gap
        if not self.root.is_dir():
            raise DataError(f"no folder {self.root}; give the folder of the {self.name} corpus as root=")

    @abstractmethod
    def clips(self) -> list[ClipSource]:
        """All clips, speakers together, in an order that never changes.

        Raises:
            DataError: the folder is not laid out as the corpus is.
        """

    @abstractmethod
    def load(self, clip: ClipSource) -> ClipData:
        """Motion and sound of one clip.

        Raises:
            EmoTalkerError: the clip cannot be used, and why.
        """

    def found(self, clips: list[ClipSource], layout: str) -> list[ClipSource]:
        """The clips in order; DataError naming the expected layout if there is none."""
        if not clips:
            raise DataError(f"{self.root} holds no clip laid out as {layout}; correct root=")
        return sorted(clips, key=lambda clip: (clip.speaker, clip.id))

    def cut(
        self, motion: np.ndarray, audio: np.ndarray | None, valid: np.ndarray, confidence: np.ndarray | None = None
    ) -> ClipData:
        """A clip of the longest stretch in which the face is found, short gaps filled, with exactly its sound.

        Args:
            motion: ``(T, D)``; NaN where not valid.
            audio: ``(N,)`` 16 kHz, or None.
            valid: ``(T,)`` bool.
            confidence: ``(T,)`` or None.

        Raises:
            DataError: the stretch is shorter than ``min_frames``.
        """
        start, stop = usable_span(valid, self.max_gap)
        if stop - start < self.min_frames:
            raise DataError(
                f"a face was found in {int(valid.sum())} of {len(valid)} frames; {self.min_frames} in a row are needed"
            )
        samples = SAMPLE_RATE // self.space.fps
        sound = None if audio is None else fit_length(audio[start * samples :], (stop - start) * samples)
        confidence = None if confidence is None else confidence[start:stop]
        return ClipData(fill_gaps(motion[start:stop]), sound, valid[start:stop], confidence, first_frame=start)


def fit_length(audio: np.ndarray, samples: int) -> np.ndarray:
    """Cut ``(N,)`` to ``samples``, or pad it with silence."""
    return np.pad(audio[:samples], (0, max(0, samples - len(audio))))


def sound_of(clip: ClipSource) -> np.ndarray | None:
    """The clip's recording or its video's sound, ``(N,)`` 16 kHz; None if there is neither, AudioError if it is damaged."""
    if clip.audio is not None:
        return load_audio(clip.audio)
    if clip.video is not None:
        from emotalker.video import video_info

        if video_info(clip.video).has_audio:
            return load_audio(clip.video)
    return None


def usable_span(found: np.ndarray, max_gap: int) -> tuple[int, int]:
    """The longest stretch whose gaps are at most ``max_gap`` frames long and which begins and ends with a found face.

    Args:
        found: ``(T,)`` bool.

    Returns:
        start and stop, ``(0, 0)`` if no face was found at all.
    """
    frames = np.flatnonzero(found)
    if len(frames) == 0:
        return 0, 0
    stretches = np.split(frames, np.flatnonzero(np.diff(frames) > max_gap + 1) + 1)
    best = max(stretches, key=lambda stretch: stretch[-1] - stretch[0])
    return int(best[0]), int(best[-1]) + 1


def fill_gaps(values: np.ndarray) -> np.ndarray:
    """Interpolate NaN frames of ``(T, ...)`` linearly; the first and the last frame are known."""
    flat = values.reshape(len(values), -1).copy()
    known = ~np.isnan(flat).any(1)
    if not known.all():
        time = np.arange(len(flat))
        for column in flat.T:
            column[~known] = np.interp(time[~known], time[known], column[known])
    return flat.reshape(values.shape)
