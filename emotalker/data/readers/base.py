"""Base class of the corpus readers, which list a corpus' labelled clips and load their motion and audio."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from emotalker.audio.io import SAMPLE_RATE, load_audio
from emotalker.coefficients import ARKIT, CoefficientSpace
from emotalker.core.errors import DataError
from emotalker.data.clip_ids import check_clip_id, with_unique_ids


@dataclass(frozen=True)
class ClipSource:
    """One clip of a published corpus: its labels and source files.

    Attributes:
        id: unique in its corpus, of letters, digits, ``_`` and ``-``; the base name of the prepared files.
        speaker: name of the speaker.
        emotion: one of :data:`~emotalker.core.emotions.EMOTIONS`, or None.
        original_emotion: the corpus' own label, or None.
        level: intensity from 1, the weakest, or None.
        fps: frames per second of the video or the coefficients, or None to take it from the file.
        audio: audio file, or None if the audio is in the video or missing.
        video: video file, or None.
        coefficients: file with landmarks or coefficients, or None.
        licence: of the data.
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
    """Motion and audio of one clip.

    Attributes:
        motion: ``(T, D)`` float32 in the reader's coefficient space, at its frame rate; finite.
        audio: ``(640 T,)`` float32 in -1..1 at 16 kHz, or None.
        valid: ``(T,)`` bool, False where no face was found and the motion is interpolated; default all True.
        confidence: ``(T,)`` tracking confidence 0..1; default ``valid``.
        first_frame: start of the clip in its recording, in frames at the space's rate.

    Raises:
        ValueError: the motion is not finite.
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
            raise ValueError("motion must be finite; use CorpusReader.cut() to remove or interpolate missing frames")


class CorpusReader(ABC):
    """Reader of one published corpus.

    Args:
        root: the corpus' folder.
        min_frames: clips with fewer usable frames raise DataError.
        max_gap: longest run of frames without a face that is interpolated; clips are cut at longer ones.
        validation, test: speakers of those splits instead of the corpus' own; without any, clips are split by name.

    Attributes:
        name, source, licence: stored with the prepared corpus.
        space: coefficient space of the motion that :meth:`load` returns.
        validation_speakers, test_speakers: see :mod:`emotalker.core.splits`; both empty for a split by clip name.

    Raises:
        DataError: the folder is missing.
    """

    name: str
    source: str
    licence: str
    space: CoefficientSpace = ARKIT
    validation_speakers: tuple[str, ...] = ()
    test_speakers: tuple[str, ...] = ()

    def __init__(
        self,
        root: str | os.PathLike,
        min_frames: int = 8,
        max_gap: int = 5,
        validation: Sequence[str] | None = None,
        test: Sequence[str] | None = None,
    ):
        self.root = Path(root)
        if validation is not None:
            self.validation_speakers = tuple(map(str, validation))
        if test is not None:
            self.test_speakers = tuple(map(str, test))
        self.min_frames, self.max_gap = min_frames, max_gap
        if not self.root.is_dir():
            raise DataError(f"no folder {self.root}; give the folder of the {self.name} corpus as root=")

    @abstractmethod
    def clips(self) -> list[ClipSource]:
        """All clips in a fixed order, sorted by speaker.

        Raises:
            DataError: the folder does not have the corpus' layout.
        """

    @abstractmethod
    def load(self, clip: ClipSource) -> ClipData:
        """Motion and audio of one clip.

        Raises:
            EmoTalkerError: the clip cannot be used.
        """

    def found(self, clips: list[ClipSource], layout: str) -> list[ClipSource]:
        """The clips sorted by speaker and id; DataError with the expected ``layout`` if there are none."""
        if not clips:
            raise DataError(f"{self.root} contains no clip laid out as {layout}; correct root=")
        for clip in clips:
            check_clip_id(clip.id, self.root)
        return sorted(with_unique_ids(clips), key=lambda clip: (clip.speaker, clip.id))

    def cut(
        self, motion: np.ndarray, audio: np.ndarray | None, valid: np.ndarray, confidence: np.ndarray | None = None
    ) -> ClipData:
        """The longest segment of a clip with a face, with short gaps interpolated and the audio of the same time.

        Args:
            motion: ``(T, D)``, NaN where not valid.
            audio: ``(N,)`` at 16 kHz, or None.
            valid: ``(T,)`` bool, True where a face was found.
            confidence: ``(T,)`` or None.

        Raises:
            DataError: the segment is shorter than ``min_frames``.
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
    """Cut audio ``(N,)`` to ``samples`` or pad it with zeros."""
    return np.pad(audio[:samples], (0, max(0, samples - len(audio))))


def sound_of(clip: ClipSource) -> np.ndarray | None:
    """Audio ``(N,)`` at 16 kHz of a clip's audio file or video; None if there is neither, AudioError if it is damaged."""
    if clip.audio is not None:
        return load_audio(clip.audio)
    if clip.video is not None:
        from emotalker.video import video_info

        if video_info(clip.video).has_audio:
            return load_audio(clip.video)
    return None


def usable_span(found: np.ndarray, max_gap: int) -> tuple[int, int]:
    """The longest segment that starts and ends with a face and has no gap of more than ``max_gap`` frames.

    Args:
        found: ``(T,)`` bool, True where a face was found.
        max_gap: frames.

    Returns:
        start and stop frame, ``(0, 0)`` if there is no face in any frame.
    """
    frames = np.flatnonzero(found)
    if len(frames) == 0:
        return 0, 0
    segments = np.split(frames, np.flatnonzero(np.diff(frames) > max_gap + 1) + 1)
    best = max(segments, key=lambda segment: segment[-1] - segment[0])
    return int(best[0]), int(best[-1]) + 1


def fill_gaps(values: np.ndarray) -> np.ndarray:
    """Interpolate frames with NaN in ``(T, ...)`` linearly; the first and the last frame must be finite."""
    flat = values.reshape(len(values), -1).copy()
    finite = ~np.isnan(flat).any(1)
    if not finite.all():
        time = np.arange(len(flat))
        for column in flat.T:
            column[~finite] = np.interp(time[~finite], time[finite], column[finite])
    return flat.reshape(values.shape)
