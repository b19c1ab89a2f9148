"""Takes of Live Link Face and other recordings of ARKit's face tracking."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emotalker.audio.io import SAMPLE_RATE
from emotalker.coefficients import ARKIT
from emotalker.coefficients.live_link import load_csv, motion_from_values
from emotalker.coefficients.rotation import rotation_matrix
from emotalker.coefficients.table import on_grid
from emotalker.core.errors import DataError
from emotalker.core.suffixes import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from emotalker.data.clip_ids import clip_id
from emotalker.data.readers.base import ClipData, ClipSource, CorpusReader, sound_of
from emotalker.data.readers.labels import NameLabels
from emotalker.face.calibration import relative_pose

#: Ends of names of files beside a take that are no take: the app's uncalibrated values, and its calibration.
_NO_TAKES = ("_raw", "_neutral", "_cal")


class LiveLinkReader(CorpusReader):
    """Reads every take below a folder: Live Link Face's CSV, or ``.npz`` with its 61 channels.

    The app writes ``Take/Take_iPhone.csv`` with ``Take/Take_iPhone.mov``; an audio file of the same name replaces that of
    the video. Sound and motion begin together. Takes without sound have motion only. An ``.npz`` has ``weights (T, 61)``,
    ``names`` of Live Link's columns, and ``fps``.

    Blendshapes are taken as they are, within 0..1. The head's rotation is relative to the take's mean, as tracked motion is
    to the resting pose.

    Args:
        root: folder of the takes; each subfolder is a speaker unless the pattern says who speaks.
        head: factors of pitch, yaw and roll, -1 for angles that a take's phone measured in the opposite direction.
        pattern, emotions: see :class:`~emotalker.data.readers.labels.NameLabels`.
        name, source, licence: stored with the prepared corpus.
        validation, test: speakers of those splits; without any, clips are split by name.
        options: of :class:`CorpusReader`.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        pattern: str | Sequence[str] = (),
        emotions: dict[str, str] | None = None,
        head: Sequence[float] = (1.0, 1.0, 1.0),
        name: str = "live_link",
        source: str = "Live Link takes of the user",
        licence: str = "",
        validation: Sequence[str] = (),
        test: Sequence[str] = (),
        **options,
    ):
        self.name, self.source, self.licence = name, source, licence
        self.validation_speakers, self.test_speakers = tuple(map(str, validation)), tuple(map(str, test))
        self.labels, self.head = NameLabels(pattern, emotions), np.array(head, np.float64)
        if self.head.shape != (3,) or not np.isfinite(self.head).all():
            raise DataError(f"head={list(head)}: give three factors, of pitch, yaw and roll")
        super().__init__(root, **options)

    def clips(self) -> list[ClipSource]:
        takes = (p for suffix in ("csv", "npz") for p in self.root.glob(f"**/*.{suffix}"))
        clips = []
        for take in sorted(p for p in takes if not p.stem.lower().endswith(_NO_TAKES)):
            folders = take.relative_to(self.root).parts[:-1]
            beside = {p.suffix.lower(): p for p in take.parent.iterdir() if p.stem == take.stem}
            clips.append(
                ClipSource(
                    id=clip_id("_".join([*folders, take.stem])),
                    speaker=self.labels.speaker(take.stem) or (folders[0] if folders else self.root.name),
                    audio=next((beside[s] for s in AUDIO_SUFFIXES if s in beside), None),
                    video=next((beside[s] for s in sorted(VIDEO_SUFFIXES) if s in beside), None),
                    coefficients=take,
                    licence=self.licence,
                    **self.labels.of(take.stem),
                )
            )
        return self.found(clips, "Take/Take_iPhone.csv with Take_iPhone.mov or an audio file of the same name")

    def load(self, clip: ClipSource) -> ClipData:
        motion = read_take(clip.coefficients)
        motion[:, ARKIT.expression] = motion[:, ARKIT.expression].clip(0, 1)
        pose = motion[:, ARKIT.pose].astype(np.float64)
        motion[:, ARKIT.pose] = relative_pose(rotation_matrix(self.head * pose[:, :3]), pose[:, 3:])
        audio = sound_of(clip)
        frames = len(motion) if audio is None else min(len(motion), len(audio) * ARKIT.fps // SAMPLE_RATE)
        return self.cut(motion[:frames], audio, np.ones(frames, bool))


def read_take(path: Path) -> np.ndarray:
    """A take as ``(T, 58)`` float32 of ARKIT at its frame rate; DataError if it is none."""
    if path.suffix.lower() == ".csv":
        motion, space = load_csv(path)
        if space != ARKIT.name:
            raise DataError(f"{path} is motion of {space}, not of {ARKIT.name}")
        return motion
    try:
        with np.load(path, allow_pickle=False) as file:
            values, names, fps = file["weights"].astype(np.float64), [str(n) for n in file["names"]], float(file["fps"])
        if values.ndim != 2 or values.shape[1] != len(names) or not np.isfinite(values).all() or not 1 <= fps <= 1000:
            raise ValueError("weights are not (T, number of names), or not finite, or there is no frame rate")
    except (OSError, KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a Live Link take with weights, names and fps ({error})") from error
    if not len(values):
        raise DataError(f"{path} has no frames")
    return on_grid(path, np.arange(len(values)) / fps, motion_from_values(path, names, values), ARKIT)
